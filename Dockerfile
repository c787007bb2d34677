# The scoring server, with the bundle it serves baked in. `docker build .` is enough: classic builder or
# BuildKit, any engine. BASE takes another base image with Python in it, by digest if you like; PIP_INDEX_URL
# another package index (it stays in this machine's build cache, so let it hold no password).
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore
ARG PIP_INDEX_URL
WORKDIR /build

# pipenv reads the lock; it stays in this stage.
COPY scripts/pipenv-requirements.txt scripts/
RUN python -m venv /pipenv \
    && /pipenv/bin/python -m pip install --quiet --require-hashes --requirement scripts/pipenv-requirements.txt
COPY Pipfile Pipfile.lock ./
RUN /pipenv/bin/python -m pipenv requirements --hash --exclude-index --categories packages >requirements.txt \
    && python -m venv --without-pip /opt/fraudloop \
    && /pipenv/bin/python -m pip --python /opt/fraudloop/bin/python install --quiet --require-hashes --no-deps \
        --no-compile --only-binary :all: --requirement requirements.txt \
    && find /opt/fraudloop/lib -type d \( -name tests -o -path '*/onnxruntime/quantization' \
        -o -path '*/onnxruntime/tools' -o -path '*/onnxruntime/transformers' \) -prune -exec rm -r {} + \
    && find /opt/fraudloop/lib -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' \) -delete

# Whatever the user's umask is, the server's user reads its code.
COPY src/fraudloop src/fraudloop
RUN chmod -R a+rX src \
    && cp -R -p src/fraudloop "$(/opt/fraudloop/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# A root file system that is read-only keeps no bytecode: what a start compiles is kept here, the
# standard library's too.
COPY scripts/bake.py scripts/
COPY ml/output/credit-card-fraud bundle
RUN mkdir /opt/bytecode \
    && PYTHONPYCACHEPREFIX=/opt/bytecode /opt/fraudloop/bin/python scripts/bake.py bundle /bundle

FROM ${BASE}
# Nothing is installed here any more. The folder is for a volume.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    && install -d -o 10001 -g 10001 /var/lib/fraudloop
ENV PATH=/opt/fraudloop/bin:${PATH} \
    PYTHONPYCACHEPREFIX=/opt/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
COPY LICENSE /licenses/fraudloop
COPY --from=build /opt/fraudloop /opt/fraudloop
COPY --from=build /opt/bytecode /opt/bytecode
COPY --from=build /bundle /bundle

USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-PSc", "import http.client; server = http.client.HTTPConnection('127.0.0.1', 8080, timeout=2); server.request('GET', '/ready'); raise SystemExit(server.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "fraudloop"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080", "--bundle", "/bundle"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG MODEL_VERSION=unknown
LABEL org.opencontainers.image.title="fraudloop" \
    org.opencontainers.image.description="Scores card transactions for fraud over HTTP" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    fraudloop.model.version="${MODEL_VERSION}"

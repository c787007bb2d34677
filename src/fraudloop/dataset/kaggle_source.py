"""The published file through Kaggle's own client, with credentials from the environment alone.

The client is `kagglesdk`, through which every call of the `kaggle` package goes. That package's
`KaggleApi` is left out on purpose: importing it logs in and makes a configuration folder, its first
call has no time limit, its retries cannot be set, and it ignores KAGGLE_API_ENVIRONMENT=TEST.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import settings
from fraudloop.dataset.card import KaggleSource
from fraudloop.dataset.download import (
    Body,
    Opener,
    Patience,
    TransientError,
    body_of,
    refusal,
    requests_errors,
    resuming,
    retry_after,
)
from fraudloop.errors import SourceError

if TYPE_CHECKING:
    import requests

NO_CREDENTIALS = "no Kaggle credentials: set KAGGLE_API_TOKEN, or run with data.source=synthetic"


def named(source: KaggleSource) -> str:
    """The file as errors and the progress bar call it."""
    return f"Kaggle's {source.dataset}/{source.file}"


@contextmanager
def connected(
    source: KaggleSource, deployment: settings.Settings, patience: Patience
) -> Iterator[Opener]:
    """Log in, and give what opens the download; raises `SourceError` without credentials."""
    if not deployment.kaggle_credentials:
        raise SourceError(NO_CREDENTIALS)
    with ExitStack() as stack:
        client = _log_in(stack, patience)

        @contextmanager
        def opener(offset: int, version: str | None) -> Iterator[Body]:
            with (
                requests_errors(named(source)),
                _call(client, source, resuming(offset, version)) as response,
            ):
                if response.status_code not in (200, 206):
                    raise refusal(response.status_code, named(source), advice={})
                yield body_of(response, offset, version)

        yield opener


def _log_in(stack: ExitStack, patience: Patience) -> Any:
    """Kaggle's client with an open session, which `stack` closes.

    The client looks into the home folder while it opens the session: it is shown an empty one.
    """
    empty = stack.enter_context(tempfile.TemporaryDirectory(prefix="fraudloop-"))
    with _contained(), settings.without_home(Path(empty)):
        from kagglesdk.kaggle_client import KaggleClient

        try:
            login = settings.kaggle_login()
        except (OSError, ValueError) as error:
            raise SourceError(
                "the file that KAGGLE_API_TOKEN names cannot be read: set it to the token itself"
            ) from error
        if not login:
            raise SourceError(NO_CREDENTIALS)
        client = stack.enter_context(KaggleClient(user_agent="fraudloop", **login))
        session = client.http_client()._session  # no public way to give it a time limit
        for scheme in ("https://", "http://"):
            session.mount(scheme, _impatient(patience))
        return client


def _impatient(patience: Patience) -> requests.adapters.HTTPAdapter:
    """A transport with the time limits that the client sets none of."""
    from requests import adapters

    class Impatient(adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **how: Any) -> Any:
            how["timeout"] = how.get("timeout") or (patience.connect, patience.read)
            return super().send(request, *args, **how)

    return Impatient()


def _call(client: Any, source: KaggleSource, headers: dict[str, str]) -> requests.Response:
    """Ask for the file: the answer is a redirect to its storage, which is followed.

    Every try asks anew, as the storage's signed address expires.
    """
    import requests

    with _contained():
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.owner_slug, _, request.dataset_slug = source.dataset.partition("/")
        request.file_name = source.file
        session = client.http_client()._session
        for name in ("Range", "If-Range"):
            session.headers.pop(name, None)
        session.headers.update(headers)  # requests carries them over the redirect
        try:
            answer: requests.Response = client.datasets.dataset_api_client.download_dataset(request)
        except requests.HTTPError as error:
            raise _refused(error, source) from error
        return answer


def _refused(error: requests.HTTPError, source: KaggleSource) -> Exception:
    """What Kaggle's, or its storage's, error status means."""
    response = error.response
    status = response.status_code
    if response.history and status < 500 and status != 416:
        return TransientError(f"Kaggle's storage answered {status}")
    if status < 400:  # an error in the body of a 200
        status = int(response.json().get("code", 500))
    where = f"{source.dataset}/{source.file}"
    return refusal(status, where, retry_after(response), _advice(source))


def _advice(source: KaggleSource) -> dict[int, str]:
    from kagglesdk.kaggle_env import get_env, get_web_endpoint

    page = f"{get_web_endpoint(get_env())}/datasets/{source.dataset}"
    return {
        401: "Kaggle does not accept the credentials (401): make a new token in Kaggle's settings "
        "and set KAGGLE_API_TOKEN to it",
        403: f"Kaggle does not give {{where}} to this account (403): open {page} signed in, "
        "accept its rules, and run this again",
        404: "Kaggle has no {where} (404): correct kaggle.dataset and kaggle.file in the card",
    }


@contextmanager
def _contained() -> Iterator[None]:
    """Keep the client's prints from the terminal, and its exits and surprises from ending us."""
    import requests

    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except (SourceError, TransientError, requests.RequestException):
        raise
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"Kaggle's client failed ({type(error).__name__}): check the KAGGLE_* variables, "
            "or download the file yourself and run with data.source=file"
        ) from error

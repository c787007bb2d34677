"""Downloads over http(s) and S3 that outlive a broken connection: tried again, resumed, checked.

An opener begins a download at an offset; `fetch` calls it until the file is whole. What is worth
another try is `TransientError`; everything else is a `SourceError` at once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fraudloop.errors import SourceError
from fraudloop.progress import Progress

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 18
S3_BLOCK = 1 << 22  # each is one ranged request
HEADWAY = 1 << 20  # a try that came this much further is not counted as one more failure


class TransientError(Exception):
    """A failure that may pass; `wait` is how many seconds the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class SpoiltError(TransientError):
    """The bytes so far are of no use: the next try begins at the first one."""


@dataclass(frozen=True)
class Patience:
    """How often, and how long, a download is waited for; seconds and bytes per second."""

    tries: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    connect: float = 10.0
    read: float = 60.0
    slowest: float = 100.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, asked: float = 0.0) -> None:
        """Wait before the next try: twice as long each time, or as long as the server asked."""
        backoff = self.first_wait * 2.0 ** (failures - 1)
        self.sleep(min(max(backoff, asked), self.longest_wait))


PATIENCE = Patience()


@dataclass(frozen=True)
class Body:
    """A download that has begun: `offset` is where in the file its first chunk belongs.

    `version` names the object's exact bytes; without one it cannot be resumed.
    """

    chunks: Iterator[bytes]
    offset: int
    total: int | None
    version: str | None


Opener = Callable[[int, str | None], AbstractContextManager[Body]]


def fetch(
    opener: Opener,
    aside: Path,
    what: str,
    patience: Patience,
    progress: Progress,
    complete: Callable[[Path], None],
) -> None:
    """Download to `aside`, trying again where that can help.

    `complete` looks at the whole file, and raises `SpoiltError` if all of it must come again.
    """
    aside.touch()
    version: str | None = None
    failures = furthest = 0
    while True:
        have = aside.stat().st_size if version else 0
        try:
            with opener(have, version) as body:
                version = body.version
                progress.start(body.total, what)
                progress.advance(body.offset)
                _pour(body, aside, patience, progress)
            complete(aside)
            return
        except TransientError as broken:
            reached = aside.stat().st_size
            failures = 1 if reached >= furthest + HEADWAY else failures + 1
            furthest = max(furthest, reached)
            if isinstance(broken, SpoiltError):
                version = None
            if failures >= patience.tries:
                raise SourceError(
                    f"{what} could not be fetched in {failures} tries ({broken}): try again later"
                ) from broken
            patience.wait(failures, broken.wait)


def _pour(body: Body, aside: Path, patience: Patience, progress: Progress) -> None:
    """Write the chunks where they belong; a trickle counts as broken, like silence."""
    since, came = time.monotonic(), 0
    with aside.open("ab") as file:
        file.truncate(body.offset)
        for chunk in body.chunks:
            file.write(chunk)
            progress.advance(len(chunk))
            came += len(chunk)
            if (waited := time.monotonic() - since) >= patience.read:
                if came < waited * patience.slowest:
                    raise TransientError(f"it sent {came:,} bytes in {waited:.0f} s")
                since, came = time.monotonic(), 0
    size = aside.stat().st_size
    if body.total is not None and size != body.total:
        raise TransientError(f"it ended after {size:,} of {body.total:,} bytes")


def shown(url: str) -> str:
    """An address as it may be printed: without password, query or fragment.

    Raises `SourceError` for what is no address.

    >>> shown("https://me:secret@example.com:8443/a/b.csv?signature=secret#x")
    'https://example.com:8443/a/b.csv'
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise SourceError("data.url is no address: correct it in params.yaml") from error
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def from_url(url: str, endpoint: str | None, patience: Patience) -> Opener:
    """The opener of an http(s) or S3 address; `endpoint` is the S3 server, if not Amazon's."""
    if url.startswith("s3://"):
        return _from_s3(url, endpoint, patience)
    return _from_http(url, patience)


def _from_http(url: str, patience: Patience) -> Opener:
    where = shown(url)

    @contextmanager
    def opener(offset: int, version: str | None) -> Iterator[Body]:
        import requests

        with (
            requests_errors(where),
            requests.get(
                url,
                headers=resuming(offset, version),
                stream=True,
                timeout=(patience.connect, patience.read),
            ) as response,
        ):
            if response.status_code not in (200, 206):
                raise refusal(response.status_code, where, retry_after(response))
            yield body_of(response, offset, version)

    return opener


def resuming(offset: int, version: str | None) -> dict[str, str]:
    """The headers that ask for the rest, or for all of it should it have changed.

    `identity`, because offsets and lengths are those of the file only if it is not compressed.
    """
    headers = {"Accept-Encoding": "identity"}
    if offset and version:
        headers |= {"Range": f"bytes={offset}-", "If-Range": version}
    return headers


def body_of(response: requests.Response, offset: int, version: str | None) -> Body:
    """The body of a 200 or 206, the latter only if it is the continuation that was asked for."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None
    # Some servers compress all the same: then the length is not the file's, nor is an offset.
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() and not encoded else None
    begins = 0
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != offset or (strong or version) != version:
            raise SpoiltError("it was continued at a wrong place")
        begins, total, strong = offset, int(found[2]), version
    # read1 hands over what is there; iter_content would sit on a trickle until a chunk is full.
    chunks = iter(lambda: response.raw.read1(CHUNK, decode_content=encoded), b"")
    return Body(chunks, begins, total, None if encoded else strong)


def retry_after(response: requests.Response) -> float:
    """How many seconds the server asks to be left alone; 0 if it does not say in seconds."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0.0


ADVICE = {
    401: "{where} wants a login (401): give one for this host in ~/.netrc, or use a signed link",
    403: "{where} may not be read by you (403): ask for access, or for a new link if it expired",
    404: "there is no {where} (404): correct data.url in params.yaml",
}


def refusal(
    status: int, where: str, wait: float = 0.0, advice: dict[int, str] = ADVICE
) -> TransientError | SourceError:
    """What an error status means: another try, or one sentence for the person who asked."""
    if status in (412, 416):
        return SpoiltError("it was replaced as it was read")
    if status >= 500 or status in (408, 425, 429):
        return TransientError(f"the server answered {status}", wait)
    sentence = advice.get(status, "{where} cannot be had (the server answered {status})")
    return SourceError(sentence.format(where=where, status=status))


@contextmanager
def requests_errors(where: str) -> Iterator[None]:
    """Map what requests and urllib3 raise; their own words may hold an address with its secrets."""
    import requests.exceptions as web
    import urllib3.exceptions as wire

    try:
        yield
    except (web.Timeout, wire.TimeoutError) as error:
        raise TransientError("nothing came in time") from error
    except (web.InvalidURL, web.InvalidSchema, web.MissingSchema, web.TooManyRedirects) as error:
        raise SourceError(f"{where} leads nowhere ({type(error).__name__}): correct it") from error
    except (web.RequestException, wire.HTTPError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise SourceError(
                f"{where} has no certificate that this machine trusts: "
                "set REQUESTS_CA_BUNDLE to the one it needs"
            ) from error
        raise TransientError("the connection failed") from error


S3_ADVICE = {
    400: "{where} was refused (400): renew AWS_SESSION_TOKEN if it has expired, or set AWS_REGION",
    401: "{where} wants credentials (401): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    403: "{where} may not be read with these AWS_* credentials, or without any (403): "
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to ones that may",
    404: ADVICE[404],
}


def _from_s3(url: str, endpoint: str | None, patience: Patience) -> Opener:
    where, path = shown(url), url.removeprefix("s3://")
    if not path.partition("/")[2] or path.endswith("/"):
        raise SourceError(f"{where} names no file: data.url wants s3://bucket/path/to/file")

    @contextmanager
    def opener(offset: int, version: str | None) -> Iterator[Body]:
        with _s3_errors(where), _s3_file(path, endpoint, patience) as file:
            if file.details["type"] != "file":
                raise refusal(404, where, advice=S3_ADVICE)
            # Every read asks for the ETag that was seen here, so two objects are never mixed.
            etag = file.details["ETag"] or None
            begins = offset if etag == version else 0
            file.seek(begins)
            chunks = iter(lambda: bytes(file.read(S3_BLOCK)), b"")
            yield Body(chunks, begins, int(file.size), etag)

    return opener


def _s3_file(path: str, endpoint: str | None, patience: Patience) -> Any:
    """Open an object; anonymously only if there are no credentials, not if they are refused."""
    import s3fs
    from botocore.exceptions import NoCredentialsError

    def opened(anonymous: bool) -> Any:
        system = s3fs.S3FileSystem(
            anon=anonymous,
            endpoint_url=endpoint,
            version_aware="?versionId=" in path,
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": patience.connect,
                "read_timeout": patience.read,
                "retries": {"total_max_attempts": 1},
            },
        )
        system.retries = 1  # `fetch` does the retrying, with its own patience
        return system.open(path, "rb", cache_type="none")

    try:
        return opened(anonymous=False)
    except NoCredentialsError:
        return opened(anonymous=True)


@contextmanager
def _s3_errors(where: str) -> Iterator[None]:
    """Map what s3fs, botocore and aiohttp raise; most specific first."""
    import aiohttp
    from botocore import exceptions as boto

    lost = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)
    try:
        yield
    except (boto.PartialCredentialsError, boto.ProfileNotFound, boto.CredentialRetrievalError):
        raise SourceError(
            f"the AWS credentials for {where} are incomplete: "
            "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except (boto.ReadTimeoutError, boto.ConnectTimeoutError, TimeoutError) as error:
        raise TransientError("nothing came in time") from error
    except (*lost, aiohttp.ClientError, ConnectionError) as error:
        raise TransientError("the connection failed") from error
    except (boto.BotoCoreError, ValueError) as error:
        raise SourceError(
            f"{where} cannot be asked for ({type(error).__name__}): "
            "check data.url and AWS_ENDPOINT_URL"
        ) from error
    except OSError as error:
        if (status := _s3_status(error)) is None:
            raise
        raise refusal(status, where, advice=S3_ADVICE) from error


def _s3_status(error: OSError) -> int | None:
    """The HTTP status behind an error of s3fs; None if it is not one of S3's."""
    from s3fs.utils import FileExpired

    answer = getattr(error.__cause__, "response", None)
    if isinstance(answer, dict):
        return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    if isinstance(error, FileExpired):
        return 412
    return 404 if isinstance(error, FileNotFoundError) else None

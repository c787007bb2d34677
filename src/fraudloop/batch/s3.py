"""S3, by the client that the pipeline has already: settings and credentials are the usual ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from fraudloop.errors import BatchError

SCHEME = "s3://"
READ_AHEAD = 1 << 23


@lru_cache(maxsize=1)
def client(endpoint: str | None) -> Any:
    """The client, made once."""
    import s3fs

    return s3fs.S3FileSystem(
        endpoint_url=endpoint, skip_instance_cache=True, use_listings_cache=False
    )


@contextmanager
def told(address: str) -> Iterator[None]:
    """What S3 refuses, in one sentence."""
    from botocore import exceptions as boto

    try:
        yield
    except boto.NoCredentialsError:
        raise BatchError(
            f"{address} wants credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except PermissionError as error:
        raise BatchError(
            f"{address} may not be used with these AWS_* credentials: set others"
        ) from error
    except FileNotFoundError as error:
        raise BatchError(f"there is no {address}: name what is in a bucket") from error
    except (boto.BotoCoreError, OSError, ValueError) as error:
        raise BatchError(
            f"{address} cannot be reached ({type(error).__name__}): check AWS_ENDPOINT_URL, and "
            "try again (with --resume)"
        ) from error


def found_at(address: str, endpoint: str | None) -> tuple[str, list[tuple[str, int, str]]]:
    """The objects that an address names, and the folder that their names leave out."""
    from fraudloop.batch.places import fits, fixed_folder, is_pattern

    path = address.removeprefix(SCHEME).rstrip("/")
    base = fixed_folder(path) if is_pattern(path) else path
    with told(address):
        objects = client(endpoint).find(base, detail=True)
    if path in objects:
        base = path.rpartition("/")[0]
    elif is_pattern(path):
        objects = {name: about for name, about in objects.items() if fits(name, path)}
    if not objects:
        raise BatchError(f"there is no {address}: name an object, a folder of them or a pattern")
    return SCHEME + base, [
        (SCHEME + name, int(about["size"]), str(about.get("ETag", "")))
        for name, about in objects.items()
        if not name.endswith("/")
    ]


class _Remote:
    """An object as a file; what fails is no fault of the object's, and ends the batch."""

    def __init__(self, file: Any, address: str) -> None:
        self._file = file
        self._address = address
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        with told(self._address):
            return bytes(self._file.read(size))

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@contextmanager
def opened(address: str, endpoint: str | None) -> Iterator[Any]:
    """An object, to be read from anywhere in it."""
    import pyarrow as pa

    with told(address):
        file = client(endpoint).open(
            address.removeprefix(SCHEME), "rb", block_size=READ_AHEAD, cache_type="readahead"
        )
    with file, pa.PythonFile(_Remote(file, address), mode="r") as opened:
        yield opened


def put(path: Path, address: str, endpoint: str | None) -> None:
    """Store a file: it is there when all of it is."""
    with told(address):
        client(endpoint).put_file(str(path), address.removeprefix(SCHEME))


def remove(address: str, endpoint: str | None) -> None:
    """Remove an object, if it is there."""
    system, path = client(endpoint), address.removeprefix(SCHEME)
    with told(address):
        if system.exists(path):
            system.rm_file(path)

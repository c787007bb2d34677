"""Posts payload.json to the server's /invocations once it is ready, and writes response.json.

Needs nothing but Python: it runs inside the server's own image, too. The environment says where:
SERVER, PAYLOAD, RESPONSE, and WITHIN how many seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path


def wait_until_ready(
    server: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Come back when a model is loaded; TimeoutError says why none was."""
    until = clock() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{server}/ready", timeout=5):  # noqa: S310  # http alone
                return
        except OSError as error:
            if clock() >= until:
                raise TimeoutError(f"{server} was not ready in {seconds:g} s ({error})") from error
        pause(0.2)


def answer_to(server: str, payload: bytes, seconds: float) -> bytes:
    """What the server's /invocations makes of the payload, as JSON that reads well."""
    asking = urllib.request.Request(  # noqa: S310  # http alone
        f"{server}/invocations", data=payload, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asking, timeout=seconds) as answered:  # noqa: S310  # http alone
        return (json.dumps(json.load(answered), indent=2) + "\n").encode()


def main() -> int:
    """Post, write aside, rename; a failure is one sentence, and leaves what stood before."""
    server = os.environ.get("SERVER", "http://api:8080").rstrip("/")
    payload, response = Path(os.environ["PAYLOAD"]), Path(os.environ["RESPONSE"])
    seconds = float(os.environ.get("WITHIN", "60"))
    aside = response.with_name(f".{response.name}.part")
    try:
        if not server.startswith("http://"):
            raise ValueError(f"{server!r} is no http:// address")
        wait_until_ready(server, seconds)
        aside.write_bytes(answer_to(server, payload.read_bytes(), seconds))
        aside.replace(response)
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode("utf-8", "replace")
        print(f"{server} refused {payload.name} with {error.code}: {said}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"no {response.name} was written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

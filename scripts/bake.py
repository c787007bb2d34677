"""Puts a bundle into an image while it is built: `bake.py FROM TO`.

The bundle is verified and only what its manifest names is copied. Every form of it scores, and the
server runs on it once: an image that was built has been tried, and whatever a start imports has
left its bytecode where PYTHONPYCACHEPREFIX says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from fraudloop.errors import FraudloopError
from fraudloop.files import write_bytes
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer

ASKED = ("/ready", "/metrics", "/docs", "/openapi.json")
SECONDS = 60


def copy(source: Path, target: Path) -> Bundle:
    """Copy a verified bundle as it is, byte for byte, and nothing that lies beside it."""
    bundle = bundles.load(source)
    for name, content in bundle.files.items():
        write_bytes(target / name, content)
    write_bytes(target / manifests.NAME, (source / manifests.NAME).read_bytes())
    return bundles.load(target, sha256=bundle.sha256)


def score(bundle: Bundle) -> None:
    """Score the smoke row by every form the bundle has: each refuses what it cannot reproduce."""
    scorer = Scorer(bundle)
    if bundle.manifest.native is not None:
        scorer.by_native_form(np.array([bundle.manifest.smoke.features], dtype=np.float32))


def serve(directory: Path) -> None:
    """Start the server, ask it what needs no transaction, and let it drain."""
    command = [sys.executable, "-m", "fraudloop", "serve", "--port", "0", "--bundle"]
    server = subprocess.Popen(  # noqa: S603  # our own server
        [*command, str(directory)], stderr=subprocess.PIPE, text=True
    )
    try:
        host = urlsplit(_url(server)).netloc
        for path in ASKED:
            status = _status(host, path)
            if status != 200:
                raise SystemExit(f"the server answers {path} with {status}")
    finally:
        server.terminate()
        _, said = server.communicate(timeout=SECONDS)
    if server.returncode != 0:
        raise SystemExit(f"the server ended with {server.returncode}: {said}")


def _url(server: subprocess.Popen[str]) -> str:
    """The address that the server logs when it listens."""
    said = []
    for line in server.stderr or ():
        said.append(line)
        if line.startswith("{") and json.loads(line).get("event") == "serving":
            return str(json.loads(line)["url"])
    raise SystemExit("the server does not start: " + "".join(said))


def _status(host: str, path: str) -> int:
    asking = HTTPConnection(host, timeout=SECONDS)
    asking.request("GET", path)
    return asking.getresponse().status


if __name__ == "__main__":
    try:
        score(copy(Path(sys.argv[1]), Path(sys.argv[2])))
    except FraudloopError as error:
        sys.exit(str(error))
    serve(Path(sys.argv[2]))

"""How soon a promotion decides on every worker, under load: `make bench-promotion` prints it.

A real MLflow server and two servers of two workers follow it, each with its own cache, while
clients post without a pause. Target: 5 s, and no failed request.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path

from fraudloop.lifecycle import steering
from fraudloop.lifecycle.following import FromRegistry, RegistrySource
from fraudloop.lifecycle.register import Origin, register
from fraudloop.lifecycle.store import opened
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.settings import RegistrySettings
from tests.fitted import features
from tests.mlflow_server import free_port, mlflow_at
from tests.serving.running import Running, running
from tests.serving.test_reload import MANY, Expected, posting

BUNDLE = Path("ml/output/credit-card-fraud")
SERVERS, WORKERS = 2, 2
TARGET = 5.0  # seconds
WITHIN = 60.0


def main() -> int:
    """Promote to and fro, and print how long each took; 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promotions", type=int, default=10)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took, answered, wrong = measured(Path(folder), given.bundle, given.promotions)
    print(f"{given.promotions} promotions, {SERVERS} servers of {WORKERS} workers")
    print(f"  to the last worker: median {statistics.median(took):.2f} s, worst {max(took):.2f} s")
    print(f"  answered meanwhile: {answered:,} requests, {len(wrong)} of them wrong or failed")
    for each in wrong[:5]:
        print(f"    {each}")
    reached = max(took) <= TARGET and not wrong
    print(f"  target {TARGET:g} s and no failed request: {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


def measured(folder: Path, place: Path, promotions: int) -> tuple[list[float], int, list[str]]:
    """Seconds of each promotion, requests answered meanwhile, and what was wrong with any."""
    two = versions(bundles.load(place))
    expected = {
        bundle.version: Expected(
            bundle.manifest.threshold, Scorer(bundle).score_features(features()[:MANY])
        )
        for bundle in two
    }
    name = two[0].manifest.card.id
    took: list[float] = []
    with ExitStack() as stack:
        mlflow = stack.enter_context(mlflow_at(folder / "mlflow", free_port()))
        settings = RegistrySettings(mlflow.uri, None, folder / "cache")
        for number, bundle in enumerate(two, start=1):
            bundles.save(folder / f"bundle {number}", bundle)
            register(settings, folder / f"bundle {number}", Origin("bench", "bench"))
        store = stack.enter_context(closing(opened(settings)))
        source = RegistrySource(FromRegistry(name, "champion", settings), store)
        steering.promote(source, "1", by="bench", why="the first", record=None)
        servers = [
            stack.enter_context(served(folder, each, settings, name)) for each in range(SERVERS)
        ]
        clients = [stack.enter_context(posting(server, expected)) for server in servers]
        for number in range(promotions):
            bundle = two[(number + 1) % 2]
            steering.promote(source, bundle.version, by="bench", why="to and fro", record=None)
            decided = time.monotonic()
            while not all(deciding(server, bundle) for server in servers):
                assert time.monotonic() - decided < WITHIN, "a server does not follow"
                time.sleep(0.02)
            took.append(time.monotonic() - decided)
        answered = sum(sum(client.versions.values()) for client in clients)
        wrong = [each for client in clients for each in client.wrong]
    return took, answered, wrong


def versions(bundle: Bundle) -> list[Bundle]:
    """A bundle, and the same model with another operating point."""
    manifest = bundle.manifest.model_copy(update={"threshold": 0.9})
    content = manifest.to_bytes()
    other = replace(
        bundle,
        manifest=manifest,
        version=manifests.version(content),
        sha256=manifests.sha256(content),
    )
    return [bundle, other]


def served(
    folder: Path, number: int, settings: RegistrySettings, name: str
) -> AbstractContextManager[Running]:
    """A server that follows the registry."""
    environment = {
        "MLFLOW_TRACKING_URI": settings.uri,
        "FRAUDLOOP_MODEL": name,
        "FRAUDLOOP_CACHE": str(folder / f"cache {number}"),
    }
    log = folder / f"log {number}"
    return running(log, Path("registry:champion"), workers=WORKERS, environment=environment)


def deciding(server: Running, bundle: Bundle) -> bool:
    """Whether every worker of a server decides with a bundle."""
    text = server.ask("GET", "/metrics").content.decode()
    found = re.search(rf'^fraudloop_model{{.*version="{bundle.version}"}} (\S+)$', text, re.M)
    return found is not None and float(found[1]) == WORKERS


if __name__ == "__main__":
    raise SystemExit(main())

"""Another bundle while the server is at work: a good one decides at once, a bad one never does."""

from __future__ import annotations

import hashlib
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from tests.fitted import features, repackaged
from tests.serving.running import (
    Answer,
    Client,
    Running,
    as_body,
    request,
    running,
    transactions,
    until,
)

RELOADS = 50
MANY = 300  # so many are scored by the native form, where there is one
THRESHOLDS = {"logistic_regression": 0.2, "boosted_trees": 0.4, "random_forest": 0.6}
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Expected:
    """What one version says of the rows that are posted."""

    threshold: float
    scores: NDArray[np.float64]


@dataclass
class Posting:
    """Clients that post without a pause, and hold each answer against its version."""

    port: int
    expected: Mapping[str, Expected]
    versions: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def post(self, rows: int) -> None:
        body = transactions(rows)
        content = request("POST", "/predict", as_body(body if rows > 1 else body[0]))
        with Client(self.port) as client:
            while not self.over.is_set():
                client.send(content)
                answer = client.answer()
                wrong = self.fault(answer, rows)
                if wrong:
                    self.wrong.append(wrong)
                    return
                self.versions[answer.json["model_version"]] += 1
                if answer.closes:
                    self.wrong.append("it hung up")
                    return

    def fault(self, answer: Answer, rows: int) -> str | None:
        """What is wrong with an answer, if anything is."""
        if answer.status != 200:
            return f"{answer.status}: {answer.content[:200]!r}"
        said = answer.json
        expected = self.expected[said["model_version"]]
        scores = np.array(said["scores"])
        if said["threshold"] != expected.threshold:
            return f"{said['model_version']} with the threshold {said['threshold']}"
        if scores.shape != (rows,) or np.abs(scores - expected.scores[:rows]).max() > TOLERANCE:
            return f"{said['model_version']} with the scores of another"
        if said["predictions"] != (scores >= expected.threshold).astype(int).tolist():
            return f"{said['model_version']} with the predictions of another"
        return None


@contextmanager
def posting(server: Running, expected: Mapping[str, Expected]) -> Iterator[Posting]:
    """Six clients with one transaction each, and two with many."""
    clients = Posting(server.port, expected)

    def post(rows: int) -> None:
        try:
            clients.post(rows)
        except Exception as error:
            clients.wrong.append(repr(error))

    threads = [threading.Thread(target=post, args=(rows,)) for rows in (1,) * 6 + (MANY,) * 2]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        clients.over.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def good() -> list[Bundle]:
    return [repackaged(family, threshold=at) for family, at in THRESHOLDS.items()]


@pytest.fixture(scope="module")
def expected(good: list[Bundle]) -> dict[str, Expected]:
    found = {
        bundle.version: Expected(
            bundle.manifest.threshold, Scorer(bundle).score_features(features()[:MANY])
        )
        for bundle in good
    }
    for one, other in itertools.combinations(found.values(), 2):
        assert np.abs(one.scores - other.scores).max() > 0.01, "they can be told apart"
        assert abs(one.scores[0] - other.scores[0]) > 10 * TOLERANCE
    return found


def flipped(directory: Path, bundle: Bundle, other: Bundle) -> None:
    graph = directory / bundle.manifest.graph
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


def truncated(directory: Path, bundle: Bundle, other: Bundle) -> None:
    (directory / manifests.NAME).write_bytes(bundle.manifest.to_bytes()[:2000])


def missing(directory: Path, bundle: Bundle, other: Bundle) -> None:
    (directory / bundle.manifest.graph).unlink()


def foreign(directory: Path, bundle: Bundle, other: Bundle) -> None:
    (directory / manifests.NAME).write_bytes(other.manifest.to_bytes())


def wrong_at_its_smoke_row(directory: Path, bundle: Bundle, other: Bundle) -> None:
    smoke = bundle.manifest.smoke.model_copy(update={"score": bundle.manifest.smoke.score + 0.01})
    bundles.save(directory, changed(bundle, smoke=smoke))


def no_graph(directory: Path, bundle: Bundle, other: Bundle) -> None:
    files = {**bundle.files, bundle.manifest.graph: b"vouched for, but no graph"}
    bundles.save(directory, changed(replace(bundle, files=files), files=bundles.digests(files)))


def changed(bundle: Bundle, **updates: Any) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update=updates))


# What is done to a good bundle, and what the server says of it then.
BAD: dict[Callable[[Path, Bundle, Bundle], None], str] = {
    flipped: "is not the file that was vouched for",
    truncated: "is no manifest of this kind",
    missing: "no compiled/model.onnx in",
    foreign: "is not the file that was vouched for",
    wrong_at_its_smoke_row: "scores its smoke row",
    no_graph: "cannot be run here",
}


def turns_of(good: list[Bundle]) -> Iterator[tuple[Bundle, Bundle]]:
    """Each good bundle in its turn, with another, again and again."""
    return itertools.cycle(zip(good, [*good[1:], *good[:1]], strict=True))


def test_of_50_bundles_under_load_the_good_decide_and_the_bad_never_do(
    good: list[Bundle], expected: dict[str, Expected], tmp_path: Path
) -> None:
    directory = tmp_path / "bundle"
    bundles.save(directory, good[-1])
    turns = turns_of(good)
    spoilings = itertools.cycle(BAD.items())
    with (
        running(tmp_path / "log", directory) as server,
        Client(server.port) as asking,
        posting(server, expected) as clients,
    ):

        def ready(version: str, detail: str) -> bool:
            said = asking.ask("GET", "/ready").json
            return bool(said["model_version"] == version and detail in "".join(said["detail"]))

        for _ in range(RELOADS // 2):
            bundle, other = next(turns)
            bundles.save(directory, bundle)
            server.process.send_signal(signal.SIGHUP)
            until(lambda of=bundle: ready(of.version, ""), "the good one decides")  # type: ignore[misc]  # its default is its type
            spoil, says = next(spoilings)
            spoil(directory, bundle, other)
            server.process.send_signal(signal.SIGHUP)
            until(lambda of=bundle, says=says: ready(of.version, says), says)  # type: ignore[misc]  # too
        bundles.save(directory, bundle)
        until(lambda: asking.ask("GET", "/ready").json["detail"] == [], "all is well by itself")
        taken, refused = server.events("bundle taken"), server.events("bundle refused")
        assert server.measured('fraudloop_reloads_total{outcome="taken"}') == len(taken)
        assert server.measured('fraudloop_reloads_total{outcome="refused"}') == len(refused)
        assert server.measured("fraudloop_model") == 1
    assert clients.wrong == []
    assert set(clients.versions) == set(expected)
    assert sum(clients.versions.values()) > 10 * RELOADS
    order = [event["model_version"] for event in taken]
    assert order == [bundle.version for bundle, _ in itertools.islice(turns_of(good), len(order))]
    assert len(order) == RELOADS // 2
    # One more or less: between two of its files a bundle is neither the one nor the other.
    assert len(refused) >= RELOADS // 2
    for says in BAD.values():
        assert any(says in event["message"] for event in refused)


def test_both_of_two_workers_take_a_new_bundle_and_refuse_a_bad_one(
    good: list[Bundle], expected: dict[str, Expected], tmp_path: Path
) -> None:
    first, second, third = good
    directory = tmp_path / "bundle"
    bundles.save(directory, first)
    with running(tmp_path / "log", directory, workers=2) as server:

        def deciding(bundle: Bundle) -> float:
            labels = f'candidate="{bundle.manifest.candidate}",version="{bundle.version}"'
            return server.measured(f"fraudloop_model{{{labels}}}")

        assert deciding(first) == 2
        with posting(server, expected) as clients:
            bundles.save(directory, second)
            until(lambda: len(server.events("bundle taken")) == 2, "both take it")
            assert (deciding(first), deciding(second)) == (0, 2)
            flipped(directory, second, first)
            until(lambda: len(server.events("bundle refused")) >= 2, "both refuse it")
            for _ in range(8):
                said = server.ask("GET", "/ready").json
                assert said["model_version"] == second.version
                assert "is not the file that was vouched for" in said["detail"][0]
            bundles.save(directory, third)
            until(lambda: len(server.events("bundle taken")) == 4, "both take it")
        assert clients.wrong == []
        assert (deciding(second), deciding(third)) == (0, 2)


def test_a_hangup_makes_two_workers_anew_one_after_the_other(
    good: list[Bundle], expected: dict[str, Expected], tmp_path: Path
) -> None:
    directory = tmp_path / "bundle"
    bundles.save(directory, good[0])
    with running(tmp_path / "log", directory, workers=2) as server:
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(server.events("ready")) == 4, "two others have come")
        until(lambda: len(server.events("stopped")) == 2, "the two before have gone")
        until(lambda: server.measured("fraudloop_model") == 2, "those alone count")


def test_a_bundle_that_comes_file_by_file_its_manifest_first_is_taken_when_it_is_whole(
    good: list[Bundle], tmp_path: Path
) -> None:
    directory = tmp_path / "bundle"
    bundles.save(directory, good[0])
    moved = {f"other/{name}": content for name, content in good[1].files.items()}
    content = good[1].manifest.to_bytes().replace(b'"compiled/', b'"other/compiled/')
    content = content.replace(b'"model.joblib"', b'"other/model.joblib"')
    version = hashlib.sha256(content).hexdigest()[:12]
    with running(tmp_path / "log", directory) as server:
        (directory / manifests.NAME).write_bytes(content)
        until(lambda: server.events("bundle refused") != [], "it is refused for now")
        for name, each in moved.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(each)
        until(lambda: server.events("bundle taken") != [], "it is taken")
        assert server.ask("GET", "/ready").json["model_version"] == version

"""A name in the registry is followed, and the cache stands in while the registry is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudloop.errors import BundleError, RegistryAwayError, RegistryError
from fraudloop.lifecycle.cache import KEPT, Cache
from fraudloop.lifecycle.following import (
    ASKED_EVERY,
    FromRegistry,
    RegistrySource,
    place,
    source_of,
)
from fraudloop.lifecycle.store import SHA256
from fraudloop.model.bundle import Bundle
from fraudloop.settings import RegistrySettings
from tests.fitted import bundle_of
from tests.lifecycle.stores import NAME, MemoryStore, changed, settings_in


def two() -> tuple[Bundle, Bundle]:
    good = bundle_of("logistic_regression")
    return good, changed(good, threshold=0.7)


class Time:
    """A time that is set, beginning far after what files say."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore(aliases={"champion": 1})
    made.hold(*two())
    return made


def source(store: MemoryStore, folder: Path, which: str = "champion") -> RegistrySource:
    where = FromRegistry(NAME, which, settings_in(folder))
    return RegistrySource(where, store, Time())


def test_another_champion_is_noticed_and_loaded(store: MemoryStore, tmp_path: Path) -> None:
    following = source(store, tmp_path)
    assert following.load().sha256 == two()[0].sha256
    assert not following.changed()
    store.aliases["champion"] = 2
    assert following.changed()
    assert following.load().sha256 == two()[1].sha256
    assert (following.changed(), following.number) == (False, 2)


def test_a_bundle_is_fetched_once_for_all_who_share_a_cache(
    store: MemoryStore, tmp_path: Path
) -> None:
    source(store, tmp_path).load()
    store.files.clear()
    assert source(store, tmp_path).load().files == two()[0].files


def test_of_those_who_share_a_cache_one_asks_in_a_second(
    store: MemoryStore, tmp_path: Path
) -> None:
    where = FromRegistry(NAME, "champion", settings_in(tmp_path))
    asked_at, later = Cache(tmp_path / "cache").asked_at, [ASKED_EVERY / 2]
    several = [
        RegistrySource(where, store, lambda: asked_at(f"memory {where}") + later[0])
        for _ in range(4)
    ]
    for each in several:
        each.load()
    before = store.asked
    assert not any(each.changed() for each in several)
    assert store.asked == before
    later[0] = ASKED_EVERY * 2
    assert not several[0].changed()
    assert store.asked > before


def test_while_the_registry_is_away_the_old_model_goes_on_and_a_start_takes_the_cache(
    store: MemoryStore, tmp_path: Path
) -> None:
    following = source(store, tmp_path)
    following.load()
    store.away = True
    assert not following.changed()
    assert following.note == "the registry at memory does not answer: look"
    started = source(store, tmp_path)
    assert started.load().sha256 == two()[0].sha256
    assert started.note is not None
    assert "meanwhile version 1 decides, as it was named last" in started.note
    store.away = False
    store.aliases["champion"] = 2
    assert started.changed()
    assert started.load().sha256 == two()[1].sha256
    assert started.note is None


def test_without_a_registry_and_a_cache_there_is_no_start(
    store: MemoryStore, tmp_path: Path
) -> None:
    store.away = True
    with pytest.raises(RegistryAwayError, match="does not answer"):
        source(store, tmp_path).load()


def test_a_bundle_that_was_changed_is_refused_once_and_kept_nowhere(
    store: MemoryStore, tmp_path: Path
) -> None:
    following = source(store, tmp_path)
    following.load()
    graph = two()[1].manifest.graph
    store.files[2] = {**store.files[2], graph: b"another"}
    store.aliases["champion"] = 2
    with pytest.raises(BundleError, match="not the file that was vouched for"):
        following.load()
    assert not following.changed()  # nothing is gained by trying the same again
    assert not (tmp_path / "cache" / two()[1].sha256).exists()


def test_a_manifest_that_is_another_than_the_tag_says_is_refused(
    store: MemoryStore, tmp_path: Path
) -> None:
    store.tags[1][SHA256] = two()[1].sha256
    with pytest.raises(BundleError, match=r"manifest\.json in the registry is not the file"):
        source(store, tmp_path).load()


def test_a_damaged_cache_is_fetched_again(store: MemoryStore, tmp_path: Path) -> None:
    source(store, tmp_path).load()
    damaged = tmp_path / "cache" / two()[0].sha256 / "model.joblib"
    damaged.write_bytes(b"another")
    source(store, tmp_path).load()
    assert damaged.read_bytes() == two()[0].files["model.joblib"]


def test_a_cache_that_cannot_be_written_stops_nobody(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert source(store, tmp_path).load().sha256 == two()[0].sha256


def test_a_cache_keeps_those_used_last(tmp_path: Path) -> None:
    cache, good = Cache(tmp_path), two()[0]
    several = [changed(good, threshold=0.01 * at) for at in range(1, KEPT + 3)]
    for bundle in several:
        files = {**bundle.files, "manifest.json": bundle.manifest.to_bytes()}
        cache.take(bundle.sha256, files.__getitem__)
    kept = {each.name for each in tmp_path.iterdir()}
    assert len(kept) == KEPT
    assert several[-1].sha256 in kept


def test_an_alias_that_is_gone_leaves_the_model_and_is_said(
    store: MemoryStore, tmp_path: Path
) -> None:
    following = source(store, tmp_path)
    following.load()
    del store.aliases["champion"]
    assert not following.changed()
    assert following.gone
    assert following.note is not None
    store.aliases["champion"] = 1
    assert following.changed()


def test_a_version_is_not_followed(store: MemoryStore, tmp_path: Path) -> None:
    pinned = source(store, tmp_path, "2")
    assert pinned.changed()
    assert pinned.load().sha256 == two()[1].sha256
    before = store.asked
    assert not pinned.changed()
    assert store.asked == before


def test_what_names_no_version_is_refused() -> None:
    with pytest.raises(RegistryError, match="registry:champion"):
        place("registry:", RegistrySettings(), lambda: "cards")
    with pytest.raises(RegistryError, match="contradict"):
        source_of(FromRegistry("cards", "champion", RegistrySettings()), sha256="0" * 64)

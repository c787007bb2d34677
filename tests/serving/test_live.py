"""The published model: taken whole or not at all, and never left without one."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fraudloop.errors import BundleError
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.serving.live import Live
from tests.fitted import bundle_of

GRAPH = "compiled/model.onnx"


def boosted() -> Bundle:
    return bundle_of("boosted_trees")


def forest() -> Bundle:
    return bundle_of("random_forest")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundles.save(tmp_path, boosted())
    return tmp_path


def live(folder: Path, sha256: str | None = None) -> Live:
    return Live(folder, sha256=sha256, most_rows=10, threads=1)


def test_what_lies_there_decides(folder: Path) -> None:
    published = live(folder)
    assert published.snapshot.bundle.version == boosted().version
    assert published.fault is None
    assert not published.changed()


def test_another_bundle_is_noticed_and_takes_its_place(folder: Path) -> None:
    published = live(folder)
    before = published.snapshot
    bundles.save(folder, forest())
    assert published.changed()
    taken = published.reload()
    assert taken is published.snapshot
    assert published.snapshot.bundle.version == forest().version
    assert not published.changed()
    assert before.bundle.version == boosted().version  # who holds it goes on with it


def test_the_same_bundle_written_again_changes_nothing(folder: Path) -> None:
    published = live(folder)
    before = published.snapshot
    bundles.save(folder, boosted())
    assert published.changed()
    assert published.reload() is None
    assert published.snapshot is before
    assert not published.changed()


def broken_graph(folder: Path) -> None:
    content = bytearray((folder / GRAPH).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / GRAPH).write_bytes(content)


def cut_manifest(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-50])


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def no_graph(folder: Path) -> None:
    (folder / GRAPH).unlink()


def others_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(forest().manifest.to_bytes())


FAULTS = (broken_graph, cut_manifest, no_manifest, no_graph, others_manifest)


@pytest.mark.parametrize("damage", FAULTS)
def test_a_bad_bundle_is_refused_and_the_old_one_goes_on(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    published = live(folder)
    before = published.snapshot
    damage(folder)
    assert published.changed()
    with pytest.raises(BundleError):
        published.reload()
    assert published.snapshot is before
    assert published.fault
    assert "\n" not in published.fault
    assert not published.changed()  # nothing is gained by trying the same again
    bundles.save(folder, forest())
    assert published.changed()
    assert published.reload() is not None
    assert published.fault is None


def test_a_file_mended_under_the_same_manifest_is_noticed(folder: Path) -> None:
    published = live(folder)
    no_graph(folder)
    with pytest.raises(BundleError):
        published.reload()
    (folder / GRAPH).write_bytes(boosted().files[GRAPH])
    assert published.changed()
    assert published.reload() is None
    assert published.fault is None


def test_a_bundle_that_scores_its_smoke_row_otherwise_is_refused(folder: Path) -> None:
    published = live(folder)
    manifest = boosted().manifest
    smoke = manifest.smoke.model_copy(update={"score": 1 - manifest.smoke.score})
    wrong = manifest.model_copy(update={"smoke": smoke})
    bundles.save(folder, dataclasses.replace(boosted(), manifest=wrong))
    with pytest.raises(BundleError, match="scores its smoke row"):
        published.reload()


def test_a_pinned_server_takes_no_other_bundle(folder: Path) -> None:
    published = live(folder, sha256=boosted().sha256)
    bundles.save(folder, forest())
    with pytest.raises(BundleError, match="is not the file that was vouched for"):
        published.reload()
    assert published.snapshot.bundle.version == boosted().version


def test_what_is_no_error_of_ours_is_kept_as_a_fault_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = live(folder)

    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("fraudloop.serving.live.Scorer", out_of_memory)
    with pytest.raises(MemoryError):
        published.reload()
    assert published.fault == "the bundle cannot be loaded here (MemoryError())"


def test_a_worker_is_warm_without_the_libraries_of_training(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fraudloop.serving.live import Live\n"
        "live = Live(Path(sys.argv[1]), sha256=None, most_rows=10, threads=1); live.warm_up()\n"
        "assert 'xgboost' in sys.modules\n"
        "print(sorted({'pandas', 'sklearn', 'pyarrow'} & set(sys.modules)))\n"
        "import sklearn.linear_model"  # not hidden for longer than it took
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr

"""A bundle is verified whole before anything of it is used, and unpickled only for a digest."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.errors import BundleError
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.training.fit import score
from tests.fitted import FAMILIES, bundle_of, features, repackaged, scores, table

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved bundle; whoever changes it puts it back."""
    folder = tmp_path_factory.mktemp("kept") / "bundle"
    bundles.save(folder, bundle_of("boosted_trees"))
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A saved bundle to spoil."""
    return Path(shutil.copytree(kept, tmp_path / "bundle"))


FILES = ("model.joblib", "compiled/model.onnx", "compiled/booster.ubj")
NAMES = ("manifest.json", *FILES)


class Trap:
    """Creates a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def edit_manifest(folder: Path, edit: Edit) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def vouch_for(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, as whoever changed it would."""
    content = (folder / name).read_bytes()
    digest = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_what_is_loaded(family: str, tmp_path: Path) -> None:
    made = bundle_of(family)
    bundles.save(tmp_path / "new" / "folder", made)
    loaded = bundles.load(tmp_path / "new" / "folder", sha256=made.sha256)
    assert loaded == made
    written = {str(path.relative_to(tmp_path / "new/folder")) for path in tmp_path.rglob("*.*")}
    assert written == {"manifest.json", *made.files}
    assert set(FILES) == set(bundle_of("boosted_trees").files)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_unpickled_pipeline_scores_as_the_one_that_was_packed(family: str) -> None:
    bundle = bundle_of(family)
    pipeline = bundle.pipeline(sha256=bundle.sha256)
    again = score(pipeline, table(), bundle.manifest.card)
    np.testing.assert_array_equal(again, scores(family))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_changed_byte_is_refused(name: str, kept: Path, data: st.DataObject) -> None:
    path = kept / name
    right = path.read_bytes()
    place = data.draw(st.integers(0, len(right) - 1), "place")
    flipped = data.draw(st.integers(1, 255), "bits")
    path.write_bytes(right[:place] + bytes([right[place] ^ flipped]) + right[place + 1 :])
    try:
        with pytest.raises(BundleError, match=f"{name} is not the file that was vouched for"):
            bundles.load(kept, sha256=bundle_of("boosted_trees").sha256)
    finally:
        path.write_bytes(right)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("spoil", [lambda old: old + b"\0", lambda old: old[:-1], lambda old: b""])
def test_a_longer_or_shorter_file_is_refused_without_a_digest_from_outside(
    name: str, spoil: Callable[[bytes], bytes], folder: Path
) -> None:
    (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(BundleError, match="not the file that was vouched for"):
        bundles.load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_what_to_do(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"no {name} in .*: run `dvc repro`, or name another"):
        bundles.load(folder)


def test_a_missing_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest.json in .*nowhere"):
        bundles.load(tmp_path / "nowhere")


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("role", ["graph", "pipeline", "native"])
def test_a_file_outside_the_folder_is_never_read(folder: Path, role: str, absolute: bool) -> None:
    outside = folder.parent / "outside.bin"
    outside.write_bytes(b"not yours")
    name = str(outside) if absolute else "../outside.bin"
    digest = {"sha256": hashlib.sha256(b"not yours").hexdigest(), "bytes": 9}

    def point_outside(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = digest
        if role == "native":
            manifest["native"]["file"] = name
        else:
            manifest[role] = name

    edit_manifest(folder, point_outside)
    with pytest.raises(BundleError, match=r"manifest.json is no manifest of this kind"):
        bundles.load(folder)


@pytest.mark.parametrize("role", ["graph", "pipeline", "native"])
def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(folder: Path, role: str) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        name = manifest["native"]["file"] if role == "native" else manifest[role]
        del manifest["files"][name]

    edit_manifest(folder, forget)
    with pytest.raises(BundleError, match=r"manifest\.json vouches for no "):
        bundles.load(folder)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved bundle with a file for its reasons alone. Look, but do not change."""
    folder = tmp_path_factory.mktemp("forest") / "bundle"
    bundles.save(folder, bundle_of("random_forest"))
    return folder


def test_a_changed_file_of_reasons_is_refused(forest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(forest, tmp_path / "bundle"))
    path = folder / "compiled/reasons.ubj"
    right = path.read_bytes()
    for wrong in (right[:-1] + bytes([right[-1] ^ 1]), right + b"\0", right[:1000], b""):
        path.write_bytes(wrong)
        with pytest.raises(BundleError, match=r"reasons\.ubj is not the file that was vouched for"):
            bundles.load(folder)
    path.unlink()
    with pytest.raises(BundleError, match=r"no compiled/reasons\.ubj in .*: run `dvc repro`"):
        bundles.load(folder)


def test_a_file_of_reasons_must_be_vouched_for(forest: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(forest, tmp_path / "bundle"))
    edit_manifest(folder, lambda manifest: manifest["files"].pop("compiled/reasons.ubj"))
    with pytest.raises(BundleError, match=r"manifest\.json vouches for no compiled/reasons\.ubj"):
        bundles.load(folder)


@pytest.mark.parametrize("wrong", ["", "0" * 64, "schön"])
def test_a_wrong_digest_from_outside_is_refused(kept: Path, wrong: str) -> None:
    with pytest.raises(BundleError, match=r"manifest.json is not the file that was vouched for"):
        bundles.load(kept, sha256=wrong)


def test_a_right_digest_may_be_written_in_capitals(kept: Path) -> None:
    assert bundles.load(kept, sha256=bundle_of("boosted_trees").sha256.upper())


def test_nothing_is_unpickled_by_loading(folder: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (folder / "model.joblib").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(BundleError, match="not the file that was vouched for"):
        bundles.load(folder)
    vouch_for(folder, "model.joblib")
    with pytest.raises(BundleError, match="not the file that was vouched for"):
        bundles.load(folder, sha256=bundle_of("boosted_trees").sha256)
    assert bundles.load(folder).files["model.joblib"]
    assert not sprung.exists()


@pytest.mark.parametrize("digest", ["of the bundle it was", "", "0" * 64])
def test_nothing_is_unpickled_for_another_digest(folder: Path, tmp_path: Path, digest: str) -> None:
    if digest == "of the bundle it was":
        digest = bundles.load(folder).sha256
    sprung = tmp_path / "sprung"
    (folder / "model.joblib").write_bytes(pickle.dumps(Trap(sprung)))
    vouch_for(folder, "model.joblib")
    loaded = bundles.load(folder)
    with pytest.raises(BundleError, match=r"manifest.json is not the file"):
        loaded.pipeline(sha256=digest)
    assert not sprung.exists()
    loaded.pipeline(sha256=loaded.sha256)  # and the trap is a real one
    assert sprung.exists()


def test_the_verified_bytes_are_the_ones_used(folder: Path, tmp_path: Path) -> None:
    loaded = bundles.load(folder)
    (folder / "model.joblib").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert loaded.pipeline(sha256=loaded.sha256).predict_proba(table().iloc[:2, :-1]).shape == (
        2,
        2,
    )
    assert not (tmp_path / "sprung").exists()


def test_the_version_follows_the_content() -> None:
    made = bundle_of("logistic_regression")
    assert made.version == made.sha256[:12]
    assert repackaged("logistic_regression").version == made.version
    assert repackaged("logistic_regression", threshold=0.25).version != made.version
    assert repackaged("logistic_regression", training=features()[:100]).version != made.version
    versions = {bundle_of(family).version for family in FAMILIES}
    assert len(versions) == len(FAMILIES)


def test_until_the_manifest_stands_there_is_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> None:
        if path.name == "model.onnx":
            raise OSError(28, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    monkeypatch.setattr(bundles, "write_bytes", full_disk)
    made: Bundle = bundle_of("logistic_regression")
    with pytest.raises(OSError, match="No space"):
        bundles.save(tmp_path, made)
    assert (tmp_path / "model.joblib").exists()
    assert not (tmp_path / "manifest.json").exists()

"""The manifest: closed, the same bytes for the same content, and no way out of its folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fraudloop.errors import BundleError
from fraudloop.model import manifest as manifests
from fraudloop.model.manifest import Manifest
from tests.fitted import bundle_of


def made() -> Manifest:
    return bundle_of("logistic_regression").manifest


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(made().to_bytes()) | changes).encode()


def refusal(content: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        manifests.parse(content, "the/manifest.json")
    message = str(caught.value)
    assert message.startswith("the/manifest.json is no manifest of this kind (")
    assert message.endswith("): run `fraudloop package`")
    assert "\n" not in message
    return message


def test_what_is_written_is_what_is_read() -> None:
    content = made().to_bytes()
    again = manifests.parse(content, "it")
    assert again == made()
    assert again.to_bytes() == content
    assert again.card.feature_names == made().features


def test_the_version_is_the_start_of_the_digest_of_the_bytes() -> None:
    content = made().to_bytes()
    assert len(manifests.version(content)) == 12
    assert manifests.sha256(content).startswith(manifests.version(content))
    assert manifests.version(content + b" ") != manifests.version(content)


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx", "compiled/../../model.onnx", "/model.onnx", "compiled//model.onnx", "..",
        "./model.onnx", ".hidden", "", "compiled/", "a\\b", "C:model.onnx", "model.onnx\n", "a b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["graph", "pipeline", "native", "reasons", "files"])
def test_a_file_name_stays_within_the_folder(place: str, name: str) -> None:
    there: dict[str, Any] = json.loads(made().to_bytes())
    value: Any = name
    if place in ("native", "reasons"):
        value = there[place] | {"file": name}
    elif place == "files":
        value = there["files"] | {name: {"sha256": "0" * 64, "bytes": 1}}
    assert place in refusal(changed(**{place: value}))


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"", "the file"), (b"{}", "card"), (b"[1]", "the file"), (b"\xff\xfe", "the file")],
)
def test_what_is_no_manifest_is_refused(content: bytes, named: str) -> None:
    assert named in refusal(content)
    assert "the file" in refusal(made().to_bytes()[:-10])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": 2}, "format"),
        ({"surprise": 1}, "surprise"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": "high"}, "threshold"),
        ({"differs_by_less_than": float("inf")}, "differs_by_less_than"),
        ({"files": {"model.joblib": {"sha256": "abc", "bytes": 1}}}, "sha256"),
        ({"features": ["price"]}, "not those of its card"),
        ({"smoke": {"features": [1.0], "score": 0.5}}, "smoke row"),
        ({"calibration": {"slope": 0.0, "offset": 0.0}}, "calibration.slope"),
        ({"calibration": {"slope": 1.0, "offset": float("inf")}}, "calibration.offset"),
        ({"calibration": None}, "calibration"),
        ({"rows_at_once": 0}, "rows_at_once"),
        ({"reasons": {"kind": "guess", "file": "a"}}, "reasons.kind"),
        ({"reasons": {"kind": "linear"}}, "reasons.file"),
    ],
)
def test_what_is_not_known_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    assert named in refusal(changed(**changes))


@pytest.mark.parametrize("part", ["calibration", "reasons"])
def test_a_manifest_without_one_of_its_parts_is_refused(part: str) -> None:
    there = json.loads(made().to_bytes())
    assert there.pop(part) == getattr(made(), part).model_dump()
    assert f"{part}: Field required" in refusal(json.dumps(there).encode())


def test_a_manifest_does_not_change_in_use() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(made(), "threshold", 0.1)  # noqa: B010  # what mypy forbids, for once


def test_the_manifest_says_all_a_server_needs() -> None:
    assert set(Manifest.model_fields) >= {
        "card", "features", "calibration", "threshold", "metrics", "versions", "files", "reference",
        "smoke",
    }  # fmt: skip
    assert set(made().reference) == set(made().features)

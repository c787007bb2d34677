"""A reader sees the old file or the new one, never half of one, and nothing is left lying about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fraudloop import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_new_file_stands_once_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with files.written_aside(path) as aside:
        aside.write_text("half", encoding="utf-8")
        assert not path.exists()
        assert aside.parent == path.parent  # a rename between file systems would be a copy
    assert path.read_text(encoding="utf-8") == "half"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_when_the_block_fails(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def fail_halfway() -> None:
        with files.written_aside(path) as aside:
            aside.write_text("half", encoding="utf-8")
            assert path.read_text(encoding="utf-8") == "old"
            raise failure

    with pytest.raises(failure):
        fail_halfway()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["file"]


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(FileNotFoundError), files.written_aside(path):
        pass
    assert path.read_text(encoding="utf-8") == "old"


def test_two_writers_do_not_write_to_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.written_aside(path) as one, files.written_aside(path) as other:
        assert one != other
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "one"  # who ends last
    assert names(tmp_path) == ["file"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "file", b"\r\n\0\xff")
    assert (tmp_path / "file").read_bytes() == b"\r\n\0\xff"


def test_json_keeps_its_order_and_ends_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"b": 0.1, "a": [1, None], "text": "ä"})
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["b", "a", "text"]
    assert json.loads(text) == {"b": 0.1, "a": [1, None], "text": "ä"}


def test_what_is_no_json_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"figure": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"figure": float("nan")})
    assert json.loads(path.read_bytes()) == {"figure": 1}
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_the_digest_is_that_of_the_bytes(tmp_path: Path, algorithm: str) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert files.digest(tmp_path / "file", algorithm) == hashlib.new(algorithm, content).hexdigest()

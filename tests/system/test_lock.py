"""The lock: every package pinned by hash, one version each, from no index in particular."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = json.loads((ROOT / "Pipfile.lock").read_text(encoding="utf-8"))
PIPFILE: dict[str, Any] = tomllib.loads((ROOT / "Pipfile").read_text(encoding="utf-8"))
# What a category of the Pipfile is called in the lock, where that is not its own name.
NAME_IN_LOCK = {"packages": "default", "dev-packages": "develop"}
CATEGORIES = [category for category in LOCK if category != "_meta"]
DIRECT = [
    (NAME_IN_LOCK.get(category, category), canonicalize_name(name))
    for category, packages in PIPFILE.items()
    for name in packages
]


def strip(lock: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "strip_lock.py"
    return subprocess.run([sys.executable, script, lock], capture_output=True, text=True)


def test_the_lock_is_that_of_the_pipfile() -> None:
    if not (ROOT / ".cache" / "pipenv" / "made-from").exists():
        pytest.skip("no pipenv under .cache/pipenv: `make install` puts it there")
    # An index from this machine's settings would count as part of the Pipfile.
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    verified = subprocess.run(
        [ROOT / "scripts" / "pipenv.sh", "verify"],
        cwd=ROOT,
        env={**env, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_lock_names_no_index() -> None:
    assert LOCK["_meta"]["sources"] == []
    assert "source" not in PIPFILE
    for path in (ROOT / "Pipfile.lock", ROOT / "Pipfile", ROOT / "scripts/pipenv-requirements.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
    with_index = [name for at in CATEGORIES for name, pin in LOCK[at].items() if "index" in pin]
    assert with_index == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_package_is_pinned_by_version_and_hash(category: str) -> None:
    for name, pin in LOCK[category].items():
        assert pin.keys() <= {"version", "hashes", "markers", "extras"}, name
        assert re.fullmatch(r"==[\w.+!]+", pin["version"]), name
        assert pin["hashes"], name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in pin["hashes"]), name


def test_pipenv_itself_is_pinned_by_version_and_hash() -> None:
    requirements = (ROOT / "scripts" / "pipenv-requirements.txt").read_text(encoding="utf-8")
    pins = requirements.splitlines()[1:]
    assert any(pin.startswith("pipenv==") for pin in pins)
    for pin in pins:
        assert re.match(r"[\w.-]+==[\w.]+(; [^-]+)? --hash=sha256:[0-9a-f]{64}", pin), pin


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_no_direct_package_is_left_out_on_any_python(python: str) -> None:
    this = {"python_version": python, "python_full_version": f"{python}.0"}
    for category, name in DIRECT:
        marker = LOCK[category][name].get("markers")
        assert marker is None or Marker(marker).evaluate(this), f"{name}: {marker}"


def test_a_locked_lock_needs_no_further_stripping(tmp_path: Path) -> None:
    copy = tmp_path / "Pipfile.lock"
    copy.write_bytes((ROOT / "Pipfile.lock").read_bytes())
    assert strip(copy).returncode == 0
    assert copy.read_bytes() == (ROOT / "Pipfile.lock").read_bytes()
    assert list(tmp_path.iterdir()) == [copy]


def test_index_addresses_are_stripped_and_nothing_else(tmp_path: Path) -> None:
    pin = {"version": "==1.17.0", "hashes": ["sha256:00"], "markers": "python_version >= '3'"}
    meta = {"hash": {"sha256": "00"}, "pipfile-spec": 6, "requires": {}}
    source = {"name": "mirror", "url": "https://packages.example/simple", "verify_ssl": True}
    copy = tmp_path / "Pipfile.lock"
    copy.write_text(
        json.dumps(
            {"_meta": {**meta, "sources": [source]}, "default": {"six": {**pin, "index": "mirror"}}}
        ),
        encoding="utf-8",
    )
    assert strip(copy).returncode == 0
    stripped = json.loads(copy.read_text(encoding="utf-8"))
    assert stripped == {"_meta": {**meta, "sources": []}, "default": {"six": pin}}


def test_two_versions_of_one_package_are_refused_by_name(tmp_path: Path) -> None:
    copy = tmp_path / "Pipfile.lock"
    lock = {
        "_meta": {"sources": ["kept"]},
        "default": {"six": {"version": "==1.16.0"}, "numpy": {"version": "==2.4.6"}},
        "develop": {"six": {"version": "==1.17.0"}, "numpy": {"version": "==2.4.6"}},
    }
    copy.write_text(json.dumps(lock), encoding="utf-8")
    refused = strip(copy)
    assert refused.returncode == 1
    assert refused.stderr == (
        "one package would get two versions: six is ==1.16.0 in default and ==1.17.0 in develop\n"
    )
    assert json.loads(copy.read_text(encoding="utf-8")) == lock

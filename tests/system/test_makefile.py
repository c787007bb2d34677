"""The Makefile: what it lists, what it refuses, and when it installs.

The installation runs for real, except that the Python it finds is a script of ours: it notes how
it is called, plays pipenv, and needs no network.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ["awk", "cat", "cksum", "cp", "dirname", "grep", "mkdir", "rm", "sed", "sh"]

PYTHON = """#!/bin/sh
echo "$*" >>"{log}"
case "$*" in
    *ensurepip*) echo "{version} {has} $0" ;;
    *version_info*) echo {version} ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pipenv --python "*) mkdir -p .venv/bin && cp "$4" .venv/bin/python ;;
    "-m pipenv sync "*)
        if [ -s "{broken}" ]; then
            sed -i.old 1d "{broken}"
            exit 1
        fi
        ;;
esac
"""


@dataclass
class Machine:
    """A project folder, and a PATH on which nothing is but what a test puts there."""

    project: Path
    bin: Path
    calls: Path
    broken: Path

    def tool(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def python(self, name: str, version: str, has: str = "venv") -> Path:
        script = PYTHON.format(log=self.calls, version=version, has=has, broken=self.broken)
        return self.tool(name, script)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("make") or "make", *arguments],
            cwd=self.project,
            env={"PATH": str(self.bin), "HOME": str(self.bin)},
            capture_output=True,
            text=True,
        )

    def install(self, *arguments: str) -> list[str]:
        """What `make install` did: each call of Python that was more than a question."""
        self.calls.write_text("", encoding="utf-8")
        made = self.make("install", *arguments)
        assert made.returncode == 0, made.stdout + made.stderr
        calls = self.calls.read_text(encoding="utf-8")
        return re.findall(
            r"^-m (venv|pip install|pipenv --python|pipenv sync)", calls, re.MULTILINE
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    project = tmp_path / "a project"
    shutil.copytree(ROOT / "scripts", project / "scripts")
    (project / "src" / "fraudloop").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    for name in ("Pipfile.lock", "pyproject.toml", "src/fraudloop/__init__.py"):
        (project / name).write_text("", encoding="utf-8")
    here = Machine(project, tmp_path / "bin", tmp_path / "calls", tmp_path / "broken")
    here.bin.mkdir()
    for name in TOOLS:
        (here.bin / name).symlink_to(shutil.which(name) or name)
    here.tool("uname", "#!/bin/sh\necho Linux\n")
    here.tool("sleep", "#!/bin/sh\n")
    return here


CREATED = ["venv", "pip install", "pipenv --python"]
FILLED = ["pipenv sync", "pip install"]


def refusal(made: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which make ended."""
    assert made.returncode != 0
    lines = [line for line in made.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, made.stderr
    return lines[0]


def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE)) == targets
    assert targets >= {"help", "install", "run", "test", "check", "bench", "lock", "clean"}


def test_no_python_is_one_sentence_with_the_command(machine: Machine) -> None:
    assert refusal(machine.make("run")) == (
        "This project needs Python 3.11 or newer with venv and there is none here: "
        "install it with `apt-get install python3-venv`."
    )


def test_a_python_too_old_is_named(machine: Machine) -> None:
    machine.python("python3", "3.9")
    assert "here is only Python 3.9: install it with `apt-get" in refusal(machine.make("install"))


def test_a_python_without_venv_is_named_with_its_package(machine: Machine) -> None:
    machine.python("python3", "3.11", has="bare")
    assert refusal(machine.make("install")) == (
        "Python 3.11 is here (python3) but without venv: "
        "install it with `apt-get install python3-venv`."
    )


def test_on_macos_homebrew_is_named(machine: Machine) -> None:
    machine.tool("uname", "#!/bin/sh\necho Darwin\n")
    assert "`brew install python" in refusal(machine.make("install"))


def test_a_named_python_that_will_not_do_is_not_replaced_by_another(machine: Machine) -> None:
    machine.python("python3", "3.12")
    old = machine.python("python3.8", "3.8")
    assert f"PYTHON={old} is Python 3.8" in refusal(machine.make("install", f"PYTHON={old}"))
    absent = "PYTHON=/nowhere/python3"
    assert f"{absent} does not run" in refusal(machine.make("install", absent))


def test_an_old_python_first_does_not_hide_a_good_one(machine: Machine) -> None:
    machine.python("python3", "3.10")
    machine.python("python3.13", "3.13", has="bare")
    machine.python("python3.12", "3.12")
    assert machine.install() == [*CREATED, *FILLED]
    assert (machine.project / ".venv/installed-from").read_text().splitlines()[0].endswith(" 3.12")


def test_a_second_install_does_nothing(machine: Machine) -> None:
    machine.python("python3", "3.12")
    assert machine.install() == [*CREATED, *FILLED]
    assert machine.install() == []
    assert machine.make("install").stdout == ""


def test_only_what_changed_is_installed_again(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.install()
    (machine.project / "Pipfile.lock").write_text("{}", encoding="utf-8")
    assert machine.install() == FILLED
    (machine.project / "pyproject.toml").write_text("[project]", encoding="utf-8")
    assert machine.install() == ["pip install"]
    assert machine.install() == []


def test_a_moved_project_gets_an_environment_that_stands_where_it_does(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.install()
    machine.project = machine.project.rename(machine.project.with_name("moved"))
    assert machine.install() == [*CREATED, *FILLED]


@pytest.mark.parametrize("damage", ["the folder", "its Python", "the last step"])
def test_a_broken_environment_is_made_anew(machine: Machine, damage: str) -> None:
    machine.python("python3", "3.12")
    machine.install()
    environment = machine.project / ".venv"
    (environment / "left-over").touch()
    if damage == "the folder":
        shutil.rmtree(environment)
    elif damage == "its Python":
        (environment / "bin" / "python").unlink()
    else:
        (environment / "installed-from").unlink()
    assert machine.install() == ["pipenv --python", *FILLED]
    assert not (environment / "left-over").exists()


def test_another_python_asked_for_replaces_the_environment(machine: Machine) -> None:
    machine.python("python3", "3.12")
    other = machine.python("python3.13", "3.13")
    machine.install()
    assert machine.install(f"PYTHON={other}") == ["pipenv --python", *FILLED]
    assert machine.install(f"PYTHON={other}") == []
    assert machine.install() == []


def test_a_failed_download_is_tried_again(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.broken.write_text("once\n", encoding="utf-8")
    assert machine.install() == [*CREATED, "pipenv sync", *FILLED]


def test_a_download_that_keeps_failing_is_said_and_not_trusted_later(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.broken.write_text("one\ntwo\nthree\n", encoding="utf-8")
    failed = machine.make("install")
    assert failed.returncode != 0
    assert "see that a package index is reached" in failed.stderr
    (machine.project / ".venv" / "half-copied").touch()
    assert machine.install() == ["pipenv --python", *FILLED]
    assert not (machine.project / ".venv" / "half-copied").exists()

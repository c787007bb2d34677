"""Templates, workflows and scripts keep the rules of those who judge such files."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cloud import template
from tests.fitted import ROOT
from tests.servers import unavailable

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PLANS = ("simple", "build", "runtime")
BIN = ROOT / ".venv" / "bin"
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.M))


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


def tool(part: str, path: Path) -> Path:
    """A tool that is set up apart, where it is."""
    if not path.is_file():
        unavailable(part, f"`make {part}` sets it up, in {path.parent.relative_to(ROOT)}")
    return path


def workflow(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return read


def commands() -> list[tuple[str, str]]:
    """Every command line that CodeBuild or a workflow runs."""
    build = yaml.safe_load((ROOT / "deploy/aws/buildspec.yml").read_text(encoding="utf-8"))
    lines = [
        ("buildspec.yml", line) for phase in build["phases"].values() for line in phase["commands"]
    ]
    for path in WORKFLOWS:
        for job in workflow(path)["jobs"].values():
            runs = (step["run"] for step in job["steps"] if "run" in step)
            lines += [(path.name, line) for each in runs for line in each.splitlines()]
    return lines


def test_cfn_lint_says_nothing() -> None:
    done = run(BIN / "cfn-lint", *(f"deploy/aws/{plan}.yaml" for plan in PLANS))
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing() -> None:
    done = run(BIN / "zizmor", "--offline", "--quiet", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_says_nothing() -> None:
    lint = tool("actionlint", ROOT / ".cache/apart/bin/actionlint")
    done = run(lint, "-shellcheck", BIN / "shellcheck", "-pyflakes", "", *WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, "")


def test_checkov_finds_nothing_and_every_skipped_rule_has_its_reason() -> None:
    tool("checkov", ROOT / ".cache/apart/checkov/bin/checkov")
    done = run("scripts/checkov.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Passed checks: [1-9]\d+, Failed checks: 0", done.stdout), done.stdout
    for plan in PLANS:
        text = (ROOT / f"deploy/aws/{plan}.yaml").read_text(encoding="utf-8")
        skips = re.findall(r"checkov:skip=(\w+):?(.*)", text)
        assert len(skips) == text.count("checkov:skip")
        assert all(len(reason.split()) >= 2 for _, reason in skips), skips


@pytest.mark.parametrize(("file", "line"), commands())
def test_what_ci_runs_can_be_run_here(file: str, line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        targets = {word for word in words[1:] if "=" not in word}
        assert targets
        assert targets <= TARGETS
    else:  # the only other words: a test, and a login whose password comes by a pipe
        assert words[0] in {"test", "printf"}
        assert words[0] == "test" or "--password-stdin" in words


def test_actions_are_pinned_by_commit_with_their_version_beside() -> None:
    for path in WORKFLOWS:
        for use in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_the_least_rights_a_limit_and_one_run_at_a_time(path: Path) -> None:
    whole = workflow(path)
    assert whole["permissions"] == {}
    assert whole["concurrency"]["group"]
    assert "pull_request_target" not in whole["on"]
    for job in whole["jobs"].values():
        assert int(job["timeout-minutes"]) <= 60
        assert job["permissions"]["contents"] == "read"
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"
        rights = {key for key, value in job["permissions"].items() if value == "write"}
        if "pull_request" in whole["on"] and rights - {"id-token"}:
            assert "head.repo.full_name == github.repository" in job["if"]
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_user_data_is_a_sound_script(tmp_path: Path) -> None:
    data = template("simple")["Resources"]["Instance"]["Properties"]["UserData"]
    head, body = data["Fn::Base64"]["Fn::Join"][1]
    text = re.sub(r"\$\{[\w:]+\}", "value", head["Sub"]) + body
    assert len(text.encode()) < 16_000  # EC2 takes 16,384 bytes
    script = tmp_path / "user-data.sh"
    script.write_text(text, encoding="utf-8")
    done = run(BIN / "shellcheck", script)
    assert done.returncode == 0, done.stdout
    for needed in ("systemctl enable --now fraudloop.service", "FRAUDLOOP_AUTH=basic", "set -euo"):
        assert needed in text
    python = re.search(r"<<'PYTHON'\n(.*?)^PYTHON$", text, re.M | re.S)
    assert python
    compile(python[1], "fraudloop-aws", "exec")


def test_installs_are_checked_by_hashes_everywhere() -> None:
    texts = [
        path
        for pattern in ("scripts/**/*.sh", "deploy/**/*", "Dockerfile", ".github/**/*.yml")
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix not in (".pyc", ".json")
    ]
    for path in texts:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r".*\bpip\b[^&;|\n]* install .*", text):
            bare = line.strip().startswith("#") or "--no-index" in line
            assert bare or "--require-hashes" in line, f"{path}: {line}"
    apart = sorted((ROOT / "scripts/apart").glob("*.txt"))
    assert apart
    for pins in (ROOT / "scripts/pipenv-requirements.txt", *apart):
        text = pins.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert lines
        assert all("==" in line and "--hash=sha256:" in line for line in lines)
        assert "://" not in text


def test_every_licence_that_is_installed_is_allowed() -> None:
    done = run(BIN / "python", "scripts/licences.py")
    assert done.returncode == 0, done.stderr


def test_the_sbom_has_what_the_image_has_and_is_the_same_twice(tmp_path: Path) -> None:
    import json

    lock = json.loads((ROOT / "Pipfile.lock").read_text(encoding="utf-8"))
    made = []
    for name in ("one", "two"):
        tree = tmp_path / name
        (tree / "scripts").mkdir(parents=True)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        for file in ("Pipfile.lock", "scripts/sbom.sh"):
            shutil.copy(ROOT / file, tree / file)
        done = run(tree / "scripts/sbom.sh")
        assert done.returncode == 0, done.stderr
        made.append((tree / "dist/sbom.cdx.json").read_bytes())
    assert made[0] == made[1]
    bom = json.loads(made[0])
    assert bom["bomFormat"] == "CycloneDX"
    assert {each["name"].lower() for each in bom["components"]} == set(lock["default"])
    for each in bom["components"]:
        assert each["version"]

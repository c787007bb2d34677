"""The report under a pull request: of two real revisions, as one comment that is updated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fitted import ROOT

SCRIPT = ROOT / "scripts" / "model_report.py"
DVC = """
stages:
  evaluate:
    cmd: "true"
    params: [depth]
    metrics:
      - metrics.json: {cache: false}
    outs:
      - plots
"""


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    away = ("GIT_", "GITHUB_", "AWS_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(away)}
    return subprocess.run(
        words,
        cwd=folder,
        env=kept | {"DVC_NO_ANALYTICS": "1", "NO_PROXY": "127.0.0.1"} | more,
        capture_output=True,
        text=True,
        timeout=300,
    )


def told(folder: Path, *words: str) -> str:
    done = run(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def committed(folder: Path, recall: float, depth: int, curve: str) -> None:
    """One state of a small project, as its pipeline would leave it."""
    (folder / "params.yaml").write_text(f"depth: {depth}\n", encoding="utf-8")
    metrics = {"test": {"recall": recall, "f1": 0.5}, "floor": {"recall": 0.1}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots" / "roc.csv").unlink(missing_ok=True)
    (folder / "plots" / "roc.csv").write_text(curve, encoding="utf-8")
    (folder / "dvc.yaml").write_text(DVC, encoding="utf-8")
    told(folder, sys.executable, "-m", "dvc", "commit", "--force", "--quiet")
    told(folder, "git", "add", "-A")
    author = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    told(folder, "git", *author, "commit", "-q", "-m", "a state")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    told(folder, "git", "init", "-q", "-b", "main")
    told(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    committed(folder, 0.8, 4, "x,y\n0,0\n")
    told(folder, "git", "switch", "-q", "-c", "deeper")
    committed(folder, 0.85, 6, "x,y\n0,1\n")
    return folder


def test_two_revisions_are_compared(project: Path) -> None:
    file = project / "out" / "report.md"
    told(project, sys.executable, str(SCRIPT), "write", "main", str(file))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert "| `test.recall` | 0.8 | 0.85 | +0.05 |" in lines
    assert "| `depth` | 4 | 6 | +2 |" in lines or "| `depth` | 4 | 6 |  |" in lines
    assert any("`roc`" in line for line in lines)
    assert not any("test.f1" in line or "floor" in line for line in lines)
    assert "synthetic" in lines[-1]


def test_a_revision_beside_itself_says_that_nothing_differs(project: Path) -> None:
    file = project / "out" / "same.md"
    told(project, sys.executable, str(SCRIPT), "write", "HEAD", str(file))
    text = file.read_text(encoding="utf-8")
    for what in ("figure", "parameter", "plot"):
        assert f"No {what} differs." in text


def test_an_unknown_base_is_one_sentence(project: Path) -> None:
    done = run(project, sys.executable, str(SCRIPT), "write", "nowhere", "out/none.md")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere" in done.stderr
    assert not (project / "out" / "none.md").exists()


@dataclass
class GitHub:
    """The comments of one pull request, and what was asked."""

    port: int = 0
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _noted(self) -> Any:
            state.asked.append(f"{self.command} {self.path.partition('?')[0]}")
            state.tokens.add(self.headers.get("Authorization"))
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")

        def do_GET(self) -> None:
            self._noted()
            page = int(self.path.rpartition("=")[2])
            self._answer(200, state.comments[(page - 1) * 100 : page * 100])

        def do_POST(self) -> None:
            new = {"id": len(state.comments), "user": {"type": "Bot"}, **self._noted()}
            state.comments.append(new)
            self._answer(201, new)

        def do_PATCH(self) -> None:
            changed = state.comments[int(self.path.rpartition("/")[2])]
            changed |= self._noted()
            self._answer(200, changed)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_a_second_report_takes_the_place_of_the_first(github: GitHub, tmp_path: Path) -> None:
    mark = "<!-- fraudloop: model report -->"
    human = {"user": {"type": "User"}, "body": f"{mark} quoted by a person"}
    github.comments = [{"id": number, **human} for number in range(120)]
    here = {
        "GITHUB_API_URL": f"http://127.0.0.1:{github.port}",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_TOKEN": "of-this-test",
        "PULL_REQUEST": "7",
    }
    file = tmp_path / "report.md"
    said = []
    for text in ("first", "second"):
        file.write_text(f"{mark}\n{text}", encoding="utf-8")
        done = run(tmp_path, sys.executable, str(SCRIPT), "comment", str(file), **here)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.strip())
    assert said == ["The report is a new comment.", "The report's comment is updated."]
    assert [each["body"] for each in github.comments[120:]] == [f"{mark}\nsecond"]
    assert github.asked[-1] == "PATCH /repos/owner/name/issues/comments/120"
    assert github.tokens == {"Bearer of-this-test"}


def test_a_missing_token_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("text", encoding="utf-8")
    done = run(tmp_path, sys.executable, str(SCRIPT), "comment", "report.md")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("The report could not be made or sent: GITHUB_REPOSITORY is not set\n")

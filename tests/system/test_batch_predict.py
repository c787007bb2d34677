"""`scripts/batch_predict/`, which is `make batch`: payload.json in, response.json out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from fraudloop import __version__, decisions
from tests.engine import docker
from tests.servers import Answer, Web
from tests.system.projects import OUTPUT, ROOT, Project

pytest_plugins = ("tests.engine", "tests.servers")

SCRIPT = Path("scripts/batch_predict/batch_predict.sh")
PAYLOAD = ROOT / "ml/input/api/payload.json"
PATIENCE = 120
# Says where it serves, and serves nothing; or says nothing.
MUTE = '#!/bin/sh\necho $$ >"{pids}"\nexec sleep 600\n'
COMPOSE = """#!/bin/sh
echo "$*" >>"{calls}"
case "$*" in
    *" up "*) {up} ;;
esac
"""


LOCALLY = {"ENGINE": "local"}


def run(
    folder: Path, environment: Mapping[str, str | Path] = LOCALLY, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The script of a project, to its end."""
    return subprocess.run(
        [folder / SCRIPT],
        cwd=cwd or folder,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def eventually(true: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def expected(bundle: Path, payload: Path) -> dict[str, dict[str, int]]:
    answer = decisions.made_here(payload, bundle, None)
    ids = map(str, answer["ids"])
    return {"credit-card-fraud": dict(zip(ids, answer["predictions"], strict=True))}


@dataclass(frozen=True)
class Copy:
    """A project whose server and engine are scripts of ours."""

    folder: Path
    bin: Path
    pids: Path
    calls: Path

    @property
    def response(self) -> Path:
        return self.folder / "scripts/batch_predict/response.json"

    def script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(pids=self.pids, calls=self.calls), encoding="utf-8")
        path.chmod(0o755)

    def environment(self, **more: str) -> Mapping[str, str]:
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", **more}

    def docker(self, up: str) -> None:
        """An engine whose `docker compose` does not exist, and a docker-compose that does."""
        answers = '"compose "*) exit 1 ;; "image inspect "*) echo sha256:built ;;'
        self.script(self.bin / "docker", f'#!/bin/sh\ncase "$*" in {answers} esac\n')
        self.script(self.bin / "docker-compose", COMPOSE.replace("{up}", up))
        self.script(self.folder / "scripts/image.sh", "#!/bin/sh\n")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    here = Copy(tmp_path / "a project", tmp_path / "bin", tmp_path / "pids", tmp_path / "calls")
    shutil.copytree(ROOT / "scripts", here.folder / "scripts")
    here.response.unlink(missing_ok=True)
    (here.folder / OUTPUT).mkdir(parents=True)
    for name in ("manifest.json", "model.joblib"):
        (here.folder / OUTPUT / name).write_text("{}", encoding="utf-8")
    (here.folder / "ml/input/api").mkdir(parents=True)
    shutil.copy(PAYLOAD, here.folder / "ml/input/api")
    here.script(here.folder / "scripts/install.sh", "#!/bin/sh\n")
    here.script(here.folder / ".venv/bin/fraudloop", MUTE)
    return here


def test_without_a_model_it_names_make_run(copy: Copy) -> None:
    (copy.folder / OUTPUT / "model.joblib").unlink()
    done = run(copy.folder)
    assert done.returncode == 1
    assert "no model.joblib in" in done.stderr
    assert "`make run` makes one" in done.stderr


def test_without_a_payload_it_says_how_to_have_one(copy: Copy) -> None:
    (copy.folder / "ml/input/api/payload.json").unlink()
    done = run(copy.folder)
    assert done.returncode == 1
    assert "git checkout ml/input/api/payload.json" in done.stderr


@pytest.mark.parametrize("limit", ["", "0", "-1", "soon", "1.5"])
def test_a_time_limit_that_is_none_is_refused(copy: Copy, limit: str) -> None:
    done = run(copy.folder, {**LOCALLY, "TIME_LIMIT": limit})
    if limit:
        assert done.returncode == 1
        assert f"TIME_LIMIT is '{limit}'" in done.stderr
    else:  # what is empty counts as not said: it goes on to the server, which here says nothing
        assert "TIME_LIMIT is" not in run(copy.folder, {**LOCALLY, "TIME_LIMIT": "1"}).stderr


def test_a_server_that_does_not_answer_in_time_is_given_up_and_ended(copy: Copy) -> None:
    copy.response.write_text("old", encoding="utf-8")
    done = run(copy.folder, {**LOCALLY, "TIME_LIMIT": "1"})
    assert done.returncode == 1
    assert "within 1 s (TIME_LIMIT)" in done.stderr
    assert copy.response.read_text(encoding="utf-8") == "old"
    eventually(lambda: not is_running(int(copy.pids.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_no_server_and_the_older_answer(
    copy: Copy, stop: signal.Signals, code: int
) -> None:
    copy.response.write_text("old", encoding="utf-8")
    job = subprocess.Popen(
        [copy.folder / SCRIPT], env=os.environ | {"ENGINE": "local"}, stderr=subprocess.DEVNULL
    )
    eventually(lambda: copy.pids.exists() and copy.pids.read_text(encoding="utf-8"))
    server = int(copy.pids.read_text(encoding="utf-8"))
    job.send_signal(stop)
    assert job.wait(PATIENCE) == code
    eventually(lambda: not is_running(server))
    assert copy.response.read_text(encoding="utf-8") == "old"
    assert list(copy.response.parent.glob("*.part")) == []


def test_what_a_container_says_when_it_fails_is_shown_and_all_is_taken_down(copy: Copy) -> None:
    copy.docker(up="echo api is broken; exit 3")
    copy.response.write_text("old", encoding="utf-8")
    done = run(copy.folder, copy.environment())
    assert done.returncode == 1
    assert "api is broken" in done.stderr
    calls = copy.calls.read_text(encoding="utf-8").splitlines()
    assert " up --abort-on-container-exit" in calls[0]
    assert " down --volumes" in calls[-1]
    assert copy.response.read_text(encoding="utf-8") == "old"


def test_docker_compose_as_a_program_of_its_own_will_do(copy: Copy) -> None:
    copy.docker(up="""echo '{{"done": 1}}' >"$JOB/out/response.json" """)
    done = run(copy.folder, copy.environment())
    assert (done.returncode, done.stdout) == (0, '{"done": 1}\n')
    assert copy.response.read_text(encoding="utf-8") == '{"done": 1}\n'


def test_an_engine_that_cannot_build_the_image_is_done_without(copy: Copy) -> None:
    copy.docker(up="exit 9")
    copy.script(copy.folder / "scripts/image.sh", "#!/bin/sh\necho no base; exit 1\n")
    done = run(copy.folder, copy.environment(TIME_LIMIT="1"))
    assert "a local process (the image cannot be built: .cache/image.log says why)" in done.stderr
    assert (copy.folder / ".cache/image.log").read_text(encoding="utf-8") == "no base\n"


def test_without_an_engine_a_local_server_decides_from_any_folder(
    made: Project, tmp_path: Path
) -> None:
    shutil.copy(PAYLOAD, tmp_path / "mine.json")
    (tmp_path / "answer.json").write_text("old", encoding="utf-8")
    bundle = made.folder / OUTPUT
    files = {"PAYLOAD": "mine.json", "RESPONSE": "answer.json", "BUNDLE": str(bundle)}
    done = run(ROOT, {**LOCALLY, **files}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a local process (as ENGINE=local says)" in done.stderr
    assert json.loads(done.stdout) == expected(bundle, PAYLOAD)
    assert (tmp_path / "answer.json").read_text(encoding="utf-8") == done.stdout


def test_a_payload_that_does_not_fit_is_refused_in_the_servers_words(
    made: Project, tmp_path: Path
) -> None:
    (tmp_path / "mine.json").write_text('{"7": {"Time": 0}}', encoding="utf-8")
    (tmp_path / "answer.json").write_text("old", encoding="utf-8")
    files = {"PAYLOAD": "mine.json", "RESPONSE": "answer.json", "BUNDLE": str(made.folder / OUTPUT)}
    done = run(ROOT, {**LOCALLY, **files}, tmp_path)
    assert done.returncode == 1
    assert "422" in done.stderr
    assert "transaction '7' has no" in done.stderr
    assert (tmp_path / "answer.json").read_text(encoding="utf-8") == "old"


def test_an_answer_that_is_no_json_is_no_answer(web: Web, tmp_path: Path) -> None:
    web.answers["/ready"] = Answer(b"{}")
    web.answers["/invocations"] = Answer(b"<html>")
    response = tmp_path / "response.json"
    asked = {"SERVER": web.url(""), "PAYLOAD": str(PAYLOAD), "RESPONSE": str(response)}
    done = subprocess.run(
        ["python3", ROOT / "scripts/batch_predict/request.py"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("no response.json was written: ")
    assert list(tmp_path.glob("*response*")) == []


@pytest.fixture
def image_name(engine: None) -> Iterator[str]:
    name = f"fraudloop-test-{token_hex(4)}"
    yield name
    docker("image", "rm", "--force", f"{name}:latest", f"{name}:{__version__}", check=False)


def test_in_docker_the_containers_decide_and_are_gone(
    image_name: str, made: Project, tmp_path: Path
) -> None:
    bundle = made.folder / OUTPUT
    before = docker("network", "ls", "--quiet"), docker("ps", "--all", "--quiet")
    done = run(
        ROOT, {"BUNDLE": bundle, "RESPONSE": tmp_path / "response.json", "IMAGE": image_name}
    )
    assert done.returncode == 0, done.stderr
    assert "Asking a server in Docker." in done.stderr
    assert json.loads(done.stdout) == expected(bundle, PAYLOAD)
    assert (docker("network", "ls", "--quiet"), docker("ps", "--all", "--quiet")) == before

"""`scripts/serve.sh`, which is `make serve`: which server it starts, and what it says.

Docker and the server are scripts of ours here, which note how they are called; test_image.py runs
the real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ["awk", "basename", "cat", "cp", "cut", "dirname", "env", "grep", "id", "mkdir", "mktemp"]
TOOLS += ["readlink", "rm", "sed", "sh", "sha256sum", "sleep", "touch"]
BUNDLE = Path("ml/output/credit-card-fraud")

DOCKER = """#!/bin/sh
echo "docker $*" >>"{calls}"
case "$*" in
    "version "*) {version} ;;
    "context inspect "*) echo "{endpoint}" ;;
    "build "*) {build} ;;
    "image inspect "*) echo sha256:built ;;
esac
"""


@dataclass
class Machine:
    """A project folder, and a PATH on which nothing is but what a test puts there."""

    project: Path
    bin: Path
    calls: Path

    def script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def docker(
        self,
        version: str = "echo 28",
        endpoint: str = "unix:///var/run/docker.sock",
        build: str = ":",
    ) -> None:
        text = DOCKER.format(calls=self.calls, version=version, endpoint=endpoint, build=build)
        self.script(self.bin / "docker", text)

    def serve(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.project / "scripts" / "serve.sh"],
            env={"PATH": str(self.bin), "HOME": str(self.bin), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def called(self) -> list[str]:
        """How docker and the server were called."""
        return self.calls.read_text(encoding="utf-8").splitlines() if self.calls.exists() else []

    def local(self, port: int = 8080) -> str:
        """How the local server is called."""
        folder = (self.project / BUNDLE).resolve()
        return f"fraudloop serve --host 127.0.0.1 --port {port} --bundle {folder}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    here = Machine(tmp_path / "a project", tmp_path / "bin", tmp_path / "calls")
    shutil.copytree(ROOT / "scripts", here.project / "scripts")
    shutil.copytree(ROOT / "src", here.project / "src")
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "Pipfile", "Pipfile.lock"):
        shutil.copy(ROOT / name, here.project)
    (here.project / BUNDLE / "compiled").mkdir(parents=True)
    for name in ("manifest.json", "model.joblib"):
        (here.project / BUNDLE / name).write_text("{}", encoding="utf-8")
    here.script(here.project / "scripts" / "install.sh", "#!/bin/sh\n")
    here.script(
        here.project / ".venv/bin/fraudloop", f'#!/bin/sh\necho "fraudloop $*" >>"{here.calls}"\n'
    )
    here.bin.mkdir()
    for name in TOOLS:
        (here.bin / name).symlink_to(shutil.which(name) or name)
    return here


def test_without_a_model_it_names_make_run(machine: Machine) -> None:
    (machine.project / BUNDLE / "manifest.json").unlink()
    machine.docker()
    refused = machine.serve()
    assert refused.returncode == 1
    assert refused.stderr == f"There is no model in {BUNDLE} yet: `make run` makes one.\n"
    assert machine.called() == []


def test_without_docker_it_is_a_local_process_and_says_so(machine: Machine) -> None:
    served = machine.serve(PORT="9000")
    assert machine.called() == [machine.local(9000)]
    assert served.stderr == (
        "Serving by a local process (there is no docker command here) "
        "on http://127.0.0.1:9000; Ctrl-C ends it.\n"
    )


def test_an_engine_that_refuses_or_stays_silent_is_not_waited_for(machine: Machine) -> None:
    for version in ("exit 1", "exec sleep 60"):
        machine.calls.unlink(missing_ok=True)
        machine.docker(version=version)
        assert "(no Docker engine answers here)" in machine.serve().stderr
        assert machine.called()[-1] == machine.local()


def test_an_engine_elsewhere_could_publish_nothing_here(machine: Machine) -> None:
    machine.docker(endpoint="ssh://user@elsewhere")
    assert "(the Docker engine is on another machine)" in machine.serve().stderr
    assert machine.called()[-1] == machine.local()


def test_a_local_process_can_be_asked_for(machine: Machine) -> None:
    machine.docker()
    assert "by a local process (as ENGINE=local says)" in machine.serve(ENGINE="local").stderr
    assert machine.called() == [machine.local()]


def test_why_there_is_no_image_is_said_in_one_line_and_kept_whole(machine: Machine) -> None:
    machine.docker(build="echo first; echo 'no such base' >&2; exit 1")
    said = machine.serve().stderr.splitlines()
    assert said[-1] == (
        "Serving by a local process (the image cannot be built: no such base; .cache/image.log "
        "says more) on http://127.0.0.1:8080; Ctrl-C ends it."
    )
    assert (machine.project / ".cache/image.log").read_text() == "first\nno such base\n"
    assert machine.called()[-1] == machine.local()


def test_what_the_failed_step_said_last_is_why(machine: Machine) -> None:
    log = machine.project / "buildkit.log"
    steps = (
        "#9 ERROR: exit code: 1\n------\n > [4/4] RUN bake:\n0.9 no model\n------\nDockerfile:3\n"
    )
    log.write_text(steps + "ERROR: failed to solve: exit code: 1\n", encoding="utf-8")
    machine.docker(build=f"cat '{log}'; exit 1")
    assert "(the image cannot be built: no model; .cache" in machine.serve().stderr
    steps = "------\n > [internal] load metadata:\n------\nDockerfile:3\nERROR: no such base\n\n"
    log.write_text(steps, encoding="utf-8")
    assert "(the image cannot be built: ERROR: no such base; .cache" in machine.serve().stderr


def test_in_docker_it_is_told_to_nobody_but_this_machine_and_may_do_nothing(
    machine: Machine,
) -> None:
    machine.docker()
    served = machine.serve(PORT="9000", FRAUDLOOP_RATE_LIMIT="5")
    run = machine.called()[-1]
    assert run.startswith("docker run --rm --name fraudloop-9000-")
    assert run.endswith(" sha256:built")
    assert run.count("--publish") == 1
    for option in (
        "--publish 127.0.0.1:9000:8080",
        "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
        f"--volume {(machine.project / BUNDLE).resolve()}:/bundle:ro",
        "--env FRAUDLOOP_AUTH=none",
        "--env FRAUDLOOP_RATE_LIMIT",
    ):
        assert f" {option} " in run, option
    assert (f"--user {os.getuid()}:{os.getgid()}" in run) == (os.getuid() != 0)
    said = "Serving in Docker on http://127.0.0.1:9000; Ctrl-C ends it."
    assert served.stderr.splitlines()[-1] == said


def test_in_docker_passwords_that_are_asked_for_are_asked_for(machine: Machine) -> None:
    machine.docker()
    (machine.project / "users").touch()
    machine.serve(FRAUDLOOP_AUTH="basic", FRAUDLOOP_USERS="users")
    run = machine.called()[-1]
    assert " --env FRAUDLOOP_AUTH=basic " in run
    assert "FRAUDLOOP_AUTH=none" not in run
    users = machine.project.resolve() / "users"
    assert f" --volume {users}:/run/fraudloop-users:ro " in run
    assert " --env FRAUDLOOP_USERS=/run/fraudloop-users " in run


def test_another_base_index_and_name_reach_the_build_and_no_secret_its_command(
    machine: Machine,
) -> None:
    machine.docker()
    machine.serve(BASE="python:3.13-slim", PIP_INDEX_URL="https://hidden.invalid/", IMAGE="mine")
    (build,) = (call for call in machine.called() if call.startswith("docker build "))
    assert " --build-arg BASE=python:3.13-slim --build-arg PIP_INDEX_URL --tag mine:" in build
    assert "hidden" not in build

"""The image, built and run for real where a Docker engine answers: what it holds, what it does."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from fraudloop import __version__
from tests.engine import BASE, docker
from tests.system.projects import BIN, OUTPUT, ROOT, Project

pytest_plugins = ("tests.engine",)

PAYLOAD = Path("ml/input/api/payload.json")
MOST_ADDED = 350_000_000
HARDENED = [
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--env", "FRAUDLOOP_AUTH=none"),
]


def inspected(kind: str, name: str) -> Any:
    return json.loads(docker(kind, "inspect", name))[0]


def eventually(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What is true at last, or the failure."""
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError, HTTPException):
            if found := what():
                return found
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Server:
    """A scoring server on a port of this machine's loopback."""

    port: int

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as asking:
            asking.request("GET" if body is None else "POST", path, body, headers if body else {})
            answer = asking.getresponse()
            return answer.status, answer.read()

    def version(self) -> str | None:
        """The model it decides with, once it is ready."""
        status, body = self.ask("/ready")
        return str(json.loads(body)["model_version"]) if status == 200 else None


@contextmanager
def running(image: str, *options: str) -> Iterator[tuple[str, Server]]:
    """A hardened container of the image, ready, and the server in it."""
    name = f"fraudloop-test-{token_hex(4)}"
    publish = ("--publish", "127.0.0.1::8080")
    docker("run", "--detach", "--name", name, *HARDENED, *publish, *options, image)
    try:
        published = inspected("container", name)["NetworkSettings"]["Ports"]["8080/tcp"]
        server = Server(int(published[0]["HostPort"]))
        eventually(server.version)
        yield name, server
    finally:
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def project(engine: None, made: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been run, to change at will."""
    folder = tmp_path_factory.mktemp("image") / "a project"
    return Project(shutil.copytree(made.folder, folder, symlinks=True))


@pytest.fixture(scope="module")
def image(project: Project) -> Iterator[str]:
    """The image, as `make image` builds it, under a name of its own."""
    name = f"fraudloop-test-{token_hex(4)}"
    try:
        project.run("scripts/image.sh", environment={"IMAGE": name})
        yield name
    finally:
        docker("image", "rm", "--force", f"{name}:latest", f"{name}:{__version__}", check=False)


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[tuple[str, Server]]:
    with running(image, "--health-interval", "1s") as started:
        yield started


def version_of(bundle: Path) -> str:
    from fraudloop.model import bundle as bundles

    return bundles.load(bundle).version


def retrained(bundle: Path) -> str:
    """Make another model of a bundle, by its threshold; gives its version."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["threshold"] *= 0.5
    aside = bundle / "manifest.json.part"
    aside.write_text(json.dumps(manifest), encoding="utf-8")
    aside.replace(bundle / "manifest.json")
    return version_of(bundle)


def test_a_hardened_container_scores_as_the_library_does(
    container: tuple[str, Server], project: Project
) -> None:
    _, server = container
    body = project.read(PAYLOAD)
    predicted = project.run(BIN / "fraudloop", "predict", PAYLOAD, "--bundle", OUTPUT)
    expected = json.loads(predicted.stdout)
    status, answer = server.ask("/predict", body)
    found = json.loads(answer)
    assert status == 200
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-6)
    for same in ("ids", "predictions", "threshold", "model_version"):
        assert found[same] == expected[same], same
    status, answer = server.ask("/invocations", body)
    by_id = dict(zip(expected["ids"], expected["predictions"], strict=True))
    assert (status, json.loads(answer)) == (200, {"credit-card-fraud": by_id})


def test_reasons_and_documentation_are_there(container: tuple[str, Server]) -> None:
    _, server = container
    body = (ROOT / PAYLOAD).read_bytes()
    status, answer = server.ask("/predict?explain=true", body)
    assert (status, len(json.loads(answer)["reasons"])) == (200, len(json.loads(body)))
    assert [server.ask(path)[0] for path in ("/docs", "/openapi.json", "/metrics")] == [200] * 3


def test_it_runs_as_nobody_and_writes_nowhere_but_in_tmp(container: tuple[str, Server]) -> None:
    name, _ = container
    assert docker("exec", name, "id", "-u") == docker("exec", name, "id", "-g") == "10001"
    writable = "find / -xdev -writable -not -path '/proc/*' 2>/dev/null || true"
    assert docker("exec", name, "sh", "-c", writable) == "/tmp"
    docker("exec", name, "touch", "/tmp/here")


def test_its_own_files_cannot_be_changed_even_where_the_root_is_writable(image: str) -> None:
    look = "find /opt /bundle /usr -writable -not -type l; test -d /opt/bytecode -a -d /bundle"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", look) == ""


def test_nothing_in_it_installs_or_compiles(image: str) -> None:
    absent = "for tool in pip pip3 gcc cc make git curl; do command -v $tool; done; true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", absent) == ""
    find = "from importlib.util import find_spec as f; print(f('pip'), f('ensurepip'), f('numpy'))"
    found = docker("run", "--rm", "--entrypoint", "python", image, "-c", find)
    assert found.startswith("None None ModuleSpec")


def test_what_was_pruned_is_missed_by_nothing_that_serves(image: str) -> None:
    used = "import numpy, onnxruntime, scipy.sparse, xgboost, argon2, uvloop, httptools"
    docker("run", "--rm", "--entrypoint", "python", image, "-W", "error", "-c", used)


def test_a_start_compiles_nothing(image: str) -> None:
    # Python's -v names where each module's code came from: its source, if that had to be compiled.
    with running(image, "--env", "PYTHONVERBOSE=1") as (name, _):
        docker("stop", name)
        said = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True)
    code = [each for each in said.stderr.splitlines() if each.startswith("# code object from '")]
    assert len(code) > 300
    assert [each for each in code if "from '/opt/bytecode/" not in each] == []


def test_it_becomes_healthy_and_a_dead_server_would_not_be(
    container: tuple[str, Server], image: str
) -> None:
    name, _ = container
    eventually(lambda: inspected("container", name)["State"]["Health"]["Status"] == "healthy")
    kind, *check = inspected("image", image)["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    alone = ["docker", "run", "--rm", "--entrypoint", check[0], image, *check[1:]]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 1


def test_sigterm_ends_it_in_good_order(image: str) -> None:
    with running(image) as (name, _):
        began = time.monotonic()
        docker("stop", "--time", "20", name)
        assert time.monotonic() - began < 5
        assert inspected("container", name)["State"]["ExitCode"] == 0


def test_it_does_not_serve_others_unasked(image: str) -> None:
    refused = subprocess.run(
        ["docker", "run", "--rm", image], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode != 0
    assert "FRAUDLOOP_AUTH" in refused.stderr


def test_its_labels_say_what_it_is(image: str, project: Project) -> None:
    labels = inspected("image", image)["Config"]["Labels"]
    standard = "org.opencontainers.image."
    assert labels[standard + "title"] == "fraudloop"
    assert labels[standard + "description"]
    assert labels[standard + "licenses"] == "MIT"
    assert labels[standard + "version"] == __version__
    assert labels[standard + "revision"] == project.run("git", "rev-parse", "HEAD").stdout.strip()
    assert labels["fraudloop.model.version"] == version_of(project.folder / OUTPUT)


def test_it_adds_little_to_its_base(image: str) -> None:
    added = inspected("image", image)["Size"] - inspected("image", BASE)["Size"]
    assert 0 < added <= MOST_ADDED


def test_it_holds_the_files_of_the_bundle_and_no_others(image: str, project: Project) -> None:
    names = docker(
        "run", "--rm", "--entrypoint", "find", image, "/bundle", "-type", "f", "-printf", "%P\n"
    )
    manifest = json.loads(project.read(OUTPUT / "manifest.json"))
    assert set(names.splitlines()) == {"manifest.json", *manifest["files"]}


def test_a_bundle_mounted_over_its_own_replaces_it(
    image: str, project: Project, tmp_path: Path
) -> None:
    other = shutil.copytree(project.folder / OUTPUT, tmp_path / "bundle")
    version = retrained(other)
    with running(image, "--volume", f"{other}:/bundle:ro") as (_, server):
        assert server.version() == version != version_of(project.folder / OUTPUT)


def test_the_image_as_a_file_is_what_docker_load_takes(image: str, project: Project) -> None:
    project.run("scripts/image.sh", "tar", environment={"IMAGE": image})
    identity = inspected("image", f"{image}:{__version__}")["Id"]
    (file,) = (project.folder / "dist").iterdir()
    assert file.name == f"fraudloop-{__version__}.tar.gz"
    with gzip.open(file) as content:
        assert len(content.read(1000)) == 1000
    docker("image", "rm", f"{image}:{__version__}")
    assert f"{image}:{__version__}" in docker("load", "--input", file)
    assert inspected("image", f"{image}:{__version__}")["Id"] == identity


SECRETS = (
    ".env",
    ".dvc/config.local",
    "credentials",
    "users.json",
    "server.pem",
    "scripts/id_rsa",
    "src/fraudloop/.env",
    "src/fraudloop/serving/users.json",
    "src/fraudloop/serving/.env.py/key",
    "src/fraudloop/model/server.pem",
    "src/fraudloop/training/templates/.netrc",
    "ml/output/credit-card-fraud/compiled/server.key",
    "ml/output/credit-card-fraud/users.json",
    "ml/input/data/training/other.csv",
)


def test_a_build_is_given_what_it_needs_and_neither_data_nor_secrets(
    image: str, project: Project, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(project.folder, tmp_path / "tree"))
    for secret in SECRETS:
        (tree / secret).parent.mkdir(parents=True, exist_ok=True)
        (tree / secret).write_text("secret", encoding="utf-8")
    tracked = project.run("git", "ls-files", "src/fraudloop").stdout.splitlines()
    manifest = json.loads(project.read(OUTPUT / "manifest.json"))
    bundle = {str(OUTPUT / name) for name in ("manifest.json", *manifest["files"])}
    needed = {"LICENSE", "Pipfile", "Pipfile.lock", "scripts/bake.py"}
    needed |= {"scripts/pipenv-requirements.txt", *tracked, *bundle}
    assert given(tree) == needed


def given(tree: Path) -> set[str]:
    """The files of a folder that a build is given."""
    name = f"fraudloop-test-{token_hex(4)}"
    everything = 'FROM scratch\nCOPY . /context/\nCMD ["none"]\n'
    docker("build", "--quiet", "--tag", name, "--file", "-", tree, given=everything)
    try:
        docker("create", "--name", name, name)
        exported = subprocess.run(["docker", "export", name], capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as files:
            names = [each.name for each in files if not each.isdir()]
        return {n.removeprefix("context/") for n in names if n.startswith("context/")}
    finally:
        docker("rm", "--force", name, check=False)
        docker("image", "rm", "--force", name, check=False)


@contextmanager
def make_serve(project: Project, image: str) -> Iterator[tuple[subprocess.Popen[str], Server]]:
    """What `make serve` runs, ready; ended at the end if it has not been before."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = project.folder / "serve.log"
    environment = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    environment |= {"PORT": str(port), "IMAGE": image, "HOME": str(Path.home())}
    with log.open("w", encoding="utf-8") as output:
        serving = subprocess.Popen(
            ["scripts/serve.sh"], cwd=project.folder, env=environment, stderr=output, text=True
        )
    try:
        server = Server(port)
        eventually(lambda: serving.poll() is not None or server.version(), seconds=120)
        yield serving, server
    finally:
        serving.terminate()
        serving.wait(30)


@pytest.mark.parametrize("links", ["copy", "symlink"])
def test_make_serve_takes_up_a_retrained_model_and_ends_in_good_order(
    image: str, project: Project, links: str, tmp_path: Path
) -> None:
    other = Project(shutil.copytree(project.folder, tmp_path / "project", symlinks=True))
    other.dvc("config", "cache.type", links)
    other.dvc("checkout", "--relink", "--force")
    assert (other.folder / OUTPUT / "manifest.json").is_symlink() == (links == "symlink")
    with make_serve(other, image) as (serving, server):
        assert serving.poll() is None, (other.folder / "serve.log").read_text(encoding="utf-8")
        assert server.version() == version_of(other.folder / OUTPUT)
        version = retrained(other.folder / OUTPUT)
        eventually(lambda: server.version() == version)
        serving.terminate()
        assert serving.wait(10) == 0
    said = (other.folder / "serve.log").read_text(encoding="utf-8")
    assert f"Serving in Docker on http://127.0.0.1:{server.port}" in said
    assert docker("ps", "--all", "--quiet", "--filter", f"name=fraudloop-{server.port}-") == ""

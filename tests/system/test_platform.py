"""The platform as `make up` starts it: each part real, or a stand-in where no image can be had."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from fraudloop import __version__, decisions
from fraudloop.lifecycle.register import Origin
from fraudloop.lifecycle.registrar import Registrar
from fraudloop.model import bundle as bundles
from fraudloop.settings import MlflowLogin
from tests.brokers import free_ports
from tests.engine import docker
from tests.platform.images import found_or_built
from tests.system.projects import OUTPUT, Project

pytest_plugins = ("tests.engine",)
pytestmark = pytest.mark.timeout(3_600)  # the first time, images of all parts are made

SENT = 200
PATIENCE = 240.0
PORTS = ("API_PORT", "KAFKA_PORT", "MLFLOW_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
# No registry that is reached has Grafana: the queries of its dashboard are run all the same.
OTHERWISE = "services: {grafana: {profiles: [elsewhere]}}\n"


def eventually(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What is true at last, or the failure."""
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError, ValueError):
            if found := what():
                return found
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.3)


@dataclass(frozen=True)
class Platform:
    """A platform of a name of its own, which runs."""

    project: Project
    environment: dict[str, str]

    @property
    def name(self) -> str:
        return self.environment["COMPOSE_PROJECT_NAME"]

    @property
    def secrets(self) -> dict[str, str]:
        lines = self.project.read(".env").decode().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.project.run(*command, check=check, environment=self.environment)

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.run("docker", "compose", *arguments, check=check).stdout

    def ask(self, port: str, path: str, said: Any = None, user: str = "") -> tuple[int, Any]:
        """What a part answers: its status, and its JSON."""
        asking = urllib.request.Request(f"http://127.0.0.1:{self.environment[port]}{path}")
        if user:
            login = f"{user}:{self.secrets['ADMIN_PASSWORD']}".encode()
            asking.add_header("Authorization", f"Basic {b64encode(login).decode()}")
        if said is not None:
            asking.data = json.dumps(said).encode()
            asking.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(asking, timeout=60) as answered:
                return answered.status, json.load(answered)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def rows(self, statement: str) -> list[Any]:
        """What the ledger's database says, as JSON."""
        asked = f"SELECT coalesce(json_agg(each), '[]') FROM ({statement}) each"
        psql = ("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "fraudloop", "-Atc")
        return list(json.loads(self.compose(*psql, asked)))

    def queried(self, expression: str) -> list[Any]:
        """What Prometheus answers to a query."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        status, answer = self.ask("PROMETHEUS_PORT", path)
        assert status == 200, (expression, answer)
        return list(answer["data"]["result"])

    def left(self) -> dict[str, str]:
        """What is there of it."""
        label = f"label=com.docker.compose.project={self.name}"
        return {
            kind: docker(kind, "ls", "--quiet", "--filter", label, *more)
            for kind, more in (("container", ("--all",)), ("network", ()), ("volume", ()))
        }


@pytest.fixture(scope="module")
def platform(
    engine: None, made: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    suffix = token_hex(4)
    name = f"fraudloop-test-{suffix}"
    project = Project(shutil.copytree(made.folder, folder / "project", symlinks=True))
    (project.folder / "otherwise.yml").write_text(OTHERWISE, encoding="utf-8")
    images: dict[str, str] = {}
    built = [f"{name}:latest", f"{name}:{__version__}", f"{name}-mlflow:latest"]
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    here = Platform(
        project,
        {
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_FILE": "docker-compose.yml:otherwise.yml",
            "FRAUDLOOP_IMAGE": built[0],
            "MLFLOW_IMAGE": built[2],
            **ports,
        },
    )
    try:
        images |= found_or_built(folder, suffix)
        here.environment.update({key: each for key, each in images.items() if key != "MLFLOW_BASE"})
        project.run("scripts/image.sh", environment={"IMAGE": name})
        project.run(
            *("docker", "compose", "build", "--quiet", "mlflow"),
            environment=here.environment | {"MLFLOW_BASE": images["MLFLOW_BASE"]},
        )
        up = here.run("scripts/platform.sh", "up", check=False)
        if up.returncode:
            told = here.compose("logs", "--no-color", "--tail", "15", check=False)
            pytest.fail(f"{up.stderr[-2000:]}\n{told[-8000:]}", pytrace=False)
        assert "ADMIN_PASSWORD in .env" in up.stdout
        yield here
    finally:
        here.compose(
            *("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5"),
            check=False,
        )
        ours = [each for each in images.values() if each.startswith("fraudloop-stand-in-")]
        docker("image", "rm", "--force", *built, *ours, check=False)


def test_transactions_that_are_sent_are_in_the_ledger_as_the_library_decides_them(
    platform: Platform, tmp_path: Path
) -> None:
    platform.compose("run", "--rm", "-T", "produce", "--count", str(SENT), "--rate", "0")
    counted = "SELECT count(*) AS many FROM decisions"
    eventually(lambda: platform.rows(counted)[0]["many"] >= SENT)
    kept = platform.rows("SELECT id, transaction, score, prediction, model_version FROM decisions")
    assert len(kept) == SENT
    asked = {each["id"]: each["transaction"] for each in kept}
    for transaction in asked.values():
        transaction.pop("id", None)
    (tmp_path / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    expected = decisions.made_here(tmp_path / "asked.json", platform.project.folder / OUTPUT, None)
    assert expected["ids"] == [each["id"] for each in kept]
    assert [each["score"] for each in kept] == pytest.approx(expected["scores"], abs=1e-6)
    assert [each["prediction"] for each in kept] == expected["predictions"]
    assert {each["model_version"] for each in kept} == {expected["model_version"]}


def test_the_api_lets_the_admin_of_the_env_file_in_and_nobody_else(platform: Platform) -> None:
    payload = json.loads(platform.project.read("ml/input/api/payload.json"))
    assert platform.ask("API_PORT", "/predict", payload)[0] == 401
    status, answer = platform.ask("API_PORT", "/predict", payload, user="admin")
    assert (status, len(answer["predictions"])) == (200, len(payload))


def test_prometheus_reaches_every_part_and_answers_each_query_of_the_dashboard(
    platform: Platform,
) -> None:
    jobs = {"api", "scorer", "store", "prometheus"}

    def up() -> bool:
        return {each["metric"]["job"] for each in platform.queried("up == 1")} == jobs

    eventually(up)
    dashboard = platform.project.read("deploy/platform/grafana/dashboards/fraudloop.json")
    found = {}
    for panel in json.loads(dashboard)["panels"]:
        for target in panel["targets"]:
            found[panel["title"], target["refId"]] = platform.queried(target["expr"])
    assert found["Parts that answer", "A"][0]["value"][1] == "3"
    assert {each["metric"]["job"] for each in found["Model that decides", "A"]} == {"api", "scorer"}
    for title in ("Waiting", "Alerts owed", "Stream: lag", "Memory"):
        assert found[title, "A"] != [], title


def test_a_promotion_reaches_the_api_and_the_scorer(platform: Platform) -> None:
    bundle = bundles.load(platform.project.folder / OUTPUT)
    manifest = bundle.manifest.model_copy(update={"threshold": bundle.manifest.threshold / 2})
    folder = platform.project.folder / "another"
    bundles.save(folder, replace(bundle, manifest=manifest))
    another = bundles.load(folder)
    address = f"http://127.0.0.1:{platform.environment['MLFLOW_PORT']}"
    login = MlflowLogin("admin", platform.secrets["MLFLOW_ADMIN_PASSWORD"])
    with closing(Registrar(address, login)) as registrar:
        version, new = registrar.register(
            another.manifest.card.id, another, Origin("unknown", "a test")
        )
    assert (version.number, new) == (2, True)
    said = {"version": "2", "reason": "it catches more"}
    status, answer = platform.ask("API_PORT", "/model/promote", said, user="admin")
    assert status == 200, answer
    assert platform.ask("API_PORT", "/ready")[1]["model_version"] == another.version
    scorers = 'fraudloop_model{job="scorer"} == 1'

    def followed() -> bool:
        named = [each["metric"]["version"] for each in platform.queried(scorers)]
        return named == [another.version]

    eventually(followed)
    noted = platform.rows("SELECT action FROM audit ORDER BY 1")
    assert [each["action"] for each in noted].count("promote") == 2  # the first version, and this


def test_whoever_only_scores_may_not_promote_by_mlflow(platform: Platform) -> None:
    address = f"http://127.0.0.1:{platform.environment['MLFLOW_PORT']}"
    login = MlflowLogin("fraudloop-scorer", platform.secrets["MLFLOW_SCORER_PASSWORD"])
    with closing(Registrar(address, login)) as registrar:
        model = "credit-card-fraud"
        assert registrar.alias(model, "champion") is not None
        with pytest.raises(Exception, match="refuses us with 403"):
            registrar.set_alias(model, "champion", 1)


def test_down_leaves_the_data_and_nothing_else(platform: Platform) -> None:
    assert platform.left()["container"] != ""
    platform.run("scripts/platform.sh", "down")
    left = platform.left()
    assert (left["container"], left["network"]) == ("", "")
    assert len(left["volume"].split()) == 5  # Grafana's is not used here
    platform.compose("down", "--volumes")
    assert platform.left()["volume"] == ""
    # Without its passwords what is there would be lost on whoever starts it again.
    assert (platform.project.folder / ".env").stat().st_mode & 0o777 == 0o600

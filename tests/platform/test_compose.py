"""What docker-compose.yml promises before anything runs: who may what, and who is reached."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraudloop.streaming.metrics import Metrics
from tests.servers import unavailable

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
DASHBOARD = ROOT / "deploy/platform/grafana/dashboards/fraudloop.json"
JOBS = {"migrate", "register", "produce"}
SERVICES = {"api", "scorer", "store", "postgres", "kafka", "s3", "mlflow", "prometheus", "grafana"}
SECRET = re.compile(r"PASSWORD|SECRET|_KEY")


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services as the file has them, its merges done and its variables not."""
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"])


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [str(value)]


def test_every_part_is_there() -> None:
    assert services().keys() == SERVICES | JOBS


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for each in services().values() for port in each.get("ports", ())]
    assert len(published) == 5
    assert [port for port in published if not port.startswith("127.0.0.1:${")] == []


def test_databases_and_objects_are_reached_by_nobody_outside() -> None:
    networks = yaml.safe_load(FILE.read_text(encoding="utf-8"))["networks"]
    assert networks["data"] == {"internal": True}
    for name in ("postgres", "s3"):
        assert services()[name]["networks"] == ["data"]


@pytest.mark.parametrize("name", sorted(SERVICES | JOBS))
def test_nobody_has_more_rights_than_it_needs(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) == (name != "kafka")  # its start writes into its root
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & service.keys()
    assert not [each for each in service.get("volumes", ()) if "docker.sock" in each]
    bound = [each for each in service.get("volumes", ()) if each.startswith(".")]
    assert [each for each in bound if not each.endswith(":ro")] == []


def test_whatever_runs_says_whether_it_is_well_and_jobs_end() -> None:
    for name in SERVICES:
        # The API's own stands in its image, and is asked as often.
        assert services()[name]["healthcheck"]["retries"] >= 10, name
        assert services()[name]["restart"] == "unless-stopped"
    for name in JOBS:
        assert services()[name]["restart"] == "no"


def test_nothing_starts_before_what_it_needs_is_well() -> None:
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "completed_successfully" if needed in JOBS else "healthy"
            assert how == {"condition": f"service_{wanted}"}, (name, needed)
    assert "kafka" in services()["scorer"]["depends_on"]
    assert "postgres" in services()["migrate"]["depends_on"]


def test_every_image_is_pinned_and_can_be_another() -> None:
    for name, service in services().items():
        found = re.fullmatch(
            r"\$\{([A-Z0-9]+_IMAGE):-([a-z0-9./-]+):([a-z0-9.]+)\}", service["image"]
        )
        assert found is not None, name
        ours = found[2] == "fraudloop"
        assert (found[3] == "latest") == ours, name
        if ours:  # a registry's image of this name would not be ours
            assert service["pull_policy"] == "never"


def test_no_secret_stands_in_the_file_or_in_an_argument() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            if (
                SECRET.search(variable)
                and variable != "ROOT_ACCESS_KEY"
                and "KEY_ID" not in variable
            ):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:-\}", str(value)), (name, variable)
        for part in ("command", "entrypoint", "healthcheck"):
            assert not [
                text
                for text in texts(service.get(part, []))
                if SECRET.search(text.replace("$$PASSWORD", ""))
            ]


def test_each_program_enters_its_own_database_alone() -> None:
    roles: dict[str, set[str]] = {"fraudloop": set(), "mlflow": set()}
    for name, service in services().items():
        for value in texts(service.get("environment", {})):
            if (found := re.match(r"postgresql[+a-z0-9]*://(\w+):", value)) is not None:
                roles[found[1]].add(name)
    assert roles == {"fraudloop": {"api", "store", "migrate", "register"}, "mlflow": {"mlflow"}}
    script = (ROOT / "deploy/platform/postgres/databases.sh").read_text(encoding="utf-8")
    assert "REVOKE CONNECT" in script
    assert not re.search(r"SUPERUSER|CREATEDB|CREATEROLE|GRANT ", script)


def test_secrets_are_made_once_and_read_by_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/platform.sh", tmp_path / "scripts")
    file = tmp_path / ".env"

    def made() -> dict[str, str]:
        subprocess.run([tmp_path / "scripts/platform.sh", "secrets"], check=True)
        lines = file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    first = made()
    assert file.stat().st_mode & 0o777 == 0o600
    assert made() == first
    others = {"SMTP_PASSWORD"}  # is another server's
    wanted = (
        set(re.findall(r"\$\{(\w+(?:PASSWORD|_KEY)):-\}", FILE.read_text(encoding="utf-8")))
        - others
    )
    assert first.keys() == wanted
    assert len(set(first.values())) == len(wanted)
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in first.values())
    file.write_text("API_PORT=9000\nADMIN_PASSWORD=mine", encoding="utf-8")  # no end of line
    again = made()
    assert (again["API_PORT"], again["ADMIN_PASSWORD"]) == ("9000", "mine")
    assert wanted < again.keys()
    assert list(tmp_path.glob(".env.*")) == []


def test_secrets_are_in_no_commit() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("with_secrets", [True, False])
def test_compose_takes_the_file_without_a_word(tmp_path: Path, with_secrets: bool) -> None:
    if shutil.which("docker") is None:
        unavailable("docker", "there is no docker command here")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(FILE, tmp_path)
    if with_secrets:
        (tmp_path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/platform.sh", tmp_path / "scripts")
        subprocess.run([tmp_path / "scripts/platform.sh", "secrets"], check=True)
    done = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_bytes())["panels"])


def test_the_dashboard_has_what_grafana_reads_and_no_panel_lies_on_another() -> None:
    dashboard = json.loads(DASHBOARD.read_bytes())
    provisioned = yaml.safe_load(
        (ROOT / "deploy/platform/grafana/provisioning/datasources/prometheus.yml").read_bytes()
    )
    assert dashboard["uid"] == "fraudloop"
    assert len({each["id"] for each in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for each in panels():
        assert each["type"] in ("stat", "timeseries")
        assert each["datasource"]["uid"] == provisioned["datasources"][0]["uid"]
        assert each["title"]
        assert each["description"]
        at = each["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_dashboard_asks_for_metrics_that_are_counted() -> None:
    from fraudloop.serving.metrics import Metrics as ServersMetrics
    from fraudloop.streaming.alerts import Counted

    counted = {"up", "process_resident_memory_bytes"}
    store = Metrics("store").registry
    Counted(store)
    for registry in (store, ServersMetrics().registry):
        for family in registry.collect():
            counted |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    asked = {
        name
        for each in panels()
        for target in each["targets"]
        for name in re.findall(r"\b(?:fraudloop|process)_\w+|\bup\b", target["expr"])
    }
    assert asked <= counted
    for part in ("lag", "age_seconds_bucket", "messages_total"):
        assert f"fraudloop_stream_{part}" in asked
    assert "fraudloop_model" in asked

"""The images of the platform for tests: official ones where they are, else stand-ins built here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from secrets import token_hex

import yaml

from tests.brokers import NoBrokerError, jars
from tests.servers import unavailable

ROOT = Path(__file__).parents[2]
STANDINS = Path(__file__).parent / "standins"
GATEWAY = "github.com/versity/versitygw/cmd/versitygw"
BUILT_WITHIN = 1_800.0  # seconds: Debian's, Go's and Python's packages may come slowly
# What is a stand-in of which variable's image; MLflow's is the base that ours is built on.
PARTS = {
    "POSTGRES_IMAGE": "postgres",
    "KAFKA_IMAGE": "kafka",
    "S3_IMAGE": "versitygw",
    "PROMETHEUS_IMAGE": "prometheus",
    "MLFLOW_BASE": "mlflow",
}


def official() -> dict[str, str]:
    """The image of each variable as docker-compose.yml and MLflow's Dockerfile have it."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    found = {}
    for service in services.values():
        named = re.fullmatch(r"\$\{(\w+):-(.+)\}", service["image"])
        assert named is not None
        found[named[1]] = named[2]
    dockerfile = (ROOT / "deploy/platform/mlflow/Dockerfile").read_text(encoding="utf-8")
    based = re.search(r"^ARG BASE=(.+)$", dockerfile, re.MULTILINE)
    assert based is not None
    return found | {"MLFLOW_BASE": based[1]}


def found_or_built(folder: Path, suffix: str) -> dict[str, str]:
    """An image for each part; stand-ins have names that end in `suffix`."""
    images = {}
    for variable, name in official().items():
        part = PARTS.get(variable)
        if part is None:
            continue
        if _is_here(name):
            images[variable] = name
            continue
        images[variable] = f"fraudloop-stand-in-{part}:{suffix}"
        _build(part, name.rpartition(":")[2].removeprefix("v"), images[variable], folder)
        print(f"{name}: a stand-in, as no such image is here and no registry is asked")
    return images


def _is_here(name: str) -> bool:
    asked = ["docker", "image", "inspect", name]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _build(part: str, version: str, name: str, folder: Path) -> None:
    context = folder / part
    shutil.copytree(STANDINS, context, ignore=shutil.ignore_patterns("__pycache__"))
    if part == "kafka":
        try:
            shutil.copytree(jars(), context / "jars", copy_function=os.link)
        except NoBrokerError as error:
            unavailable("docker", f"Kafka's stand-in cannot be built: {error}")
        except OSError:  # another file system
            shutil.rmtree(context / "jars")
            shutil.copytree(jars(), context / "jars")
    if part == "versitygw":
        shutil.copy(_gateway(version), context / "versitygw")
    command = ["docker", "build", "--quiet", "--target", part, "--tag", name]
    command += ["--build-arg", f"VERSION={version}", str(context)]
    if os.environ.get("PIP_INDEX_URL"):
        command += ["--build-arg", "PIP_INDEX_URL"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILT_WITHIN, check=False
    )
    if done.returncode:
        unavailable("docker", f"the stand-in of {part} cannot be built: {done.stderr[-600:]}")


def _gateway(version: str) -> Path:
    """The S3 server, made once by Go from its proxy."""
    made = ROOT / ".cache" / "versitygw" / version / "versitygw"
    if made.exists():
        return made
    if shutil.which("go") is None:
        unavailable("docker", "Go, which makes the S3 server's stand-in, is not installed")
    aside = made.parent / f".{token_hex(4)}.part"
    aside.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["go", "install", f"{GATEWAY}@v{version}"],
            env=os.environ | {"GOBIN": str(aside.resolve()), "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=BUILT_WITHIN,
            check=False,
        )
        if done.returncode:
            unavailable("docker", f"Go does not get the S3 server: {done.stderr[-400:]}")
        (aside / "versitygw").replace(made)
    finally:
        shutil.rmtree(aside)
    return made

"""CloudFormation on loopback for the tests: moto's server, and deploy/aws/stack.py run against it.

What moto's CloudFormation does not know it leaves out without a word: `UNKNOWN`. Whoever asserts a
stack asserts those in the template. A test module takes the fixture with
`pytest_plugins = ("tests.cloud",)`, and may import from here before pytest does; so, for pytest:
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fitted import ROOT

REGION = "eu-central-1"
UNKNOWN = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CodeBuild::Project",
    "AWS::S3::BucketPolicy",
    "AWS::SecretsManager::Secret",
}


@dataclass(frozen=True)
class Cloud:
    """An AWS of our own: `stack` runs the program, `client` asks what there is."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """The tests' environment, with this cloud in place of any other."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return kept | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def client(self, service: str) -> Any:
        """Ask this cloud."""
        import boto3

        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def stack(self, *arguments: str, fails: bool = False) -> str:
        """What stack.py printed."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "deploy/aws/stack.py"), *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def stacks(self) -> dict[str, dict[str, Any]]:
        """Those that are there, by name."""
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        return {each["StackName"]: each for each in found}

    def resources(self, stack: str) -> dict[str, tuple[str, str]]:
        """A stack's resources by their names in the template: their type, and their name in AWS."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return {
            each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
            for page in pages.paginate(StackName=stack)
            for each in page["StackResourceSummaries"]
            if each["LogicalResourceId"]
        }

    def outputs(self, stack: str) -> dict[str, str]:
        """A stack's outputs."""
        found = self.stacks()[stack]["Outputs"]
        return {each["OutputKey"]: each["OutputValue"] for each in found}


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One for all tests: stacks are told apart by their names."""
    log = tmp_path_factory.mktemp("cloud") / "log"
    with started(log) as server:
        yield server


class started:  # noqa: N801  # reads as what it does
    """A cloud from here to the end of the block."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __enter__(self) -> Cloud:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with self.log.open("w") as output:
            self.server = subprocess.Popen(
                # As a module: a script's own folder would come first, and has a `platform`.
                [sys.executable, "-m", "tests.cloud_server", str(port)],
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        end = time.monotonic() + 120
        while time.monotonic() < end and self.server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        else:
            self.__exit__()
            raise RuntimeError(f"moto did not start: {self.log.read_text()[-1000:]}")
        return Cloud(f"http://127.0.0.1:{port}")

    def __exit__(self, *_: object) -> None:
        self.server.terminate()
        self.server.wait(60)


class _Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as {tag: value}."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Tagged.add_multi_constructor("!", _tagged)


def template(plan: str) -> dict[str, Any]:
    """A template of deploy/aws, its short forms as {tag: value}."""
    text = (ROOT / "deploy" / "aws" / f"{plan}.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.load(text, Loader=_Tagged)
    return read

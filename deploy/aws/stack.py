"""Creates, changes and removes the stacks of this folder, always by a plan that is shown first.

`deploy` plans and carries out; with --dry-run it only plans. `undeploy` empties a stack's own
buckets and removes it. `login` gives curl a user and password on its standard input. `build` sends
the last commit to CodeBuild. Credentials and region are found as by every program of AWS.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLANS = ("simple", "build", "runtime")
PAUSE = 2.0  # seconds between two questions
LAST = 3600.0  # seconds that a stack may take


class RefusalError(Exception):
    """One sentence for whoever called."""


def main() -> int:
    """Do what the command line says; 0 only where that was done."""
    arguments = _arguments()
    session = boto3.session.Session(region_name=arguments.region)
    if not session.region_name:
        return _refused("no region is set: give --region or set AWS_DEFAULT_REGION")
    try:
        arguments.run(session, arguments)
    except RefusalError as error:
        return _refused(str(error))
    except (BotoCoreError, ClientError) as error:
        return _refused(f"AWS says: {error}")
    except KeyboardInterrupt:
        print("Left; what AWS has begun it finishes by itself.", file=sys.stderr)
        return 130
    return 0


def deploy(session: Any, arguments: argparse.Namespace) -> None:
    """Plan a stack, show the plan, and, unless only that is wanted, carry it out."""
    cloud, name = _client(session, "cloudformation"), arguments.stack
    there = _stack(cloud, name)
    new = there is None or there["StackStatus"] == "REVIEW_IN_PROGRESS"
    template = (HERE / f"{arguments.plan}.yaml").read_text(encoding="utf-8")
    change = cloud.create_change_set(
        StackName=name,
        ChangeSetName=f"fraudloop-{int(time.time() * 1000)}",
        ChangeSetType="CREATE" if new else "UPDATE",
        TemplateBody=template,
        Parameters=_parameters(template, arguments, set() if new else _given(there)),
        Capabilities=["CAPABILITY_IAM"],
        Tags=[{"Key": "project", "Value": "fraudloop"}],
    )["Id"]
    found = _planned(cloud, change)
    for line in _lines(found) or ["nothing changes"]:
        print(f"  {line}")
    if arguments.dry_run or not _lines(found):
        _forget(cloud, name, change, new)
        print(f"Nothing was done to {name}.")
    else:
        since = _last_event(cloud, name)
        cloud.execute_change_set(ChangeSetName=change)
        _follow(cloud, name, "CREATE_COMPLETE" if new else "UPDATE_COMPLETE", since)
        _tell(cloud, name)
    if arguments.plan == "simple" and not arguments.dry_run:
        _hand_over(session, _outputs(cloud, name)["SourceBucket"], arguments.image_tar)


def undeploy(session: Any, arguments: argparse.Namespace) -> None:
    """Empty what the stack owns and remove it; what its template retains stays."""
    cloud, name = _client(session, "cloudformation"), arguments.stack
    if _stack(cloud, name) is None:
        print(f"There is no stack {name}.")
        return
    resources = [
        resource
        for page in cloud.get_paginator("list_stack_resources").paginate(StackName=name)
        for resource in page["StackResourceSummaries"]
    ]
    kept = _retained(cloud.get_template(StackName=name)["TemplateBody"])
    for resource in resources:
        stays = resource["LogicalResourceId"] in kept
        print(f"  {'keep' if stays else 'remove'} {resource['LogicalResourceId']}")
    if arguments.dry_run:
        print(f"Nothing was done to {name}.")
        return
    for resource in resources:
        owned = resource["LogicalResourceId"] not in kept
        if owned and resource["ResourceType"] == "AWS::S3::Bucket":
            bucket = session.resource("s3", config=_patient()).Bucket(
                resource["PhysicalResourceId"]
            )
            bucket.object_versions.delete()
            bucket.objects.all().delete()
    since = _last_event(cloud, name)
    identity = _stack(cloud, name) or {}
    cloud.delete_stack(StackName=name)
    _follow(cloud, identity.get("StackId", name), "DELETE_COMPLETE", since)


def login(session: Any, arguments: argparse.Namespace) -> None:
    """Print the one line of configuration that `curl --config -` reads."""
    secrets = _client(session, "secretsmanager")
    password = secrets.get_secret_value(SecretId=f"{arguments.stack}/password")["SecretString"]
    if sys.stdout.isatty():
        raise RefusalError("this prints a password: let curl read it, `… | curl --config - …`")
    print(f'user = "till:{password}"')


def build(session: Any, arguments: argparse.Namespace) -> None:
    """Send the last commit to CodeBuild and follow what it does with it."""
    outputs = _outputs(_client(session, "cloudformation"), arguments.stack)
    with tempfile.TemporaryDirectory() as folder:
        archive = _archive(Path(folder), "zip")
        _client(session, "s3").upload_file(str(archive), outputs["SourceBucket"], "source.zip")
    builds = _client(session, "codebuild")
    started = builds.start_build(projectName=outputs["ProjectName"])["build"]["id"]
    phase = ""
    while True:
        found = builds.batch_get_builds(ids=[started])["builds"][0]
        if found.get("currentPhase", "") != phase:
            phase = found["currentPhase"]
            print(f"  {phase.lower()}")
        if found["buildStatus"] != "IN_PROGRESS":
            break
        time.sleep(PAUSE)
    if found["buildStatus"] != "SUCCEEDED":
        where = found.get("logs", {}).get("deepLink", "CodeBuild's log")
        raise RefusalError(f"the build ended as {found['buildStatus']}: {where} says why")
    print(f"The image is in {outputs['RepositoryUri']}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Any) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=str(run.__doc__).partition("\n")[0])
        added.add_argument("--region", help="else AWS_DEFAULT_REGION, or the profile's")
        added.set_defaults(run=run)
        return added

    planned = command("deploy", deploy)
    planned.add_argument("plan", choices=PLANS)
    planned.add_argument("--stack", help="its name; fraudloop-PLAN where it is left out")
    planned.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    planned.add_argument("--image-tar", type=Path, help="simple: what `make image-tar` wrote")
    planned.add_argument("--dry-run", action="store_true", help="show what would change")
    gone = command("undeploy", undeploy)
    gone.add_argument("stack")
    gone.add_argument("--dry-run", action="store_true", help="show what would be removed")
    command("login", login).add_argument("stack")
    command("build", build).add_argument("stack")
    arguments = parser.parse_args()
    arguments.stack = arguments.stack or f"fraudloop-{arguments.plan}"
    return arguments


def _patient() -> Config:
    return Config(retries={"max_attempts": 10, "mode": "standard"}, connect_timeout=10)


def _client(session: Any, service: str) -> Any:
    return session.client(service, config=_patient())


def _refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def _stack(cloud: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = cloud.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found


def _given(stack: dict[str, Any] | None) -> set[str]:
    return {each["ParameterKey"] for each in (stack or {}).get("Parameters", [])}


def _parameters(
    template: str, arguments: argparse.Namespace, given: set[str]
) -> list[dict[str, Any]]:
    """What is set now; else what the stack has; else the template's default."""
    known = set(_read(template)["Parameters"])
    chosen = {}
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise RefusalError(
                f"{text!r} sets nothing of {arguments.plan}.yaml: it has {_list(known)}"
            )
        chosen[key] = value
    if arguments.plan == "runtime":
        chosen.setdefault("ImageTag", _version())
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in chosen.items()] + [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in sorted((given & known) - set(chosen))
    ]


def _version() -> str:
    text = (ROOT / "src" / "fraudloop" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def _planned(cloud: Any, change: str) -> dict[str, Any]:
    end = time.monotonic() + LAST
    while time.monotonic() < end:
        found: dict[str, Any] = cloud.describe_change_set(ChangeSetName=change)
        if found["Status"] == "CREATE_COMPLETE":
            return found
        if found["Status"] == "FAILED":
            reason = found.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return found
            raise RefusalError(f"the plan failed: {reason}")
        time.sleep(PAUSE)
    raise RefusalError("the plan was not made within an hour: look at it in AWS's console")


def _lines(found: dict[str, Any]) -> list[str]:
    changes = [each["ResourceChange"] for each in found.get("Changes", [])]
    return [
        f"{each['Action'].lower()} {each['LogicalResourceId']} ({each['ResourceType']})"
        + (", anew" if each.get("Replacement") == "True" else "")
        for each in changes
    ]


def _forget(cloud: Any, name: str, change: str, new: bool) -> None:
    """Leave no plan behind, nor the empty stack that a first plan makes."""
    cloud.delete_change_set(ChangeSetName=change)
    if new:
        cloud.delete_stack(StackName=name)


def _events(cloud: Any, name: str) -> Iterator[dict[str, Any]]:
    """From the newest."""
    for page in cloud.get_paginator("describe_stack_events").paginate(StackName=name):
        yield from page["StackEvents"]


def _last_event(cloud: Any, name: str) -> str:
    return next((str(each["EventId"]) for each in _events(cloud, name)), "")


def _follow(cloud: Any, name: str, wanted: str, since: str) -> None:
    """Show what happens until the stack has ended as wanted."""
    end = time.monotonic() + LAST
    while time.monotonic() < end:
        fresh = []
        for event in _events(cloud, name):
            if event["EventId"] == since:
                break
            fresh.append(event)
        for event in reversed(fresh):
            why = event.get("ResourceStatusReason", "")
            print(
                f"  {event['LogicalResourceId']} {event['ResourceStatus'].lower()} {why}".rstrip()
            )
        since = fresh[0]["EventId"] if fresh else since
        status = (_stack(cloud, name) or {"StackStatus": "DELETE_COMPLETE"})["StackStatus"]
        if status == wanted:
            return
        if not status.endswith("_IN_PROGRESS"):
            raise RefusalError(f"{name} ended as {status}: the lines above say why")
        time.sleep(PAUSE)
    raise RefusalError(f"{name} was not done within an hour: look at it in AWS's console")


def _outputs(cloud: Any, name: str) -> dict[str, str]:
    stack = _stack(cloud, name)
    if stack is None:
        raise RefusalError(f"there is no stack {name}: `make deploy-…` makes it")
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def _tell(cloud: Any, name: str) -> None:
    for key, value in sorted(_outputs(cloud, name).items()):
        print(f"\n{key}:\n  {value}")


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's YAML; what its short forms stand for is AWS's to know."""


def _short_form(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Template.add_multi_constructor("!", _short_form)


def _read(template: Any) -> dict[str, Any]:
    """A template as AWS or a file gives it: JSON comes as an object, YAML as text."""
    if isinstance(template, str):
        template = yaml.load(template, Loader=_Template)  # noqa: S506  # a SafeLoader
    return dict(template)


def _retained(template: Any) -> set[str]:
    """The resources that stay when the stack goes."""
    resources = _read(template).get("Resources", {})
    return {key for key, each in resources.items() if each.get("DeletionPolicy") == "Retain"}


def _hand_over(session: Any, bucket: str, image_tar: Path | None) -> None:
    """Put into the bucket what the instance waits for."""
    store = _client(session, "s3")
    if image_tar is not None:
        if not image_tar.is_file():
            raise RefusalError(f"{image_tar} is not there: `make image-tar` writes it")
        print(f"The instance loads {image_tar.name}: the API answers a few minutes from now.")
        store.upload_file(str(image_tar), bucket, "image.tar.gz")
        return
    with tempfile.TemporaryDirectory() as folder:
        store.upload_file(str(_archive(Path(folder), "tar.gz")), bucket, "source.tar.gz")
    print("\nThe instance builds the last commit's model: the API answers in about ten minutes.")


def _archive(folder: Path, kind: str) -> Path:
    """The last commit as one file."""
    target = folder / f"source.{kind}"
    git = ["git", "-C", str(ROOT), "archive", f"--format={kind}", "--output", str(target), "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603  # no shell
    if done.returncode != 0:
        raise RefusalError(f"only a commit of git is sent, and git says: {done.stderr.strip()}")
    return target


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


if __name__ == "__main__":
    raise SystemExit(main())

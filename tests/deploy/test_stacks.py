"""Each template becomes a stack, is changed and removed, by deploy/aws/stack.py on moto's AWS."""

from __future__ import annotations

import base64
import shlex
import subprocess
import sys
from typing import Any

import pytest

from fraudloop import __version__
from tests.cloud import UNKNOWN, Cloud, template
from tests.fitted import ROOT

pytest_plugins = ("tests.cloud",)
PLANS = ("simple", "build", "runtime")


def whole(cloud: Cloud, plan: str, stack: str, without: set[str]) -> dict[str, tuple[str, str]]:
    """The stack's resources: all that the template has but what moto knows not."""
    described = template(plan)["Resources"]
    made = cloud.resources(stack)
    expected = {
        name: each["Type"]
        for name, each in described.items()
        if each["Type"] not in UNKNOWN and name not in without
    }
    assert {name: kind for name, (kind, _) in made.items()} == expected
    assert set(cloud.outputs(stack)) == set(template(plan)["Outputs"])
    return made


def removed(cloud: Cloud, stack: str) -> str:
    """Remove a stack; gives what was said."""
    said = cloud.stack("undeploy", stack)
    assert stack not in cloud.stacks()
    return said


def predict_command(cloud: Cloud, stack: str) -> list[str]:
    """The words after the pipe of the printed command, which must name files that are here."""
    line = cloud.outputs(stack)["FraudDetectionPredictCommand"]
    login, _, curl = line.partition(" | ")
    assert login == (f".venv/bin/python deploy/aws/stack.py login {stack} --region eu-central-1")
    words = shlex.split(curl)
    data = words[words.index("--data") + 1]
    assert (ROOT / data.removeprefix("@")).is_file()
    return words


def test_simple_is_created_changed_and_removed(cloud: Cloud) -> None:
    said = cloud.stack("deploy", "simple", "--stack", "one")
    assert "add Instance (AWS::EC2::Instance)" in said
    made = whole(cloud, "simple", "one", set())
    found = cloud.client("ec2").describe_instances(InstanceIds=[made["Instance"][1]])
    (instance,) = found["Reservations"][0]["Instances"]
    outputs = cloud.outputs("one")
    assert instance["InstanceType"] == "t3.medium"
    assert outputs["ApiUrl"] == f"http://{instance['PublicIpAddress']}:8080"
    assert predict_command(cloud, "one")[-1] == f"{outputs['ApiUrl']}/predict"
    script = user_data(cloud, made["Instance"][1])
    first, second, _ = script.split("\n", 2)
    assert first == "#!/bin/bash"
    assert f"BUCKET={outputs['SourceBucket']} SECRET=one/password PORT=8080" in second
    store = cloud.client("s3")
    kept = store.list_objects_v2(Bucket=outputs["SourceBucket"])["Contents"]
    assert [each["Key"] for each in kept] == ["source.tar.gz"]

    said = cloud.stack("deploy", "simple", "--stack", "one", "--set", "ClientCidr=10.1.0.0/16")
    changed = {each["ParameterKey"]: each for each in cloud.stacks()["one"]["Parameters"]}
    assert changed["ClientCidr"]["ParameterValue"] == "10.1.0.0/16"
    assert "remove Instance" in removed(cloud, "one")
    assert outputs["SourceBucket"] not in [each["Name"] for each in store.list_buckets()["Buckets"]]


def test_build_is_created_changed_and_removed(cloud: Cloud) -> None:
    cloud.stack("deploy", "build", "--stack", "two", "--set", "RepositoryName=two")
    made = whole(cloud, "build", "two", set())
    registry = cloud.client("ecr")
    (found,) = registry.describe_repositories(repositoryNames=["two"])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    outputs = cloud.outputs("two")
    assert outputs["RepositoryUri"] == found["repositoryUri"]
    assert outputs["ProjectName"] == "two-image"
    assert made["Source"][1] == outputs["SourceBucket"]

    # moto compares templates as they are written, so that another parameter changes nothing there.
    said = cloud.stack("deploy", "build", "--stack", "two", "--set", "KeepImages=5")
    assert said == "  nothing changes\nNothing was done to two.\n"
    cloud.client("s3").put_object(Bucket=outputs["SourceBucket"], Key="source.zip", Body=b"one")
    cloud.client("s3").put_object(Bucket=outputs["SourceBucket"], Key="source.zip", Body=b"two")
    removed(cloud, "two")
    assert registry.describe_repositories()["repositories"] == []


def test_runtime_is_created_changed_and_removed(cloud: Cloud) -> None:
    cloud.stack("deploy", "runtime", "--stack", "three")
    on_instance = {"InstanceRole", "InstanceProfile", "InstanceTemplate", "Instances"}
    made = whole(cloud, "runtime", "three", on_instance | {"HttpsListener"})
    containers = cloud.client("ecs")
    (service,) = containers.describe_services(
        cluster=made["Cluster"][1], services=[made["Service"][1]]
    )["services"]
    assert service["desiredCount"] == 2
    task = containers.describe_task_definition(taskDefinition=made["Task"][1])["taskDefinition"]
    (api,) = task["containerDefinitions"]
    assert api["image"].endswith(f"amazonaws.com/fraudloop:{__version__}")
    assert api["readonlyRootFilesystem"] is True
    balancing = cloud.client("elbv2")
    (targets,) = balancing.describe_target_groups(Names=[], TargetGroupArns=[made["Targets"][1]])[
        "TargetGroups"
    ]
    assert targets["HealthCheckPath"] == "/ready"
    outputs = cloud.outputs("three")
    assert outputs["ApiUrl"] == f"http://{outputs['BalancerName']}"
    assert predict_command(cloud, "three")[-1] == f"{outputs['ApiUrl']}/predict"
    zones = {
        each["AvailabilityZone"]
        for each in cloud.client("ec2").describe_subnets(
            SubnetIds=[made["SubnetA"][1], made["SubnetB"][1]]
        )["Subnets"]
    }
    assert len(zones) == 2

    cloud.stack("deploy", "runtime", "--stack", "three", "--set", "Tasks=3")
    given = {
        each["ParameterKey"]: each["ParameterValue"]
        for each in cloud.stacks()["three"]["Parameters"]
    }
    assert (given["Tasks"], given["ImageTag"]) == ("3", __version__)
    assert cloud.stacks()["three"]["StackStatus"] == "UPDATE_COMPLETE"
    assert "keep DvcBucket" in removed(cloud, "three")
    assert outputs["DvcBucketName"] in [
        each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]
    ]


def test_runtime_runs_on_one_instance_and_with_a_certificate(cloud: Cloud) -> None:
    certificate = cloud.client("acm").request_certificate(DomainName="fraud.example")
    settings = {
        "LaunchType": "EC2",
        "CertificateArn": certificate["CertificateArn"],
        "DomainName": "fraud.example",
    }
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    cloud.stack("deploy", "runtime", "--stack", "four", *chosen)
    made = whole(cloud, "runtime", "four", set())
    listeners = cloud.client("elbv2").describe_listeners(LoadBalancerArn=made["Balancer"][1])
    by_port = {each["Port"]: each for each in listeners["Listeners"]}
    assert by_port[80]["DefaultActions"][0]["Type"] == "redirect"
    assert by_port[443]["DefaultActions"][0]["Type"] == "forward"
    (group,) = cloud.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[made["Instances"][1]]
    )["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (1, 1)
    assert predict_command(cloud, "four")[-1] == "https://fraud.example/predict"
    removed(cloud, "four")


@pytest.mark.parametrize("plan", PLANS)
def test_a_dry_run_leaves_nothing(cloud: Cloud, plan: str) -> None:
    said = cloud.stack("deploy", plan, "--stack", f"dry-{plan}", "--dry-run")
    assert "Nothing was done" in said
    added = {line.split()[1] for line in said.splitlines() if line.startswith("  add ")}
    assert {"Source"} <= added or {"DvcBucket"} <= added
    assert f"dry-{plan}" not in cloud.stacks()


def test_what_cannot_be_done_is_one_sentence(cloud: Cloud) -> None:
    told = cloud.stack("deploy", "build", "--set", "Wrong=1", "--dry-run", fails=True)
    assert told == (
        "'Wrong=1' sets nothing of build.yaml: it has ComputeType, KeepImages, RepositoryName\n"
    )
    told = cloud.stack("build", "nowhere", fails=True)
    assert told == "there is no stack nowhere: `make deploy-…` makes it\n"
    assert cloud.stack("undeploy", "nowhere") == "There is no stack nowhere.\n"
    away = cloud.environment() | {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy/aws/stack.py"), "undeploy", "x"],
        env=away,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "no region is set: give --region or set AWS_DEFAULT_REGION\n",
    )


def test_the_password_goes_to_curl_and_to_no_terminal(cloud: Cloud) -> None:
    cloud.client("secretsmanager").create_secret(Name="five/password", SecretString="abc123")
    assert cloud.stack("login", "five") == 'user = "till:abc123"\n'


def user_data(cloud: Cloud, instance: str) -> str:
    """The script an instance is started with."""
    found = cloud.client("ec2").describe_instance_attribute(
        InstanceId=instance, Attribute="userData"
    )["UserData"]["Value"]
    once = base64.b64decode(found)
    # moto stores what Fn::Base64 gave as it is, or encodes it again.
    return (once if once.startswith(b"#!") else base64.b64decode(once)).decode()


def test_a_template_says_what_no_stack_here_can_show() -> None:
    project: Any = template("build")["Resources"]["Project"]["Properties"]
    assert project["Source"]["BuildSpec"] == "deploy/aws/buildspec.yml"
    assert (ROOT / project["Source"]["BuildSpec"]).is_file()
    assert project["Environment"]["PrivilegedMode"] is True
    assert template("build")["Outputs"]["ProjectName"]["Value"] == project["Name"]
    repository = template("build")["Resources"]["Repository"]["Properties"]
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    runtime = template("runtime")["Resources"]
    assert runtime["Service"]["Properties"]["LaunchType"] == {"Ref": "LaunchType"}
    assert template("runtime")["Parameters"]["LaunchType"]["Default"] == "FARGATE"
    target = runtime["ScalingTarget"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (
        {"Ref": "Tasks"},
        {"Ref": "MostTasks"},
    )
    assert runtime["ScalingPolicy"]["Properties"]["PolicyType"] == "TargetTrackingScaling"
    assert template("runtime")["Parameters"]["ImageTag"]["Default"] == __version__
    for plan in PLANS:
        kinds = {each["Type"] for each in template(plan)["Resources"].values()}
        secret = "AWS::SecretsManager::Secret"
        assert (secret in kinds) == (plan != "build")

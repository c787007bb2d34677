"""Logs Docker in to ECR, at the host that is given; no password is on a command line or shown."""

from __future__ import annotations

import base64
import subprocess
import sys

import boto3


def main(host: str) -> int:
    """Log in; Docker says by its exit code whether that worked."""
    region = host.split(".")[3]
    (found,) = boto3.client("ecr", region_name=region).get_authorization_token()[
        "authorizationData"
    ]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    words = ["docker", "login", "--username", user, "--password-stdin", host]
    return subprocess.run(words, input=password, text=True, check=False).returncode  # noqa: S603  # no shell


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

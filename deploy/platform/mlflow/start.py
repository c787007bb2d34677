"""Starts MLflow's server: its bucket, where its users are, then the server in this process's place.

What holds a password goes by the environment and a file of this container's memory, never by
arguments.
"""

import os
import sys
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

LOGINS = Path("/tmp/logins.ini")  # noqa: S108  # the container's own memory
THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
USERS = """[mlflow]
default_permission = READ
database_uri = {database}/mlflow_users
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def require_bucket(name):
    """Make the bucket unless it is there."""
    s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        s3.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        ):
            sys.exit(f"no bucket {name}: {error}")


for secret in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
    if not os.environ.get(secret):
        sys.exit(f"{secret} is empty: start the platform by `make up`, which makes one")
database = os.environ.pop("DATABASE")
LOGINS.touch(mode=0o600)
LOGINS.write_text(
    USERS.format(database=database, admin=os.environ["MLFLOW_AUTH_ADMIN_USERNAME"]), "utf-8"
)
os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(LOGINS)
os.environ["MLFLOW_BACKEND_STORE_URI"] = f"{database}/mlflow"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
bucket = os.environ["BUCKET"]
require_bucket(bucket)
server = ["mlflow", "server", "--app-name", "basic-auth", "--workers", os.environ["WORKERS"]]
server += ["--host", "0.0.0.0", "--port", "5000"]  # noqa: S104  # of its container
server += ["--serve-artifacts", "--artifacts-destination", f"s3://{bucket}"]
os.execvp("mlflow", server)  # noqa: S606, S607  # MLflow's image has one

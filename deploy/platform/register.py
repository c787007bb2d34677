"""The image's bundle → MLflow, as the champion where there is none; and MLflow's two users.

Run at every start; what is there already stays. The API may promote and roll back, so it may edit
this one model and its experiment; the scorer may only read, as every user of that MLflow does.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode

SERVER = os.environ["MLFLOW_TRACKING_URI"]
MODEL = os.environ["FRAUDLOOP_MODEL"]
KNOWN = {"RESOURCE_ALREADY_EXISTS"}


def asked(path, said=None):
    """What MLflow answers to its admin; None where it is so already."""
    login = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
    request = urllib.request.Request(f"{SERVER}/api/{path}")  # noqa: S310  # compose says http
    request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    if said is not None:
        request.data = json.dumps(said).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answered:  # noqa: S310  # the same
            return json.loads(answered.read() or b"{}")
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")
        if any(code in answer for code in KNOWN):
            return None
        sys.exit(f"{SERVER} refuses {path} with {error.code}: {answer[:300]}")


def user(name, password):
    """Make a user; one that is there stays as it is."""
    if not password:
        sys.exit(f"no password for {name} is set: start the platform by `make up`")
    if asked("2.0/mlflow/users/create", {"username": name, "password": password}) is not None:
        print(f"MLflow has the user {name} now", file=sys.stderr)


def may_edit(name, kind, which):
    """Let a user edit one thing."""
    said = {"username": name, "resource_type": kind, "resource_id": which, "permission": "EDIT"}
    asked("3.0/mlflow/users/permissions/grant", said)


fraudloop = [sys.executable, "-m", "fraudloop", "registry", "register"]
done = subprocess.run([*fraudloop, "--bundle", "/bundle", "--first"], check=False)  # noqa: S603  # constants
if done.returncode:
    sys.exit(done.returncode)
user("fraudloop-api", os.environ["MLFLOW_API_PASSWORD"])
user("fraudloop-scorer", os.environ["MLFLOW_SCORER_PASSWORD"])
found = asked(f"2.0/mlflow/experiments/get-by-name?experiment_name={MODEL}")
may_edit("fraudloop-api", "registered_model", MODEL)
may_edit("fraudloop-api", "experiment", found["experiment"]["experiment_id"])

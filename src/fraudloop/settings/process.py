"""What libraries are told by the environment before they are loaded."""

from __future__ import annotations

import os


def share_metrics(folder: str) -> None:
    """Let all workers count into `folder`; it must be said before Prometheus's client is loaded."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


def let_mlflow_tell_nobody() -> None:
    """Turn MLflow's reports of its own use off; it must be said before MLflow is loaded."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout is not its own


def let_idle_threads_sleep() -> None:
    """Ask OpenMP's threads to sleep while they wait, unless the environment says otherwise.

    By default they spin: with anything else running on the machine, boosting with two threads then
    takes four times as long (18 s instead of 4.7 s on two cores, one of them busy). It must be said
    before the first library that uses OpenMP is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

"""Run by Airflow's own Python: `airflow_runs.py CASES ANSWER` tells of the DAGs and runs them.

It does what `airflow dags test` does for each case of a JSON file, {"dag": …, "conf": …, "env": …},
one after the other in one process: most of the time of `airflow dags test` is its beginning.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def bag() -> Any:
    """Load the DAG folder with its import errors."""
    from airflow.dag_processing.dagbag import DagBag  # type: ignore[import-not-found]  # not ours

    return DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])


def told(dag: Any) -> dict[str, Any]:
    """What a DAG promises."""
    return {
        "schedule": dag.schedule,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "limit": dag.dagrun_timeout.total_seconds(),
        "doc": dag.doc_md,
        "description": dag.description,
        "params": {name: dag.params[name] for name in dag.params},
        "tasks": {
            task.task_id: {
                "retries": task.retries,
                "limit": task.execution_timeout.total_seconds(),
                "after": sorted(task.upstream_task_ids),
            }
            for task in dag.tasks
        },
    }


def run(dag: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Run a DAG once; gives its end, and all retraining that waits then."""
    from airflow.models.dagrun import DagRun  # type: ignore[import-not-found]  # not ours
    from airflow.utils.session import create_session  # type: ignore[import-not-found]  # not ours

    os.environ.update(case.get("env", {}))
    done = dag.test(run_conf=case.get("conf"))
    with create_session() as session:
        asked = session.query(DagRun).filter(DagRun.dag_id == "fraudloop_retrain")
        queued = {each.run_id: each.conf for each in asked if each.state == "queued"}
        tasks = {
            each.task_id: [str(each.state), each.try_number]
            for each in done.get_task_instances(session=session)
        }
    return {"state": str(done.state), "tasks": tasks, "queued": queued}


def main(cases: str, answer: str) -> None:
    """Tell of the DAGs, and of a run for each case."""
    found = bag()
    loaded = [module for module in sys.modules if module.partition(".")[0] == "fraudloop"]
    dags = {id: told(dag) for id, dag in found.dags.items()}
    asked = json.loads(Path(cases).read_text(encoding="utf-8"))
    # Loaded anew for each: a run leaves its parameters in the DAG that it was made of.
    runs = {name: run(bag().dags[case["dag"]], case) for name, case in asked.items()}
    made = {"errors": found.import_errors, "dags": dags, "loaded": loaded, "runs": runs}
    Path(answer).write_text(json.dumps(made), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

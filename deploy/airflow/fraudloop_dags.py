"""The steps of `fraudloop watch` as three Airflow DAGs (docs/airflow.md).

Airflow imports nothing of fraudloop: every step is a command of the project's own environment, run
in the project's folder. Which folder that is, the Airflow variable `fraudloop_project` says, or
AIRFLOW_VAR_FRAUDLOOP_PROJECT in the environment; else it is the project that this file lies in.
What a command needs besides (LEDGER_URL, the registry's address, credentials) comes from the
environment of Airflow's workers and stands in no DAG.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param

HOME = Path(__file__).resolve().parents[2]
PROJECT = "{{ var.value.get('fraudloop_project', '" + str(HOME) + "') }}"
VALIDATED = "{{ var.value.get('fraudloop_validated', 'runs/airflow/validated.csv') }}"
RETRAIN = "fraudloop_retrain"
FOUND = 3  # `fraudloop drift`: drift is an answer, not a failure

# A folder of `fraudloop use` has no environment of its own: the project's is looked for second.
BEFORE = f"""set -euo pipefail
export PATH="$PWD/.venv/bin:{HOME}/.venv/bin:$PATH"
command -v fraudloop >/dev/null || {{
    echo "no fraudloop in $PWD: run 'make install' there, or set the variable fraudloop_project" >&2
    exit 1
}}
"""

# Its last line is what the next task reads.
LOOK = f"""code=0
fraudloop drift --out runs/airflow/drift || code=$?
case $code in
0 | {FOUND}) echo "$code" ;;
*) exit "$code" ;;
esac
"""

# The reason was typed by somebody: it comes by the environment, where nothing of it is run.
TRAIN = """reason="$REASON (Airflow: $AIRFLOW_CTX_DAG_RUN_ID)"
fraudloop retrain ${IF_NEEDED:+--if-needed} --reason "$reason" --by airflow
"""


def loop_dag(dag_id: str, schedule: str, doc: str, **more: Any) -> DAG:
    """A DAG of which one run at a time is made, and none for the days that are over."""
    return DAG(
        dag_id,
        schedule=schedule,
        start_date=datetime(2026, 11, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        tags=["fraudloop"],
        description=doc.strip().splitlines()[0],
        doc_md=doc,
        **more,
    )


def command(task_id: str, script: str, limit: timedelta, **more: Any) -> BashOperator:
    """A task that runs a command in the project; two more tries, as far apart as Airflow is set."""
    return BashOperator(
        task_id=task_id,
        bash_command=BEFORE + script,
        cwd=PROJECT,
        append_env=True,
        skip_on_exit_code=None,  # no exit code of ours says "leave it out"
        retries=2,
        execution_timeout=limit,
        **more,
    )


def ask_for_retrain(task_id: str, reason: str) -> TriggerDagRunOperator:
    """A task that asks for a retrain if it is needed; tried again, it does not ask twice."""
    return TriggerDagRunOperator(
        task_id=task_id,
        trigger_dag_id=RETRAIN,
        trigger_run_id="{{ dag.dag_id }}__{{ run_id }}",
        conf={"reason": reason, "if_needed": True},
        skip_when_already_exists=True,
        retries=2,
        execution_timeout=timedelta(minutes=5),
    )


def has_found(code: str) -> bool:
    """Whether the exit code that a task left says that there is something."""
    return code == str(FOUND)


with loop_dag(
    "fraudloop_drift",
    "0 2 * * *",
    """Every day: are new decisions still like what the champion was trained on?

`fraudloop drift` compares those since the last look and keeps its report in the ledger, for
`/drift`; as files it lies in `runs/airflow/drift`. Its exit code 3, drift, is a finding and no
failure: the run goes on and asks `fraudloop_retrain`, which trains if its cooldown is over. Without
drift the rest is skipped. Any other exit code fails, after two more tries.
""",
    dagrun_timeout=timedelta(hours=4),
):
    looked = command("look", LOOK, timedelta(hours=1))
    found = ShortCircuitOperator(
        task_id="is_drift",
        python_callable=has_found,
        op_args=[looked.output],
        retries=2,
        execution_timeout=timedelta(minutes=5),
    )
    found >> ask_for_retrain("ask_for_retrain", "drift found on {{ dag_run.run_after | ds }}")

with loop_dag(
    "fraudloop_extract_validated",
    "0 3 * * *",
    """Every day: write the decisions that people have judged as training data.

`fraudloop ledger export-validated` writes the dataset's own columns, the verdict as the label, to
`runs/airflow/validated.csv` in the project, or to where the Airflow variable `fraudloop_validated`
says (`s3://…` too): whole, or as it was. No verdict yet is no failure.

Then `fraudloop_retrain` is asked to train **if it is needed**: enough new verdicts, outcomes below
a bound, drift, or a month without; `retraining` in `params.yaml` says when that is.
""",
    dagrun_timeout=timedelta(hours=4),
):
    command(
        "export_validated",
        'fraudloop ledger export-validated --if-any "$DESTINATION"\n',
        timedelta(hours=1),
        env={"DESTINATION": VALIDATED},
    ) >> ask_for_retrain("ask_if_needed", "what people have judged by {{ dag_run.run_after | ds }}")

with loop_dag(
    RETRAIN,
    "0 4 1 * *",
    """Every month, and whenever it is triggered: train on what people have judged.

`fraudloop retrain` runs the pipeline aside, registers the challenger and compares it with the
champion on the same test rows; whether it may promote, `retraining.promote` in `params.yaml` says.
It can be resumed: a further try, or the next run, goes on where one was stopped.

Trigger it with a **reason**: it goes into the ledger, for those who ask later. With **if_needed**
it trains only where a trigger of `params.yaml` fires and the cooldown is over; that is the reason
then.
""",
    dagrun_timeout=timedelta(hours=40),
    params={
        "reason": Param(
            "monthly", type="string", minLength=1, maxLength=500, description="Why it is trained."
        ),
        "if_needed": Param(
            False, type="boolean", description="Only where a trigger of params.yaml fires."
        ),
    },
):
    command(
        "retrain",
        TRAIN,
        timedelta(hours=12),
        env={
            "REASON": "{{ params.reason }}",
            "IF_NEEDED": "{{ 'yes' if params.if_needed else '' }}",
        },
    )

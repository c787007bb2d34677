#!/bin/sh
# airflow.sh COMMAND…: the Airflow of `make airflow` with the project's DAGs, all it keeps in .cache/airflow.
# airflow.sh up: its web server on 127.0.0.1:8090 (PORT=…), scheduler and DAG processor, until Ctrl-C.
# `airflow standalone` is not for this: it listens on every address.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd -P)
port=${PORT:-8090}
PATH=$root/.cache/apart/airflow/bin:$PATH
export PATH
export AIRFLOW_HOME="${AIRFLOW_HOME:-$root/.cache/airflow}"
export AIRFLOW__CORE__DAGS_FOLDER="$root/deploy/airflow"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/"
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port"
export AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"

"$root/scripts/apart.sh" airflow
if [ "${1-}" != up ]; then
    exec airflow "$@"
fi

mkdir -p "$AIRFLOW_HOME"
airflow db migrate >"$AIRFLOW_HOME/migrate.log" 2>&1 || {
    echo "Airflow's database cannot be made ready: see $AIRFLOW_HOME/migrate.log." >&2
    exit 1
}
running=
end() {
    for each in $running; do
        kill "$each" 2>/dev/null || true
    done
    wait
}
trap 'trap - INT TERM; end; exit 130' INT TERM
airflow api-server --workers 1 >"$AIRFLOW_HOME/api-server.log" 2>&1 &
running="$!"
# Logs are read from the disk that both share: no server for them.
airflow scheduler --skip-serve-logs >"$AIRFLOW_HOME/scheduler.log" 2>&1 &
running="$running $!"
airflow dag-processor >"$AIRFLOW_HOME/dag-processor.log" 2>&1 &
running="$running $!"
echo "Airflow comes up on http://127.0.0.1:$port; Ctrl-C ends it. Its logs, and who may log in: $AIRFLOW_HOME"
while sleep 2; do
    for each in $running; do
        kill -0 "$each" 2>/dev/null || {
            end
            echo "A part of Airflow has ended: see the logs in $AIRFLOW_HOME." >&2
            exit 1
        }
    done
done

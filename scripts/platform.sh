#!/bin/sh
# The platform of docker-compose.yml: `platform.sh up` builds what is ours, makes the passwords in .env and
# starts everything; `platform.sh down` stops it and keeps its data; `platform.sh secrets` only makes the
# passwords. Both take what docker compose knows from .env or the environment (API_PORT=…, COMPOSE_FILE=…).
set -eu
cd "$(dirname "$0")/.."
what=${1:?up, down or secrets}
TIME_LIMIT=${TIME_LIMIT:-600}

refuse() {
    echo "$*" >&2
    exit 1
}

# 32 characters that are no special ones anywhere: neither in an address nor in a file of settings.
password() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

# What .env does not name yet is added to a copy, which then takes its place; what stands there stays.
secrets() {
    umask 077
    touch .env
    chmod 600 .env
    cp .env .env.part
    [ -z "$(tail -c 1 .env.part)" ] || echo >>.env.part
    [ -s .env.part ] || printf '%s\n' \
        '# Passwords of the platform (docs/platform.md). Made once: its databases know no others.' >>.env.part
    for name in ADMIN_PASSWORD GRAFANA_PASSWORD LEDGER_PASSWORD METRICS_PASSWORD MLFLOW_ADMIN_PASSWORD MLFLOW_API_PASSWORD \
        MLFLOW_DATABASE_PASSWORD MLFLOW_FORM_KEY MLFLOW_SCORER_PASSWORD POSTGRES_PASSWORD S3_SECRET_KEY; do
        grep -q "^$name=." .env.part || printf '%s=%s\n' "$name" "$(password)" >>.env.part
    done
    if cmp -s .env .env.part; then rm .env.part; else mv .env.part .env; fi
}

# Databases that are there would not let anybody in with new passwords.
refuse_lost_secrets() {
    [ -e .env ] || [ -z "$(docker volume ls --quiet --filter "name=^${COMPOSE_PROJECT_NAME:-fraudloop}_postgres$")" ] ||
        refuse 'The platform has data, but its passwords are gone: bring back .env, or give the data up by' \
            "\`docker compose down --volumes\`."
}

case $what in
secrets) secrets && exit ;;
up | down) ;;
*) refuse "platform.sh knows up, down and secrets, not $what" ;;
esac
why=$(scripts/docker_answers.sh 2>&1) || refuse "The platform needs Docker, and $why: install and start it."
docker compose version >/dev/null 2>&1 || refuse "The platform needs \`docker compose\` (version 2): install it."

if [ "$what" = down ]; then
    docker compose --profile '*' down --remove-orphans
    exit
fi
refuse_lost_secrets
secrets
if [ -z "${FRAUDLOOP_IMAGE-}" ]; then
    IMAGE=fraudloop scripts/image.sh
fi
[ -n "${MLFLOW_IMAGE-}" ] || docker compose build --quiet mlflow
docker compose up --detach --wait --wait-timeout "$TIME_LIMIT"
# Where somebody asks, the port is the one that is published.
at() {
    docker compose port "$1" "$2" 2>/dev/null || echo '(not started)'
}
cat <<END

API          http://$(at api 8080)/docs     user admin, password: ADMIN_PASSWORD in .env
MLflow       http://$(at mlflow 5000)          user admin, password: MLFLOW_ADMIN_PASSWORD in .env
Prometheus   http://$(at prometheus 9090)
Grafana      http://$(at grafana 3000)          user admin, password: GRAFANA_PASSWORD in .env
Kafka        $(at kafka 19092)

docker compose run --rm produce    sends transactions
make down                          stops everything; the data stay
END

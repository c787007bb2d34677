#!/bin/sh
# What the official image does at its first start, as far as the platform uses it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?is empty: the official image refuses that too}"
    password=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$password"
    initdb --pgdata "$PGDATA" --username "${POSTGRES_USER:=postgres}" --pwfile "$password" \
        --auth-host scram-sha-256 --auth-local trust >/dev/null
    rm "$password"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --silent --wait start
    export POSTGRES_USER
    for script in /docker-entrypoint-initdb.d/*.sh; do
        sh "$script"
    done
    pg_ctl --pgdata "$PGDATA" --mode fast --silent --wait stop
fi
exec "$@" -c listen_addresses='*'

#!/bin/sh
# PostgreSQL's image runs this once, on an empty volume. Each program has a role that owns its own
# databases and can enter no others.
set -eu
: "${LEDGER_PASSWORD:?is empty: start the platform by make up}"
: "${MLFLOW_DATABASE_PASSWORD:?is empty: start the platform by make up}"
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" <<'SQL'
\getenv ledger_password LEDGER_PASSWORD
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
CREATE ROLE fraudloop LOGIN PASSWORD :'ledger_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE fraudloop OWNER fraudloop;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_users OWNER mlflow;
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1, fraudloop, mlflow, mlflow_users FROM PUBLIC;
SQL

#!/bin/sh
# The ledger's tables, and the API's first users, whose passwords .env holds: its admin, and Prometheus,
# which reads the metrics. Run at every start; who is there already stays as he is.
set -eu

user() {
    name=$1 password=$2
    shift 2
    if python -m fraudloop users list --ledger | cut -f 1 | grep -qx "$name"; then
        return
    fi
    [ -n "$password" ] || {
        echo "no password for $name is set: start the platform by 'make up', which makes one" >&2
        exit 1
    }
    printf '%s\n' "$password" | python -m fraudloop users add "$name" --ledger "$@"
}

python -m fraudloop ledger migrate
user admin "$ADMIN_PASSWORD" --role scorer --role analyst --role operator --role admin
user prometheus "$METRICS_PASSWORD" --role scorer

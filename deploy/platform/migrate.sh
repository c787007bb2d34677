#!/bin/sh
# The ledger's tables, and the API's first user, whose password .env holds. Run at every start; what is
# there already stays.
set -eu
python -m fraudloop ledger migrate
users=$(python -m fraudloop users list 2>/dev/null || true)
case $users in
*admin*) echo 'The API has users already.' >&2 ;;
*)
    [ -n "$ADMIN_PASSWORD" ] || {
        echo 'ADMIN_PASSWORD is empty: "make up" makes one.' >&2
        exit 1
    }
    printf '%s\n' "$ADMIN_PASSWORD" |
        python -m fraudloop users add admin --role scorer --role analyst --role operator --role admin
    ;;
esac

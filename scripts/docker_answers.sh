#!/bin/sh
# Ends well where a Docker engine answers within five seconds; else says why none does, in one sentence.
set -u
command -v docker >/dev/null || {
    echo 'there is no docker command here' >&2
    exit 1
}

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 &
asked=$!
{
    sleep 5
    kill "$asked"
} >/dev/null 2>&1 &
watch=$!
wait "$asked" 2>/dev/null
code=$?
kill "$watch" 2>/dev/null
[ "$code" = 0 ] || {
    echo 'no Docker engine answers here' >&2
    exit 1
}

#!/bin/sh
# Prints "VERSION PATH" of a Python this project can be set up with: $PYTHON where that is given, else
# the first that does among the usual names. Where none does, one sentence says what to install.
# With an argument (find_python.sh 3.11) only that version will do.
set -u
only=${1-}

# Also inside a virtualenv this names the Python beneath it, which outlives the virtualenv.
probe='
import sys
try:
    import ensurepip, venv
    has = "venv"
except ImportError:
    has = "bare"
base = getattr(sys, "_base_executable", None) or sys.executable
print("%d.%d %s %s" % (sys.version_info[0], sys.version_info[1], has, base))
'
newer='' bare='' bare_name='' other=''

# Ends the script where $1 will do; else remembers what was wrong with it.
look() {
    found=$("$1" -c "$probe" 2>/dev/null) || return 0
    version=${found%% *} has=${found#* }
    path=${has#* } has=${has%% *}
    case $version in
        3.1[1-3]) tried=yes ;;
        3.1[4-9] | 3.[2-9][0-9] | [4-9].*) tried=not-yet ;;
        *) tried=no ;;
    esac
    if [ "$tried" = no ] || { [ -n "$only" ] && [ "$version" != "$only" ]; }; then
        other=${other:-$version}
    elif [ "$has" = bare ]; then
        [ -n "$bare" ] || bare=$version bare_name=$1
    elif [ "$tried" = yes ]; then
        echo "$version $path"
        exit 0
    else
        newer=${newer:-$version $path}
    fi
}

# $1 is Debian's package, $2 Homebrew's.
install_command() {
    if [ "$(uname -s)" = Darwin ]; then
        echo "brew install $2"
    elif command -v dnf >/dev/null && ! command -v apt-get >/dev/null; then
        echo 'dnf install python3'
    else
        echo "apt-get install $1"
    fi
}

refuse() {
    echo "$*" >&2
    exit 1
}

if [ -n "${PYTHON-}" ]; then
    look "$PYTHON"
else
    for name in python3 python3.13 python3.12 python3.11; do
        look "$name"
    done
fi
if [ -n "$newer" ]; then
    echo "Python ${newer%% *} is newer than any this project was tried with (3.11 to 3.13): going on with it." >&2
    echo "$newer"
    exit 0
fi

debian=python3-venv
# The one release in common use whose own python3 is too old, and that has a newer one beside it.
if grep -qs '^VERSION_ID="22.04"' /etc/os-release; then
    debian=python3.11-venv
fi
if [ -n "$bare" ]; then
    [ "$bare_name" = python3 ] || debian=python$bare-venv
    refuse "Python $bare is here ($bare_name) but without venv:" \
        "install it with \`$(install_command "$debian" python@3.13)\`."
fi
need="Python ${only:-3.11 or newer}"
have='there is none here'
[ -z "$other" ] || have="here is only Python $other"
if [ -n "${PYTHON-}" ]; then
    have="PYTHON=$PYTHON does not run"
    [ -z "$other" ] || have="PYTHON=$PYTHON is Python $other"
fi
if [ -n "$only" ]; then
    refuse "This needs $need and $have: name one with \`PYTHON=PATH/TO/python$only\`."
fi
refuse "This project needs $need with venv and $have:" \
    "install it with \`$(install_command "$debian" python@3.13)\`."

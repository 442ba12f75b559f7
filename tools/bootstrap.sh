#!/bin/sh
# Create or refresh a virtual environment with edge-asd in it (editable), as constraints.txt pins it.
#
#   tools/bootstrap.sh VENV EXTRAS [PACKAGE...]
#   PYTHON=python3.12 tools/bootstrap.sh .venv dev
#
# A stamp makes the next run immediate; it is void when pyproject.toml, constraints.txt, the Python
# or the place of this checkout changes. Nothing but Python is needed to start with.
#
# Exit codes: 0 ready, 2 usage, 69 Python or one of its parts is missing.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: tools/bootstrap.sh VENV EXTRAS [PACKAGE...]" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
venv=$1
extras=$2
shift 2

at_least_3_10() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        at_least_3_10 "$PYTHON" && echo "$PYTHON" && return 0
        echo "PYTHON=$PYTHON is not a Python 3.10 or newer: set it to one that is" >&2
        return 1
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        at_least_3_10 "$candidate" && echo "$candidate" && return 0
    done
    echo "needs Python 3.10 or newer on PATH: install it (Debian, Ubuntu: apt-get install python3)" \
        "or name one, PYTHON=/path/to/python3.11 make ..." >&2
    return 1
}

python=$(find_python) || exit 69
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
series=${version%.*}

digest() {
    sha256sum | cut -c 1-16
}
# What every package in the environment depends on, then what was asked for: an environment may
# hold several sets, each with a stamp of its own.
base=$({ cat pyproject.toml constraints.txt && echo "$root $version"; } | digest)
stamp="$venv/.ready-$base-$(echo "$extras $*" | digest)"
if [ -e "$stamp" ] && [ -x "$venv/bin/python" ]; then
    exit 0
fi

usable() { # of this Python, and complete: an interrupted creation leaves no pip
    "$venv/bin/python" -c "import pip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$series')" \
        >/dev/null 2>&1
}

if ! usable; then
    # Debian and Ubuntu keep ensurepip in a package of its own.
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        package=python3-venv
        [ "$python" = python3 ] || package="python$series-venv"
        tools/system-packages.sh "$package"
        if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$python has no ensurepip, and the system package $package did not bring it:" \
                "name a complete Python, PYTHON=/path/to/python3.11 make ..." >&2
            exit 69
        fi
    fi
    echo "creating $venv with Python $version"
    "$python" -m venv --clear "$venv"
fi

# Progress bars are for people; a log wants errors only.
quiet="--quiet"
[ ! -t 1 ] || quiet=""
for old in "$venv"/.ready-*; do
    case $old in */.ready-"$base"-*) ;; *) rm -f "$old" ;; esac
done
echo "installing edge-asd[$extras]${*:+ and $*} into $venv (minutes the first time)"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# shellcheck disable=SC2086  # empty on a terminal
"$venv/bin/python" -m pip install $quiet -c constraints.txt --upgrade pip
# shellcheck disable=SC2086
"$venv/bin/python" -m pip install $quiet -c constraints.txt -e ".[$extras]" "$@"
: >"$stamp"

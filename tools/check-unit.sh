#!/bin/sh
# Let systemd check the unit and rate its exposure, bare and with every drop-in that ships; say so
# where no systemd is at hand.
#
#   tools/check-unit.sh UNIT [DROP-IN...]
#
# Exit codes: 0 fine or not checked, 1 a directive that systemd ignores, or too much exposure.
set -eu

most=20 # tenths of what `systemd-analyze security` counts, from 0 (safe) to 100

if ! command -v systemd-analyze >/dev/null 2>&1; then
    echo "systemd-analyze is not installed: $* not checked" >&2
    exit 0
fi
unit=$1
name=$(basename "$unit")
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# systemd wants the program to exist; on a development machine it is not in /usr/bin.
sed 's|/usr/bin/edge-asd|/bin/true|' "$unit" >"$folder/$name"
mkdir "$folder/$name.d"

verify() { # what is checked, in words
    # It leaves with 0 although it ignored a misspelt directive, which is all we want to know.
    report=$(systemd-analyze verify --man=no "$folder/$name" 2>&1) || {
        echo "$1: ${report:-systemd-analyze verify failed}" >&2
        exit 1
    }
    if echo "$report" | grep -F "$folder" >&2; then
        echo "$1: systemd ignored what it names above" >&2
        exit 1
    fi
}

rate() { # what is checked, in words
    if ! systemd-analyze --help | grep -q -e --offline; then
        echo "systemd-analyze is older than 250: the exposure of $1 is not rated" >&2
        return 0
    fi
    if ! report=$(systemd-analyze security --no-pager --offline=true --threshold=$most \
        "$folder/$name" 2>&1); then
        echo "$report" | grep -v '^✓' >&2
        echo "$1: the exposure is above $((most / 10)).$((most % 10)); docs/service.md" >&2
        exit 1
    fi
    echo "$1: $(echo "$report" | grep -o 'Overall exposure level.*: [0-9.]*' | grep -o '[0-9.]*$')"
}

verify "$unit"
rate "$unit"
for drop_in in "$@"; do
    cp "$drop_in" "$folder/$name.d/"
done
if [ $# -gt 0 ]; then
    verify "$unit with $*"
    rate "$unit with $*"
fi
for drop_in in "$@"; do
    rm "$folder/$name.d"/*
    cp "$drop_in" "$folder/$name.d/"
    rate "$unit with $drop_in"
done

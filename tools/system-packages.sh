#!/bin/sh
# Install missing Debian packages, and nothing where none is missing.
#
#   tools/system-packages.sh NAME[=PROBE]...
#
# PROBE is what the package is wanted for: a command, or a library such as libportaudio.so.2. Where
# it is found, whoever installed it, the package is not asked for.
#
# Exit codes: 0 everything is there, 69 something is missing and cannot be installed from here.
set -eu

# Debian keeps mosquitto and ldconfig where an ordinary user's PATH does not lead.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# Packages of the list that would start a service as soon as they are installed.
services="mosquitto prometheus"

present() {
    package=${1%%=*}
    case $1 in
        *=*.so*) ldconfig -p 2>/dev/null | grep -q "^[[:space:]]*${1#*=} " && return 0 ;;
        *=*) command -v "${1#*=}" >/dev/null 2>&1 && return 0 ;;
    esac
    command -v dpkg-query >/dev/null 2>&1 &&
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'
}

missing=""
for wanted in "$@"; do
    present "$wanted" || missing="$missing ${wanted%%=*}"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

# Debian starts a service on installation (mosquitto on 1883, prometheus on 9090). Tests start their
# own, on ports of their own, so none may be left running on a machine that only ran the tests. A
# masked unit is not started by the package's own script; afterwards it is unmasked, so that whoever
# wants it can enable it, and disabled, so that it stays off at the next boot too. Where no systemd
# runs, RUNLEVEL=1 says the same to invoke-rc.d. A policy-rc.d would need a file that is left behind
# if this script dies, and would hold back the services of every other package as well.
new_services=""
if [ -d /run/systemd/system ]; then
    for service in $services; do
        case " $missing " in *" $service "*) new_services="$new_services $service.service" ;; esac
    done
fi

install="apt-get install -y --no-install-recommends $missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "needs the system packages $missing (Debian's names), and there is no apt here:" \
        "install their equivalents and run this again" >&2
    exit 69
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "needs the system package(s) $missing: run as root" \
            "'apt-get update && $install' and start again" >&2
        exit 69
    fi
    as_root="sudo"
fi

echo "needs the system package(s) $missing: installing with apt${as_root:+ through sudo}"
for service in $new_services; do
    echo "  $service will not be started; 'systemctl enable --now $service' does that"
done

run() {
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 "$@"
}

refuse() {
    echo "$1: see the message above, then run" \
        "'${as_root:+sudo }apt-get update && ${as_root:+sudo }$install'" >&2
    exit 69
}

# shellcheck disable=SC2317,SC2086  # called by the trap; a list of units
restore() {
    $as_root systemctl --quiet unmask $new_services
    $as_root systemctl --quiet disable $new_services 2>/dev/null || true # not installed after all
}

run true || refuse "root rights are needed for $missing"
if [ -n "$new_services" ]; then
    trap restore EXIT
    trap 'exit 130' INT TERM
    # shellcheck disable=SC2086  # a list of units
    $as_root systemctl --quiet mask $new_services
fi
# A third-party list that is out of reach must not matter: the packages are Debian's own.
run apt-get -qq update </dev/null || echo "apt-get update reported errors: going on" >&2
# A minute of patience: on a fresh machine the first automatic update may hold the lock.
# shellcheck disable=SC2086  # a command line
run $install -qq -o DPkg::Lock::Timeout=60 -o Dpkg::Use-Pty=0 </dev/null ||
    refuse "apt could not install $missing"

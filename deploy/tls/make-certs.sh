#!/bin/sh
# Certificates for a broker of your own, its devices and its people: an authority that signs all.
#
#   deploy/tls/make-certs.sh DIR ca                       once; keep DIR/ca.key off every device
#   deploy/tls/make-certs.sh DIR server NAME [NAME|IP]…   the broker, by every name it is reached by: DIR/server.pem
#   deploy/tls/make-certs.sh DIR client NAME              a device, or a person or program
#
# The broker takes a client's NAME as its user name (deploy/mosquitto/acl): a device's NAME is
# `device` of its configuration. Nothing that exists is overwritten. DAYS=n says how long a
# certificate is good for (default: the authority 3650, all others 825).
#
# Exit codes: 0 written, 1 something is in the way, 2 usage.
set -eu
umask 077 # keys are nobody else's

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

refuse() {
    echo "make-certs.sh: $1" >&2
    exit 1
}

[ $# -ge 2 ] || usage
dir=$1
what=$2
shift 2
command -v openssl >/dev/null || refuse "openssl is not installed (Debian: apt-get install openssl)"
(umask 022 && mkdir -p "$dir") # the keys in it are closed, each by itself
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

new_key() { # FILE
    [ ! -e "$1" ] || refuse "$1 is there already"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

check_name() {
    case $1 in
        *[!A-Za-z0-9._-]* | "") refuse "NAME '$1': letters, digits, . _ - only" ;;
    esac
}

request() { # KEY NAME EXTENSIONS
    # A configuration of our own: that of the system differs from one to the next. Python 3.13 asks
    # for the two key identifiers.
    cat >"$scratch/config" <<CONFIG
[req]
distinguished_name = name
prompt = no
[name]
CN = $2
[extensions]
subjectKeyIdentifier = hash
$3
CONFIG
    openssl req -new -key "$1" -config "$scratch/config" -out "$scratch/request"
}

sign() { # FILE DAYS OPTION...
    file=$1
    days=$2
    shift 2
    openssl x509 -req -in "$scratch/request" -sha256 -days "$days" -extfile "$scratch/config" \
        -extensions extensions -set_serial "0x$(openssl rand -hex 16)" -out "$file" "$@" \
        2>"$scratch/said" || refuse "openssl: $(cat "$scratch/said")"
    chmod 644 "$file"
}

ca() {
    new_key "$dir/ca.key"
    request "$dir/ca.key" "edge-asd CA" "basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign"
    sign "$dir/ca.pem" "${DAYS:-3650}" -signkey "$dir/ca.key"
    echo "$dir/ca.pem: give it to the broker, to devices and to subscribers"
    echo "$dir/ca.key: whoever has it can be anybody; keep it on this computer"
}

leaf() { # FILE NAME EXTENSIONS
    [ -e "$dir/ca.key" ] || refuse "$dir/ca.key is missing: run '$0 $dir ca' first"
    new_key "$dir/$1.key"
    request "$dir/$1.key" "$2" "basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
authorityKeyIdentifier = keyid
$3"
    sign "$dir/$1.pem" "${DAYS:-825}" -CA "$dir/ca.pem" -CAkey "$dir/ca.key"
    echo "$dir/$1.pem and $dir/$1.key"
}

server() {
    names=""
    for name in "$@"; do
        check_name "$name"
        case $name in
            *[!0-9.]*) names="$names,DNS:$name" ;;
            *) names="$names,IP:$name" ;;
        esac
    done
    leaf server "$1" "extendedKeyUsage = serverAuth
subjectAltName = ${names#,}"
}

client() {
    check_name "$1"
    case $1 in ca | server) refuse "NAME '$1' is taken by files of that name" ;; esac
    leaf "$1" "$1" "extendedKeyUsage = clientAuth"
}

case $what,$# in
    ca,0) ca ;;
    server,0 | client,0) usage ;;
    server,*) server "$@" ;;
    client,1) client "$1" ;;
    *) usage ;;
esac

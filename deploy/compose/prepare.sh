#!/bin/sh
# Make the certificates and secrets that compose.yaml mounts, once.
#
#   sudo deploy/compose/prepare.sh DEVICE [NAME|IP]…
#
# DEVICE is `device` of config.yaml; NAME and IP are how people reach the broker from elsewhere.
# Each secret belongs to the user of the container that reads it, and to nobody else; therefore root.
# What exists already is kept. Clients: deploy/tls/make-certs.sh deploy/compose/tls client operator
#
# Exit codes: 0 done, 1 something failed, 2 usage.
set -eu

if [ $# -lt 1 ]; then
    sed -n 's/^#   //p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
make_certs=$here/../tls/make-certs.sh
device=$1
shift

[ -e "$here/tls/ca.key" ] || "$make_certs" "$here/tls" ca
[ -e "$here/tls/server.key" ] || "$make_certs" "$here/tls" server mosquitto localhost "$@"
[ -e "$here/tls/$device.key" ] || "$make_certs" "$here/tls" client "$device"

umask 077
mkdir -p "$here/secrets"
random() {
    openssl rand -hex 24
}
[ -e "$here/secrets/http-token" ] || random >"$here/secrets/http-token"
[ -e "$here/secrets/grafana-password" ] || random >"$here/secrets/grafana-password"
cp "$here/secrets/http-token" "$here/secrets/prometheus-token"
cp "$here/tls/$device.key" "$here/secrets/device-key"
cp "$here/tls/$device.pem" "$here/tls/device.pem"
chmod 644 "$here/tls/device.pem"

# The users of the images: ours, mosquitto's, Prometheus's (nobody) and Grafana's.
chmod 711 "$here/secrets"
chown 10001 "$here/secrets/device-key" "$here/secrets/http-token"
chown 1883 "$here/tls/server.key"
chown 65534 "$here/secrets/prometheus-token"
chown 472 "$here/secrets/grafana-password"
echo "Grafana's password (user admin): $here/secrets/grafana-password"

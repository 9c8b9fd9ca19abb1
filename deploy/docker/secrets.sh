#!/usr/bin/env bash
# Makes the secrets of compose.yaml and compose.ray.yaml in a folder (default: secrets beside this file): a private
# authority, the broker's certificate, passwords. For a plant, put your own files there instead.
# Needs openssl and mosquitto_passwd (packages openssl, mosquitto). Leaves a folder that exists alone.
set -euo pipefail
folder=${1:-"$(dirname "${BASH_SOURCE[0]}")/secrets"}
[ ! -e "$folder" ] || { echo "$folder is there already; remove it to start anew" >&2; exit 1; }
umask 077
mkdir -p "$folder"
cd "$folder"

openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj "/CN=Pitwatch broker authority" \
    -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=mosquitto" -keyout mosquitto.key -out mosquitto.csr 2>/dev/null
printf 'subjectAltName=DNS:mosquitto,DNS:localhost\n' >mosquitto.ext
openssl x509 -req -in mosquitto.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 \
    -extfile mosquitto.ext -out mosquitto.pem 2>/dev/null
rm -f mosquitto.csr mosquitto.ext ca.srl

for name in mqtt_password scada_password http_token grafana_password ray_token; do
    openssl rand -hex 16 >"$name"
done
: >mosquitto_passwords
mosquitto_passwd -b mosquitto_passwords pitwatch "$(cat mqtt_password)"
mosquitto_passwd -b mosquitto_passwords scada "$(cat scada_password)"
# Compose hands the files over as they are; the containers read them as users of their own.
chmod 0644 ca.pem mosquitto.pem mosquitto.key mosquitto_passwords mqtt_password http_token grafana_password ray_token

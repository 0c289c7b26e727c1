#!/bin/sh
# What compose.yaml runs before Mosquitto: a password for each user of `acl`, made once and kept in
# /passwords/USER/password; a new user gets one at the next start. The arguments are the users of
# containers, NAME=UID, whose passwords these may read.
set -eu
umask 077

config=/mosquitto/config
cp /source/mosquitto.conf /source/acl "$config"
: >"$config/passwords.new"
for user in $(sed -n 's/^user //p' /source/acl); do
    mkdir -p "/passwords/$user"
    file="/passwords/$user/password"
    if [ ! -s "$file" ]; then
        head -c 18 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$file.new"
        mv "$file.new" "$file"
        echo "a new password: $user"
    fi
    echo "$user:$(cat "$file")" >>"$config/passwords.new"
done
mosquitto_passwd -U "$config/passwords.new"
mv "$config/passwords.new" "$config/passwords"

chown -R 1883:1883 "$config" /mosquitto/data
for reader in "$@"; do
    chown -R "${reader#*=}:${reader#*=}" "/passwords/${reader%%=*}"
done
chown 10001:10001 /media/esp32cam

#!/bin/sh
# The tests talk to a real Mosquitto: install it where that is allowed, and say so where not.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mosquitto >/dev/null && command -v openssl >/dev/null && exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "The tests need Mosquitto and openssl: sudo apt-get install mosquitto openssl" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests need Mosquitto and openssl; there is no apt-get here to install them with." >&2
    exit 1
fi
echo "Installing Mosquitto for the tests." >&2
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto openssl >/dev/null

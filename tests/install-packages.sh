#!/bin/sh
# What the tests need beside Python, as Debian packages: installed where that is allowed, else named.
# Mosquitto to talk to, openssl for its certificates, libturbojpeg to turn pictures without loss.
set -eu
packages="mosquitto openssl libturbojpeg0"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "The tests need these, and there is no apt-get here to install them with:$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "The tests need these packages; install them with: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing for the tests:$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

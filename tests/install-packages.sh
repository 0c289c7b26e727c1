#!/bin/sh
# What is needed beside Python, as Debian packages: installed where that is allowed, else named.
#
#   tests/install-packages.sh tests      a Mosquitto to talk to, its clients, openssl for
#                                        certificates, libturbojpeg to turn pictures without loss
#   tests/install-packages.sh browser    Chromium, and a font for it
#   tests/install-packages.sh firmware   a compiler, and the libraries that a board's SDK has too
#   tests/install-packages.sh container  podman and runc to build and run the image, mmdebstrap
#                                        to make the Debian below it
#   tests/install-packages.sh service    mmdebstrap again, and systemd-nspawn to start what it made
set -eu
packages=""
for set in "$@"; do
    case "$set" in
    tests) packages="$packages mosquitto mosquitto-clients openssl libturbojpeg0" ;;
    browser) packages="$packages chromium fonts-dejavu-core" ;;
    firmware)
        packages="$packages g++ make cmake pkg-config"
        packages="$packages libcjson-dev libmbedtls-dev libturbojpeg0-dev doctest-dev"
        ;;
    container) packages="$packages podman buildah runc mmdebstrap" ;;
    service) packages="$packages systemd-container mmdebstrap" ;;
    *)
        echo "usage: $0 tests|browser|firmware|container|service ..." >&2
        exit 2
        ;;
    esac
done
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "These are needed, and there is no apt-get here to install them with:$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "These packages are needed; install them with: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing:$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

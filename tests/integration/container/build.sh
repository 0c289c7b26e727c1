#!/bin/sh
# Builds docker/Dockerfile with podman, without an image registry: on a Debian made by mmdebstrap,
# which is kept in the folder CACHE, for all checkouts. As root; says what it does on stderr, and
# how to call podman then on stdout.
set -eu
cache="$1"
cd "$(dirname "$0")/../../.."
base="$cache/bookworm.tar"
podman="podman --root $cache/store --runroot $cache/run"
if [ ! -e "$base" ]; then
    echo "making a Debian to build on: $base" >&2
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
        bookworm "$cache/new.tar" >&2
    mv "$cache/new.tar" "$base"
fi
$podman image exists localhost/base || $podman import --quiet "$base" localhost/base >&2
# pip outside knows its registry, and pip inside takes what it has fetched, by the same hashes.
wheels="$cache/wheels"
rm -rf "$wheels"
for list in requirements requirements-build; do
    "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check \
        --only-binary :all: --python-version 3.11 \
        --require-hashes --requirement "docker/$list.txt" --dest "$wheels" >&2
done
printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$cache/pip.conf"
$podman build --quiet --isolation chroot --format docker --network host --pull=never \
    --volume "$cache/pip.conf:/etc/pip.conf:ro" --volume "$wheels:/wheels:ro" \
    --build-arg BASE=localhost/base --file docker/Dockerfile --tag localhost/esp32cam2mqtt . >&2
$podman image prune --force >/dev/null
echo "$podman"

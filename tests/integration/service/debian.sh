#!/bin/sh
# A Debian with systemd, and what pip needs to install the bridge in it without an index: kept in
# the folder CACHE, for all checkouts. As root.
set -eu
cache="$1"
cd "$(dirname "$0")/../../.."
if [ ! -e "$cache/bookworm.tar" ]; then
    echo "making a Debian with systemd: $cache/bookworm.tar" >&2
    mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,python3,python3-venv \
        bookworm "$cache/new.tar" >&2
    mv "$cache/new.tar" "$cache/bookworm.tar"
fi
rm -rf "$cache/wheels"
"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --only-binary :all: \
    --python-version 3.11 --require-hashes --requirement docker/requirements.txt \
    --dest "$cache/wheels" >&2

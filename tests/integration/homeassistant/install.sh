#!/bin/sh
# Home Assistant in a folder of its own outside of this checkout, for all checkouts: 960 MB, and
# some five minutes at the first time. Prints the folder; what it does goes to standard error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^homeassistant==//p' "$here/requirements.txt")
folder="${XDG_CACHE_HOME:-$HOME/.cache}/esp32cam2mqtt/homeassistant-$version"
echo "$folder"
cmp -s "$here/requirements.txt" "$folder/.complete" && exit 0

for python in ${PYTHON313:-} python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
        echo "installing Home Assistant $version in $folder" >&2
        "$python" -m venv "$folder" >&2
        "$folder/bin/pip" install --quiet --disable-pip-version-check \
            --requirement "$here/requirements.txt" >&2
        cp "$here/requirements.txt" "$folder/.complete"
        exit 0
    fi
done
echo "Home Assistant $version needs CPython 3.13; name one with PYTHON313=/path/to/python3.13" >&2
exit 1

#!/bin/sh
# Home Assistant in a folder of its own outside of this checkout, for all checkouts: 800 MB. Prints
# the folder; what it does goes to standard error. With uv it takes half a minute from nothing,
# with pip, where uv can't be had, some minutes.
#
#   install.sh [VERSION]   one that has a requirements-VERSION.txt here
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=${1:-2025.4.4}
requirements="$here/requirements-$version.txt"
case "$version" in
2024.3.*) minor=11 ;;
*) minor=13 ;;
esac
if [ ! -f "$requirements" ]; then
    echo "no requirements-$version.txt; there are: $(cd "$here" && echo requirements-*.txt)" >&2
    exit 2
fi
cache="${XDG_CACHE_HOME:-$HOME/.cache}/esp32cam2mqtt"
folder="$cache/homeassistant-$version"
echo "$folder"
mkdir -p "$cache"

# Who comes second waits for the first, and finds it done.
exec 9>"$cache/install.lock"
if command -v flock >/dev/null; then flock 9; fi
cmp -s "$requirements" "$folder/.complete" && exit 0
rm -rf "$folder" # what an earlier run did not complete

eval "told=\${PYTHON3$minor:-}"
for python in $told "python3.$minor" "$HOME"/.pyenv/versions/3.$minor.*/bin/python ""; do
    "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null && break
done
if [ -z "$python" ]; then
    echo "Home Assistant $version needs CPython 3.$minor; name one with PYTHON3$minor=/path/to/python" >&2
    exit 1
fi

with_uv() {
    if [ ! -x "$cache/uv/bin/uv" ]; then
        "$python" -m venv "$cache/uv" && "$cache/uv/bin/pip" install --quiet uv || return
    fi
    # What pip is told of its index holds for uv, which does not read pip's configuration.
    for setting in index-url=UV_DEFAULT_INDEX cert=SSL_CERT_FILE; do
        for section in global :env:; do
            value=$("$python" -m pip config get "$section.${setting%%=*}" 2>/dev/null) || continue
            export "${setting#*=}=$value"
        done
    done
    "$cache/uv/bin/uv" pip install --quiet --python "$folder/bin/python" -r "$requirements"
}

echo "installing Home Assistant $version in $folder" >&2
"$python" -m venv "$folder" >&2
if ! with_uv >&2; then
    echo "uv can't; with pip, then" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
fi
cp "$requirements" "$folder/.complete"

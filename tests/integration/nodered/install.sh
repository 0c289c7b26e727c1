#!/bin/sh
# Node-RED in a folder of its own outside of this checkout, for all checkouts; prints the folder,
# and what it does goes to standard error.
#
#   install.sh      the newest 4: 120 MB, and about a minute at the first time
#   install.sh 5    the newest 5, with a Node.js that is new enough for it: 300 MB
set -eu
case "${1:-4}" in
4) version=4.1.15 more="" ;;
5) version=5.0.7 more="node@22.23.3" ;;
*)
    echo "usage: $0 [4|5]" >&2
    exit 2
    ;;
esac
folder="${XDG_CACHE_HOME:-$HOME/.cache}/esp32cam2mqtt/node-red-$version"
echo "$folder"
[ ! -e "$folder/.complete" ] || exit 0
if ! command -v npm >/dev/null; then
    echo "Node-RED $version needs Node.js and npm. On Debian: apt-get install nodejs npm" >&2
    exit 1
fi
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9 # another checkout may be at it
[ ! -e "$folder/.complete" ] || exit 0
echo "installing Node-RED $version in $folder" >&2
echo '{"private": true}' >"$folder/package.json"
# shellcheck disable=SC2086  # none, or one
npm install --prefix "$folder" --no-package-lock --no-fund --no-audit --loglevel=error \
    "node-red@$version" $more >&2
touch "$folder/.complete"

#!/bin/sh
# Pictures from a shell, by Mosquitto's own clients (Debian: mosquitto-clients) and the bridge.
#
#   mqtt-cli.sh picture CAMERA [FILE]              a picture of now, into CAMERA.jpg
#   mqtt-cli.sh burst CAMERA COUNT EVERY [FOLDER]  COUNT pictures, EVERY seconds: 1.jpg, 2.jpg ...
#   mqtt-cli.sh all [FOLDER]                       one of each camera, at once: CAMERA.jpg
#   mqtt-cli.sh watch CAMERA [FOLDER]              every picture that comes, whoever asks for it
#   mqtt-cli.sh loop CAMERA EVERY [FOLDER]         a picture every so many seconds; goes on after
#                                                  an error
#
# The bridge answers each request once: with the picture, or with a named error, which goes to
# standard error; then the exit code is 1. The broker's address, user and password are looked for
# in ~/.config/mosquitto_sub, _pub and _rr, an option a line.
#
#   ESP32CAM_BASE     the bridge's base topic           (esp32cam)
#   ESP32CAM_REPLY    a topic of one's own for answers  (esp32cam-reply/USER)
#   ESP32CAM_TIMEOUT  seconds to wait for one           (90: a command may wait for 60)
set -eu

base=${ESP32CAM_BASE:-esp32cam}
reply=${ESP32CAM_REPLY:-esp32cam-reply/$(id -un)}/$$
patience=${ESP32CAM_TIMEOUT:-90}

usage() {
    sed -n 's/^#   \(mqtt-cli.sh\)/\1/p' "$0" >&2
    exit 2
}

say() {
    echo "$*" >&2
}

# What has come, kept as FILE if it is a JPEG, else shown: an error is JSON, and nothing is silence.
keep() {
    if [ "$(head -c 2 "$2" | od -An -tx1 | tr -d ' ')" = ffd8 ]; then
        mv "$2" "$3"
        say "$1: $3"
    elif [ -s "$2" ]; then
        say "$1: $(cat "$2")"
        return 1
    else
        say "$1: no answer in $patience s: is there such a camera, and does the bridge run?"
        return 1
    fi
}

picture() {
    file=${2:-$1.jpg}
    part=$file.$$.part
    # The answer's own topic ties it to this request, whoever else asks.
    mosquitto_rr -V 5 -t "$base/$1/capture" -m '{"save": false}' -e "$reply/$1" -N -W "$patience" \
        >"$part" || true
    keep "$1" "$part" "$file" || { rm -f "$part"; return 1; }
}

burst() {
    camera=$1 count=$2 every=$3 folder=${4:-.} number=0 failed=0
    pipe=$(mktemp -u) part=$folder/.$$.part
    mkfifo -m 600 "$pipe"
    # The broker keeps what comes for a session for a minute, so that no answer can be too early.
    set -- -V 5 -i "mqtt-cli-$$" -c -x 60 -q 1 -t "$reply/burst"
    mosquitto_sub "$@" -E
    mosquitto_pub -V 5 -q 1 -t "$base/$camera/capture" -D publish response-topic "$reply/burst" \
        -m "{\"count\": $count, \"every\": $every, \"save\": false}"
    # In hexadecimal, each picture is a line.
    mosquitto_sub "$@" -C "$count" -F %X -W "$patience" >"$pipe" &
    while read -r line; do
        number=$((number + 1))
        printf %s "$line" | basenc --base16 --decode >"$part"
        keep "$camera" "$part" "$folder/$number.jpg" && continue
        failed=1
        if grep -q '"index":null' "$part"; then # refused as a whole
            kill $!
            number=$count
            break
        fi
    done <"$pipe"
    rm -f "$pipe" "$part"
    [ "$number" -ge "$count" ] || { say "$camera: $number of $count came in $patience s"; failed=1; }
    return "$failed"
}

all() {
    folder=${1:-.} failed=0 pids=""
    # Each camera's availability is retained, and nothing else that is asked for here.
    cameras=$(mosquitto_sub -t "$base/+/availability" --retained-only -F %t -W 1 2>/dev/null |
        sed "s|^$base/||; s|/availability\$||") || true
    [ -n "$cameras" ] || { say "no camera is known below $base/"; return 1; }
    for camera in $cameras; do
        picture "$camera" "$folder/$camera.jpg" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || failed=1
    done
    return "$failed"
}

watch() {
    folder=${2:-.}
    # -R: not the one that was there before.
    mosquitto_sub -R -t "$base/$1/image" -F %X | while read -r line; do
        file=$folder/$1-$(date +%Y%m%d-%H%M%S-%N).jpg
        printf %s "$line" | basenc --base16 --decode >"$file"
        say "$1: $file"
    done
}

loop() {
    while true; do
        picture "$1" "${3:-.}/$1-$(date +%Y%m%d-%H%M%S).jpg" || true
        sleep "$2"
    done
}

[ $# -ge 1 ] || usage
command=$1
shift
case "$command $#" in
"picture 1" | "picture 2" | "burst 3" | "burst 4" | "all 0" | "all 1" | "watch 1" | "watch 2" | "loop 2" | "loop 3")
    "$command" "$@"
    ;;
*) usage ;;
esac

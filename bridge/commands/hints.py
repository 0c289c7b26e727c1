"""What to try when a board gave no picture, by the error's code, or a broker is away. Pure."""

from bridge.errors import (
    BadImage,
    Busy,
    CameraFailed,
    CaptureTimeout,
    StorageFailed,
    Unauthorized,
    UnknownCamera,
    Unreachable,
    Unsupported,
)

_HINTS = {
    Unreachable.code: (
        "try: is the board powered and on this network? esp32cam2mqtt find shows those with our "
        "firmware; boards listen on port 81, and have five connections: others may hold them"
    ),
    Unauthorized.code: (
        "try: key in config.yaml, as it was set on the board (username and password are for a "
        "proxy), and capture the camera by its name"
    ),
    Busy.code: "try again in a moment: the board takes one picture at a time, for everybody",
    CaptureTimeout.code: (
        "try: --timeout 30 for slow Wi-Fi; the original sketch says nothing when its camera fails, "
        "so look at the board's serial log, or switch it off and on"
    ),
    CameraFailed.code: (
        "try: switch it off and on; then the camera's ribbon cable and the power supply, which "
        "must give 5 V and 2 A"
    ),
    BadImage.code: (
        "try again nearer to the access point; with our firmware --framesize VGA or --quality 20, "
        "and for pictures over the limit max_image in config.yaml"
    ),
    Unsupported.code: "try without that option: this board, or its firmware, does not know it",
    StorageFailed.code: "try: -o FILE, in a folder that is there and can be written to",
    UnknownCamera.code: "try: one of these names, or the board's address, ws://HOST:81",
}

BROKER = (
    "try: does the broker run, at mqtt.host and mqtt.port? Mosquitto listens to other computers "
    "only if its configuration says so: listener 1883"
)


def hint(code: str) -> str:
    """A line on what to try next."""
    return _HINTS[code]

"""Every way in which a request can fail, each with the code that its requester sees.

BridgeError
├── BadRequest          bad_request         the command itself is wrong
├── UnknownCamera       unknown_camera      no such camera in config.yaml
├── Busy                busy                as many captures wait as may
├── Expired             expired             it waited longer than max_age
├── Unreachable         unreachable         ended before the board was asked
├── Unauthorized        unauthorized        401, 403, or a wrong key
├── CaptureTimeout      timeout             asked, and silence
├── CameraFailed        camera_failed       the connection lost after asking, or the board's fault
├── BadImage            bad_image           no whole JPEG, or over max_image
├── TooLarge            too_large           over what MQTT carries
├── Unsupported         unsupported         asked of a board that can't
├── StorageFailed       storage_failed      the path was wanted, and there is none
└── ShuttingDown        shutting_down       the bridge is going down
ConfigError                                 config.yaml: every fault in it at once
"""

from typing import ClassVar


class BridgeError(Exception):
    """A request failed; ``str()`` of it is a sentence for a person."""

    code: ClassVar[str]


class BadRequest(BridgeError):
    """The command has an unknown key, a wrong type or a value out of range.

    ``id`` is the command's own, where it had a usable one, ``count`` how many pictures it wanted.
    """

    code = "bad_request"

    def __init__(self, message: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.id = id
        self.count = 1


class UnknownCamera(BridgeError):
    """No camera of that name is configured."""

    code = "unknown_camera"


class Busy(BridgeError):
    """The camera's queue is full."""

    code = "busy"


class Expired(BridgeError):
    """The request waited in its camera's queue longer than ``capture.max_age``."""

    code = "expired"


class Unreachable(BridgeError):
    """It ended before the question was sent: refused, no name, no handshake."""

    code = "unreachable"


class Unauthorized(BridgeError):
    """The board, or what stands before it, did not accept our credentials."""

    code = "unauthorized"


class CaptureTimeout(BridgeError):
    """The board was asked and did not deliver in time."""

    code = "timeout"


class CameraFailed(BridgeError):
    """The connection was lost after the question, or the board reported a failure of its own."""

    code = "camera_failed"


class BadImage(BridgeError):
    """What came is no whole JPEG, or is larger than ``max_image``."""

    code = "bad_image"


class TooLarge(BridgeError):
    """The image is over the broker's packet limit or ``mqtt.max_payload``."""

    code = "too_large"


class Unsupported(BridgeError):
    """The request asks for something this board can't do."""

    code = "unsupported"


class StorageFailed(BridgeError):
    """The image could not be saved."""

    code = "storage_failed"


class ShuttingDown(BridgeError):
    """The bridge is stopping, or the camera left its configuration."""

    code = "shutting_down"


class ConfigError(Exception):
    """The configuration can't be used; ``problems`` has one line for every fault found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

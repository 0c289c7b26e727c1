"""The names of every topic we use. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

ONLINE = b"online"
OFFLINE = b"offline"
ALL = "all"
BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """The topics of one camera, spelled once so that a capture need not."""

    capture: str
    set: str
    restart: str
    image: str
    path: str
    result: str
    state: str
    settings: str
    availability: str

    @classmethod
    def of(cls, base: str, camera: str) -> "CameraTopics":
        """All topics of ``camera`` below the base topic."""
        return cls(*(f"{base}/{camera}/{name}" for name in cls.__slots__))

    def __iter__(self) -> Iterator[str]:
        """All of them."""
        return (getattr(self, name) for name in self.__slots__)

    @property
    def commands(self) -> tuple[str, ...]:
        """What the bridge listens to."""
        return self.capture, self.set, self.restart

    @property
    def retained(self) -> tuple[str, ...]:
        """What stays with the broker, and is cleared when the camera leaves the configuration."""
        return self.state, self.settings, self.availability, self.image


@dataclass(frozen=True, slots=True)
class BridgeTopics:
    """The topics of the bridge itself."""

    state: str
    info: str
    health: str
    discovery: str

    @classmethod
    def of(cls, base: str) -> "BridgeTopics":
        """All topics of the bridge below the base topic."""
        return cls(*(f"{base}/{BRIDGE}/{name}" for name in cls.__slots__))

    def __iter__(self) -> Iterator[str]:
        """All of them."""
        return (getattr(self, name) for name in self.__slots__)


def group_capture(base: str, group: str) -> str:
    """Where a command for every member of ``group``, or of ``all``, is published."""
    return f"{base}/{group}/capture"


_MAX_LEVELS = 200
"""Slashes in a topic. Mosquitto cuts the connection of who publishes to one with more."""
MAX_RESPONSE = 16 * 1024
"""Bytes of a response topic and its correlation data; MQTT allows 64 KiB of each, for each request
that waits."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def response_topic_fault(
    topic: str,
    correlation_data: bytes | None,
    ours: frozenset[str],
    *,
    discovery_prefix: str | None = None,
) -> str | None:
    """Why an MQTT 5 response topic may not be answered, or ``None``. It is whatever a client sent.

    ``ours`` are the topics that we listen to, where an answer would be taken for a command, and
    those that we publish to, where one camera's picture would be taken for another's. Below
    ``discovery_prefix`` Home Assistant believes what we say.
    """
    if not topic:
        return "it is empty"
    if _CONTROL.search(topic):  # some brokers throw out whoever publishes there: us
        return "it has a control character"
    if topic.count("/") > _MAX_LEVELS:
        return f"it has over {_MAX_LEVELS} levels"
    if len(topic.encode()) + len(correlation_data or b"") > MAX_RESPONSE:
        return f"it and the correlation data have over {MAX_RESPONSE} bytes"
    if "+" in topic or "#" in topic:
        return "it has a wildcard"
    if topic.startswith("$"):
        return "it begins with $"
    if discovery_prefix is not None and topic.startswith(f"{discovery_prefix}/"):
        return f"it is below {discovery_prefix}/, which is Home Assistant's"
    if topic in ours:
        return "it is one of the bridge's own topics"
    return None

"""What is to be published: in order, bounded in bytes, kept until the broker has it. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Literal

from bridge.errors import BridgeError, Expired, TooLarge

Kind = Literal["image", "result", "state"]

MAX_BYTES = 64 * 1024 * 1024
"""Payload bytes that wait or are on their way. Past it, the oldest image goes first."""

WINDOW = 20
"""Publications on their way at once: what Mosquitto takes before it wants acknowledgements."""

WINDOW_BYTES = 8 * 1024 * 1024
"""Payload bytes on their way at once; the rest stays here, where it can still be dropped."""

MAX_CUTS = 3
"""How often a connection may break on the same image before that is what breaks it."""


class Publication:
    """One message for the broker, at QoS 1.

    ``on_sent`` is called when it is handed to a connection, ``on_dropped`` when it never will be.
    """

    __slots__ = (
        "content_type",
        "correlation_data",
        "cuts",
        "kind",
        "on_dropped",
        "on_sent",
        "payload",
        "retain",
        "topic",
        "user_properties",
        "waiting",
    )

    def __init__(
        self,
        topic: str,
        payload: bytes | bytearray,
        kind: Kind,
        *,
        retain: bool = False,
        content_type: str = "application/json",
        correlation_data: bytes | None = None,
        user_properties: list[tuple[str, str]] | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.kind = kind
        self.retain = retain
        self.content_type = content_type
        self.correlation_data = correlation_data
        self.user_properties = user_properties
        self.on_sent: Callable[[], None] | None = None
        self.on_dropped: Callable[[BridgeError], None] | None = None
        self.waiting = False
        self.cuts = 0


class Outbox:
    """Publications that wait, and those on their way.

    Of a ``state`` topic only the newest waits. Results are never dropped: who makes captures of
    its own accord asks ``full`` first.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.window = WINDOW
        self.bytes = 0
        self.dropped = 0
        self.wake: Callable[[], None] = lambda: None
        self._max_bytes = max_bytes
        self._waiting: deque[Publication] = deque()
        self._images: deque[Publication] = deque()  # those of them that may be dropped
        self._states: dict[str, Publication] = {}
        self._sent: dict[int, Publication] = {}
        self._sent_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def on_its_way(self) -> int:
        """How many the broker has not acknowledged yet."""
        return len(self._sent)

    @property
    def full(self) -> bool:
        """Whether there is no room, not even by dropping an image."""
        return self.bytes >= self._max_bytes and not self._images

    def put(self, publication: Publication) -> None:
        """Publish as soon as it can be."""
        if publication.kind == "state":
            if (waiting := self._states.get(publication.topic)) is not None:
                self.bytes += len(publication.payload) - len(waiting.payload)
                waiting.payload = publication.payload
                return
            self._states[publication.topic] = publication
        elif publication.kind == "image":
            self._images.append(publication)
        publication.waiting = True
        self._waiting.append(publication)
        self.bytes += len(publication.payload)
        while self.bytes > self._max_bytes and self._images:
            self.drop(
                self._images[0],
                Expired("the broker was away for so long that the image had to make room"),
            )
        self.wake()

    def retain(self, topic: str, payload: bytes, *, content_type: str = "application/json") -> None:
        """Publish what the broker is to keep."""
        self.put(Publication(topic, payload, "state", retain=True, content_type=content_type))

    def next(self) -> Publication | None:
        """The next one to hand over, if as much as may be is not on its way yet."""
        while self._waiting:
            if len(self._sent) >= self.window or self._sent_bytes >= WINDOW_BYTES:
                return None
            publication = self._waiting.popleft()
            if not publication.waiting:
                continue  # dropped
            publication.waiting = False
            if publication.kind == "image":
                self._images.popleft()
            elif publication.kind == "state":
                del self._states[publication.topic]
            return publication
        return None

    def sent(self, mid: int, publication: Publication) -> None:
        """It was handed over as message ``mid``."""
        self._sent[mid] = publication
        self._sent_bytes += len(publication.payload)
        if publication.on_sent is not None:
            publication.on_sent()
            publication.on_sent = None

    def acknowledged(self, mid: int, refusal: BridgeError | None = None) -> Publication | None:
        """The broker has it, or doesn't want it; what it was, if it was on its way."""
        if (publication := self._sent.pop(mid, None)) is not None:
            self._sent_bytes -= len(publication.payload)
            self.bytes -= len(publication.payload)
            if refusal is not None and publication.on_dropped is not None:
                self.dropped += 1
                publication.on_dropped(refusal)
            publication.on_dropped = None  # which may well lead back to it
        return publication

    def drop(self, publication: Publication, reason: BridgeError) -> None:
        """Give one up that is not on its way."""
        if self._images and self._images[0] is publication:
            self._images.popleft()
        publication.waiting = False
        self.dropped += 1
        self.bytes -= len(publication.payload)
        publication.payload = b""
        if publication.on_dropped is not None:
            publication.on_dropped(reason)
            publication.on_dropped = None

    def replace(self, publication: Publication, payload: bytes) -> None:
        """Change one that waits; what has been handed over stays as it is."""
        if publication.waiting:
            self.bytes += len(payload) - len(publication.payload)
            publication.payload = payload

    def lost(self, *, cut: bool) -> None:
        """The connection is gone: what was on its way waits again, in front and in order.

        ``cut`` says that the broker broke it off. If it does so ``MAX_CUTS`` times at the same
        image, that is given up: brokers with a packet limit that they don't tell do this.
        """
        unsent = list(self._sent.values())
        self._sent.clear()
        self._sent_bytes = 0
        poison = None
        if cut and unsent and unsent[0].kind == "image":
            unsent[0].cuts += 1
            if unsent[0].cuts >= MAX_CUTS:
                poison = unsent.pop(0)
        for publication in reversed(unsent):
            if publication.kind == "state":
                if publication.topic in self._states:  # a newer one waits
                    self.bytes -= len(publication.payload)
                    continue
                self._states[publication.topic] = publication
            elif publication.kind == "image":
                self._images.appendleft(publication)
            publication.waiting = True
            self._waiting.appendleft(publication)
        if poison is not None:
            size = len(poison.payload)
            self.drop(poison, TooLarge(f"the broker breaks off at this image of {size} bytes"))

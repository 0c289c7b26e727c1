"""Keeps Home Assistant told: when the messages of `discovery` are sent.

The broker keeps what was sent, and so also what is to be compared with it. At each connection the
bridge reads its own topics back: first ``bridge/discovery``, which says what an earlier run
announced and with which boards, then the messages themselves. Nothing is sent that is there
already; what left the configuration meanwhile is cleared; a board that is away keeps its entities.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from bridge import discovery, topics
from bridge.capture import to_json
from bridge.discovery import Board, Memory, Messages, Place, Step
from bridge.entities import Described
from bridge.mqtt import Message
from bridge.outbox import Kind, Outbox, Publication
from bridge.protocol import Hello
from bridge.topics import BridgeTopics, CameraTopics

_LOGGER = logging.getLogger(__name__)

_APART = 2.0  # seconds between two messages for a device: Home Assistant loses the second
_HELLO = 1.0  # seconds for the board of a new camera to say what it can, before the first message
_READING = 2.0  # seconds for the broker to say what it has; what comes later is sent once more
WAITED = "home assistant: the broker has not said all that it retains"
_AFTER_BIRTH = 0.5, 2.0  # seconds; when Home Assistant is back, not all may talk at once


class Reader(Protocol):
    """Whoever can ask the broker what it retains."""

    def read(self, topics: Iterable[str]) -> None:
        """Have what is retained on these topics sent to us, and what is published meanwhile."""

    def unread(self, topics: Iterable[str]) -> None:
        """End that."""


class _Reading:
    """A question to the broker: what is retained on these topics?"""

    def __init__(self, topics: set[str]) -> None:
        self.topics = topics
        self.heard: Messages = {}
        self.complete = asyncio.Event()


class Announcer:
    """Announces the bridge and its cameras.

    Args:
        base: the base topic.
        place: where Home Assistant is told, ``None`` for nowhere.
        mqtt: reads what the broker retains.
        outbox: where messages go.
        reborn: called when Home Assistant is back, to publish again what entities show.
    """

    def __init__(
        self,
        base: str,
        place: Place | None,
        *,
        mqtt: Reader,
        outbox: Outbox,
        reborn: Callable[[], None],
    ) -> None:
        self._base = base
        self._place = place
        self._topics = BridgeTopics.of(base)
        self._mqtt = mqtt
        self._outbox = outbox
        self._reborn = reborn
        self._cameras: dict[str, Described] = {}
        self._boards: dict[str, Board | None] = {}
        self._met: set[str] = set()  # whose board is known, and not just remembered
        self._retained: dict[str, Messages] | None = None  # by node; None: to be read
        self._memory: bytes | None = None
        self._patience: dict[str, float] = {}  # until when a camera may wait for its board's hello
        self._former: set[str] = set()  # cameras that an earlier run announced
        self._sent_at: dict[str, float] = {}
        self._repeat: set[str] = set()  # nodes that are told again, news or not
        self._reading: _Reading | None = None
        self._asked: set[str] = set()  # where it ever read, for an answer may be late
        self._news = asyncio.Event()
        self._birth: asyncio.TimerHandle | None = None
        self.birth = frozenset() if place is None else frozenset({f"{place.prefix}/status"})
        """Where Home Assistant says that it is back; to be subscribed to."""

    # What others call: nothing here waits.

    def serve(self, cameras: Mapping[str, Described], *, legacy: Iterable[str]) -> None:
        """These are the cameras now; those that are gone are cleared at once.

        ``legacy`` are those whose configuration says what board they have.
        """
        for name in self._cameras.keys() - cameras.keys():
            self._boards.pop(name, None)
            self._met.discard(name)
            del self._patience[name]
        until = time.monotonic() + _HELLO
        self._patience |= dict.fromkeys(cameras.keys() - self._cameras.keys(), until)
        self._cameras = dict(cameras)
        for name in legacy:
            self.met(name, None)
        if self._retained is not None:
            self._send()
        self._news.set()

    def met(self, name: str, hello: Hello | None) -> None:
        """A camera's board is now known to be this, or to have the original sketch."""
        board = None if hello is None else Board.model_validate(hello)
        if name not in self._met or self._boards.get(name) != board:
            self._met.add(name)
            self._boards[name] = board
            self._news.set()

    def left(self, name: str) -> None:
        """A camera will say nothing more: what the broker has of it goes, its entities first.

        Of entities that live, an empty image would be a new one.
        """
        self._former.add(name)
        if self._retained is not None:
            self._send()
        self._news.set()

    def connected(self) -> None:
        """There is a new connection; called before anything is published on it."""
        self._retained = None
        self._reading = self._read({self._topics.discovery, self._topics.state})
        self._news.set()

    def heard(self, message: Message) -> bool:
        """Take a message that is for us."""
        topic, reading = message.topic, self._reading
        if topic in self.birth:
            if message.payload == topics.ONLINE and self._birth is None:
                _LOGGER.info("home assistant: it is back")
                delay = random.uniform(*_AFTER_BIRTH)
                self._birth = asyncio.get_running_loop().call_later(delay, self._tell_again)
        elif topic not in self._asked:
            return False
        elif reading is not None and topic in reading.topics:
            if message.retain:
                reading.heard[topic] = message.payload
            if self._is_own_birth(message):
                reading.complete.set()
        if message.done is not None:
            message.done()
        return True

    async def run(self) -> None:
        """Serve for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            if self._retained is None:
                if self._reading is None:
                    continue  # never connected yet
                await self._read_back(self._reading)
            if self._retained is not None and (wait := self._send()) is not None:
                loop.call_later(wait, self._news.set)

    # Reading.

    def _read(self, wanted: set[str]) -> "_Reading":
        self._asked |= wanted
        self._mqtt.read(wanted)
        return _Reading(wanted)

    def _is_own_birth(self, message: Message) -> bool:
        """It is our ``online``, which was sent behind the question, and each has one.

        It comes after what was retained: the broker sends both to one client, in order.
        """
        return (
            message.topic == self._topics.state
            and message.payload == topics.ONLINE
            and not message.retain
        )

    def _say_online(self) -> None:
        """Once more, behind a question, for the answer's end to be known."""
        self._outbox.retain(self._topics.state, topics.ONLINE, content_type="text/plain")

    async def _read_back(self, reading: "_Reading") -> None:
        """Learn what the broker has; in vain if there is a new connection meanwhile."""
        heard = await self._answer(reading)
        if self._reading is not reading:
            return
        self._memory = heard.get(self._topics.discovery)
        memory = discovery.parse_memory(self._memory or b"")
        retained: dict[str, Messages] = {}
        if memory is not None:
            self._remember(memory)
            places = {Place(prefix=memory.prefix, form=memory.form)}
            if self._place is not None:
                places.add(self._place)
            names = self._cameras.keys() | memory.cameras.keys()
            wanted = {t for place in places for t in discovery.topics_of(place, self._base, names)}
            reading = self._reading = self._read({*wanted, self._topics.state})
            self._say_online()
            heard = await self._answer(reading)
            if self._reading is not reading:
                return
            for topic in heard.keys() & wanted:
                retained.setdefault(discovery.node_of(topic), {})[topic] = heard[topic]
        self._reading = None
        self._retained = retained

    async def _answer(self, reading: "_Reading") -> Messages:
        try:
            async with asyncio.timeout(_READING):
                await reading.complete.wait()
        except TimeoutError:
            _LOGGER.debug(WAITED)
        if self._reading is reading:
            self._mqtt.unread(reading.topics)
        return reading.heard

    def _remember(self, memory: Memory) -> None:
        self._former |= memory.cameras.keys()
        for name, board in memory.cameras.items():
            if name in self._cameras and name not in self._met:
                self._boards[name] = board

    # Sending.

    def _tell_again(self) -> None:
        self._birth = None
        self._reborn()
        self._repeat = set(self._wanted())
        self._news.set()

    def _wanted(self) -> dict[str, Messages]:
        """What there should be, by node; the bridge comes first, for the others name it."""
        if self._place is None:
            return {}
        base = self._base
        wanted = {discovery.node(base, topics.BRIDGE): discovery.bridge_messages(self._place, base)}
        for name, camera in self._cameras.items():
            wanted[discovery.node(base, name)] = discovery.camera_messages(
                self._place, base, name, camera, self._boards.get(name)
            )
        return wanted

    def _send(self) -> float | None:
        """Send what is news; returns after how many seconds more may be sent, if there is more."""
        assert self._retained is not None
        wanted = self._wanted()
        awaited = {
            discovery.node(self._base, name): until
            for name, until in self._patience.items()
            if name not in self._boards
        }
        later: list[float] = []
        sent = 0
        now = time.monotonic()
        for node in [*wanted, *(self._retained.keys() - wanted.keys())]:
            want = wanted.get(node, {})
            have = self._retained.setdefault(node, {})
            steps = discovery.steps(have, want)
            if node in self._repeat:
                news = {step.topic for step in steps}
                steps += [Step(*item) for item in have.items() if item[0] in want.keys() - news]
            if not steps:
                continue
            due = max(self._sent_at.get(node, -_APART) + _APART, awaited.get(node, 0))
            if due > now:
                later.append(due - now)
                continue
            self._sent_at[node] = now
            self._repeat.discard(node)
            _LOGGER.debug("home assistant: %d messages about %s", len(steps), node)
            self._put(steps, have)
            sent += len(steps)
            if discovery.steps(have, want):  # it moves from one form to the other
                later.append(_APART)
        self._retained = {node: have for node, have in self._retained.items() if have}
        _LOGGER.debug("home assistant: %d messages for it", sent)
        if not later:
            self._settle()
        return min(later, default=None)

    def _put(self, steps: list[Step], have: Messages) -> None:
        for topic, payload, retain in steps:
            # A state's newest replaces one that waits, so what is only passing is none.
            kind: Kind = "state" if retain else "result"
            self._outbox.put(Publication(topic, payload, kind, retain=retain))
            if payload and retain:
                have[topic] = payload
            elif retain:
                have.pop(topic, None)

    def _settle(self) -> None:
        """All is said: keep in mind what, and clear what else the broker has of those that left."""
        for name in self._former - self._cameras.keys():
            for topic in CameraTopics.of(self._base, name).retained:
                self._outbox.retain(topic, b"")
        self._former.clear()
        memory = b""
        if self._place is not None:
            boards = {name: self._boards.get(name) for name in self._cameras}
            place = self._place
            memory = to_json(
                Memory(prefix=place.prefix, form=place.form, cameras=boards).model_dump()
            )
        if memory != (self._memory or b""):
            self._memory = memory
            self._outbox.retain(self._topics.discovery, memory)

"""The broker: connecting again and again, commands in, publications out.

What must outlive a connection is here, in outbox and inbox; `connection` is one of them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from bridge.backoff import BackOff
from bridge.connection import NOT_ADMITTED, Broker, Connection, Message
from bridge.errors import TooLarge
from bridge.inbox import Crowd, Inbox
from bridge.outbox import WINDOW, Outbox
from bridge.threads import Pool

__all__ = ["Broker", "Message", "Mqtt"]

_LOGGER = logging.getLogger(__name__)

_REFUSED = 0x80  # and above: MQTT 5.0, section 2.4
_MAX_REFUSED = 1000  # topics that the log has named; a response topic is anybody's choice
_TAKEN_OVER = 0x8E
_UNSUPPORTED_VERSION = 0x84
_PACKET_TOO_LARGE = 0x95  # Mosquitto's answer to what is over its message_size_limit
_AT_ONCE = 4  # commands of one topic in one turn of the loop; more of them are a crowd
_LARGE = 16 * 1024  # bytes of a command that is refused, or made small, sooner than it waits
# Commands of a crowd in one turn, and only while no more publications than that wait: another
# camera's picture stands behind those. The broker acknowledges WINDOW of them at a time.
_SERVED = 2 * WINDOW


class Mqtt:
    """The bridge's side of the broker.

    Args:
        broker: where it is.
        will_topic: what the broker sets to ``offline`` should we vanish, if anything.
        outbox: what is to be published.
        message: called for every command.
        connected: called after every connect, when the subscriptions are on their way.
        pool: threads for connecting.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        will_topic: str | None,
        outbox: Outbox,
        message: Callable[[Message], None],
        connected: Callable[[], None],
        pool: Pool,
    ) -> None:
        self._broker = broker
        self._will_topic = will_topic
        self._outbox = outbox
        self._message = message
        self._connected = connected
        self._pool = pool
        self._topics: frozenset[str] = frozenset()
        self._inbox = Inbox()
        self._crowd: Crowd[tuple[Message, Callable[[], None] | None]] = Crowd()
        self._taken: dict[str, int] = {}  # commands in this turn of the loop, by topic
        self._serving: asyncio.Handle | None = None
        self._gathering = False  # publications, to send them in one piece
        self._connection: Connection | None = None
        self._v5 = broker.version != "3.1.1"
        self._refused_v5 = 0
        self._refused: set[str] = set()  # topics that were, for the log to say so once
        self._back_off = BackOff()
        self._hung_up = False
        self.dropped = 0  # commands that were too many
        self._told: set[str] = set()  # why it fails, since it last worked: each is told once
        self._stopping = False
        self.trouble: str | None = None  # why the last connection ended or did not come about
        self.explained = False  # whether that says what is wrong, or only that nobody is there
        outbox.wake = self.pump

    @property
    def online(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def subscribe(self, topics: Iterable[str]) -> None:
        """Serve exactly these topics, now and after every connect."""
        wanted = frozenset(topics)
        gone, new = self._topics - wanted, wanted - self._topics
        self._topics = wanted
        if self._connection is not None:
            self._connection.unsubscribe(gone)
            self._connection.subscribe(new)

    def read(self, topics: Iterable[str]) -> None:
        """Have what the broker retains on these topics sent, on this connection."""
        if self._connection is not None:
            self._connection.subscribe(topics, retained=True)

    def unread(self, topics: Iterable[str]) -> None:
        """End what ``read`` began."""
        if self._connection is not None:
            self._connection.unsubscribe(topics)

    async def run(self) -> None:
        """Keep a connection until ``stop``."""
        while not self._stopping:
            connection = Connection(self, self._broker, v5=self._v5, will_topic=self._will_topic)
            began = time.monotonic()
            reason, code = await connection.run(self._pool)
            lasted = time.monotonic() - began
            self.trouble, self.explained = reason, connection.explained
            if self._stopping:
                return
            if connection.established:
                pause = self._back_off.ended(
                    lasted=lasted, taken_over=code == _TAKEN_OVER, hung_up=self._hung_up
                )
            else:
                pause = self._back_off.failed()
            self._tell(connection, reason, pause)
            self._choose_version(connection, code)
            await asyncio.sleep(pause)

    def _tell(self, connection: Connection, reason: str, pause: float) -> None:
        new = self._back_off.first
        if self._back_off.rival:
            _LOGGER.log(
                logging.ERROR if new else logging.DEBUG,
                "mqtt: another client seems to use our mqtt.client_id %r (%s); give each bridge "
                "one of its own. Trying again in %.0f s",
                self._broker.client_id,
                reason,
                pause,
            )
        elif connection.established:
            _LOGGER.warning("mqtt: connection lost (%s); trying again", reason)
        else:
            level = logging.DEBUG if reason in self._told else logging.WARNING
            self._told.add(reason)
            _LOGGER.log(level, "mqtt: %s: %s; trying again", self._broker.where, reason)

    def _choose_version(self, connection: Connection, code: int | None) -> None:
        """With ``auto``, try 3.1.1 where 5 is refused, or twice the door is shut in silence."""
        if self._broker.version != "auto" or connection.established or not connection.reached:
            return
        if code in NOT_ADMITTED:  # who says so has understood us
            return
        self._refused_v5 += 2 if code == _UNSUPPORTED_VERSION else 1
        if self._refused_v5 >= 2:
            self._refused_v5 = 0
            self._v5 = not self._v5
            other = f"trying version {'5' if self._v5 else '3.1.1'}"
            if other not in self._told:  # else this is no question of versions: back off
                self._told.add(other)
                self._back_off.forget_failures()
                _LOGGER.info("mqtt: %s", other)

    async def stop(self, *, timeout: float) -> None:
        """Hand over what waits, as far as the time allows, and take leave."""
        self._stopping = True
        connection = self._connection
        if connection is None:
            return
        deadline = time.monotonic() + timeout
        while (self._outbox or self._crowd) and connection.alive and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        connection.disconnect()

    # What the connection calls.

    def established(self, connection: Connection, *, session_present: bool, window: int) -> None:
        """The broker has let us in."""
        self._connection = connection
        self._refused_v5 = 0
        self._told.clear()
        self._inbox.reconnected(session_present=session_present)
        self._outbox.window = max(1, min(WINDOW, window))
        version = "5" if self._v5 else "3.1.1"
        _LOGGER.info("mqtt: connected to %s (MQTT %s)", self._broker.where, version)
        connection.subscribe(self._topics)
        self._connected()

    def lost(self, *, cut: bool) -> None:
        """The connection is gone; ``cut`` if the broker ended it."""
        self._connection = None
        self._hung_up = cut and not self._outbox.on_its_way
        self._outbox.lost(cut=cut)

    def arrived(
        self, connection: Connection, message: Message, *, mid: int | None, dup: bool
    ) -> None:
        """A command came in."""
        done = None
        if mid is not None:
            content = (message.topic, message.payload, message.correlation_data)
            delivery = self._inbox.arrived(mid, content, dup=dup, connection=connection)
            if delivery is None:
                return
            done = delivery.settle
        message.done = done if connection.v5 else None
        # 3.1.1 allows 20 unacknowledged: one dead camera must not block the rest
        accepted = done if not connection.v5 else None
        topic = message.topic
        taken = self._taken[topic] = self._taken.get(topic, 0) + 1
        if message.size > _LARGE or (taken <= _AT_ONCE and topic not in self._crowd):
            self._take_up(message, accepted)
        elif not self._crowd.put(topic, (message, accepted), message.size):
            self._drop(done)

    def _take_up(self, message: Message, accepted: Callable[[], None] | None) -> None:
        self._message(message)
        if accepted is not None:
            accepted()

    def _drop(self, done: Callable[[], None] | None) -> None:
        """Bounded memory is worth more than an answer to each command of a flood."""
        if not self.dropped:
            _LOGGER.warning(
                "mqtt: %d commands wait already: more are dropped until some are answered; "
                "bridge/health counts them",
                len(self._crowd),
            )
        self.dropped += 1
        if done is not None:
            done()

    def subscribed(self) -> None:
        """The broker has answered a subscription."""
        self._inbox.caught_up()

    def acknowledged(self, mid: int) -> None:
        """We sent a PUBACK."""
        self._inbox.acknowledged(mid)

    def published(self, mid: int, mark: int, code: int) -> None:
        """The broker has publication ``mid``, and has read what we wrote before it."""
        refusal = None
        if code == _PACKET_TOO_LARGE:
            refusal = TooLarge("the broker refuses an image of this size")
        publication = self._outbox.acknowledged(mid, refusal)
        self._inbox.seen(mark)
        if refusal is not None and publication is not None and self._connection is not None:
            self._connection.learn_limit(publication)
        if code >= _REFUSED and publication is not None:
            topic = publication.topic
            known = topic in self._refused or len(self._refused) >= _MAX_REFUSED
            if not known:
                self._refused.add(topic)
            level = logging.DEBUG if known else logging.WARNING
            _LOGGER.log(level, "mqtt: the broker refuses %s: reason code 0x%02X", topic, code)

    def turn(self) -> None:
        """All that came in one turn of the loop was heard."""
        self._taken.clear()
        if self._serving is None:
            self._serve()

    def _serve(self) -> None:
        """Take up some of those that wait, unless their answers would wait instead."""
        served = 0
        self._gathering = True
        while self._crowd and served < _SERVED and len(self._outbox) < _SERVED:
            self._take_up(*self._crowd.take())
            served += 1
        self._gathering = False
        self.pump()
        more = self._crowd and len(self._outbox) < _SERVED
        self._serving = asyncio.get_running_loop().call_soon(self._serve) if more else None

    def pump(self) -> None:
        """Send what waits."""
        connection = self._connection
        if connection is None or connection.reading or self._gathering:
            return
        while (publication := self._outbox.next()) is not None:
            if publication.kind == "image" and (fault := connection.too_large(publication)):
                self._outbox.drop(publication, TooLarge(fault))
                continue
            mid = connection.publish(publication, self._inbox.mark())
            self._outbox.sent(mid, publication)
        connection.flush()

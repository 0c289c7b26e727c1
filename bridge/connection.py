"""One connection to the broker, from dialling to its end. With `client`, it alone imports paho.

paho runs on its external-loop interface: the loop watches the socket and paho parses. Only
connecting blocks, and that is done in a thread. Every connection has a paho client of its own,
so nothing of an old connection can reach a new one.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.client import Client, Packed
from bridge.outbox import Publication
from bridge.threads import Pool
from bridge.tls import Tls, TlsError
from bridge.topics import OFFLINE

_LOGGER = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds for TCP, TLS and the like; as long again for the broker's CONNACK
_SESSION_EXPIRY = 60  # seconds for which the broker keeps commands for us; the contract's
_MAX_PACKET_IN = 2 * 1024 * 1024  # of what is sent to us: no command is so large
# paho waits as long as keepalive once more; then the session might be over before we are back.
_TO_ANSWER_A_PING = 10.0  # seconds
_FILTERS = 200  # topics in one SUBSCRIBE
_MAX_PACKET_OUT = 268_435_455  # MQTT's own limit
_FIXED = 1 + 4 + 2 + 2  # bytes of a PUBLISH packet beside topic, properties and payload
_MUCH = 70_000  # more than a topic and the properties can have
_TURN = 10  # commands, and what else is in one reading of paho's: at most 20 packets
NOT_ADMITTED = {0x86, 0x87}  # of a CONNACK; paho makes these of 3.1.1's 4 and 5, too
_WHAT_ADMITS = ": check mqtt.username and mqtt.password"
_RECEIVE_MAXIMUM = 1000  # commands in the works; with Mosquitto's 20, a dead camera takes them all


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    client_id: str
    version: str
    transport: str
    path: str
    keepalive: int
    max_payload: int | None
    tls: Tls | None

    @property
    def where(self) -> str:
        """Its address, as people are told it."""
        return self.host if self.transport == "unix" else f"{self.host}:{self.port}"


@dataclass(slots=True, eq=False)
class Message:
    """A command, as it came.

    ``received`` is monotonic and ``received_at`` wall-clock time, both in seconds. ``done`` is to
    be called when its last answer is handed over.
    """

    received: float
    received_at: float
    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None
    correlation_data: bytes | None
    done: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes that its sender has chosen."""
        answer = len(self.response_topic or "") + len(self.correlation_data or b"")
        return len(self.payload) + answer


class Owner(Protocol):
    """Who is told what happens on a connection; called from the loop."""

    def established(self, connection: "Connection", *, session_present: bool, window: int) -> None:
        """The broker has let us in, and takes ``window`` unacknowledged publications."""

    def lost(self, *, cut: bool) -> None:
        """The connection is gone; ``cut`` if the broker ended it."""

    def arrived(
        self, connection: "Connection", message: Message, *, mid: int | None, dup: bool
    ) -> None:
        """One came in; ``mid`` is ``None`` at QoS 0."""

    def subscribed(self) -> None:
        """The broker has answered a subscription."""

    def acknowledged(self, mid: int) -> None:
        """We sent a PUBACK."""

    def published(self, mid: int, mark: int, code: int) -> None:
        """The broker has publication ``mid``, and has read what we wrote before ``mark``."""

    def turn(self) -> None:
        """Something was read, for now: there may be room to send, and time for who waits."""


class Connection:
    """One connection to the broker, from dialling to its end."""

    def __init__(self, owner: Owner, broker: Broker, *, v5: bool, will_topic: str | None) -> None:
        self._owner = owner
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[tuple[str, int | None, bool]] = self._loop.create_future()
        self._welcomed: asyncio.Future[None] = self._loop.create_future()
        self._marks: dict[int, int] = {}
        self._writing = False
        self._again: asyncio.Handle | None = None
        self._heard = 0
        self._heard_at = self._loop.time()
        self._abandoned = False
        self._properties: dict[str, Packed] = {}
        self._sock: Any = None  # a Buffered
        self.v5 = v5
        self.reached = False
        self.explained = False  # the reason says what is wrong there, or in config.yaml
        self.established = False
        self.reading = False
        self._max_packet = _MAX_PACKET_OUT
        self._refused = _MAX_PACKET_OUT + 1  # bytes of the smallest payload that was too large
        self._client = self._make(broker, will_topic)

    def _make(self, broker: Broker, will_topic: str | None) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if self.v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self.v5 else MQTTProtocolVersion.MQTTv311,
            transport=broker.transport,  # type: ignore[arg-type]  # the configuration has checked it
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT
        client.max_inflight_messages_set(0)  # the outbox sees to that
        if will_topic is not None:
            client.will_set(will_topic, OFFLINE, qos=1, retain=True)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.transport == "websockets":
            client.ws_set_options(path=broker.path)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.arrived = self._on_publish
        client.acknowledged = self._on_puback
        client.on_subscribe = self._on_subscribe
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = lambda *_: None  # we write when we have something
        return client

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.done()

    async def run(self, pool: Pool) -> tuple[str, int | None]:
        """Connect, and stay until it ends: why, and the broker's reason code if it gave one."""
        try:
            async with asyncio.timeout(2 * _CONNECT):
                await pool.run(self._dial)
        except TimeoutError:
            self._abandoned = True
            return "no answer", None
        except asyncio.CancelledError:
            self._abandoned = True
            raise
        except (OSError, ValueError) as exc:  # ValueError: a name that can't be one
            return self._why(exc), None
        tick = None
        try:
            self._loop.add_reader(self._sock.fileno(), self._read)
            self.flush()
            tick = self._loop.create_task(self._keep())
            first = (self._welcomed, self._ended)
            await asyncio.wait(first, timeout=_CONNECT, return_when="FIRST_COMPLETED")
            if not self._welcomed.done():
                self._end("the broker took the connection and said nothing", None, cut=False)
            reason, code, _ = await self._ended
        finally:
            if tick is not None:
                tick.cancel()
            self._close()
            if self.established:
                self._owner.lost(cut=self._ended.done() and self._ended.result()[2])
        return reason, code

    def _dial(self) -> None:
        """In a thread: look up, connect, TLS."""
        broker = self._broker
        if broker.tls is not None:
            self._client.tls_set_context(broker.tls.context())
            if broker.tls.insecure:
                self._client.tls_insecure_set(True)
        properties = None
        options: dict[str, Any] = {}
        if self.v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            properties.MaximumPacketSize = _MAX_PACKET_IN
            options = {"clean_start": False, "properties": properties}
        self._client.connect_async(broker.host, broker.port, broker.keepalive, **options)
        self._client.reconnect()
        self._sock = self._client.socket()
        if self._abandoned:
            self._sock.close()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._client.loop_misc()  # sends a ping when nothing has come for as long as keepalive
            self.flush()
            keepalive = self._client.keepalive  # the broker's, if it has asked for another; 0: none
            patience = keepalive + min(keepalive / 2, _TO_ANSWER_A_PING) or math.inf
            if (silent := self._loop.time() - self._heard_at) > patience:
                self._end(f"the broker has been silent for {silent:.0f} s", None, cut=False)

    def _read(self) -> None:
        """Take what has arrived; after some commands it is the turn of the cameras before more."""
        self.reading = True
        self._heard = 0
        self._heard_at = self._loop.time()
        try:
            self._client.loop_read()
            while (
                self._heard < _TURN and self._client.socket() is not None and self._sock.pending()
            ):
                self._client.loop_read()
        finally:
            self.reading = False
        if self._client.socket() is not None:
            self._sock.quick_ack()
            self._owner.turn()
            self.flush()
        if self._again is None and self._client.socket() is not None and self._sock.pending():
            self._again = self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._again = None
        if self._client.socket() is not None:
            self._read()

    def flush(self) -> None:
        """Write what paho has; what the socket does not take now follows when it can."""
        client = self._client
        if client.want_write():
            client.loop_write()
        waiting = client.want_write() and client.socket() is not None
        if waiting != self._writing and client.socket() is not None:
            self._writing = waiting
            if waiting:
                self._loop.add_writer(self._sock.fileno(), self.flush)
            else:
                self._loop.remove_writer(self._sock.fileno())

    def too_large(self, publication: Publication) -> str | None:
        """Why the broker would not take it, if it is too large; brokers cut the connection then."""
        size = len(publication.payload)
        if self._broker.max_payload is not None and size > self._broker.max_payload:
            return f"{size} bytes; mqtt.max_payload is {self._broker.max_payload}"
        if size >= self._refused:
            return f"{size} bytes; the broker has refused {self._refused}"
        if size + _MUCH <= self._max_packet:
            return None
        size += _FIXED + len(publication.topic.encode())
        if self.v5:
            size += len(self._describe(publication).pack())  # type: ignore[no-untyped-call]
        if size <= self._max_packet:
            return None
        return f"a packet of {size} bytes; the broker takes {self._max_packet}"

    def learn_limit(self, publication: Publication) -> None:
        """Some brokers tell only when they have it that a publication is too large."""
        self._refused = min(self._refused, len(publication.payload))

    def publish(self, publication: Publication, mark: int) -> int:
        """Give one to paho: its message id. ``flush`` sends it."""
        info = self._client.publish(
            publication.topic,
            publication.payload,
            qos=1,
            retain=publication.retain,
            properties=self._describe(publication) if self.v5 else None,
        )
        self._marks[info.mid] = mark
        return info.mid

    def _describe(self, publication: Publication) -> Properties:
        content_type = publication.content_type
        if publication.correlation_data is None and publication.user_properties is None:
            packed = self._properties.get(content_type)
            if packed is None:
                packed = self._properties[content_type] = Packed(content_type)
            return packed
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        if publication.correlation_data is not None:
            properties.CorrelationData = publication.correlation_data
        if publication.user_properties is not None:
            properties.UserProperty = publication.user_properties
        return properties

    def acknowledge(self, mid: int) -> None:
        """Send PUBACK with the next flush, if this connection is still there."""
        if self.alive and self._client.socket() is not None:
            self._client.ack(mid, 1)
            self._owner.acknowledged(mid)

    def subscribe(self, topics: Iterable[str], *, retained: bool = False) -> None:
        """Subscribe at QoS 1. On MQTT 5 a retained command is not even sent, or known as such.

        ``retained`` is for what is wanted: that alone says then that it was retained.
        """
        options = SubscribeOptions(
            qos=1, retainAsPublished=not retained, retainHandling=0 if retained else 2
        )
        for some in _chunks(sorted(topics)):
            if self.v5:
                self._client.subscribe([(topic, options) for topic in some])
            else:
                self._client.subscribe([(topic, 1) for topic in some])

    def unsubscribe(self, topics: Iterable[str]) -> None:
        """Take subscriptions back."""
        for some in _chunks(sorted(topics)):
            self._client.unsubscribe(some)

    def disconnect(self) -> None:
        """Take leave, so that the broker does not publish the will."""
        self._client.disconnect()
        self.flush()
        self._end("stopped", None, cut=False)

    def _on_connect(
        self, _client: object, _data: object, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self.reached = self.explained = True
        if reason.is_failure:
            hint = _WHAT_ADMITS if reason.value in NOT_ADMITTED else ""
            self._end(f"the broker refuses us: {reason}{hint}", reason.value, cut=False)
            return
        limit = getattr(properties, "MaximumPacketSize", None)
        if limit is not None:
            self._max_packet = limit
        window = getattr(properties, "ReceiveMaximum", 65_535)
        self.established = True
        self._welcomed.set_result(None)
        self._owner.established(self, session_present=flags.session_present, window=window)

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: ReasonCode, _properties: object
    ) -> None:
        fault = None if self._sock is None else self._sock.fault
        if fault is not None:
            self._end(self._why(fault), None, cut=True)
            return
        self.reached = True
        timed_out = reason.getName() == "Keep alive timeout"
        told = flags.is_disconnect_packet_from_server
        why = str(reason) if told or timed_out else "the broker hung up"
        self._end(why, reason.value if told else None, cut=not timed_out)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        """One with properties, or of QoS 2."""
        properties = message.properties
        self._on_publish(
            message._topic,
            message.payload,
            message.mid if message.qos else None,
            dup=message.dup,
            retain=message.retain,
            response_topic=getattr(properties, "ResponseTopic", None),
            correlation_data=getattr(properties, "CorrelationData", None),
        )

    def _on_publish(
        self,
        topic: bytes,
        payload: bytes | bytearray,
        mid: int | None,
        *,
        dup: bool,
        retain: bool,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
    ) -> None:
        self._heard += 1
        try:
            name = topic.decode()
        except UnicodeDecodeError:  # of no topic of ours
            if mid is not None:
                self.acknowledge(mid)
            return
        message = Message(
            time.monotonic(),
            time.time(),
            name,
            bytes(payload),
            retain,
            response_topic,
            correlation_data,
        )
        self._owner.arrived(self, message, mid=mid, dup=dup)

    def _on_puback(self, mid: int, code: int) -> None:
        self._owner.published(mid, self._marks.pop(mid, 0), code)

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _: object
    ) -> None:
        self._owner.subscribed()
        refused = sum(reason.is_failure for reason in reasons)
        if refused:
            _LOGGER.error(
                "mqtt: the broker refuses %d of our subscriptions; does its ACL allow them?",
                refused,
            )

    def _on_socket_close(self, _client: object, _data: object, sock: Any) -> None:
        fd = sock.fileno()
        if self._sock is not None and fd >= 0:  # paho's destructor comes here once more
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)

    def _end(self, reason: str, code: int | None, *, cut: bool) -> None:
        if not self._ended.done():
            self._ended.set_result((reason, code, cut))

    def _why(self, exc: Exception) -> str:
        if isinstance(exc, ssl.SSLError | TlsError) and self._broker.tls is not None:
            self.explained = True
            return f"TLS: {self._broker.tls.explain(exc)}"
        return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__

    def _close(self) -> None:
        """Whatever the state, leave nothing open and nothing registered."""
        self._end("closed", None, cut=False)
        sock = self._client.socket()
        if sock is not None:
            self._on_socket_close(None, None, sock)
            sock.close()


def _chunks(topics: list[str]) -> Iterable[list[str]]:
    return (topics[at : at + _FILTERS] for at in range(0, len(topics), _FILTERS))

"""The broker: connecting again and again, commands in, publications out. Alone imports paho.

paho runs on its external-loop interface: the loop watches the socket and paho parses. Only
connecting blocks, and that is done in a thread. Every connection has a paho client of its own,
so nothing of an old connection can reach a new one; what is to be kept is in outbox and inbox.
"""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.errors import TooLarge
from bridge.inbox import Inbox
from bridge.outbox import WINDOW, Outbox, Publication
from bridge.threads import Pool
from bridge.topics import OFFLINE

_LOGGER = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds for TCP, TLS and the like; as long again for the broker's CONNACK
_BACK_OFF = 0.5, 30.0
_STEADY = 10.0  # a connection that lasted so long starts the back-off anew
_SESSION_EXPIRY = 60  # seconds for which the broker keeps commands for us; the contract's
_RECEIVE_MAXIMUM = (
    1000  # commands in the works; the default, 20 with Mosquitto, is one dead camera's
)
_MAX_PACKET_IN = 2 * 1024 * 1024  # of what is sent to us: no command is so large
_FILTERS = 200  # topics in one SUBSCRIBE
_SEND_BUFFER = 512 * 1024  # an image in one piece: of the rest, paho makes a copy
_READ_AHEAD = 16 * 1024
_MAX_PACKET_OUT = 268_435_455  # MQTT's own limit
_FIXED = 1 + 4 + 2 + 2  # bytes of a PUBLISH packet beside topic, properties and payload
_MUCH = 70_000  # more than a topic and the properties can have
_REFUSED = 0x80  # and above: MQTT 5.0, section 2.4
_MAX_REFUSED = 1000  # topics that the log has named; a response topic is anybody's choice
_TAKEN_OVER = 0x8E
_UNSUPPORTED_VERSION = 0x84


class Tls(Protocol):
    """The part of the configuration that TLS needs."""

    ca_file: Any
    cert_file: Any
    key_file: Any
    insecure: bool


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    username: str | None
    password: str | None
    client_id: str
    version: str
    transport: str
    path: str
    keepalive: int
    max_payload: int | None
    tls: Tls | None


@dataclass(frozen=True, slots=True)
class Message:
    """A command as it came; ``done`` is to be called when its last answer is handed over."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None
    correlation_data: bytes | None
    done: Callable[[], None] | None


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
        self._connection: _Connection | None = None
        self._v5 = broker.version != "3.1.1"
        self._refused_v5 = 0
        self._refused: set[str] = set()  # topics that were, for the log to say so once
        self._failures = 0
        self._stopping = False
        self.trouble: str | None = None  # why the last connection ended or did not come about
        outbox.wake = self._pump

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

    async def run(self) -> None:
        """Keep a connection until ``stop``."""
        while not self._stopping:
            connection = _Connection(self, self._broker, v5=self._v5, will_topic=self._will_topic)
            began = time.monotonic()
            reason, code = await connection.run(self._pool)
            lasted = time.monotonic() - began
            self.trouble = reason
            if self._stopping:
                return
            if connection.established and lasted > _STEADY:
                self._failures = 0
            self._tell(connection, reason, code)
            self._choose_version(connection, code)
            least, most = _BACK_OFF
            ceiling = most if code == _TAKEN_OVER else min(most, least * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(random.uniform(ceiling / 4, ceiling))

    def _tell(self, connection: "_Connection", reason: str, code: int | None) -> None:
        if code == _TAKEN_OVER:
            _LOGGER.error(
                "mqtt: another client has connected with our client id %r; "
                "give each bridge an mqtt.client_id of its own",
                self._broker.client_id,
            )
        elif connection.established:
            _LOGGER.warning("mqtt: connection lost (%s); trying again", reason)
        else:
            level = logging.WARNING if self._failures == 0 else logging.DEBUG
            _LOGGER.log(level, "mqtt: %s: %s; trying again", self._where, reason)

    def _choose_version(self, connection: "_Connection", code: int | None) -> None:
        """With ``auto``, try 3.1.1 where 5 is refused, or twice the door is shut in silence."""
        if self._broker.version != "auto" or connection.established or not connection.reached:
            return
        self._refused_v5 += 2 if code == _UNSUPPORTED_VERSION else 1
        if self._refused_v5 >= 2:
            self._refused_v5 = 0
            self._v5 = not self._v5
            self._failures = 0
            _LOGGER.info("mqtt: trying version %s", "5" if self._v5 else "3.1.1")

    @property
    def _where(self) -> str:
        broker = self._broker
        return broker.host if broker.transport == "unix" else f"{broker.host}:{broker.port}"

    async def stop(self, *, timeout: float) -> None:
        """Hand over what waits, as far as the time allows, and take leave."""
        self._stopping = True
        connection = self._connection
        if connection is None:
            return
        deadline = time.monotonic() + timeout
        while len(self._outbox) and connection.alive and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        connection.disconnect()

    # What the connection calls.

    def established(self, connection: "_Connection", *, session_present: bool, window: int) -> None:
        """The broker has let us in."""
        self._connection = connection
        self._refused_v5 = 0
        self._inbox.reconnected(session_present=session_present)
        self._outbox.window = max(1, min(WINDOW, window))
        _LOGGER.info("mqtt: connected to %s (MQTT %s)", self._where, "5" if self._v5 else "3.1.1")
        connection.subscribe(self._topics)
        self._connected()

    def lost(self, *, cut: bool) -> None:
        """The connection is gone; ``cut`` if the broker ended it."""
        self._connection = None
        self._outbox.lost(cut=cut)

    def arrived(self, connection: "_Connection", message: paho.MQTTMessage) -> None:
        """A command came in."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            connection.acknowledge(message.mid)
            return
        properties = message.properties
        correlation_data = getattr(properties, "CorrelationData", None)
        payload = bytes(message.payload)
        done = None
        if message.qos:
            delivery = self._inbox.arrived(
                message.mid,
                dup=message.dup,
                topic=topic,
                payload=payload,
                correlation_data=correlation_data,
                connection=connection,
            )
            if delivery is None:
                return
            done = delivery.settle
        command = Message(
            topic=topic,
            payload=payload,
            retain=message.retain,
            response_topic=getattr(properties, "ResponseTopic", None),
            correlation_data=correlation_data,
            done=done if connection.v5 else None,
        )
        self._message(command)
        if done is not None and not connection.v5:
            done()  # 3.1.1 allows 20 unacknowledged: one dead camera must not block the rest

    def acknowledged(self, mid: int) -> None:
        """We sent a PUBACK."""
        self._inbox.acknowledged(mid)

    def published(self, mid: int, mark: int, code: int) -> None:
        """The broker has publication ``mid``, and has read what we wrote before it."""
        publication = self._outbox.acknowledged(mid)
        self._inbox.seen(mark)
        if code >= _REFUSED and publication is not None:
            topic = publication.topic
            known = topic in self._refused or len(self._refused) >= _MAX_REFUSED
            if not known:
                self._refused.add(topic)
            level = logging.DEBUG if known else logging.WARNING
            _LOGGER.log(level, "mqtt: the broker refuses %s: reason code 0x%02X", topic, code)

    def pump(self) -> None:
        """Send what waits."""
        self._pump()

    def _pump(self) -> None:
        connection = self._connection
        if connection is None or connection.reading:
            return
        while (publication := self._outbox.next()) is not None:
            if publication.kind == "image" and (fault := connection.too_large(publication)):
                self._outbox.drop(publication, TooLarge(fault))
                continue
            mid = connection.publish(publication, self._inbox.mark())
            self._outbox.sent(mid, publication)
        connection.flush()


class _Packed(Properties):
    """Properties that are packed once and not for every message."""

    def __init__(self, content_type: str) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.ContentType = content_type
        packed: bytes = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "pack", lambda: packed)  # of the rest, paho asks for nothing


class _Buffered:
    """A socket that reads ahead: paho asks for each packet in three pieces.

    It is what paho calls a SocketLike.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = b""
        self.fileno = sock.fileno
        self.send = sock.send
        self.close = sock.close
        self.setblocking = sock.setblocking

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``BlockingIOError`` if there are none yet."""
        ahead = self._ahead
        if not ahead:
            if size >= _READ_AHEAD:
                received: bytes = self._sock.recv(size)
                return received
            ahead = self._sock.recv(_READ_AHEAD)
        self._ahead = ahead[size:]
        return ahead[:size]

    def pending(self) -> int:
        """Bytes here or, with TLS and WebSocket, below that the loop can't see."""
        below = getattr(self._sock, "pending", None)
        return len(self._ahead) or (below() if below is not None else 0)

    @property
    def raw(self) -> socket.socket:
        """The socket below, and below paho's WebSocket, whose options can be set."""
        sock: socket.socket = getattr(self._sock, "_socket", self._sock)
        return sock


class _Client(paho.Client):
    """paho, with two short cuts, which together save a quarter of what a capture costs.

    All override what paho does not document, hence the bound on its version in pyproject.toml.
    """

    acknowledged: Callable[[int, int], None]

    def _create_socket(self) -> Any:
        return _Buffered(super()._create_socket())

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As paho does it, but nothing stays open where the handshake fails."""
        assert self._ssl_context is not None
        secured = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
        )
        try:
            secured.settimeout(self._connect_timeout)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    def _handle_pubackcomp(self, cmd: Any) -> Any:  # noqa: ARG002
        """Take a PUBACK without building a reason code and a list of no properties."""
        packet = self._in_packet["packet"]
        if len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        mid = int.from_bytes(packet[:2], "big")
        if self._out_messages.pop(mid, None) is not None:
            self.acknowledged(mid, packet[2] if len(packet) > 2 else 0)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class _Connection:
    """One connection to the broker, from dialling to its end."""

    def __init__(self, owner: Mqtt, broker: Broker, *, v5: bool, will_topic: str | None) -> None:
        self._owner = owner
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[tuple[str, int | None, bool]] = self._loop.create_future()
        self._welcomed: asyncio.Future[None] = self._loop.create_future()
        self._marks: dict[int, int] = {}
        self._writing = False
        self._abandoned = False
        self._properties: dict[str, _Packed] = {}
        self._sock: Any = None
        self.v5 = v5
        self.reached = False
        self.established = False
        self.reading = False
        self._max_packet = _MAX_PACKET_OUT
        self._client = self._make(broker, will_topic)

    def _make(self, broker: Broker, will_topic: str | None) -> _Client:
        client = _Client(
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
        client.on_message = lambda _client, _data, message: self._owner.arrived(self, message)
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
            return _why(exc), None
        tick = None
        try:
            self._loop.add_reader(self._sock.fileno(), self._read)
            self.flush()
            tick = self._loop.create_task(self._keep())
            async with asyncio.timeout(_CONNECT):
                await asyncio.wait((self._welcomed, self._ended), return_when="FIRST_COMPLETED")
            reason, code, _ = await self._ended
        except TimeoutError:
            reason, code = "the broker took the connection and said nothing", None
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
            self._client.tls_set_context(_context(broker.tls))
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
        else:
            _tune(self._sock.raw)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._client.loop_misc()
            self.flush()

    def _read(self) -> None:
        self.reading = True
        try:
            self._client.loop_read()
            while self._client.socket() is not None and self._sock.pending():
                self._client.loop_read()
        finally:
            self.reading = False
        if self._client.socket() is not None:
            _quick_ack(self._sock.raw)
            self._owner.pump()
            self.flush()

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
        if size + _MUCH <= self._max_packet:
            return None
        size += _FIXED + len(publication.topic.encode())
        if self.v5:
            size += len(self._describe(publication).pack())  # type: ignore[no-untyped-call]
        if size <= self._max_packet:
            return None
        return f"a packet of {size} bytes; the broker takes {self._max_packet}"

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
                packed = self._properties[content_type] = _Packed(content_type)
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

    def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe at QoS 1. On MQTT 5 a retained command is not even sent, or known as such."""
        options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
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
        self.reached = True
        if reason.is_failure:
            self._end(f"the broker refuses us: {reason}", reason.value, cut=False)
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
        self.reached = True
        timed_out = reason.getName() == "Keep alive timeout"
        told = flags.is_disconnect_packet_from_server
        why = str(reason) if told or timed_out else "the broker hung up"
        self._end(why, reason.value if told else None, cut=not timed_out)

    def _on_puback(self, mid: int, code: int) -> None:
        self._owner.published(mid, self._marks.pop(mid, 0), code)

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: list[ReasonCode], _: object
    ) -> None:
        refused = sum(reason.is_failure for reason in reasons)
        if refused:
            _LOGGER.error(
                "mqtt: the broker refuses %d of our subscriptions; does its ACL allow them?",
                refused,
            )

    def _on_socket_close(self, _client: object, _data: object, sock: Any) -> None:
        if self._sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())

    def _end(self, reason: str, code: int | None, *, cut: bool) -> None:
        if not self._ended.done():
            self._ended.set_result((reason, code, cut))

    def _close(self) -> None:
        """Whatever the state, leave nothing open and nothing registered."""
        self._end("closed", None, cut=False)
        sock = self._client.socket()
        if sock is not None:
            self._on_socket_close(None, None, sock)
            sock.close()


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _tune(sock: socket.socket) -> None:
    """Without TCP_NODELAY and quick acknowledgements, a capture takes 44 to 88 ms on loopback."""
    with contextlib.suppress(AttributeError, OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _quick_ack(sock)


def _quick_ack(sock: socket.socket) -> None:
    """Linux forgets it, so it is said again after every read (tcp(7))."""
    with contextlib.suppress(AttributeError, OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _chunks(topics: list[str]) -> Iterable[list[str]]:
    return (topics[at : at + _FILTERS] for at in range(0, len(topics), _FILTERS))


def _why(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {getattr(exc, 'verify_message', None) or exc.reason or exc}"
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__

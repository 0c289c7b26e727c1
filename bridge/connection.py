"""One connection to the broker, from dialling to its end. Alone imports paho.

paho runs on its external-loop interface: the loop watches the socket and paho parses. Only
connecting blocks, and that is done in a thread. Every connection has a paho client of its own,
so nothing of an old connection can reach a new one.
"""

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.outbox import Publication
from bridge.threads import Pool
from bridge.tls import Tls, TlsError, alert
from bridge.topics import OFFLINE

_LOGGER = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds for TCP, TLS and the like; as long again for the broker's CONNACK
_SESSION_EXPIRY = 60  # seconds for which the broker keeps commands for us; the contract's
_MAX_PACKET_IN = 2 * 1024 * 1024  # of what is sent to us: no command is so large
# paho waits as long as keepalive once more; then the session might be over before we are back.
_TO_ANSWER_A_PING = 10.0  # seconds
_FILTERS = 200  # topics in one SUBSCRIBE
_SEND_BUFFER = 512 * 1024  # an image in one piece: of the rest, paho makes a copy
_READ_AHEAD = 16 * 1024
_SMALL = 4 * 1024  # bytes of a packet that is copied rather than written by itself
_JOINED = 64 * 1024  # bytes, and one packet more, that are written in one piece
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


class Owner(Protocol):
    """Who is told what happens on a connection; called from the loop."""

    def established(self, connection: "Connection", *, session_present: bool, window: int) -> None:
        """The broker has let us in, and takes ``window`` unacknowledged publications."""

    def lost(self, *, cut: bool) -> None:
        """The connection is gone; ``cut`` if the broker ended it."""

    def arrived(
        self,
        connection: "Connection",
        topic: str,
        payload: bytes,
        *,
        mid: int | None,
        dup: bool,
        retain: bool,
        response_topic: str | None,
        correlation_data: bytes | None,
    ) -> None:
        """A message came in; ``mid`` is ``None`` at QoS 0."""

    def subscribed(self) -> None:
        """The broker has answered a subscription."""

    def acknowledged(self, mid: int) -> None:
        """We sent a PUBACK."""

    def published(self, mid: int, mark: int, code: int) -> None:
        """The broker has publication ``mid``, and has read what we wrote before ``mark``."""

    def turn(self) -> None:
        """Something was read, for now: there may be room to send, and time for who waits."""


class _Packed(Properties):
    """Properties that are packed once and not for every message."""

    def __init__(self, content_type: str) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.ContentType = content_type
        packed: bytes = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "pack", lambda: packed)  # of the rest, paho asks for nothing


class _Buffered:
    """A socket that reads ahead: paho asks for each packet in three pieces.

    It is what paho calls a SocketLike. ``fault`` is what TLS said when it ended, of which paho
    makes "unspecified error".
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = b""
        self.fault: ssl.SSLError | None = None
        secure = isinstance(self.raw, ssl.SSLSocket)
        self._recv = self._recv_secure if secure else sock.recv
        self.send = self._send_secure if secure else sock.send
        self.fileno = sock.fileno
        self.close = sock.close
        self.setblocking = sock.setblocking

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; ``BlockingIOError`` if there are none yet."""
        ahead = self._ahead
        if not ahead:
            if size >= _READ_AHEAD:
                received: bytes = self._recv(size)
                return received
            ahead = self._recv(_READ_AHEAD)
        self._ahead = ahead[size:]
        return ahead[:size]

    def _recv_secure(self, size: int) -> bytes:
        try:
            received: bytes = self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            self.fault = exc
            raise
        return received

    def _send_secure(self, data: bytes) -> int:
        try:
            sent: int = self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            try:
                alert(self._sock)
            except ssl.SSLError as exc:
                self.fault = exc
            raise
        return sent

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
    """paho, with short cuts, which together save more than a quarter of what a capture costs.

    All override what paho does not document, hence the bound on its version in pyproject.toml.
    """

    acknowledged: Callable[[int, int], None]
    arrived: Callable[..., None]

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

    def _handle_publish(self) -> MQTTErrorCode:
        """Take a PUBLISH that has no properties without building five objects to describe it."""
        first, packet = self._in_packet["command"], self._in_packet["packet"]
        at = 2 + int.from_bytes(packet[:2], "big")
        topic = packet[2:at]
        mid = None
        if first & 0x06 == 0x02:
            mid = int.from_bytes(packet[at : at + 2], "big")
            at += 2
        plain = first & 0x04 == 0 and 2 < at <= len(packet)
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            plain = plain and packet[at : at + 1] == b"\0"
            at += 1
        if not plain:
            return super()._handle_publish()
        self.arrived(topic, packet[at:], mid, dup=bool(first & 0x08), retain=bool(first & 0x01))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_write(self) -> MQTTErrorCode:
        """Write small packets in one piece: a system call costs more than they do."""
        waiting = self._out_packet
        if len(waiting) > 1 and not waiting[0]["pos"]:
            some, size = [], 0
            while waiting and waiting[0]["qos"] == 1 and waiting[0]["to_process"] <= _SMALL:
                if size > _JOINED:
                    break
                some.append(waiting.popleft()["packet"])
                size += len(some[-1])
            if some:
                joined = b"".join(some)
                waiting.appendleft(
                    {
                        "command": PacketTypes.PUBACK << 4,  # paho then does nothing more with it
                        "mid": 0,
                        "qos": 1,
                        "pos": 0,
                        "to_process": size,
                        "packet": joined,
                        "info": None,
                    }
                )
        return super()._packet_write()

    def _handle_pubackcomp(self, cmd: Any) -> Any:  # noqa: ARG002
        """Take a PUBACK without building a reason code and a list of no properties."""
        packet = self._in_packet["packet"]
        if len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        mid = int.from_bytes(packet[:2], "big")
        if self._out_messages.pop(mid, None) is not None:
            self.acknowledged(mid, packet[2] if len(packet) > 2 else 0)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


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
        self._properties: dict[str, _Packed] = {}
        self._sock: Any = None
        self.v5 = v5
        self.reached = False
        self.established = False
        self.reading = False
        self._max_packet = _MAX_PACKET_OUT
        self._refused = _MAX_PACKET_OUT + 1  # bytes of the smallest payload that was too large
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
        else:
            _tune(self._sock.raw)

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
            _quick_ack(self._sock.raw)
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
        self.reached = True
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
        self._owner.arrived(
            self,
            name,
            bytes(payload),
            mid=mid,
            dup=dup,
            retain=retain,
            response_topic=response_topic,
            correlation_data=correlation_data,
        )

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
            return f"TLS: {self._broker.tls.explain(exc)}"
        return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__

    def _close(self) -> None:
        """Whatever the state, leave nothing open and nothing registered."""
        self._end("closed", None, cut=False)
        sock = self._client.socket()
        if sock is not None:
            self._on_socket_close(None, None, sock)
            sock.close()


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

"""paho's client with short cuts. Beside `connection`, which drives it, it alone imports paho."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.tls import alert

_SEND_BUFFER = 512 * 1024  # an image in one piece: of the rest, paho makes a copy
_READ_AHEAD = 16 * 1024
_SMALL = 4 * 1024  # bytes of a packet that is copied rather than written by itself
_JOINED = 64 * 1024  # bytes, and one packet more, that are written in one piece


class Packed(Properties):
    """Properties that are packed once and not for every message."""

    def __init__(self, content_type: str) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.ContentType = content_type
        packed: bytes = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "pack", lambda: packed)  # of the rest, paho asks for nothing


class Buffered:
    """A socket that reads ahead: paho asks for each packet in three pieces.

    It is what paho calls a SocketLike. ``fault`` is what TLS said when it ended, of which paho
    makes "unspecified error".
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = b""
        self.fault: ssl.SSLError | None = None
        # Below paho's WebSocket is the one whose options can be set.
        self._raw: socket.socket = getattr(sock, "_socket", sock)
        secure = isinstance(self._raw, ssl.SSLSocket)
        self._recv = self._recv_secure if secure else sock.recv
        self.send = self._send_secure if secure else sock.send
        self.fileno = sock.fileno
        self.close = sock.close
        self.setblocking = sock.setblocking
        self._tune()

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

    def quick_ack(self) -> None:
        """Linux forgets it, so it is said again after every read (tcp(7))."""
        with contextlib.suppress(AttributeError, OSError):
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _tune(self) -> None:
        """Without this, a capture takes 44 to 88 ms on loopback."""
        with contextlib.suppress(AttributeError, OSError):
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.quick_ack()


class Client(paho.Client):
    """paho, with short cuts, which together save more than a quarter of what a capture costs.

    All override what paho does not document, hence the bound on its version in pyproject.toml.
    """

    acknowledged: Callable[[int, int], None]
    arrived: Callable[..., None]

    def _create_socket(self) -> Any:
        return Buffered(super()._create_socket())

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

"""An MQTT client for tests: everything that comes is on record, and can be waited for."""

import itertools
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from paho.mqtt.client import Client as Paho
from paho.mqtt.client import (
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTv5,
    MQTTv311,
    topic_matches_sub,
)
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.fakes.certificates import Certificates

Version = Literal["5", "3.1.1"]

NO_SUBSCRIBERS = 0x10
"""The reason code that an MQTT 5 broker acknowledges with what nobody has subscribed to."""

_PROPERTIES = {
    "response_topic": "ResponseTopic",
    "correlation_data": "CorrelationData",
    "content_type": "ContentType",
    "expiry": "MessageExpiryInterval",
    "user": "UserProperty",
}
_SHOWN = 160  # characters of a payload in an error message
_RECONNECT = 0.05
_KEPT = 600  # seconds for which a broker keeps a session that is to be continued


@dataclass(frozen=True)
class Message:
    """A message that came; ``at_ns`` is monotonic, as a board's stamps are."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool
    dup: bool
    at_ns: int
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    expiry: int | None = None
    user: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode()

    @property
    def json(self) -> Any:
        """The payload's JSON."""
        return json.loads(self.payload)

    def __str__(self) -> str:
        try:
            text = self.text
        except UnicodeDecodeError:
            text = f"<{len(self.payload)} bytes>"
        else:
            text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
        return f"{self.topic} {text}{' (retained)' if self.retain else ''}"


class Client:
    """Subscribes to ``subscribe`` and records; connects again by itself when the broker was away.

    Args:
        host: name or address, or a unix socket's path with ``transport="unix"``.
        tls: checks the broker against this authority, and shows it the client's certificate.
        clean: ``False`` continues the session that ``client_id`` has.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        version: Version = "5",
        subscribe: Sequence[str] = ("#",),
        client_id: str = "",
        username: str | None = None,
        password: str | None = None,
        tls: Certificates | None = None,
        transport: Literal["tcp", "websockets", "unix"] = "tcp",
        clean: bool = True,
    ) -> None:
        self.id = client_id or f"test-{secrets.token_hex(6)}"
        self.version = version
        self._clean = clean
        self._address = (host, port)
        self._filters = list(subscribe)
        self._changed = threading.Condition()
        self._messages: list[Message] = []
        self._acknowledged: dict[int, int] = {}
        self._granted: dict[int, list[int]] = {}
        self._connack: ReasonCode | None = None
        self._connected = False
        self.connections = 0  # ever made
        self._subscribing: set[int | None] = set()  # on this connection, and not answered yet
        self._numbers = itertools.count(1)
        self._started_ns = time.monotonic_ns()

        self._paho = Paho(
            CallbackAPIVersion.VERSION2,
            client_id=self.id,
            protocol=MQTTv5 if version == "5" else MQTTv311,
            transport=transport,
            clean_session=None if version == "5" else clean,
        )
        self._paho.username_pw_set(username, password)
        # paho only adds them to the time
        self._paho.reconnect_delay_set(cast("int", _RECONNECT), cast("int", _RECONNECT))
        if tls is not None:
            self._paho.tls_set(str(tls.ca), str(tls.client[0]), str(tls.client[1]))
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._paho.on_socket_open = self._on_socket_open

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us, and is there."""
        return self._connected

    def start(self, timeout: float = 10.0) -> None:
        """Connect and subscribe; ``ConnectionRefusedError`` says what the broker said."""
        host, port = self._address
        if self.version == "5":
            keep = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            keep.SessionExpiryInterval = 0 if self._clean else _KEPT
            self._paho.connect(host, port or 1, clean_start=self._clean, properties=keep)
        else:
            self._paho.connect(host, port or 1)
        self._paho.loop_start()
        try:
            self._wait(lambda: self._connack is not None, timeout, "the broker's CONNACK")
            self._check_welcome()
            self._wait(lambda: len(self._granted) >= len(self._filters), timeout, "its SUBACK")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Disconnect; a broker that doesn't listen can't hinder it."""
        self._paho.disconnect()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._connected, 1.0):
                self.drop()
        self._paho.loop_stop()

    def drop(self) -> None:
        """Cut the connection without a word; it is made again at once."""
        sock = self._paho.socket()
        if isinstance(sock, socket.socket):  # an SSLSocket's own method would go on in the clear
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    # Sending

    def publish(
        self,
        topic: str,
        payload: bytes | str | Mapping[str, Any] = b"",
        *,
        qos: int = 1,
        retain: bool = False,
        timeout: float = 10.0,
        **properties: Any,
    ) -> int:
        """Publish, a mapping as JSON, and wait for the broker's reason code, 0 at QoS 0.

        Args:
            properties: of MQTT 5: response_topic, correlation_data, content_type, expiry (seconds)
                and user (a mapping).
        """
        if isinstance(payload, Mapping):
            payload = json.dumps(payload)
        sent = self._paho.publish(topic, payload, qos, retain, _properties(properties))
        if qos == 0:
            return 0
        self._wait(lambda: sent.mid in self._acknowledged, timeout, f"the PUBACK for {topic}")
        return self._acknowledged.pop(sent.mid)

    def request(
        self,
        topic: str,
        payload: bytes | str | Mapping[str, Any] = b"",
        *,
        timeout: float = 15.0,
        **properties: Any,
    ) -> Message:
        """Publish with a response topic and correlation data of our own; the reply comes back."""
        response_topic = f"reply/{self.id}"
        correlation_data = secrets.token_bytes(8)
        self.subscribe(response_topic)
        self.publish(
            topic,
            payload,
            response_topic=response_topic,
            correlation_data=correlation_data,
            **properties,
        )
        return self.wait(
            response_topic, lambda m: m.correlation_data == correlation_data, timeout=timeout
        )[0]

    def subscribe(self, topic_filter: str, *, qos: int = 1, timeout: float = 10.0) -> int:
        """Subscribe, unless we have; the broker's reason code comes back."""
        if topic_filter in self._filters:
            return qos
        _, mid = self._paho.subscribe(topic_filter, qos)
        assert mid is not None
        self._wait(lambda: mid in self._granted, timeout, f"the SUBACK for {topic_filter}")
        self._filters.append(topic_filter)
        return self._granted[mid][0]

    # What came

    def messages(self, topic_filter: str = "#") -> list[Message]:
        """What came so far, in order."""
        with self._changed:
            return [m for m in self._messages if topic_matches_sub(topic_filter, m.topic)]

    def clear(self) -> None:
        """Forget what came so far."""
        with self._changed:
            self._messages.clear()

    def wait(
        self,
        topic_filter: str,
        predicate: Callable[[Message], object] | None = None,
        *,
        count: int = 1,
        timeout: float = 10.0,
    ) -> list[Message]:
        """Wait until ``count`` messages that match have come since `clear`; all of them."""

        def matching() -> list[Message]:
            messages = self.messages(topic_filter)
            return [m for m in messages if predicate is None or predicate(m)]

        what = f"{count} on {topic_filter}{'' if predicate is None else ' that match'}"
        self._wait(lambda: len(matching()) >= count, timeout, what)
        return matching()

    def expect_none(
        self,
        topic_filter: str,
        predicate: Callable[[Message], object] | None = None,
        *,
        until: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Wait for a message on ``until``; none that matches may have come before, since `clear`.

        Without ``until`` it is a message of our own, which proves that all that the broker had
        when it was sent has come, and no more than that.
        """
        if until is None:
            until = self._mark(timeout)
        marker = self.wait(until, timeout=timeout)[0]
        before = itertools.takewhile(lambda m: m is not marker, self.messages())
        for message in before:
            if topic_matches_sub(topic_filter, message.topic):
                harmless = predicate is not None and not predicate(message)
                assert harmless, f"not expected: {message}"

    def sync(self, timeout: float = 10.0) -> None:
        """Wait until all that the broker has for us now has come, on a connection if need be."""
        self._wait(
            lambda: self._connected and not self._subscribing, timeout, "to be subscribed again"
        )
        self.wait(self._mark(timeout), timeout=timeout)

    def _check_welcome(self) -> None:
        if self._connack is not None and self._connack.is_failure:
            raise ConnectionRefusedError(str(self._connack))

    def _mark(self, timeout: float) -> str:
        topic = f"marker/{self.id}/{next(self._numbers)}"
        if not any(topic_matches_sub(own, topic) for own in self._filters):
            self.subscribe(f"marker/{self.id}/+", timeout=timeout)
        self.publish(topic, timeout=timeout)
        return topic

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"waited {timeout} s for {what}; what came:\n{self._story()}")

    def _story(self) -> str:
        lines = [
            f"{(message.at_ns - self._started_ns) / 1e9:9.3f} s  {message}"
            for message in self._messages
        ]
        return "\n".join(lines) or "nothing"

    # paho's callbacks, in its thread

    def _on_connect(
        self, client: Paho, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        with self._changed:
            if not reason.is_failure:
                self._subscribing = {client.subscribe(name, 1)[1] for name in self._filters}
            self._connack = reason
            self._connected = not reason.is_failure
            self.connections += self._connected
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: Paho, _data: Any, _flags: DisconnectFlags, _reason: ReasonCode, _p: Any
    ) -> None:
        with self._changed:
            self._connected = False
            self._changed.notify_all()

    def _on_subscribe(
        self, _client: Paho, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        with self._changed:
            self._granted[mid] = [reason.value for reason in reasons]
            self._subscribing.discard(mid)
            self._changed.notify_all()

    def _on_publish(
        self, _client: Paho, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        with self._changed:
            self._acknowledged[mid] = reason.value
            self._changed.notify_all()

    def _on_message(self, _client: Paho, _data: Any, message: MQTTMessage) -> None:
        received = _message(message)
        with self._changed:
            self._messages.append(received)
            self._changed.notify_all()

    def _on_socket_open(self, _client: Paho, _data: Any, sock: Any) -> None:
        if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(values: Mapping[str, Any]) -> Properties | None:
    if not values:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        is_user = name == "user"
        setattr(properties, _PROPERTIES[name], list(value.items()) if is_user else value)
    return properties


def _message(message: MQTTMessage) -> Message:
    found = {
        name: getattr(message.properties, paho_name)
        for name, paho_name in _PROPERTIES.items()
        if hasattr(message.properties, paho_name)
    }
    return Message(
        topic=message.topic,
        payload=bytes(message.payload),
        qos=message.qos,
        retain=message.retain,
        dup=message.dup,
        at_ns=time.monotonic_ns(),
        **{**found, "user": dict(found.get("user", ()))},
    )

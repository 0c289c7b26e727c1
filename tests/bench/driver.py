"""The load: commands to one bridge over MQTT, and what became of them.

A minimal MQTT 5 client of its own on one blocking socket, the same for both sides, since it runs
on the same cores as what it measures: commands at QoS 1 as the contract wants them, answers
subscribed at QoS 0, and images counted but thrown away in the kernel.
"""

import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_RESULT = re.compile(rb'"id": ?"(\d+)".*?"status": ?"(\w+)"', re.DOTALL)
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
_READ = 8192
_TOPIC = 2048  # bytes of a message in which topic and properties end, and a result
_PATIENCE = 0.05  # seconds that one read waits
_LATE = 20.0  # seconds for an answer before the bench gives up


class BenchError(Exception):
    """The bench can't go on: something it runs did not do what it must."""


@dataclass
class Sample:
    """What one round of one side measured."""

    seconds: float = 0.0
    captures: int = 0
    failed: int = 0
    cpu: float = 0.0
    to_image: list[float] = field(default_factory=list)
    to_result: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Captures in a second."""
        return self.captures / self.seconds

    @property
    def cpu_each(self) -> float:
        """Seconds of the bridge's CPU for one capture."""
        return self.cpu / self.captures


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` of the values are."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads, to the nanosecond.

    The clock behind utime and stime of ``/proc/PID/stat``, which come in hundredths of a second;
    the number is the kernel's for "CPU time of that process", as clock_getcpuclockid(3) makes it.
    """
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at its peak, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    now, peak = (re.search(rf"{key}:\s+(\d+) kB", text) for key in ("VmRSS", "VmHWM"))
    assert now is not None
    assert peak is not None
    return int(now[1]) / 1024, int(peak[1]) / 1024


class Driver:
    """Asks the cameras of one bridge for captures, and times what comes."""

    def __init__(self, port: int, base: str, cameras: Sequence[str], size: int) -> None:
        self._base = base.encode()
        self._size = size
        self._names = [name.encode() for name in cameras]
        self._images = {self._topic(name, b"image"): at for at, name in enumerate(self._names)}
        self._results = {self._topic(name, b"result"): at for at, name in enumerate(self._names)}
        self._state = self._topic(b"bridge", b"state")
        self._online = False
        self._asked: list[tuple[bytes, float] | None] = [None] * len(self._names)
        self._image_at = [0.0] * len(self._names)
        self._next_id = 0
        self._keys = [b""] * len(self._names)
        self._watched: int | None = None
        self._sample = Sample()
        self._answered: Callable[[int], None] = _nothing
        self._failed: Callable[[int], None] = _nothing
        self._out = bytearray()
        self._buffer = bytearray(1 << 20)
        self._held = 0  # bytes of it that belong to a packet that is not whole
        self._skip = 0  # bytes of an image still to throw away
        self._image_of = -1
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_LATE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        # the kernel's time-out: with Python's own, each read would poll first
        self._socket.settimeout(None)
        patience = struct.pack("ll", 0, int(_PATIENCE * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        patience = struct.pack("ll", int(_LATE), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)

    def start(self) -> None:
        """Connect and subscribe; ``wait_online`` may follow."""
        body = _text(b"MQTT") + b"\5\2\0\0" + b"\0" + _text(self._base + b"-driver")
        self._socket.sendall(_packet(_CONNECT, body))
        topics = ((self._base + b"/+/image", 0x20), (self._base + b"/+/result", 0x20))
        body = b"\0\1\0"
        for topic, option in (*topics, (self._state, 0x00)):  # 0x20: nothing that is retained
            body += _text(topic) + bytes([option])
        self._socket.sendall(_packet(_SUBSCRIBE, body))

    def stop(self) -> None:
        """Close the connection."""
        self._socket.close()

    def wait_online(self, alive: Callable[[], bool], timeout: float = _LATE) -> None:
        """Return once the bridge says that it is online; an error if it dies instead."""
        deadline = time.perf_counter() + timeout
        while not self._online:
            self._receive()
            if not alive() or time.perf_counter() > deadline:
                raise BenchError("the bridge did not come online")

    def closed_loop(self, seconds: float, pid: int) -> Sample:
        """Keep one command in flight for each camera; the next follows its result.

        It goes on until there were as many results as cameras: a machine that stood still all the
        time has no rate.
        """
        sample = self._sample = Sample()
        cpu = cpu_seconds(pid)
        started = time.perf_counter()
        until = started + seconds
        self._answered = self._ask
        for camera in range(len(self._names)):
            self._ask(camera)
        self._flush()
        while (now := time.perf_counter()) < until or (
            sample.captures + sample.failed < len(self._names)
        ):
            if now > until + _LATE:
                raise BenchError("a request has no result")
            self._receive()
        sample.seconds = time.perf_counter() - started
        sample.cpu = cpu_seconds(pid) - cpu
        captures, failed = sample.captures, sample.failed
        self._answered = _nothing
        self._finish()
        sample.captures = captures
        if sample.failed != failed or failed:
            raise BenchError(f"{sample.failed} captures failed")
        return sample

    def paced(self, seconds: float, pid: int, every: float = 0.02) -> Sample:
        """Ask the first camera each ``every`` seconds, or as soon as it has answered if later."""
        sample = self._sample = Sample()
        cpu = cpu_seconds(pid)
        started = due = time.perf_counter()
        while time.perf_counter() < started + seconds:
            self._ask(0)
            self._flush()
            self._finish()
            due = max(due + every, time.perf_counter())
            time.sleep(max(due - time.perf_counter(), 0.0))
        sample.seconds = time.perf_counter() - started
        sample.cpu = cpu_seconds(pid) - cpu
        if sample.failed:
            raise BenchError(f"{sample.failed} captures failed")
        return sample

    def each_once(self, *, timeout: float = _LATE) -> Sample:
        """Ask every camera at once for one image; one that fails is asked again until then."""
        self._sample = Sample()
        deadline = time.perf_counter() + timeout
        failed = set(range(len(self._names)))
        while failed:
            if time.perf_counter() > deadline:
                raise BenchError(f"{len(failed)} cameras gave no image")
            asked, failed = failed, set()
            self._failed = failed.add
            for camera in asked:
                self._ask(camera)
            self._flush()
            self._finish(timeout)
        return self._sample

    def saving(self, seconds: float, pid: int, *, save: bool) -> Sample:
        """All cameras in a closed loop; the latencies are of the first, which never saves."""
        others = b',"save":true' if save else b',"save":false'
        self._keys = [others] * len(self._names)
        self._keys[0] = b',"save":false'
        self._watched = 0
        return self.closed_loop(seconds, pid)

    def _finish(self, timeout: float = _LATE) -> None:
        deadline = time.perf_counter() + timeout
        while any(self._asked):
            self._receive()
            if time.perf_counter() > deadline:
                raise BenchError("a request has no result")

    def _topic(self, name: bytes, leaf: bytes) -> bytes:
        return b"/".join((self._base, name, leaf))

    def _ask(self, camera: int) -> None:
        self._next_id += 1
        id_ = b"%d" % self._next_id
        mid = self._next_id % 65535 + 1
        body = _text(self._topic(self._names[camera], b"capture")) + struct.pack(">H", mid)
        payload = b'{"id":"' + id_ + b'"' + self._keys[camera] + b"}"
        self._out += _packet(_PUBLISH | 2, body + b"\0" + payload)
        self._asked[camera] = (id_, time.perf_counter())
        self._image_at[camera] = 0.0

    def _flush(self) -> None:
        self._socket.sendall(self._out)
        self._out.clear()

    def _receive(self) -> None:
        """Read once, or for ``_PATIENCE``; take what is whole, and send what that asks for."""
        try:
            if self._skip:
                # MSG_TRUNC on TCP: the kernel drops the bytes instead of copying them
                flags = socket.MSG_TRUNC | socket.MSG_WAITALL
                count = self._socket.recv_into(
                    self._buffer, min(self._skip, len(self._buffer)), flags
                )
                self._skip -= count
                if not self._skip:
                    self._image_at[self._image_of] = time.perf_counter()
            else:
                with memoryview(self._buffer) as view:
                    count = self._socket.recv_into(view[self._held : _READ])
                self._held += count
        except BlockingIOError:
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not count:
            raise BenchError("the broker closed the connection")
        if self._held:
            self._split()
        if self._out:
            self._flush()

    def _split(self) -> None:
        """Take the packets in the buffer; of an image, its beginning is enough."""
        buffer, place, end = self._buffer, 0, self._held
        while end - place >= 2:
            at, length, shift = place + 1, 0, 0
            while at < end:
                length |= (buffer[at] & 0x7F) << shift
                shift += 7
                at += 1
                if buffer[at - 1] < 0x80:
                    break
            else:
                break
            missing = at + length - end
            if missing > 0 and not (length >= self._size and end - at >= _TOPIC):
                break
            kind = buffer[place] & 0xF0
            if kind == _PUBLISH:
                self._published(bytes(buffer[at : min(at + length, at + _TOPIC)]), length, missing)
            elif (kind == _CONNACK and buffer[at + 1]) or (
                kind == _SUBACK and buffer[at + 3] >= 0x80
            ):
                raise BenchError(f"the broker refused: {bytes(buffer[at : at + length])!r}")
            place = min(at + length, end)
            self._skip = max(missing, 0)
        self._held = end - place
        if place and self._held:
            buffer[: self._held] = buffer[place:end]

    def _published(self, body: bytes, length: int, missing: int) -> None:
        size = body[0] << 8 | body[1]
        topic = body[2 : 2 + size]
        payload = 3 + size + body[2 + size]  # QoS 0: no packet identifier; properties under 128
        camera = self._images.get(topic)
        if camera is not None:
            if length - payload != self._size:
                raise BenchError(f"an image of {length - payload} bytes, not {self._size}")
            self._image_of = camera
            if missing <= 0:
                self._image_at[camera] = time.perf_counter()
        elif missing > 0:
            raise BenchError(f"{length} bytes on {topic!r}")
        elif topic == self._state:
            self._online = body[payload:] == b"online"
        else:
            self._result(self._results[topic], body[payload:])

    def _result(self, camera: int, payload: bytes) -> None:
        now = time.perf_counter()
        found = _RESULT.search(payload)
        asked, self._asked[camera] = self._asked[camera], None
        if found is None or asked is None or found[1] != asked[0]:
            raise BenchError(f"expected a result for {asked}, got {payload[:200]!r}")
        sample = self._sample
        sample.captures += 1
        if found[2] == b"ok":
            if not self._image_at[camera]:
                raise BenchError("a result before its image")
            if self._watched in (None, camera):
                sample.to_image.append(self._image_at[camera] - asked[1])
                sample.to_result.append(now - asked[1])
        else:
            sample.failed += 1
            self._failed(camera)
        self._answered(camera)


def _nothing(_camera: int) -> None:
    pass


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _packet(first: int, body: bytes) -> bytes:
    length, size = len(body), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([first]) + size + body

"""A camera against a board that does everything wrong: what was asked, and what came of it."""

import array
import asyncio
import base64
import fcntl
import hashlib
import json
import logging
import ssl
import termios
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.attempt import take
from bridge.camera import BoardFailure, Camera, target_with_path
from bridge.capture import Options, Outcome
from bridge.errors import BridgeError
from bridge.opening import Target
from bridge.threads import Pool
from tests.conftest import Boards
from tests.fakes import behaviours as b
from tests.fakes.board import (
    Behaviour,
    Connection,
    FakeBoard,
    OnCapture,
    OnConnect,
    OnHello,
    Shot,
    stamp,
)
from tests.fakes.certificates import Certificates
from tests.fakes.loop import in_loop
from tests.fakes.pauses import pauses
from tests.fakes.websocket import BINARY, CLOSE, CONTINUATION, PONG, TEXT, encode

MIB = 1024 * 1024


@dataclass(frozen=True)
class Where:
    url: str
    protocol: str = "legacy"
    discard: int = 0
    max_image: int = 4 * MIB


@dataclass
class Subject:
    """A camera, and what it said."""

    camera: Camera
    losses: asyncio.Queue[BridgeError] = field(default_factory=asyncio.Queue)
    outcome: Outcome = field(default_factory=lambda: Outcome(finished=0.0))
    meeting: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0
    seconds: float = 0.0
    began_ns: int = 0

    async def take(self, *, timeout: float = 5.0, retries: int = 0, **options: Any) -> bytes:
        self.outcome = Outcome(finished=0.0)
        began = time.monotonic()
        self.began_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(timeout + 3):  # else a broken deadline is one for a test too
                image = await take(
                    self.camera, Options(**options), self.outcome, timeout=timeout, retries=retries
                )
        finally:
            self.seconds = time.monotonic() - began
        return bytes(image.data)

    async def fresh(self, *, timeout: float = 5.0, retries: int = 0, **options: Any) -> bytes:
        """Take one that was asked for since then, which its stamp proves."""
        jpeg = await self.take(timeout=timeout, retries=retries, **options)
        asked = stamp(jpeg)["asked_ns"]
        assert asked is not None, "a picture that nobody asked for"
        assert asked >= self.began_ns, "a picture that was asked for before"
        return jpeg

    async def fail(self, code: str, *, timeout: float = 5.0, retries: int = 0, **o: Any) -> str:
        with pytest.raises(BridgeError) as caught:
            await self.take(timeout=timeout, retries=retries, **o)
        assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
        return str(caught.value)

    async def connect(self, timeout: float = 5.0) -> None:
        await self.camera.connect(deadline=time.monotonic() + timeout)

    async def lost(self) -> BridgeError:
        return await asyncio.wait_for(self.losses.get(), 10)


@asynccontextmanager
async def subject(
    board: FakeBoard | str,
    wire: str = "legacy",
    *,
    key: str | None = None,
    discard: int = 0,
    max_image: int = 4 * MIB,
    **target: Any,
) -> AsyncIterator[Subject]:
    """A camera that is pointed at the board and not connected yet."""
    where = Where(board if isinstance(board, str) else board.url, wire, discard, max_image)

    def met() -> None:
        it.met += 1
        it.meeting.set()

    camera = Camera(
        where,
        target=target_with_path(Target(where.url, **target), wire),
        key=key,
        pool=Pool(1, name="connect"),
        lost=lambda reason: it.losses.put_nowait(reason),
        met=met,
    )
    it = Subject(camera)
    try:
        yield it
    finally:
        camera.close()


def hold_up(it: Subject, size: int) -> None:
    """Hold up the loop until so many bytes have arrived that it does not know of."""
    wire = it.camera._wire
    assert wire is not None
    waiting = array.array("i", [0])
    deadline = time.monotonic() + 10
    while waiting[0] < size:
        assert time.monotonic() < deadline
        fcntl.ioctl(wire._sock, termios.FIONREAD, waiting)


async def until(wait: Callable[..., object], *args: Any) -> None:
    """Wait for a board without holding up the camera."""
    await asyncio.to_thread(wait, *args)


# What a legacy board gets to see


@in_loop
async def test_a_legacy_board_gets_one_frame_of_seven_bytes_for_each_picture(board: Boards) -> None:
    old = board()
    async with subject(old) as it:
        await it.fresh()
        await it.fresh()
    await until(old.wait_for_open, 0)
    texts = [frame for frame in old.frames if frame.opcode == TEXT]
    assert [(frame.payload, frame.fin) for frame in texts] == [(b"capture", True)] * 2
    assert {frame.opcode for frame in old.frames} <= {TEXT, PONG, CLOSE}
    assert old.connections == 1
    assert not old.violations
    assert not old.crashed


@in_loop
async def test_a_legacy_board_that_may_be_v1_gets_nothing_else_either(board: Boards) -> None:
    old = board()
    async with subject(old, "auto") as it:
        await it.fresh()
    await until(old.wait_for_open, 0)
    assert old.texts == ["capture"]
    assert {frame.opcode for frame in old.frames} <= {TEXT, PONG, CLOSE}


@in_loop
async def test_the_handshake_offers_no_subprotocol_and_no_origin(board: Boards) -> None:
    old = board()
    async with subject(old) as it:
        await it.connect()
    headers = old.headers[0]
    assert not headers.keys() & {"sec-websocket-protocol", "origin", "authorization", "cookie"}
    assert headers["host"] == f"127.0.0.1:{old.port}"


@pytest.mark.parametrize(
    ("wire", "path", "asked"),
    [
        ("legacy", "", "/"),
        ("auto", "", "/v1"),
        ("auto", "/", "/v1"),
        ("v1", "", "/v1"),
        ("auto", "/cam", "/cam"),
        ("auto", "/?a=b", "/?a=b"),
        ("v1", "/v1", "/v1"),
    ],
)
@in_loop
async def test_v1_is_asked_for_only_where_the_url_has_no_path_of_its_own(
    board: Boards, wire: str, path: str, asked: str
) -> None:
    there = board(wire="v1")
    async with subject(there.url + path, wire) as it:
        try:
            await it.connect(1.0)
        except BridgeError as exc:
            pytest.fail(f"{exc.code}: {exc}")
    assert there.paths == [asked]


@in_loop
async def test_a_ping_is_answered_while_nothing_is_asked(board: Boards) -> None:
    old = board()
    async with subject(old) as it:
        await it.connect()
        await until(old.wait_for_open)
        old.send(encode(0x9, b"are you there?"))
        await until(
            old.wait_for_frame, lambda f: f.opcode == PONG and f.payload == b"are you there?", 4.0
        )


@in_loop
async def test_so_many_pictures_are_dropped_first_as_are_to_be(board: Boards) -> None:
    old = board()
    async with subject(old, discard=2) as it:
        assert stamp(await it.fresh())["seq"] == 3
    assert len(old.asked) == 3


# What an asked board does wrong


@OnCapture
def endless_fragments(shot: Shot) -> None:
    """Never end a message of small pieces."""
    shot.announce(shot.jpeg)
    shot.connection.send(encode(BINARY, shot.jpeg, fin=False))
    piece = encode(CONTINUATION, bytes(1_000), fin=False) * 50
    while True:
        shot.connection.send(piece)


@OnCapture
def tiny_fragments(shot: Shot) -> None:
    """Never end a message of empty pieces."""
    shot.announce(shot.jpeg)
    shot.connection.send(encode(BINARY, b"", fin=False))
    piece = encode(CONTINUATION, b"", fin=False) * 1_000
    while True:
        shot.connection.send(piece)


@OnCapture
def continuation_of_nothing(shot: Shot) -> None:
    shot.announce(shot.jpeg)
    shot.connection.send(encode(CONTINUATION, shot.jpeg))


@OnCapture
def flood_of_pings(shot: Shot) -> None:
    """As many pings as the line takes."""
    while True:
        shot.connection.send(encode(0x9, b"") * 100)


WRONG: dict[str, tuple[Behaviour, str]] = {
    "truncated": (b.truncated, "bad_image"),
    "glued": (b.glued, "bad_image"),
    "doubled": (b.doubled, "bad_image"),
    "not_a_jpeg": (b.not_a_jpeg, "bad_image"),
    "empty": (b.empty_binary, "bad_image"),
    "trailing": (b.trailing(b"junk"), "bad_image"),
    "huge": (b.huge(), "bad_image"),
    "a byte too large": (b.huge(4 * MIB + 1), "bad_image"),
    "endless_fragments": (endless_fragments, "bad_image"),
    "tiny_fragments": (tiny_fragments, "bad_image"),
    "continuation_of_nothing": (continuation_of_nothing, "camera_failed"),
    "close": (b.close(), "camera_failed"),
    "close without hanging up": (b.close(1011, "camera", hang_up=False), "camera_failed"),
    "cut": (b.cut(), "camera_failed"),
    "cut within": (b.cut(9_000), "camera_failed"),
    "reset": (b.reset(), "camera_failed"),
    "reset within": (b.reset(9_000), "camera_failed"),
    "masked": (b.masked, "camera_failed"),
    "bad_opcode": (b.bad_opcode, "camera_failed"),
    "flood_of_pings": (flood_of_pings, "camera_failed"),
}


@pytest.mark.parametrize("wire", ["legacy", "v1"])
@pytest.mark.parametrize("what", WRONG)
@in_loop
async def test_what_a_board_does_wrong_has_a_name_and_is_tried_again(
    board: Boards, wire: str, what: str
) -> None:
    behaviour, code = WRONG[what]
    there = board(wire=wire)
    there.script(behaviour, behaviour)
    async with subject(there, wire) as it:
        await it.fail(code)
        assert not it.camera.connected
        assert it.outcome.attempts == 1
        jpeg = await it.fresh(retries=1)
        assert it.outcome.attempts == 2
        assert stamp(jpeg)["seq"] == 3
    assert there.connections == 3


SILENCE = {
    "silent": b.silent,
    "half": b.half,
    "text": b.text(),
    "pings": b.ping_flood(None, every=0.05),
}


@pytest.mark.parametrize("what", SILENCE)
@in_loop
async def test_silence_is_a_timeout(board: Boards, what: str) -> None:
    there = board()
    there.script(SILENCE[what])
    async with subject(there) as it:
        await it.fail("timeout", timeout=0.3)
        assert not it.camera.connected
        await it.fresh()
    assert there.connections == 2


@pytest.mark.parametrize("what", ["silent", "half"])
@in_loop
async def test_after_silence_the_next_attempt_has_a_connection_of_its_own(
    board: Boards, what: str
) -> None:
    there = board()
    there.script(SILENCE[what])
    async with subject(there) as it:
        jpeg = await it.fresh(timeout=6.0, retries=1)
        assert (it.outcome.attempts, stamp(jpeg)["seq"]) == (2, 2)
    assert there.connections == 2


@in_loop
async def test_a_late_image_does_not_answer_the_next_request(board: Boards) -> None:
    old = board()
    now = threading.Event()
    old.script(b.late(now))
    async with subject(old) as it:
        await it.fail("timeout", timeout=0.3)
        now.set()
        assert stamp(await it.fresh())["seq"] == 2
    assert old.connections == 2


@in_loop
async def test_a_late_image_does_not_answer_the_next_attempt(board: Boards) -> None:
    old = board()
    asked_again = threading.Event()

    @OnCapture
    def after_the_late_one(shot: Shot) -> None:
        asked_again.set()
        shot.send()

    old.script(b.late(asked_again), after_the_late_one)
    async with subject(old) as it:
        jpeg = await it.fresh(timeout=6.0, retries=1)
        assert (it.outcome.attempts, stamp(jpeg)["seq"]) == (2, 2)


@in_loop
async def test_an_image_in_time_is_worth_waiting_for(board: Boards) -> None:
    old = board()
    old.script(b.late(0.6))
    async with subject(old) as it:
        assert stamp(await it.fresh(timeout=2.0, retries=1))["seq"] == 1
        assert it.outcome.attempts == 1


@in_loop
async def test_a_board_that_drips_is_let_go_on_and_ends_with_the_deadline(board: Boards) -> None:
    old = board()
    old.script(b.drip(0.02))
    async with subject(old) as it:
        await it.fail("timeout", timeout=2.6, retries=1)
        assert it.outcome.attempts == 1
        assert 2.5 < it.seconds < 5.1  # 5.2 would be twice the time


@in_loop
async def test_a_slow_board_is_let_finish_past_an_attempts_share_of_the_time(
    board: Boards,
) -> None:
    old = board(size=12_000)

    @OnCapture
    def in_spurts(shot: Shot) -> None:
        frame = encode(BINARY, shot.jpeg)
        for at in range(0, len(frame), 2_000):
            shot.connection.send(frame[at : at + 2_000])
            shot.connection.wait(0.25)

    old.script(in_spurts)
    async with subject(old) as it:
        assert stamp(await it.fresh(timeout=5.0, retries=3))["seq"] == 1
        assert it.seconds > 1.25  # a quarter of the time is one attempt's share
        assert it.outcome.attempts == 1


@pytest.mark.parametrize("wire", ["legacy", "v1"])
@in_loop
async def test_the_second_of_two_images_answers_nobody(board: Boards, wire: str) -> None:
    there = board(wire=wire)
    there.script(b.twice)
    async with subject(there, wire) as it:
        assert stamp(await it.fresh())["seq"] == 1
        assert (await it.lost()).code == "camera_failed"
        assert stamp(await it.fresh())["seq"] == 2
    assert there.connections == 2


@pytest.mark.parametrize("wire", ["legacy", "v1"])
@in_loop
async def test_nor_where_both_are_here_before_the_first_is_looked_at(
    board: Boards, wire: str
) -> None:
    """A loop that was held up reads the socket for the board and for its clock in one turn."""
    there = board(wire=wire)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    go, sent = threading.Event(), threading.Event()

    @OnCapture
    def when_told(shot: Shot) -> None:
        loop.call_soon_threadsafe(asked.set)
        go.wait(10)
        b.twice.play(shot)
        sent.set()

    there.script(when_told)
    async with subject(there, wire) as it:
        taking = asyncio.ensure_future(it.fresh())
        await asked.wait()
        until = time.monotonic() + 1.3  # a look is due each quarter of the five seconds
        go.set()
        assert sent.wait(10)
        while time.monotonic() < until:
            pass
        assert stamp(await taking)["seq"] == 1
        assert (await it.lost()).code == "camera_failed"
        assert stamp(await it.fresh())["seq"] == 2
    assert there.connections == 2


@pytest.mark.parametrize("wire", ["legacy", "v1"])
@in_loop
async def test_an_image_that_nobody_asked_for_ends_the_connection(board: Boards, wire: str) -> None:
    there = board(wire=wire)
    async with subject(there, wire) as it:
        await it.connect()
        there.send_unasked()
        assert (await it.lost()).code == "camera_failed"
        await it.fresh()
    assert there.connections == 2


@pytest.mark.parametrize("wire", ["legacy", "v1"])
@in_loop
async def test_an_unasked_image_that_has_just_arrived_does_not_answer(
    board: Boards, wire: str
) -> None:
    there = board(wire=wire)
    async with subject(there, wire) as it:
        await it.connect()
        there.send_unasked()
        hold_up(it, there.size)
        await it.fresh(retries=1)
        assert it.outcome.attempts == 2


@in_loop
async def test_an_image_that_began_before_the_question_does_not_answer_it(board: Boards) -> None:
    old = board()

    @OnCapture
    def the_rest(shot: Shot) -> None:
        if shot.connection.number == 1:
            shot.connection.send(frame[9_000:])
        else:
            shot.send()

    async with subject(old) as it:
        earlier = await it.fresh()
        frame = encode(BINARY, earlier)
        old.send(frame[:9_000])
        hold_up(it, 9_000)
        old.always(the_rest)
        jpeg = await it.fresh(timeout=2.0, retries=1)
        assert stamp(jpeg)["asked_ns"] > stamp(earlier)["asked_ns"]
    assert old.connections == 2


@in_loop
async def test_fragments_that_began_before_the_question_do_not_answer_it(board: Boards) -> None:
    old = board()

    @OnCapture
    def the_rest(shot: Shot) -> None:
        if shot.connection.number == 1:
            shot.connection.send(encode(CONTINUATION, earlier[9_000:]))
        else:
            shot.send()

    async with subject(old) as it:
        earlier = await it.fresh()
        old.send(encode(BINARY, earlier[:9_000], fin=False))
        hold_up(it, 9_000)
        old.always(the_rest)
        await it.fresh(timeout=2.0, retries=1)
    assert old.connections == 2


@pytest.mark.parametrize("wire", ["v1", "auto"])
@in_loop
async def test_an_image_right_behind_the_hello_does_not_answer(board: Boards, wire: str) -> None:
    new = board(wire="v1")

    @OnHello
    def hello_and_image(connection: Connection) -> None:
        unasked = Shot(connection, 0, None).jpeg
        head = {"type": "image", "id": "c1", "bytes": len(unasked)}  # our first question's id
        hello = encode(TEXT, json.dumps(connection.hello()).encode())
        announcement = encode(TEXT, json.dumps(head).encode())
        connection.send(hello + announcement + encode(BINARY, unasked))

    new.script(hello_and_image)
    async with subject(new, wire) as it:
        await it.fresh(retries=1)
        assert it.outcome.attempts == 2
    assert new.connections == 2


# What a board may do


FINE = {
    "len65535": b.len65535,
    "65,534 bytes": b.sized(65_534),
    "65,536 bytes": b.sized(65_536),
    "fragments with pings": b.fragments(20),
    "one fragment a byte": b.fragments(4_000, pings=False),
    "pings first": b.ping_flood(50),
    "slow and whole": b.late(0.2),
}


@pytest.mark.parametrize("what", FINE)
@in_loop
async def test_what_is_unusual_and_right_is_one_attempt(board: Boards, what: str) -> None:
    old = board(size=30_000)
    old.script(FINE[what])
    async with subject(old) as it:
        await it.fresh()
        await it.fresh()
        assert it.outcome.attempts == 1
    assert old.connections == 1


@in_loop
async def test_zero_bytes_behind_the_picture_are_cut_off(board: Boards) -> None:
    old = board(size=20_000)
    old.script(b.padded(64))
    async with subject(old) as it:
        jpeg = await it.fresh()
    assert len(jpeg) == 20_000
    assert jpeg.endswith(b"\xff\xd9")


@in_loop
async def test_text_before_the_picture_is_for_nobody(board: Boards) -> None:
    old = board()

    @OnCapture
    def chatter(shot: Shot) -> None:
        shot.connection.send(encode(TEXT, b"taking it") + encode(TEXT, b"") + encode(TEXT, b"\xff"))
        shot.send()

    old.script(chatter)
    async with subject(old) as it:
        await it.fresh()
    assert old.connections == 1


@pytest.mark.parametrize("behaviour", [b.huge(), b.huge(50 * MIB), endless_fragments])
@in_loop
async def test_what_is_too_large_takes_no_memory(board: Boards, behaviour: OnCapture) -> None:
    old = board()
    async with subject(old, max_image=MIB) as it:
        await it.fresh()
        old.script(behaviour)
        tracemalloc.start()
        try:
            await it.fail("bad_image")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 3 * MIB


@in_loop
async def test_a_text_without_measure_is_not_taken_in(board: Boards) -> None:
    old = board()
    old.script(b.text("x" * 100_000))
    async with subject(old) as it:
        await it.fail("bad_image")
        await it.fresh()
    assert old.connections == 2


# What a board does wrong before it can be asked


NO_HANDSHAKE: dict[str, tuple[OnConnect, str]] = {
    "slots_full": (b.slots_full, "unreachable"),
    "handshake_endless": (b.handshake_endless, "unreachable"),
    "wrong_accept": (b.wrong_accept, "unreachable"),
    "503": (b.http("503 Service Unavailable"), "unreachable"),
    "200 with a large body": (b.http("200 OK", length=50 * MIB), "unreachable"),
    "401": (b.http("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'), "unauthorized"),
    "403": (b.http("403 Forbidden"), "unauthorized"),
}


@pytest.mark.parametrize("what", NO_HANDSHAKE)
@in_loop
async def test_a_handshake_that_fails_has_a_name(board: Boards, what: str) -> None:
    behaviour, code = NO_HANDSHAKE[what]
    old = board()
    old.script(behaviour)
    async with subject(old) as it:
        await it.fail(code, timeout=8.0)
        assert it.seconds < 7
        assert not old.texts
        await it.fresh()


@pytest.mark.parametrize(
    ("behaviour", "hint"),
    [(b.slots_full, "are all its connections taken"), (b.http("200 OK"), "on port 81")],
)
@in_loop
async def test_a_handshake_that_fails_says_where_to_look(
    board: Boards, behaviour: OnConnect, hint: str
) -> None:
    old = board()
    old.script(behaviour)
    async with subject(old) as it:
        assert hint in await it.fail("unreachable")


@in_loop
async def test_a_full_board_is_tried_again_after_a_second(board: Boards) -> None:
    old = board()
    old.script(b.slots_full)
    async with subject(old) as it:
        with pauses() as paused:
            await it.fresh(retries=1)
            assert it.outcome.attempts == 2
            assert 1.0 <= it.seconds < 2.0 + paused()


@in_loop
async def test_a_refused_connection_is_tried_again_after_a_second(
    board: Boards, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = board()
    old.pause()
    async with subject(old) as it:
        await it.fail("unreachable")
        caplog.set_level(logging.DEBUG)
        monkeypatch.setattr(caplog.handler, "emit", lambda _: old.resume())
        await it.fresh(retries=1)
        assert it.outcome.attempts == 2
        assert it.seconds >= 1.0


@in_loop
async def test_wrong_credentials_are_not_tried_again(board: Boards) -> None:
    old = board()
    old.always(b.http("401 Unauthorized"))
    async with subject(old) as it:
        await it.fail("unauthorized", retries=1)
    assert old.connections == 1


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
@in_loop
async def test_a_redirect_is_not_followed(board: Boards, status: str) -> None:
    elsewhere = board("elsewhere")
    old = board()
    old.script(b.http(status, f"Location: {elsewhere.url}/"))
    async with subject(old) as it:
        await it.fail("unreachable")
    assert elsewhere.connections == 0


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ws_proxy", "all_proxy"])
@in_loop
async def test_the_environments_proxies_are_not_asked(
    board: Boards, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy, old = board("proxy"), board()
    monkeypatch.setenv(variable, proxy.url.replace("ws:", "http:"))
    monkeypatch.setenv("no_proxy", "")
    async with subject(old) as it:
        await it.fresh()
    assert proxy.connections == 0


@in_loop
async def test_a_name_without_an_address_is_unreachable() -> None:
    async with subject("ws://no-such-board.invalid:81") as it:
        await it.fail("unreachable")


@in_loop
async def test_username_and_password_go_into_the_handshake(board: Boards) -> None:
    old = board()
    async with subject(old, username="Jürgen", password="a:b") as it:
        await it.fresh()
    scheme, _, value = old.headers[0]["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value).decode() == "Jürgen:a:b"


@in_loop
async def test_a_board_on_ipv6_is_found(board: Boards) -> None:
    there = board(host="::1")
    async with subject(there) as it:
        await it.fresh()


# Time


SLOW: dict[str, tuple[Behaviour, str]] = {
    "handshake_silent": (b.handshake_silent, "unreachable"),
    "handshake_half": (b.handshake_half, "unreachable"),
    "silent": (b.silent, "timeout"),
    "drip": (b.drip(0.01), "timeout"),
}


@pytest.mark.parametrize("what", SLOW)
@in_loop
async def test_a_deadline_covers_all_of_it(board: Boards, what: str) -> None:
    behaviour, code = SLOW[what]
    old = board()
    old.always(behaviour)
    async with subject(old) as it:
        await it.fail(code, timeout=1.5, retries=2)
        assert it.seconds < 4.4  # 4.5 would be its time for each attempt
    await until(old.wait_for_open, 0)  # nothing of it goes on behind our back


@in_loop
async def test_a_commands_own_timeout_goes_before_the_cameras(board: Boards) -> None:
    old = board()
    old.always(b.silent)
    async with subject(old) as it:
        with pytest.raises(BridgeError):
            await take(it.camera, Options(timeout=0.3), it.outcome, timeout=8.0, retries=0)
    assert (time.monotonic_ns() - old.asked[0].at_ns) / 1e9 < 7


# v1


NO_HELLO = {
    "silent": b.hello_silent,
    "garbled": b.hello_garbled,
    "no JSON at all": b.hello_text("hello"),
    "another protocol": b.hello_with(protocol=2),
    "too large": b.hello_too_large,
    "not an object": b.hello_text("[]"),
    "endless nesting": b.hello_text("[" * 10_000),
}


@in_loop
async def test_a_v1_board_is_asked_in_its_own_words(board: Boards) -> None:
    new = board(wire="v1")
    async with subject(new, "auto") as it:
        jpeg = await it.fresh(flash=True, framesize="SVGA", quality=10)
        assert it.met == 1
        assert it.camera.hello is not None
        assert it.camera.hello.board == "ai-thinker"
        await it.fresh()
    first, second = map(json.loads, new.texts)
    assert first == {
        "cmd": "capture",
        "id": first["id"],
        "flash": True,
        "framesize": "SVGA",
        "quality": 10,
    }
    assert second == {"cmd": "capture", "id": second["id"]}
    assert first["id"] != second["id"]
    assert stamp(jpeg)["framesize"] == "SVGA"


@pytest.mark.parametrize("what", NO_HELLO)
@in_loop
async def test_a_board_that_must_be_v1_and_says_no_hello_is_unreachable(
    board: Boards, what: str
) -> None:
    new = board(wire="v1")
    new.script(NO_HELLO[what])
    async with subject(new, "v1") as it:
        await it.fail("unreachable", timeout=0.2)
        assert not new.texts
        await it.fresh()


@pytest.mark.parametrize("what", ["silent", "garbled", "another protocol"])
@in_loop
async def test_a_board_that_says_no_valid_hello_gets_nothing_but_capture(
    board: Boards, what: str
) -> None:
    new = board(wire="v1")
    new.always(NO_HELLO[what])
    async with subject(new, "auto") as it:
        await it.fresh()
        await it.fail("unsupported", flash=True)
        assert it.met == 0
    assert new.texts == ["capture"]


@in_loop
async def test_a_hello_is_waited_for_only_on_the_first_connection(board: Boards) -> None:
    old = board()
    async with subject(old, "auto") as it:
        await it.fresh()
        assert it.seconds > 0.4
        seconds = []
        for _ in range(3):
            it.camera.close()
            await it.fresh()
            seconds.append(it.seconds)
        assert min(seconds) < 0.4


@in_loop
async def test_a_late_hello_is_taken_whenever_it_comes(board: Boards) -> None:
    new = board(wire="v1")
    now = threading.Event()
    new.script(b.hello_late(now))
    async with subject(new, "auto") as it:
        await it.connect()
        assert it.met == 0
        now.set()
        await asyncio.wait_for(it.meeting.wait(), 10)
        await it.fresh(flash=True)
    assert [json.loads(text)["cmd"] for text in new.texts] == ["capture"]
    assert new.connections == 1


@in_loop
async def test_a_late_hello_between_question_and_answer_is_no_surprise(board: Boards) -> None:
    new = board(wire="v1")
    new.script(b.hello_silent)

    @OnCapture
    def hello_then_image(shot: Shot) -> None:
        shot.connection.send_json(shot.connection.hello())
        shot.send()

    new.script(hello_then_image)
    async with subject(new, "auto") as it:
        await it.fresh()
        assert it.met == 1
    assert new.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (b.wrong_length, "bad_image"),
        (b.wrong_crc, "bad_image"),
        (b.announced(bytes=0), "bad_image"),
        (b.wrong_id, "camera_failed"),
        (b.binary_only, "camera_failed"),
        (b.announced(bytes="many"), "camera_failed"),
        (b.announced(crc32="xyz"), "camera_failed"),
        (b.text("what?"), "camera_failed"),
        (b.text_only, "timeout"),
        (b.silent, "timeout"),
    ],
)
@in_loop
async def test_an_image_that_is_not_as_announced_is_refused(
    board: Boards, behaviour: OnCapture, code: str
) -> None:
    new = board(wire="v1")
    new.script(behaviour)
    async with subject(new, "v1") as it:
        await it.fail(code, timeout=0.5)
        assert not it.camera.connected
        await it.fresh()
    assert new.connections == 2


@OnCapture
def announced_twice(shot: Shot) -> None:
    shot.announce(shot.jpeg)
    shot.send()


@OnCapture
def failure_of_another(shot: Shot) -> None:
    """Say that a question failed which was not asked, and then answer ours."""
    shot.connection.send_json({"type": "error", "id": "of-another-request", "error": "busy"})
    shot.send()


@OnCapture
def hello_with_a_nonce(shot: Shot) -> None:
    """Want a key after all, and send the picture without one."""
    shot.connection.send_json(shot.connection.hello(auth="hmac", nonce="0" * 32))
    shot.send()


@pytest.mark.parametrize(
    "surprise",
    [announced_twice, failure_of_another, hello_with_a_nonce],
    ids=lambda s: s.play.__name__,
)
@in_loop
async def test_a_surprise_between_question_and_answer_ends_the_connection(
    board: Boards, surprise: OnCapture
) -> None:
    new = board(wire="v1")
    new.script(surprise)
    async with subject(new, "v1") as it:
        await it.fail("camera_failed")
        assert not it.camera.connected
        await it.fresh()
    assert new.connections == 2


@in_loop
async def test_an_announcement_needs_neither_checksum_nor_size(board: Boards) -> None:
    new = board(wire="v1")
    new.script(b.announced(crc32=None, width=None, height=None, age_ms=None))
    async with subject(new, "v1") as it:
        await it.fresh()
    assert new.connections == 1


@pytest.mark.parametrize("code", ["busy", "camera_failed", "no_fresh_frame", "low_memory"])
@in_loop
async def test_a_passing_trouble_is_tried_again_on_the_same_connection(
    board: Boards, code: str
) -> None:
    new = board(wire="v1")
    new.script(b.error(code, retry_after_ms=200), b.normal, b.error(code, detail="hot"))
    async with subject(new, "v1") as it:
        await it.fresh(retries=1)
        assert it.outcome.attempts == 2
        assert new.asked[1].at_ns - new.asked[0].at_ns >= 200e6
        assert "hot" in await it.fail("camera_failed")
        assert it.camera.connected
    assert new.connections == 1


@in_loop
async def test_a_board_that_wants_more_time_than_there_is_fails_at_once(board: Boards) -> None:
    new = board(wire="v1")
    new.script(b.error("busy", retry_after_ms=9_000))
    async with subject(new, "v1") as it:
        await it.fail("camera_failed", timeout=8.0, retries=1)
        assert it.seconds < 7
    assert len(new.asked) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("bad_framesize", "unsupported"),
        ("unknown_command", "unsupported"),
        ("unauthorized", "unauthorized"),
        ("teapot", "camera_failed"),
    ],
)
@in_loop
async def test_a_lasting_trouble_is_not_tried_again_and_keeps_the_connection(
    board: Boards, error: str, code: str
) -> None:
    new = board(wire="v1")
    new.script(b.error(error))
    async with subject(new, "v1") as it:
        await it.fail(code, retries=3)
        assert len(new.asked) == 1
        await it.fresh()
    assert new.connections == 1


@pytest.mark.parametrize(
    ("options", "hello"),
    [
        ({"flash": True}, {"features": ["framesize"]}),
        ({"framesize": "SVGA"}, {"features": []}),
        ({"framesize": "QXGA"}, {}),
        ({"quality": 10}, {"features": ["flash"]}),
    ],
)
@in_loop
async def test_what_a_v1_board_cannot_do_is_not_asked_of_it(
    board: Boards, options: dict[str, Any], hello: dict[str, Any]
) -> None:
    new = board(wire="v1", hello=hello)
    async with subject(new, "v1") as it:
        await it.fail("unsupported", retries=1, **options)
        assert not new.asked
        await it.fresh()
    assert new.connections == 1


@pytest.mark.parametrize("options", [{"flash": True}, {"framesize": "SVGA"}, {"quality": 10}])
@in_loop
async def test_a_legacy_board_can_do_nothing_special(
    board: Boards, options: dict[str, Any]
) -> None:
    old = board()
    async with subject(old) as it:
        await it.fail("unsupported", **options)
        await it.fresh(flash=False)
        with pytest.raises(BridgeError) as caught:
            await it.camera.status()
        assert caught.value.code == "unsupported"
    assert old.texts == ["capture"]


# v1 with a key


@in_loop
async def test_the_right_key_opens(board: Boards) -> None:
    new = board(wire="v1", key="schlüssel")
    async with subject(new, "auto", key="schlüssel") as it:
        await it.fresh()
        assert it.met == 1
    assert "schlüssel" not in " ".join(new.texts)


@pytest.mark.parametrize("key", ["wrong", None])
@in_loop
async def test_a_wrong_or_missing_key_is_unauthorized_and_not_tried_again(
    board: Boards, key: str | None
) -> None:
    new = board(wire="v1", key="right")
    async with subject(new, "v1", key=key) as it:
        await it.fail("unauthorized", retries=3)
        assert not it.camera.connected
        assert it.met == 0
    assert new.connections == 1
    assert not new.asked


@in_loop
async def test_an_answer_to_another_nonce_is_unauthorized(board: Boards) -> None:
    new = board(wire="v1", key="right")
    new.script(b.hello_wrong_nonce)
    async with subject(new, "v1", key="right") as it:
        await it.fail("unauthorized")
        await it.fresh()


@in_loop
async def test_a_key_that_a_board_does_not_want_stays_with_us(board: Boards) -> None:
    new = board(wire="v1")
    async with subject(new, "v1", key="unused") as it:
        await it.fresh()
    assert [json.loads(text)["cmd"] for text in new.texts] == ["capture"]


@in_loop
async def test_a_late_hello_that_wants_a_key_is_obeyed_on_a_new_connection(board: Boards) -> None:
    new = board(wire="v1", key="right")
    now = threading.Event()
    new.script(b.hello_late(now))
    async with subject(new, "auto", key="right") as it:
        await it.connect()
        now.set()
        assert (await it.lost()).code == "camera_failed"
        await it.fresh()
    assert new.connections == 2


# What else v1 can do


@in_loop
async def test_a_v1_board_tells_its_health_and_takes_settings(board: Boards) -> None:
    new = board(wire="v1")
    async with subject(new, "v1") as it:
        await it.connect()
        assert (await it.camera.status()).rssi == -61
        settings = await it.camera.set({"quality": 20, "vflip": False})
        assert settings["quality"] == 20
        assert settings["framesize"] == "VGA"
        assert "id" not in settings
        assert "type" not in settings
        assert (await it.camera.set({})) == settings
        with pytest.raises(BoardFailure):
            await it.camera.set({"nonsense": 1})
        await it.fresh()
    assert new.settings["vflip"] is False
    assert new.connections == 1
    commands = [json.loads(text) for text in new.texts]
    assert [command.get("persist") for command in commands[1:3]] == [True, False]


@in_loop
async def test_a_v1_board_is_restarted(board: Boards) -> None:
    new = board(wire="v1")
    async with subject(new, "v1") as it:
        await it.connect()
        await it.camera.restart()
        assert not it.camera.connected
        await until(new.wait_for, lambda board: board.restarts)
        await it.fresh(retries=1)
    assert new.connections == 2


# TLS


def fingerprint(certificates: Certificates) -> str:
    der = ssl.PEM_cert_to_DER_cert(certificates.server[0].read_text())
    return hashlib.sha256(der).hexdigest()


@in_loop
async def test_a_board_behind_tls_is_known_by_its_authority(
    board: Boards, certificates: Certificates
) -> None:
    there = board(tls=certificates.server, size=100_000)
    async with subject(there, ca_file=certificates.ca) as it:
        await it.fresh()
        await it.fresh()
    assert there.connections == 1


@in_loop
async def test_a_board_behind_tls_is_known_by_its_fingerprint(
    board: Boards, certificates: Certificates
) -> None:
    there = board(tls=certificates.server)
    async with subject(there, fingerprint=fingerprint(certificates)) as it:
        await it.fresh()


@in_loop
async def test_who_says_so_trusts_any_certificate(
    board: Boards, certificates: Certificates
) -> None:
    there = board(tls=certificates.expired)
    async with subject(there, insecure=True) as it:
        await it.fresh()


@pytest.mark.parametrize("case", ["system", "authority", "fingerprint", "expired"])
@in_loop
async def test_a_board_with_the_wrong_certificate_is_unreachable(
    board: Boards, certificates: Certificates, case: str
) -> None:
    there = board(tls=certificates.expired if case == "expired" else certificates.server)
    targets: dict[str, dict[str, Any]] = {
        "system": {},
        "authority": {"ca_file": certificates.wrong_ca},
        "fingerprint": {"fingerprint": "0" * 64},
        "expired": {"ca_file": certificates.ca},
    }
    async with subject(there, username="user", password="secret", **targets[case]) as it:
        message = await it.fail("unreachable")
        assert "secret" not in message
    assert not there.headers  # nothing was said to it


@in_loop
async def test_a_board_without_tls_is_no_wss(board: Boards, certificates: Certificates) -> None:
    there = board()
    url = there.url.replace("ws:", "wss:")
    async with subject(url, ca_file=certificates.ca) as it:
        await it.fail("unreachable", timeout=0.3)

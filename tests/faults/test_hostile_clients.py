"""Clients of the broker that mean harm, edge to edge: one result each, and no harm to others."""

import asyncio
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge import config
from bridge.build import broker as broker_of
from bridge.mqtt import Mqtt
from bridge.outbox import Outbox
from bridge.threads import Pool
from tests.conftest import Boards, Brokers, Clients, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.board import ESP32
from tests.fakes.bridge import ROOT, run
from tests.fakes.broker import Broker
from tests.fakes.client import Message
from tests.fakes.process import Process
from tests.fakes.talk import Talk
from tests.faults.pounder import Ear

MEMORY = 40 * 1024 * 1024  # bytes that the bridge may grow by
RATE = 10_000  # commands a second
POUND = os.environ.get("ESP32CAM_POUND")
SECONDS = float(POUND or 2)


# A flood


@pytest.mark.timeout(60 + 20 * SECONDS)
@pytest.mark.parametrize("qos", [0, 1])
def test_each_of_ten_thousand_commands_a_second_has_one_result_and_so_has_each_of_others(
    bridge: StartBridge,
    board: Boards,
    own_broker: Brokers,
    client: Clients,
    base_topic: str,
    qos: int,
) -> None:
    # A broker's usual bound, 1,000 messages ahead of a client, would drop commands and results.
    broker = own_broker(extra=["set_tcp_nodelay true", "max_queued_messages 0", "log_type none"])
    door, yard = board("door", pace=ESP32), board("yard", pace=ESP32)
    process = bridge({"door": old(door), "yard": old(yard)}, on=broker, log={"level": "warning"})
    pounded = f"{base_topic}/door/result"
    talk = Talk(client(on=broker, subscribe=[f"{base_topic}/yard/result"]), base_topic)
    numbers = itertools.count()

    def other() -> float:
        """A picture of the other camera; how long it took, from command to result."""
        id_, began = f"other{next(numbers)}", time.monotonic()
        talk.ask({"id": id_, "save": False}, "yard", timeout=10 + 4 * SECONDS)
        result = talk.result(id_, "yard", timeout=10 + 4 * SECONDS)
        assert result["status"] == "ok"
        return time.monotonic() - began

    quiet = [other() for _ in range(30)]
    memory, threads, fds = process.memory(), process.threads(), process.fds()
    command = [sys.executable, "-m", "tests.faults.pounder", str(broker.port)]
    options = ["--qos", str(qos), "--rate", str(RATE), "--seconds", str(SECONDS)]
    with (
        Ear(broker.port, pounded) as ear,
        ThreadPoolExecutor(1) as thread,
        subprocess.Popen(
            [*command, f"{base_topic}/door/capture", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as pounder,
    ):
        heard = thread.submit(ear.listen, b'{"id":"last"', 30 + 4 * SECONDS)
        loud = []
        while pounder.poll() is None:
            loud.append(other())
        assert pounder.stdout is not None
        sent = int(pounder.stdout.read())
        talk.ask({"id": "last", "save": False})  # joins none of them, and so is behind them all
        heard.result()
    grown = process.memory() - memory
    results = [json.loads(found) for found in re.findall(rb'\{"id":"\d+".*?\}', bytes(ear.heard))]
    codes = Counter(result["error"] for result in results)
    ratio = p95(loud) / p95(quiet)
    print(f"QoS {qos}: {sent} commands, {codes}, {grown / 2**20:.1f} MiB more; the other's p95")
    print(f"{p95(quiet):.3f} s, and {p95(loud):.3f} s during it: {ratio:.2f} times")
    assert sent == RATE * SECONDS
    assert set(Counter(result["id"] for result in results).values()) == {1}
    if "more are dropped" not in process.log:
        assert len(results) == sent
    assert codes.keys() == {None, "busy"}
    assert len(talk.messages("result", "yard")) == next(numbers)
    assert grown < MEMORY
    if POUND:  # a comparison of times is for a machine that does nothing else
        assert ratio < 2
    assert process.threads() <= threads
    assert process.fds() <= fds


def p95(samples: list[float]) -> float:
    """What nineteen of twenty are not above."""
    return statistics.quantiles(samples, n=20)[-1]


def test_between_commands_that_come_at_once_the_cameras_have_their_turn(
    broker: Broker, client: Clients, base_topic: str
) -> None:
    count, turns, topic = 200, 0, f"{base_topic}/door/capture"
    pounder = client()

    async def serve() -> set[int]:
        loop = asyncio.get_running_loop()
        heard: list[int] = []  # in which turn of the loop each command was
        settings = config.MqttConfig(host="127.0.0.1", port=broker.port, client_id=base_topic)
        mqtt = Mqtt(
            broker_of(settings),
            will_topic=None,
            outbox=Outbox(),
            message=lambda _: heard.append(turns),
            connected=lambda: None,
            pool=Pool(1, name="connect"),
        )
        mqtt.subscribe([topic])
        running = asyncio.create_task(mqtt.run())

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        turn()
        while not heard:  # until it is subscribed
            pounder.publish(topic, qos=0)
            await asyncio.sleep(0.01)
        heard.clear()
        for _ in range(count):
            pounder.publish(topic, qos=0)
        pounder.sync()  # the loop waits here: all of them are with the broker, or further
        async with asyncio.timeout(10):
            while len(heard) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await mqtt.stop(timeout=1)
        await running
        return set(heard)

    assert len(asyncio.run(serve())) >= count // 30


# What is no command

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 60 + b"\xff\xd9"

NO_COMMANDS: dict[str, bytes] = {
    "a megabyte": b'{"id":"' + b"x" * 1_000_000 + b'"}',
    "a megabyte of nothing": b" " * 1_000_000,
    "deep": b"[" * 16_000,
    "deep in a key": b'{"id":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    "as deep as it gets": b'{"id":' + b"[" * 960 + b"]" * 960 + b"}",
    "deep objects": b'{"a":' * 2_700 + b"1" + b"}" * 2_700,
    "no UTF-8": b"\xff\xfe\xfd",
    "no UTF-8 in an id": b'{"id":"\xed\xa0\x80"}',
    "UTF-16 of something else": '{"x": 1}'.encode("utf-16"),
    "a JPEG": JPEG,
    "NUL": b"\0",
    "capture and NUL": b"capture\0",
    "an id with a newline": rb'{"id":"a\n2026-01-01T00:00:00.000+00:00 ERROR forged"}',
    "an id with a NUL": rb'{"id":"a\u0000b"}',
    "an id with an escape": rb'{"id":"\u001b[2J"}',
    "an id with a C1 control": rb'{"id":"\u009b2J"}',
    "an id with a line separator": rb'{"id":"a\u2028b"}',
    "an id of half a character": rb'{"id":"\ud800"}',
    "an id of 10,000 characters": b'{"id":"' + b"x" * 10_000 + b'"}',
    "an id of none": b'{"id":""}',
    "an id that is a number": b'{"id":1e999}',
    "a raw newline in an id": b'{"id":"a\nb"}',
    "a number of 5,000 digits": b'{"count":' + b"9" * 5_000 + b"}",
    "a number of 4,000 digits": b'{"count":' + b"9" * 4_000 + b"}",
    "infinity": b'{"timeout":1e400}',
    "infinity by name": b'{"timeout":Infinity}',
    "not a number": b'{"every":NaN}',
    "an unknown key of 10,000 characters": b'{"' + b"k" * 10_000 + b'":1}',
    "2,000 unknown keys": json.dumps({f"k{n}": n for n in range(1_000)}).encode(),
    "an escape as a key": rb'{"\u001b[2J\n\u2028":1}',
    "a prototype": b'{"__proto__":{"id":"x"},"__class__":1}',
    "a list": b'["capture"]',
    "a template as a frame size": b'{"framesize":"{camera.__class__}"}',
}


def test_what_is_no_command_is_a_bad_request_and_no_picture(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, log={"level": "warning"})
    before = process.memory()
    for name, payload in NO_COMMANDS.items():
        for topic in ("capture", "set"):
            talk.client.clear()
            talk.ask(payload, to=topic)
            (result,) = (m.json for m in talk.client.wait(talk.topic("door", "result")))
            assert result["error"] == "bad_request", name
            assert result["trigger"] == ("mqtt" if topic == "capture" else "set"), name
            assert len(result["message"]) < 400, name
            assert result["message"].isprintable(), name
            assert re.fullmatch("[0-9a-f]{8}", result["id"]), name
            assert len(talk.client.messages(talk.topic("door", "result"))) == 1, name
    assert door.captures == 0
    talk.ask({"id": "good"})
    assert talk.result("good")["status"] == "ok"
    assert process.memory() < before + MEMORY


# Response topics


def is_answer(correlation_data: bytes) -> Callable[[Message], bool]:
    """Whether it is the picture that was asked for with that, and not the command."""
    return lambda m: m.correlation_data == correlation_data and m.content_type == "image/jpeg"


def tricks(base: str) -> dict[str, str]:
    """Response topics that the broker lets pass, and what is said about them; "": answered."""
    return {
        f"{base}/door/capture": "own",
        f"{base}/door/set": "own",
        f"{base}/all/capture": "own",
        f"{base}/door/image": "own",
        f"{base}/door/result": "own",
        f"{base}/bridge/state": "own",
        "$SYS/broker/uptime": "begins with $",
        "$share/group/answers": "begins with $",
        "a/" * 300: "levels",
        "a" * 60_000: "bytes",
        "a" + "/a" * 200: "",
        f"{base}/door/capture/": "",
        f"{base}//capture": "",
        "/": "",
        " ": "",
        "ans wers/\N{CAMERA}": "",
    }


def test_no_response_topic_stops_the_bridge(
    bridge: StartBridge, board: Boards, client: Clients, talk: Talk, base_topic: str
) -> None:
    door = board()
    process = bridge({"door": old(door)}, mqtt={"version": "5"}, log={"level": "warning"})
    everywhere = client(subscribe=["#"])
    pictures = 0
    for number, (topic, fault) in enumerate(tricks(base_topic).items()):
        correlation = b"%d of %s" % (number, base_topic.encode())
        talk.ask({"id": f"r{number}"}, response_topic=topic, correlation_data=correlation)
        result = talk.result(f"r{number}")
        if fault:
            assert result["error"] == "bad_request", topic
            assert fault in result["message"]
        else:
            pictures += 1
            answers = everywhere.wait("#", is_answer(correlation))
            assert [answer.topic for answer in answers] == [topic]
    assert door.captures == pictures
    assert "connection lost" not in process.log


def test_no_id_stops_the_bridge_by_being_sent_back(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, mqtt={"version": "5"}, log={"level": "warning"})
    answers = f"{talk.base}/answers"
    for sign in "\ufffe\uffff\ufdd0\U0010ffff\ue000\u202e":  # noncharacters and worse
        talk.client.clear()
        talk.ask({"id": sign}, response_topic=answers, correlation_data=b"x")
        talk.client.wait(answers)
        (result,) = (m.json for m in talk.messages("result"))
        assert (result["error"] is None) == (sign in "\ue000\u202e")
    assert "connection lost" not in process.log


def test_what_a_client_wants_back_takes_no_memory_while_it_waits(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, mqtt={"version": "5"}, log={"level": "warning"})
    talk.ask({"id": "warm"})
    talk.result("warm")
    before = process.memory()
    door.always(b.silent)
    for number in range(800):
        talk.ask(
            {"id": f"{number}", "quality": 4 + number % 8, "timeout": 2},
            qos=0,
            correlation_data=bytes(60_000),
            **({"response_topic": "a" * 60_000} if number % 2 else {}),
        )
    talk.client.wait(talk.topic("door", "result"), count=400, timeout=40)  # 72 MB go through
    assert process.memory() < before + MEMORY


# The log


def lines(process: Process) -> list[str]:
    """Its log so far; it must be that each is one record and nothing for a terminal."""
    for line in process.lines:
        assert line.isprintable(), line
    return process.lines


FORGED = "\r\n2026-01-01T00:00:00.000+00:00 ERROR   forged\u2028forged\u0085\x1b[2J\x9b2J\0\x7f"


@pytest.mark.parametrize("style", ["text", "json"])
def test_nobody_can_forge_the_log_or_reach_the_terminal(
    bridge: StartBridge, board: Boards, talk: Talk, style: str
) -> None:
    evil = {"name": FORGED, "board": FORGED[:60], "firmware": FORGED[:60], "sensor": FORGED}
    v1 = board("v1", wire="v1", hello={**evil, "framesizes": [FORGED[:40], "VGA"]})
    reason, texts = board("reason"), board("texts")
    reason.always(b.http(f"500 {FORGED[2:]}", f"X-Forged: {FORGED[2:]}"))
    texts.always(b.text(FORGED))
    process = bridge(
        {
            "door": {"url": v1.url},
            "reason": old(reason),
            "texts": old(texts),
        },
        capture={"timeout": 0.5},
        log={"level": "debug", "format": style},
    )
    v1.script(b.error(FORGED, detail=FORGED), b.error("camera_failed", 0, FORGED))
    payloads: list[Any] = [
        {"id": "error"},
        {"id": "passing"},
        {"id": FORGED},
        {FORGED: FORGED},
        {"id": "size", "framesize": "UXGA"},
        FORGED.encode(),
    ]
    for number, payload in enumerate(payloads, 1):
        talk.ask(payload)
        talk.results(number)
    for camera in ("reason", "texts"):
        talk.ask({"id": camera}, camera)
        assert talk.result(camera, camera)["error"] in {"unreachable", "timeout"}
    talk.ask(b"", retain=True, camera="door")
    assert process.stop() == 0
    for line in lines(process):
        if style == "json":
            assert json.loads(line).keys() == {"time", "level", "logger", "message"}
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT\S+ (DEBUG|INFO|WARNING|ERROR) ", line), line
            assert not line.startswith("2026-01-01")


def test_no_board_can_reach_the_terminal_of_who_takes_a_picture(board: Boards) -> None:
    v1 = board("v1", wire="v1", hello={"framesizes": [FORGED[:40], "VGA"]})
    done = run(ROOT, "capture", v1.url, "--framesize", "UXGA", "-o", "-")
    assert done.returncode == 1
    told, hint = done.stderr.decode().removesuffix("\n").split("\n")
    assert "UXGA" in told
    assert told.isprintable()
    assert hint.isprintable()

"""The bridge and its broker: versions, transports, limits, answers, and what is kept."""

import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import AnyBoards, Boards, Brokers, Clients, StartBridge, either, old
from tests.fakes import behaviours as b
from tests.fakes.board import stamp
from tests.fakes.broker import Broker
from tests.fakes.certificates import Certificates
from tests.fakes.client import NO_SUBSCRIBERS, Version
from tests.fakes.proxy import Proxy, Refusal
from tests.fakes.talk import Talk

# Answers to response topics


def test_a_response_topic_gets_what_was_wanted_with_its_correlation_data(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)}, capture={"retries": 0})
    topic = talk.topic("door", "capture")

    image = talk.client.request(topic, {"id": "a"})
    assert image.content_type == "image/jpeg"
    assert stamp(image.payload)["asked_ns"] == door.asked[0].at_ns
    result = talk.result("a")
    scalars = {key: value for key, value in result.items() if value is not None}
    assert image.user.keys() == scalars.keys()
    assert image.user["id"] == "a"
    assert image.user["saved"] == "true"
    assert image.user["bytes"] == str(len(image.payload))
    assert not image.retain

    path = talk.client.request(topic, {"id": "b", "reply": "path"})
    assert (path.content_type, path.text) == ("text/plain", talk.result("b")["path"])
    told = talk.client.request(topic, {"id": "c", "reply": "result"})
    assert (told.content_type, told.json) == ("application/json", talk.result("c"))

    door.script(b.not_a_jpeg)
    for command in ({"id": "d"}, {"id": "e", "flash": True}, {"id": "f", "count": 0}):
        error = talk.client.request(topic, command)
        assert error.content_type == "application/json"
        assert error.json == talk.result(str(command["id"]))
        assert error.json["status"] == "error"
    assert len(talk.all_results()) == 6
    assert len(talk.client.messages(f"reply/{talk.client.id}")) == 6


def test_the_answer_comes_to_an_empty_payload_too_and_for_each_of_a_group(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    bridge({name: old(board(name)) for name in ("door", "hall")})
    talk.client.subscribe("answers/here")
    talk.ask(b"", "all", response_topic="answers/here", correlation_data=b"\0\xff")
    answers = talk.client.wait("answers/here", count=2)
    assert {stamp(m.payload)["board"] for m in answers} == {"door", "hall"}
    assert {m.correlation_data for m in answers} == {b"\0\xff"}
    talk.ask(b"", response_topic="answers/here")
    assert talk.client.wait("answers/here", count=3)[-1].correlation_data is None


@either
def test_an_answer_is_not_sent_where_none_may_go(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door), "hall": old(board())})
    forbidden = [
        "$SYS/broker/uptime",
        "$share/group/x",
        "a/+/b",
        "a/#",
        talk.topic("door", "capture"),
        talk.topic("hall", "set"),
        talk.topic("all", "capture"),
    ]
    for number, topic in enumerate(forbidden):
        talk.ask({"id": f"r{number}"}, response_topic=topic, correlation_data=b"x")
        result = talk.result(f"r{number}")
        assert result["error"] == "bad_request"
        assert result["message"]
    talk.ask({"id": "set", "interval": 60}, to="set", response_topic=talk.topic("door", "capture"))
    assert talk.result("set")["error"] == "bad_request"
    assert door.captures == 0
    assert len(talk.all_results()) == len(forbidden) + 1


@either
def test_everything_says_what_it_is(bridge: StartBridge, board: AnyBoards, talk: Talk) -> None:
    bridge({"door": old(board(), publish=["image", "path"])})
    talk.wait("availability")  # or the capture is what connects, and it comes after the result
    talk.ask({"id": "a"})
    talk.result("a")
    types = {
        m.topic.removeprefix(f"{talk.base}/"): m.content_type
        for m in talk.client.messages(f"{talk.base}/#")
        if not m.topic.endswith("/capture")
    }
    assert types == {
        "bridge/state": "text/plain",
        "bridge/info": "application/json",
        "bridge/health": "application/json",
        "door/availability": "text/plain",
        "door/settings": "application/json",
        "door/state": "application/json",
        "door/image": "image/jpeg",
        "door/path": "text/plain",
        "door/result": "application/json",
    }


# What is retained, and what is subscribed to


@either
def test_what_is_kept_by_the_broker_is_what_should_be(
    bridge: StartBridge, board: AnyBoards, talk: Talk, client: Clients
) -> None:
    bridge({"door": old(board(), publish=["image", "path"])})
    talk.ask({"id": "a"})
    talk.wait("state", where=lambda m: m.json["id"] == "a")
    late = client()
    late.sync()
    kept = {m.topic.removeprefix(f"{talk.base}/") for m in late.messages() if m.retain}
    assert kept == {
        *("bridge/state", "bridge/info", "bridge/health"),
        *("door/availability", "door/settings", "door/state", "door/image"),
    }


@either
def test_a_retained_command_is_ignored(
    bridge: StartBridge, board: AnyBoards, talk: Talk, mqtt_version: Version
) -> None:
    door = board()
    for topic in ("capture", "set", "restart"):
        talk.ask({"id": "old"}, to=topic, retain=True)
    try:
        process = bridge({"door": old(door)}, mqtt={"version": mqtt_version})
        if mqtt_version == "5":  # 3.1.1 does not tell a new retained message from another
            talk.ask({"id": "old"}, retain=True)
            process.wait_for_log("retained command")
        assert [r["id"] for r in talk.all_results()] == []
        assert door.captures == 1
    finally:
        for topic in ("capture", "set", "restart"):
            talk.ask(b"", to=topic, retain=True)


@either
def test_nobody_has_subscribed_to_what_is_not_served(
    bridge: StartBridge, board: AnyBoards, base_topic: str, client: Clients
) -> None:
    process = bridge({"door": old(board())}, groups={"some": ["door"]})
    process.wait_for_log("camera door: connected")
    lonely = client(subscribe=[])
    for topic in ("dooor/capture", "door/image", "door/captures", "bridge/set", "some/set"):
        assert lonely.publish(f"{base_topic}/{topic}", b'{"id": "x"}') == NO_SUBSCRIBERS, topic
    for topic in ("door/capture", "door/set", "door/restart", "some/capture", "all/capture"):
        assert lonely.publish(f"{base_topic}/{topic}", b"?") == 0, topic


# Versions and transports


@pytest.mark.parametrize("refusal", ["connack", "reason", "close"])
def test_a_broker_that_does_not_know_mqtt_5_gets_3_1_1(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers, refusal: str
) -> None:
    own = own_broker(only_3_1_1=cast("Refusal", refusal))
    process = bridge({"door": old(board())}, on=own, mqtt={"port": own.old_port, "version": "auto"})
    talk = Talk(client(on=own), process.base_topic)
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"
    assert own.proxy.refused in (1, 2)
    assert process.wait_for_log(r"connected to .*MQTT 3\.1\.1")


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_a_wrong_password_is_named_and_no_question_of_versions(
    bridge: StartBridge, own_broker: Brokers, version: str
) -> None:
    own = own_broker(users={"house": "sesame"})
    mqtt = {"version": version, "password": "wrong"}
    process = bridge({"door": {"url": "ws://127.0.0.1:1"}}, on=own, start=False, mqtt=mqtt)
    process.start(wait=False)
    process.wait_for_log(
        r"WARNING mqtt: 127\.0\.0\.1:\d+: the broker refuses us: Not authorized: "
        r"check mqtt\.username and mqtt\.password; trying again"
    )
    process.wait_for_log("Not authorized", count=3)
    assert "trying version" not in process.log


@pytest.mark.parametrize("transport", ["tls", "mutual", "websockets", "unix"])
def test_each_way_to_the_broker_carries_pictures(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    certificates: Certificates,
    transport: str,
) -> None:
    mqtt: dict[str, Any]
    if transport == "websockets":
        own = own_broker(websockets=True)
        mqtt = {"transport": "websockets", "port": own.websockets_port}
    elif transport == "unix":
        own = own_broker(unix=True)
        mqtt = {"transport": "unix", "host": str(own.unix_path)}
    else:
        own = own_broker(tls=certificates, require_certificate=transport == "mutual")
        tls = {"ca_file": str(certificates.ca)}
        if transport == "mutual":
            tls["cert_file"], tls["key_file"] = map(str, certificates.client)
        mqtt = {"port": own.tls_port, "tls": tls}
    door = board(size=300_000)
    process = bridge({"door": old(door)}, on=own, start=False)
    config = cast("dict[str, Any]", process.config)
    config["mqtt"].update(mqtt)
    if transport == "unix":
        del config["mqtt"]["port"]
    process.start()
    talk = Talk(client(on=own), process.base_topic)
    for number in range(5):
        talk.ask({"id": f"{number}"})
    for number in range(5):
        assert talk.result(f"{number}")["bytes"] == 300_000
    image = talk.messages("image")[-1].payload
    assert stamp(image)["seq"] == len(door.asked)
    assert len(talk.all_results()) == 5


def test_a_broker_that_only_hangs_up_is_tried_ever_more_rarely_and_told_of_once(
    bridge: StartBridge, broker: Broker, board: Boards
) -> None:
    with Proxy(broker.port) as cable:
        cable.shut = True
        process = bridge({"door": old(board())}, mqtt={"port": cable.port}, start=False)
        process.start(wait=False)
        process.wait_for_log("the broker hung up; trying again", count=7, timeout=20)
        loud = [line for line in process.lines if " mqtt: " in line and " DEBUG " not in line]
        assert [line.partition("mqtt: ")[2] for line in loud] == [
            f"127.0.0.1:{cable.port}: the broker hung up; trying again",
            "trying version 3.1.1",
            "trying version 5",
        ]
        cable.shut = False
        process.wait_for_log("mqtt: connected to", timeout=30)


@pytest.mark.parametrize("case", ["authority", "certificate", "expired"])
def test_a_broker_with_the_wrong_certificate_is_told_nothing(
    bridge: StartBridge,
    own_broker: Brokers,
    board: Boards,
    certificates: Certificates,
    case: str,
) -> None:
    shown = "expired" if case == "expired" else "server"
    own = own_broker(tls=certificates, certificate=shown, require_certificate=True)
    pair = certificates.wrong_client if case == "certificate" else certificates.client
    ca = certificates.wrong_ca if case == "authority" else certificates.ca
    tls = {"ca_file": str(ca), "cert_file": str(pair[0]), "key_file": str(pair[1])}
    process = bridge(
        {"door": old(board())}, on=own, mqtt={"port": own.tls_port, "tls": tls}, start=False
    )
    process.start(wait=False)
    process.wait_for_log("mqtt: .*trying again")
    assert process.alive
    assert "connected to" not in process.log
    assert process.stop() == 0


# Limits of size


@pytest.mark.parametrize("limit", ["broker", "ours"])
def test_an_image_over_the_packet_limit_is_saved_and_named_too_large(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers, limit: str
) -> None:
    own = own_broker(max_packet_size=20_000 if limit == "broker" else None)
    door = board(size=50_000)
    mqtt = {"max_payload": 20_000} if limit == "ours" else {}
    process = bridge({"door": old(door)}, on=own, mqtt=mqtt)
    talk = Talk(client(on=own), process.base_topic)
    talk.ask({"id": "large"})
    result = talk.result("large")
    assert (result["status"], result["error"]) == ("error", "too_large")
    assert Path(result["path"]).stat().st_size == result["bytes"] == 50_000
    answer = talk.client.request(talk.topic("door", "capture"), {"id": "reply"})
    assert answer.json["error"] == "too_large"
    path = talk.client.request(talk.topic("door", "capture"), {"id": "path", "reply": "path"})
    assert Path(path.text if path.content_type == "text/plain" else path.json["path"]).exists()
    door.script(b.sized(10_500))
    talk.ask({"id": "small"})
    assert talk.result("small")["status"] == "ok"
    assert len(talk.messages("image")) == 1
    assert "connection lost" not in process.log
    assert len(talk.all_results()) == 4


def test_a_broker_that_cuts_without_a_word_three_times_is_not_sent_that_image_again(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own = own_broker(max_packet_size=20_000)
    door = board(size=50_000)
    process = bridge({"door": old(door)}, on=own, mqtt={"version": "3.1.1"})
    watcher = client(on=own, version="3.1.1", client_id="watcher", clean=False)
    talk = Talk(watcher, process.base_topic)
    door.script(b.normal)
    talk.ask({"id": "large"})
    door.wait_for_asked(1)
    result = talk.result("large", timeout=20)
    assert result["error"] == "too_large"
    assert Path(result["path"]).exists()
    process.wait_for_log("connection lost", count=3)
    assert sum("connection lost" in line for line in process.lines) == 3
    door.script(b.sized(10_500))
    talk.ask({"id": "small"})
    assert talk.result("small")["status"] == "ok"


# The broker goes and comes back


def test_what_a_broker_forgot_is_told_again_and_no_result_is_lost(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    mqtt_version: Version,
) -> None:
    own = own_broker(persistence=True)
    door, free = board(), threading.Event()
    process = bridge({"door": old(door)}, on=own, mqtt={"version": mqtt_version})
    watcher = client(on=own, version="3.1.1", client_id="watcher", clean=False)
    talk = Talk(watcher, process.base_topic)
    door.script(b.late(free))
    talk.wait("availability")
    talk.ask({"id": "before"})
    door.wait_for_asked(1)
    own.stop()
    free.set()
    process.wait_for_log("captured")
    watcher.clear()
    own.start()
    assert talk.result("before", timeout=20)["status"] == "ok"
    assert stamp(talk.wait("image").payload)["seq"] == 1
    for name in ("state", "info"):
        talk.wait(name, "bridge")
    assert talk.wait("state", "bridge", lambda m: m.payload == b"online")
    for name in ("settings", "availability"):
        talk.wait(name)
    assert len(talk.all_results()) == 1
    assert len(door.asked) == 2


def test_a_broker_without_a_memory_is_told_again_too(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own = own_broker()
    process = bridge({"door": old(board())}, on=own)
    process.wait_for_log("camera door: connected")
    own.kill()
    own.start()
    process.wait_for_log("mqtt: connected", count=2, timeout=20)
    talk = Talk(client(on=own), process.base_topic)
    for name in ("state", "settings", "availability"):
        talk.wait(name)
    for name in ("state", "info", "health"):
        talk.wait(name, "bridge")
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"


def test_a_bridge_that_starts_before_its_broker_waits_for_it(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own = own_broker()
    door = board()
    process = bridge({"door": old(door, interval=1)}, on=own, start=False)
    own.stop()
    process.start(wait=False)
    door.wait_for_asked(1)
    process.wait_for_log("captured")
    own.start()
    talk = Talk(client(on=own, subscribe=[]), process.base_topic)
    process.wait_for_log("mqtt: connected", timeout=20)
    talk.client.subscribe("#")
    assert talk.results(1)[0]["trigger"] == "interval"


def test_a_result_is_on_time_when_the_broker_is_there(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)})
    talk.wait("availability")
    began = time.monotonic()
    for number in range(20):
        talk.ask({"id": f"{number}"})
        talk.result(f"{number}")
    assert time.monotonic() - began < 3  # with Nagle in the way each takes 44 ms more

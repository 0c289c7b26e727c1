"""How the bridge ends, reloads and goes on: under load, at the wrong moment, twice."""

import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import Boards, Clients, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.client import NO_SUBSCRIBERS, Version
from tests.fakes.talk import Talk

SAYS = "another client seems to use our mqtt.client_id"


class Load:
    """Commands for several cameras, one after the other, and the results.

    Nobody else may subscribe to them: by that it knows which ones were taken.
    """

    def __init__(self, client: Clients, base: str, cameras: list[str]) -> None:
        self.results = client(subscribe=[f"{base}/+/result"])
        self._client = client(subscribe=[])
        self._base = base
        self._cameras = cameras
        self._taken: Counter[tuple[str, str]] = Counter()
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(10)

    def _run(self) -> None:
        number = 0
        while not self._over.wait(0.005):
            for camera in self._cameras:
                number += 1
                command = {"id": f"{number}", "save": False}
                if number % 3 == 0:
                    command["timeout"] = 10 + number  # like no other, or they would all join
                code = self._client.publish(f"{self._base}/{camera}/capture", command)
                if code != NO_SUBSCRIBERS:
                    self._taken[camera, f"{number}"] += 1

    def check(self) -> None:
        """Wait for all results; each request has one."""
        self.results.wait("#", count=self._taken.total(), timeout=20)
        self.results.sync()
        results = [m.json for m in self.results.messages(f"{self._base}/+/result")]
        assert Counter((r["camera"], r["id"]) for r in results) == self._taken


# The end


def test_an_end_under_load_loses_no_request_and_answers_none_twice(
    bridge: StartBridge, board: Boards, client: Clients, base_topic: str, mqtt_version: Version
) -> None:
    """Those that it has taken in are answered; the rest waits at the broker for the next one."""
    boards = {name: board(name) for name in ("quick", "slow", "silent", "drips", "refuses")}
    boards["slow"].always(b.late(0.2))
    boards["silent"].always(b.silent)
    boards["drips"].always(b.drip())
    boards["refuses"].pause()
    process = bridge(
        {name: old(there) for name, there in boards.items()}, mqtt={"version": mqtt_version}
    )
    load = Load(client, base_topic, list(boards))
    with load.running():
        load.results.wait(f"{base_topic}/quick/result", count=20)
        boards["drips"].wait_for_asked()
        boards["silent"].wait_for_asked()
        assert process.end_in_time() == 0
    late = client()
    assert late.wait(f"{base_topic}/bridge/state")[0].payload == b"offline"
    assert load.results.wait("#", lambda m: m.json["error"] == "shutting_down")
    for there in boards.values():
        there.always(b.normal)
    boards["refuses"].resume()
    process.start()
    load.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_says_what_is_left_undone(
    bridge: StartBridge, board: Boards, talk: Talk, number: signal.Signals
) -> None:
    door = board()
    door.always(b.silent)
    process = bridge({"door": old(door), "hall": old(board())}, mqtt={"version": "5"})
    talk.ask({"id": "a"})
    door.wait_for_asked()
    process.signal(number)
    process.wait_for_log("stopping")
    process.signal(number)
    assert process.wait() == 1
    process.wait_for_log(
        r"WARNING ended by a second signal; left undone: \d cameras?, \d messages?"
    )
    talk.wait("state", "bridge", lambda m: m.payload == b"offline")
    door.always(b.normal)
    process.start()
    assert talk.result("a")["status"] == "ok"  # it was not acknowledged


def test_a_reload_while_it_ends_starts_nothing(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door, hall = board(), board()
    door.always(b.silent)
    process = bridge({"door": old(door)})
    talk.ask({"id": "a"})
    door.wait_for_asked()
    process.signal(signal.SIGTERM)
    process.wait_for_log("stopping")
    assert isinstance(process.config, dict)
    process.reload({**process.config, "cameras": {"door": old(door), "hall": old(hall)}})
    assert process.wait() == 0
    assert hall.connections == 0
    assert talk.result("a")["error"] == "shutting_down"


def test_an_end_answers_who_waits_for_a_camera_that_just_left(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    door.always(b.silent)
    process = bridge({"door": old(door), "hall": old(board())})
    talk.ask({"id": "a"})
    door.wait_for_asked()
    assert isinstance(process.config, dict)
    cameras = {**process.config["cameras"]}
    del cameras["door"]
    process.reload({**process.config, "cameras": cameras})
    process.wait_for_log("configuration reloaded")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert talk.result("a")["error"] == "shutting_down"
    assert len(talk.messages("result")) == 1


def test_an_end_answers_settings_and_restarts_that_wait_too(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(wire="v1")
    door.always(b.silent)
    process = bridge({"door": {"url": door.url, "protocol": "v1"}})
    talk.ask({"id": "a"})
    door.wait_for_asked()
    talk.ask({"id": "s", "flash": True}, to="set")
    talk.ask({"id": "r"}, to="restart")
    talk.client.sync()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    results = {m.json["id"]: m.json for m in talk.messages("result")}
    assert {id_: result["error"] for id_, result in results.items()} == dict.fromkeys(
        ("a", "s", "r"), "shutting_down"
    )
    assert results["s"]["trigger"] == "set"
    assert len(talk.messages("result")) == 3


def test_a_disk_that_hangs_holds_up_neither_the_start_nor_a_reload_nor_the_end(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, strain=("hang=open",))
    process.wait_for_log("camera door: connected")
    talk.ask({"id": "a", "save": False})
    assert talk.result("a")["status"] == "ok"
    assert isinstance(process.config, dict)
    process.reload({**process.config, "cameras": {"door": old(door, interval=3600)}})
    process.wait_for_log("camera door: connected", count=2)
    talk.ask({"id": "b", "save": False})
    assert talk.result("b")["status"] == "ok"
    assert door.connections == 2  # one for each configuration
    talk.ask({"id": "c"})
    talk.client.wait(talk.topic("door", "image"), count=3)
    assert len(talk.messages("result")) == 2  # the third waits for its file
    assert process.end_in_time() == 0
    assert (talk.result("c")["status"], talk.result("c")["saved"]) == ("ok", False)
    assert len(talk.messages("result")) == 3


# A new configuration


def test_a_camera_that_returns_before_its_last_picture_is_there_waits_for_it(
    bridge: StartBridge, board: Boards, talk: Talk, client: Clients
) -> None:
    door, free = board(), threading.Event()
    process = bridge({"door": old(door), "hall": old(board())})
    talk.wait("availability")  # or the command makes a connection of its own beside the first
    door.script(b.late(free))
    talk.ask({"id": "a"})
    door.wait_for_asked()
    whole = process.config
    assert isinstance(whole, dict)
    process.reload({**whole, "cameras": {"hall": whole["cameras"]["hall"]}})
    process.wait_for_log("configuration reloaded")
    process.reload(whole)
    process.wait_for_log("configuration reloaded", count=2)
    talk.ask({"id": "b", "save": False})
    talk.ask({"id": "c"}, "hall")
    talk.result("c")
    assert door.connections == len(door.asked) == 1
    free.set()
    assert talk.result("a")["status"] == talk.result("b")["status"] == "ok"
    late = client()
    for name in ("state", "settings"):
        assert late.wait(talk.topic("door", name))[0].json
    assert late.wait(talk.topic("door", "availability"))[0].text == "online"


def test_twenty_reloads_under_load_and_each_request_has_one_result(
    bridge: StartBridge, board: Boards, client: Clients, base_topic: str
) -> None:
    boards = {name: board(name) for name in ("stays", "comes", "changes")}
    boards["comes"].always(b.late(0.02))
    process = bridge({name: old(there) for name, there in boards.items()})
    for name in boards:  # or the command makes a connection of its own beside the first
        process.wait_for_log(f"camera {name}: connected")
    whole = process.config
    assert isinstance(whole, dict)
    load = Load(client, base_topic, list(boards))
    with load.running():
        load.results.wait("#", count=20)
        reloads = broken = 0
        for number in range(20):
            cameras = dict(whole["cameras"])
            cameras["changes"] = old(boards["changes"], timeout=10 + number)
            if number % 2 == 0:
                del cameras["comes"]
            if number % 5 == 4:
                broken += 1
                process.reload("cameras: {")
                process.wait_for_log("not reloaded", count=broken)
            else:
                reloads += 1
                process.reload({**whole, "cameras": cameras})
                process.wait_for_log("configuration reloaded", count=reloads)
        process.reload(whole)
        process.wait_for_log("configuration reloaded", count=reloads + 1)
    load.check()
    assert boards["stays"].connections == 1


# A wall clock that jumps


@pytest.mark.parametrize(("jump", "year"), [(-1.7e9, 1973), (1.5e9, 2074)])
def test_a_clock_that_jumps_changes_dates_and_nothing_else(
    bridge: StartBridge, board: Boards, talk: Talk, jump: float, year: int
) -> None:
    door, free = board(), threading.Event()
    process = bridge(
        {"door": old(door), "ticks": old(board(), interval=1)},
        capture={"retries": 0},
        strain=(f"then=jump:{jump}",),
    )
    door.script(b.late(free), b.silent)
    talk.ask({"id": "a"})
    door.wait_for_asked()
    process.signal(signal.SIGUSR1)
    process.wait_for_log("strained: jump")
    ticks = len(talk.messages("result", "ticks"))
    free.set()
    taken = talk.result("a")
    assert 0 < taken["duration"] < 10
    assert taken["requested_at"] < "2073"
    assert abs(int(taken["captured_at"][:4]) - year) < 6
    assert f"/door/{taken['captured_at'][:4]}/" in taken["path"]
    talk.ask({"id": "b", "timeout": 1})
    late = talk.result("b")
    assert late["error"] == "timeout"
    assert 0.9 < late["duration"] < 5
    talk.ask({"id": "c"})
    assert talk.result("c")["status"] == "ok"
    assert (
        len(talk.results(ticks + 2, "ticks")) < ticks + 10
    )  # neither none nor fifty years of them


# A broker or a name that is not there


def test_a_broker_that_is_away_for_an_hour_is_asked_for_gently_and_served_at_once(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Callable[..., Broker]
) -> None:
    """The clock of the bridge runs 900 times as fast, so the hour takes four seconds."""
    own = own_broker()
    process = bridge(
        {"door": old(board())}, on=own, start=False, strain=("pace=900", "then=pace:20")
    )
    own.stop()
    process.start(wait=False)
    tries, hours = r"mqtt: 127\.0\.0\.1:\d+: Connection refused; trying again", 0.0
    first = stamp_of(process.wait_for_log(tries))
    count = 1
    while hours < 1:
        count += 1
        hours = (stamp_of(process.wait_for_log(tries, count=count)) - first).total_seconds() / 3600
    assert 30 <= count / hours <= 60 * 8 + 10  # one in 7.5 to 30 s, and more at the beginning
    warnings = re.findall("WARNING mqtt: .*refused", process.log)  # slow: "no answer" may be one
    assert len(warnings) == 1
    process.signal(signal.SIGUSR1)  # so fast, the five seconds for connecting are six milliseconds
    process.wait_for_log("strained: pace")
    own.start()
    talk = Talk(client(on=own), process.base_topic)
    online = f"{process.base_topic}/bridge/state"  # which comes after its subscriptions
    talk.client.wait(online, lambda m: m.payload == b"online")
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"


def stamp_of(line: str) -> datetime:
    return datetime.fromisoformat(line.split(" ", 1)[0])


def test_a_name_that_is_not_known_is_said_once_and_works_when_it_is(
    bridge: StartBridge, board: Boards, broker: Broker, talk: Talk, tmp_path: Path
) -> None:
    """The bridge has a hosts file of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    wrapper = (
        *("unshare", "--mount", "--map-root-user", "--"),
        *("sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"),
    )
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace of our own is allowed here (unshare --mount)")
    door = board()
    process = bridge(
        {"door": {"url": f"ws://door.invalid:{door.port}", "protocol": "legacy"}},
        mqtt={"host": "broker.invalid"},
        start=False,
        wrapper=wrapper,
    )
    process.start(wait=False)
    process.wait_for_log("mqtt: broker.invalid:.* trying again", count=3)
    process.wait_for_log("camera door: still not connected: .*door.invalid")
    hosts.write_text("127.0.0.1 localhost broker.invalid\n")
    process.wait_until_ready()
    talk.ask({"id": "a"})
    assert talk.result("a")["error"] == "unreachable"
    assert "door.invalid" in talk.result("a")["message"]
    process.wait_for_log("camera door: unreachable")
    hosts.write_text("127.0.0.1 localhost broker.invalid door.invalid\n")
    talk.ask({"id": "b"})
    assert talk.result("b")["status"] == "ok"
    warnings = [line for line in process.lines if "WARNING" in line]
    assert sorted(line.split()[2] for line in warnings) == ["camera", "camera", "mqtt:"]


# Another client with our id


def test_of_two_with_one_client_id_one_says_so_and_makes_way_for_a_while(
    bridge: StartBridge, board: Boards, talk: Talk, mqtt_version: Version
) -> None:
    one = {"version": mqtt_version}
    processes = [
        bridge({name: old(board())}, mqtt=one, strain=("pace=1", "then=pace:60"))
        for name in ("door", "hall")
    ]
    loses = first_to_say(SAYS, processes)
    stays, name = (processes[1], "hall") if loses is processes[0] else (processes[0], "door")
    talk.ask({"id": "a"}, name)
    assert talk.result("a", name)["status"] == "ok"
    assert SAYS not in stays.log
    assert stays.stop() == 0
    before = loses.log.count("mqtt: connected")
    loses.signal(signal.SIGUSR1)  # its clock hurries
    loses.wait_for_log("mqtt: connected", count=before + 1)
    assert len([line for line in loses.lines if SAYS in line]) == 1


def first_to_say(text: str, processes: list[Bridge], timeout: float = 20) -> Bridge:
    deadline = time.monotonic() + timeout
    while True:
        for process in processes:
            if text in process.log:
                return process
        assert time.monotonic() < deadline, f"nobody said {text!r}"
        time.sleep(0.01)


def test_who_is_told_that_it_is_taken_over_makes_way_at_once(bridge: StartBridge) -> None:
    """Mosquitto 2.0 does not tell; other brokers do."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(10)
        mqtt = {"port": broker.getsockname()[1], "version": "5"}
        process = bridge({"door": {"url": "ws://127.0.0.1:1"}}, start=False, mqtt=mqtt)
        process.start(wait=False)
        connection, _ = broker.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK
            connection.sendall(b"\xe0\x02\x8e\x00")  # DISCONNECT: session taken over
            process.wait_for_log(f"ERROR   mqtt: {SAYS} .*Trying again in [67]. s")


def test_a_bridge_that_is_killed_and_started_again_has_no_rival(
    bridge: StartBridge, board: Boards, mqtt_version: Version
) -> None:
    process = bridge({"door": old(board())}, mqtt={"version": mqtt_version})
    for _ in range(4):
        process.kill()
        process.start(wait=False)  # `online` may be the one before's, heard late
        process.wait_for_log("mqtt: connected", this_run=True)
    assert process.log.count("mqtt: connected") == 5
    assert SAYS not in process.log

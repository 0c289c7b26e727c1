"""Home Assistant is told what is news to it, once, and in time; seen from the broker."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import pytest

from bridge import discovery, topics
from bridge.announcer import WAITED
from tests.conftest import Boards, Clients, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.client import Client, Message, Version

Form = Literal["device", "component"]

NO_NEWS = "home assistant: 0 messages for it"
APART = timedelta(
    seconds=1.7
)  # two seconds, less what there is between reading a clock and writing a line


class Home:
    """What Home Assistant hears, by a prefix of its own below the base topic."""

    def __init__(self, client: Client, base: str) -> None:
        self.client = client
        self.base = base
        self.prefix = f"{base}/home"

    def section(self, form: Form = "device") -> dict[str, Any]:
        return {"enabled": True, "discovery_prefix": self.prefix, "discovery": form}

    def topic(self, name: str) -> str:
        return f"{self.prefix}/device/{discovery.node(self.base, name)}/config"

    def told(self, name: str, where: Callable[[set[str]], object] = bool) -> Message:
        """The first message for a device whose components are like that."""
        found = self.client.wait(
            self.topic(name), lambda m: m.payload and where({*m.json["components"]})
        )
        return found[0]

    def components(self, name: str, key: str) -> Message:
        """The first message for a device that has this component."""
        return self.told(name, lambda keys: key in keys)

    def all(self) -> list[Message]:
        return self.client.messages(f"{self.prefix}/+/#")

    def noted(self, where: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """What the bridge keeps in mind, as soon as it is so."""
        found = self.client.wait(
            f"{self.base}/bridge/discovery",
            lambda m: discovery.parse_memory(m.payload) and where(m.json),
        )
        document: dict[str, Any] = found[-1].json
        return document

    def retained(self, clients: Clients) -> dict[str, bytes]:
        """What a Home Assistant that starts now would hear."""
        late = clients(subscribe=[f"{self.prefix}/#"])
        late.sync()
        return {m.topic: m.payload for m in late.messages(f"{self.prefix}/#")}


@pytest.fixture
def home(client: Clients, base_topic: str) -> Home:
    return Home(client(), base_topic)


def test_each_camera_is_announced_in_one_message_the_bridge_before_them(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    bridge({"door": board(wire="v1"), "hut": old(board())}, homeassistant=home.section())
    message = home.components("door", "flash")
    assert message.qos == 1
    assert message.content_type == "application/json"
    home.told("hut")
    first = home.all()[0]
    assert first.topic == home.topic("bridge")
    assert "flash" not in home.told("hut").json["components"]
    assert len(home.client.messages(home.topic("door"))) == 1  # with all that the board can
    memory = home.noted(lambda note: note["cameras"].get("door"))
    assert memory["cameras"]["door"]["board"] == "ai-thinker"
    assert memory["cameras"]["hut"] is None


@pytest.mark.parametrize("form", ["device", "component"])
def test_a_restart_with_nothing_new_sends_nothing(
    bridge: StartBridge, board: Boards, home: Home, mqtt_version: Version, form: Form
) -> None:
    process = bridge(
        {"door": board(wire="v1"), "hut": old(board())},
        mqtt={"version": mqtt_version},
        homeassistant=home.section(form),
    )
    home.noted(lambda note: note["cameras"]["door"])
    for end in (process.stop, process.kill):
        end()
        home.client.clear()
        _start_again(process)
        home.client.expect_none(f"{home.prefix}/#")
        home.client.expect_none(f"{home.base}/bridge/discovery")
    assert not [line for line in process.lines if WAITED in line]


def test_a_board_that_is_away_at_the_start_keeps_what_it_had(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    door = board(wire="v1")
    process = bridge({"door": door}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"]["door"])
    process.stop()
    door.pause()
    home.client.clear()
    _start_again(process)
    process.wait_for_log("camera door: not connected")
    home.client.expect_none(f"{home.prefix}/#")


def test_only_a_picture_proves_that_a_board_has_the_old_sketch_again(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    door = board(wire="v1")
    process = bridge({"door": door}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"]["door"])
    process.stop()
    door.always(b.hello_silent)
    door.wire = "legacy"
    home.client.clear()
    _start_again(process)
    home.client.wait(f"{home.base}/door/availability", lambda m: m.payload == b"online")
    home.client.expect_none(f"{home.prefix}/#")
    home.client.publish(f"{home.base}/door/capture")
    told = home.told("door").json["components"]
    assert told["flash"] == {"platform": "light"}  # which is to say: no more
    assert home.noted(lambda note: note["cameras"]["door"] is None)


def test_a_board_that_can_something_else_is_told_of_once_and_not_at_once(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    door = board(wire="v1")
    process = bridge({"door": door}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"]["door"])
    for count, features in enumerate(["framesize quality", "quality", "flash status"], start=2):
        door.hello = {"features": features.split()}
        door.drop()
        process.wait_for_log("with firmware", count=count)
    message = home.told("door", lambda keys: {"flash", "uptime"} <= keys)
    home.noted(lambda note: (note["cameras"]["door"] or {}).get("features") == ["flash", "status"])
    messages = home.client.messages(home.topic("door"))
    assert len(_told_apart(process)) >= messages.index(message) + 1


def test_a_camera_that_leaves_is_cleared_before_its_picture_is(
    bridge: StartBridge, board: Boards, home: Home, client: Clients
) -> None:
    cameras = {"door": old(board()), "hut": old(board())}
    process = bridge(cameras, homeassistant=home.section())
    home.client.publish(f"{home.base}/hut/capture")
    home.client.wait(f"{home.base}/hut/result")
    home.noted(lambda note: note["cameras"])
    home.client.clear()  # the last message is so young that the next one is held back
    assert isinstance(process.config, dict)
    process.reload({**process.config, "cameras": {"door": process.config["cameras"]["door"]}})
    home.client.wait(f"{home.base}/hut/image", lambda m: not m.payload)
    cleared = [m.topic for m in home.client.messages() if not m.payload]
    assert cleared[0] == home.topic("hut")
    assert set(cleared[1:]) == {*topics.CameraTopics.of(home.base, "hut").retained}
    home.noted(lambda note: "hut" not in note["cameras"])
    assert set(home.retained(client)) == {home.topic("bridge"), home.topic("door")}


@pytest.mark.parametrize("form", ["device", "component"])
def test_a_camera_that_left_while_the_bridge_was_down_is_cleared(
    bridge: StartBridge, board: Boards, home: Home, client: Clients, base_topic: str, form: Form
) -> None:
    process = bridge(
        {"door": old(board()), "hut": board(wire="v1")}, homeassistant=home.section(form)
    )
    home.noted(lambda note: note["cameras"].get("hut"))
    process.kill()
    assert isinstance(process.config, dict)
    process.config["cameras"].pop("hut")
    process.start()
    home.noted(lambda note: "hut" not in note["cameras"])
    hut = discovery.node(base_topic, "hut")
    assert not [topic for topic in home.retained(client) if hut in topic]
    late = client(subscribe=[f"{base_topic}/hut/#"])
    late.sync()
    assert not late.messages(f"{base_topic}/hut/#")


@pytest.mark.parametrize(("former", "new"), [("component", "device"), ("device", "component")])
def test_a_move_to_the_other_form_leaves_nothing_of_the_old_one(
    bridge: StartBridge,
    board: Boards,
    home: Home,
    client: Clients,
    former: Form,
    new: Form,
) -> None:
    process = bridge({"door": board(wire="v1")}, homeassistant=home.section(former))
    home.noted(lambda note: note["cameras"]["door"])
    before = home.retained(client)
    process.stop()
    stopped = len(process.lines)
    home.client.clear()
    assert isinstance(process.config, dict)
    process.config["homeassistant"]["discovery"] = new
    process.start()
    home.noted(lambda note: note["form"] == new)
    after = home.retained(client)
    assert after
    assert not before.keys() & after.keys()
    for topic in before:
        migrate, cleared = home.client.messages(topic)
        assert migrate.json == {"migrate_discovery": True}
        assert cleared.payload == b""
    assert len(_told_apart(process, since=stopped)) == 2


def test_home_assistant_that_is_back_is_told_again(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    process = bridge({"door": board(wire="v1")}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"]["door"])
    before = {m.topic: m for m in home.all()}
    home.client.clear()
    home.client.publish(f"{home.prefix}/status", b"offline")
    home.client.publish(f"{home.prefix}/status", b"online")
    home.components("door", "flash")
    home.told("bridge")
    assert {m.topic: m.payload for m in home.all() if m.topic in before} == {
        topic: m.payload for topic, m in before.items()
    }
    assert len(_told_apart(process)) >= 2
    for name in ("availability", "settings", "state"):
        home.client.wait(f"{home.base}/door/{name}")
    home.client.expect_none(f"{home.base}/door/image")


def test_a_flood_of_births_is_answered_once(bridge: StartBridge, board: Boards, home: Home) -> None:
    process = bridge({"door": old(board())}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"])
    home.client.clear()
    for _ in range(50):
        home.client.publish(f"{home.prefix}/status", b"online", qos=0)
    home.told("door")
    births = [line for line in process.lines if "it is back" in line]
    told = home.client.messages(home.topic("door"))
    assert len(told) == 1
    assert len(births) <= 2  # the flood may have outlasted the first delay


def test_a_broker_that_forgot_everything_is_told_again(
    bridge: StartBridge, board: Boards, own_broker: Callable[..., Broker], client: Clients
) -> None:
    own = own_broker()
    process = bridge({"door": old(board())}, on=own, homeassistant={"enabled": True})
    home = client(on=own)
    topic = f"homeassistant/device/{discovery.node(process.base_topic, 'door')}/config"
    message = home.wait(topic)[0]
    home.wait(f"{process.base_topic}/bridge/discovery")
    own.stop()
    process.wait_for_log("mqtt: connection lost")
    home.clear()
    own.start()
    assert home.wait(topic)[0].payload == message.payload


def test_what_is_turned_off_is_forgotten(
    bridge: StartBridge, board: Boards, home: Home, client: Clients
) -> None:
    process = bridge({"door": old(board())}, homeassistant=home.section())
    home.noted(lambda note: note["cameras"])
    process.stop()
    assert isinstance(process.config, dict)
    process.config["homeassistant"]["enabled"] = False
    home.client.clear()
    process.start()
    home.client.wait(f"{home.base}/bridge/discovery", lambda m: not m.payload)
    assert home.retained(client) == {}


def test_a_note_that_is_none_of_ours_does_no_harm(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    note = f"{home.base}/bridge/discovery"
    home.client.publish(note, b'{"prefix": "' + b"[" * 9000, retain=True)
    bridge({"door": old(board())}, homeassistant=home.section())
    home.told("door")
    home.noted(lambda document: document["cameras"] == {"door": None})


def test_a_setting_that_is_refused_snaps_back_and_says_why(
    bridge: StartBridge, board: Boards, home: Home
) -> None:
    bridge({"door": old(board())}, homeassistant=home.section())
    changes: list[tuple[str, dict[str, Any]]] = [
        ("unsupported", {"framesize": "SVGA"}),
        ("bad_request", {"interval": 0.5}),
        ("unsupported", {"flash": True, "flash_level": 40}),
        ("bad_request", {"flash_level": 81}),
    ]
    for code, change in changes:
        home.client.clear()
        home.client.publish(f"{home.base}/door/set", change)
        result = home.client.wait(f"{home.base}/door/result")[0].json
        assert result["error"] == code
        assert home.client.wait(f"{home.base}/door/settings")[0].json["interval"] == 0
        shown = partial(_shows, code)
        state = home.client.wait(f"{home.base}/door/state", shown)[0].json
        assert state["message"] == result["message"]


def _shows(code: str, message: Message) -> bool:
    return bool(message.json["error"] == code)


def _start_again(process: Bridge) -> None:
    """Start it, and wait until it has found that there is no news."""
    count = sum(NO_NEWS in line for line in process.lines)
    process.start()
    process.wait_for_log(NO_NEWS, count=count + 1)


def _told_apart(process: Bridge, *, since: int = 0) -> list[datetime]:
    """When the door's device was told of, which was never twice in two seconds.

    As the bridge's log has it: what comes to us may have waited longer on its way than the next.
    """
    about = re.compile(r"home assistant: \d+ messages about \S+_door$")
    lines = [line for line in process.lines[since:] if about.search(line)]
    times = [datetime.fromisoformat(line.split(" ", 1)[0]) for line in lines]
    assert all(later - before > APART for before, later in pairwise(times)), lines
    return times

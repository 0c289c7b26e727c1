"""docker/mosquitto: each client has all that it needs, and is refused the rest."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.topics import BridgeTopics, CameraTopics
from tests.conftest import configuration
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.client import Client, Message, Version

FILES = Path(__file__).parents[1] / "docker" / "mosquitto"
REFUSED = 0x87
CAMERAS = "front_door", "garden"
_NAMES = re.findall(r"(?m)^user (.+)$", (FILES / "acl").read_text())
USERS = {name: f"{name}-password" for name in _NAMES}
OUT = ("image", "path", "result", "state", "settings", "availability")
IN = ("capture", "set", "restart")

# What each may publish, and what it gets to see; of homeassistant/ and of answers as well.
ALL_IN = {f"esp32cam/{camera}/{name}" for camera in CAMERAS for name in IN}
ALL_OUT = {f"esp32cam/{camera}/{name}" for camera in CAMERAS for name in OUT}
BRIDGE_OUT = {f"esp32cam/bridge/{name}" for name in ("state", "info", "health", "discovery")}
BRIDGE_OWN = {"esp32cam/bridge/state", "esp32cam/bridge/discovery"}  # what it reads back
GROUPS = {"esp32cam/all/capture", "esp32cam/outside/capture"}
DISCOVERY = {
    "homeassistant/device/esp32cam_front_door/config",
    "homeassistant/button/esp32cam_front_door/capture/config",
}
BIRTH = {"homeassistant/status"}
REPLIES = {f"esp32cam-reply/{user}/x" for user in USERS}
STRANGE = {"elsewhere", "esp32cam", "esp32cam/front_door", "esp32cam/front_door/other"}
EVERYTHING = ALL_IN | ALL_OUT | BRIDGE_OUT | GROUPS | DISCOVERY | BIRTH | REPLIES | STRANGE


def _of(*names: str) -> set[str]:
    return {topic for topic in ALL_OUT | BRIDGE_OUT if topic.rpartition("/")[2] in names}


MAY_WRITE: dict[str, set[str]] = {
    "esp32cam2mqtt": ALL_OUT | BRIDGE_OUT | DISCOVERY | BIRTH | REPLIES,
    "homeassistant": ALL_IN | GROUPS | BIRTH,
    "nodered": {f"esp32cam/{camera}/capture" for camera in CAMERAS} | GROUPS,
    "doorbell": {"esp32cam/front_door/capture"},
    "viewer": set(),
}
MAY_READ = {
    "esp32cam2mqtt": ALL_IN | GROUPS | BIRTH | DISCOVERY | BRIDGE_OWN,
    "homeassistant": {t for t in EVERYTHING if re.match(r"esp32cam(/|$)|homeassistant/", t)},
    "nodered": _of("image", "path", "result", "state", "availability"),
    "doorbell": {"esp32cam/front_door/result"},
    "viewer": _of("image", "state", "availability"),
}


class ShippedBroker(Broker):
    """Mosquitto with docker/mosquitto/ as it is, but for its port, its paths and one user more."""

    def _configuration(self) -> list[str]:
        acl = (FILES / "acl").read_text()
        (self.directory / "acl").write_text(f"{acl}\nuser god\ntopic readwrite #\n")
        text = (FILES / "mosquitto.conf").read_text()
        for name in ("config", "data"):
            assert f"/mosquitto/{name}/" in text
            text = text.replace(f"/mosquitto/{name}/", f"{self.directory}/")
        text, listeners = re.subn("(?m)^listener 1883$", f"listener {self.port} 127.0.0.1", text)
        assert listeners == 1
        return [*["user root"] * (os.geteuid() == 0), *text.splitlines()]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Ours, with a password for each user of its ACL."""
    with ShippedBroker(users={"god": "god-password", **USERS}) as broker:
        yield broker


@pytest.fixture
def enter(broker: Broker) -> Iterator[Callable[..., Client]]:
    """``enter(user)``: its client, subscribed to everything."""
    with ExitStack() as stack:

        def enter(user: str, **options: Any) -> Client:
            password = f"{user}-password"
            options = {"subscribe": ["#"], **options}
            return stack.enter_context(broker.client(username=user, password=password, **options))

        yield enter


@pytest.mark.parametrize("user", USERS)
def test_a_client_publishes_and_sees_what_it_needs_and_no_more(
    enter: Callable[..., Client], mqtt_version: Version, user: str
) -> None:
    god, ours = enter("god"), enter(user, version=mqtt_version)
    for topic in EVERYTHING:
        code = ours.publish(topic, b"ours")
        if mqtt_version == "5":  # 3.1.1 has no way to say so
            assert (code == REFUSED) != (topic in MAY_WRITE[user]), f"{topic}: {code:#x}"
    god.sync()
    assert {m.topic for m in god.messages() if m.payload == b"ours"} == MAY_WRITE[user]
    for topic in EVERYTHING:
        god.publish(topic, b"theirs")
    last = f"esp32cam-reply/{user}/last"
    god.publish(last)
    ours.wait(last)
    seen = {m.topic for m in ours.messages() if m.payload == b"theirs"}
    assert seen == MAY_READ[user] | {f"esp32cam-reply/{user}/x"}


def test_nobody_comes_in_without_the_right_password(broker: Broker, mqtt_version: Version) -> None:
    for user, password in ((None, None), ("viewer", "wrong"), ("stranger", "viewer-password")):
        with pytest.raises(ConnectionRefusedError, match=r"(?i)not authori[sz]ed|password"):
            Client(broker.port, username=user, password=password, version=mqtt_version).start()


def test_the_bridge_has_all_that_it_needs(
    broker: Broker,
    board: Callable[..., FakeBoard],
    enter: Callable[..., Client],
    mqtt_version: Version,
) -> None:
    there = board(wire="v1")
    god = enter("god")
    process = Bridge(
        configuration(
            "esp32cam",
            broker,
            {"front_door": {"url": there.url, "publish": ["image", "path"]}},
            {
                "mqtt": {
                    "username": "esp32cam2mqtt",
                    "password": USERS["esp32cam2mqtt"],
                    "version": mqtt_version,
                },
                "groups": {"outside": ["front_door"]},
                "homeassistant": {"enabled": True},
            },
        ),
        god,
    )
    with process:
        bell = enter("doorbell", version=mqtt_version)
        bell.publish("esp32cam/front_door/capture", {"id": "rung"})
        bell.wait("esp32cam/front_door/result", _of_request("rung"))
        if mqtt_version == "5":
            mine = "esp32cam-reply/doorbell/1"
            bell.publish("esp32cam/front_door/capture", {"id": "mine"}, response_topic=mine)
            assert bell.wait(mine)[0].content_type == "image/jpeg"
        home = enter("homeassistant")
        home.publish("esp32cam/outside/capture", {"id": "group"})
        home.publish("esp32cam/front_door/set", {"id": "set", "interval": 3600})
        home.wait("esp32cam/front_door/settings", lambda m: m.json["interval"] == 3600)
        home.wait("esp32cam/front_door/result", _of_request("group"))
        home.publish("esp32cam/front_door/restart")
        there.wait_for(lambda board: board.restarts == 1)
        home.wait("esp32cam/front_door/availability", lambda m: m.payload == b"offline")
        topics = {*_values(CameraTopics.of("esp32cam", "front_door"), OUT)}
        for topic in topics | {*_values(BridgeTopics.of("esp32cam"), BridgeTopics.__slots__)}:
            god.wait(topic)
        assert "refuses" not in process.log
        process.kill()  # the will needs its topic too
        god.wait("esp32cam/bridge/state", lambda m: m.payload == b"offline")


def _of_request(id_: str) -> Callable[[Message], bool]:
    return lambda message: message.json["id"] == id_


def _values(topics: CameraTopics | BridgeTopics, names: tuple[str, ...]) -> list[str]:
    return [getattr(topics, name) for name in names]


def test_a_requester_does_not_write_by_the_bridges_hand(
    broker: Broker, board: Callable[..., FakeBoard], enter: Callable[..., Client]
) -> None:
    god = enter("god")
    mqtt = {"username": "esp32cam2mqtt", "password": USERS["esp32cam2mqtt"]}
    config = configuration("esp32cam", broker, {"front_door": board()}, {"mqtt": mqtt})
    with Bridge(config, god) as process:
        bell = enter("doorbell")
        for topic in ("zigbee2mqtt/lock/set", "esp32cam/all/capture", "elsewhere"):
            bell.publish("esp32cam/front_door/capture", {"id": topic}, response_topic=topic)
            bell.wait("esp32cam/front_door/result", _of_request(topic))
        process.wait_for_log("WARNING .*the broker refuses zigbee2mqtt/lock/set: reason code 0x87")
        god.sync()
        assert not [m for m in god.messages() if m.topic in ("zigbee2mqtt/lock/set", "elsewhere")]

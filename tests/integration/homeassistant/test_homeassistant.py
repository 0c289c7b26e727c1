"""Cameras simply appear in a real Home Assistant, and do what they should.

Run by one from before 2024.11, all of this is about the component form.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bridge import discovery
from tests.conftest import Boards, Clients, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.integration.homeassistant.home_assistant import Document, HomeAssistant

Start = Callable[..., Bridge]

# By the end of the unique id: domain, end of the entity's id, class, unit and category.
LEGACY = {
    "camera": ("camera", "", None, None, None),
    "last": ("image", "last_capture", None, None, None),
    "capture": ("button", "capture", None, None, None),
    "event": ("event", "capture_event", None, None, None),
    "connection": ("binary_sensor", "connection", "connectivity", None, "diagnostic"),
    "captured_at": ("sensor", "last_captured", "timestamp", None, None),
    "bytes": ("sensor", "image_size", "data_size", "B", "diagnostic"),
    "duration": ("sensor", "capture_duration", "duration", "s", "diagnostic"),
    "error": ("sensor", "last_error", None, None, "diagnostic"),
    "path": ("sensor", "saved_path", None, None, "diagnostic"),
    "interval": ("number", "interval", "duration", "s", "config"),
    "save": ("switch", "save_pictures", None, None, "config"),
}
OURS = LEGACY | {
    "flash": ("light", "flash", None, None, "config"),
    "flash_switch": ("switch", "flash_with_capture", None, None, "config"),
    "framesize": ("select", "frame_size", None, None, "config"),
    "quality": ("number", "quality", None, None, "config"),
    "vflip": ("switch", "flip", None, None, "config"),
    "hmirror": ("switch", "mirror", None, None, "config"),
    "rssi": ("sensor", "wi_fi_signal", "signal_strength", "dBm", "diagnostic"),
    "uptime": ("sensor", "uptime", "duration", "s", "diagnostic"),
    "heap": ("sensor", "free_memory", "data_size", "B", "diagnostic"),
    "reset_reason": ("sensor", "reset_reason", None, None, "diagnostic"),
    "firmware": ("sensor", "firmware", None, None, "diagnostic"),
    "restart": ("button", "restart", "restart", None, "config"),
}
THE_BRIDGE = {
    "connection": ("binary_sensor", "connection", "connectivity", None, "diagnostic"),
    "version": ("sensor", "version", None, None, "diagnostic"),
    "capture_all": ("button", "capture_all", None, None, None),
}


class Camera:
    """A camera as Home Assistant shows it."""

    def __init__(self, hass: HomeAssistant, base: str, name: str = "door") -> None:
        self.hass = hass
        self.node = discovery.node(base, name)

    def entities(self) -> dict[str, Document]:
        return self.hass.entities(f"{self.node}_")

    def known(self, keys: object) -> dict[str, Document]:
        """Its entities, as soon as they are just these, and have a state."""

        def found() -> dict[str, Document] | None:
            entities = self.entities()
            there = all(e["entity_id"] in self.hass.states for e in entities.values())
            return entities if there and entities.keys() == keys else None

        entities = self.hass.wait_until(f"{self.node}: {keys}", found)
        assert entities is not None
        return entities

    def id(self, key: str) -> str:
        entity_id: str = self.entities()[key]["entity_id"]
        return entity_id

    def wait(self, key: str, wanted: Callable[[str], object] | str) -> Document:
        return self.hass.wait_for_state(self.id(key), wanted)


@pytest.fixture
def start(bridge: StartBridge, hass: HomeAssistant) -> Start:
    """``start(cameras, name, discovery=form)``: a bridge, in the form that is the right one."""
    usual = "device" if hass.knows_devices else "component"
    return partial(_start, bridge, discovery=usual)


def _start(bridge: StartBridge, cameras: dict[str, Any], name: str, **more: Any) -> Bridge:
    """A bridge whose cameras have names that no other test's have, for the entities' ids."""
    named = {
        key: {**(c if isinstance(c, dict) else {"url": c.url}), "name": f"{name} {key}"}
        for key, c in cameras.items()
    }
    return bridge(named, homeassistant={"enabled": True, **more})


@pytest.mark.parametrize("form", ["device", "component"])
def test_a_camera_simply_appears_with_all_that_it_is(
    start: Start,
    board: Boards,
    hass: HomeAssistant,
    base_topic: str,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    if form == "device" and not hass.knows_devices:
        pytest.skip("this Home Assistant knows the component form alone")
    began = time.monotonic()
    cameras = {"door": {"url": board(wire="v1").url, "area": "Hall"}, "hut": old(board())}
    start(cameras, f"Appears {form}", discovery=form)
    for name, expected in (("door", OURS), ("hut", LEGACY), ("bridge", THE_BRIDGE)):
        camera = Camera(hass, base_topic, name)
        entities = camera.known(expected.keys())
        if name == "door":
            for key in ("camera", "capture"):
                camera.wait(key, lambda state: state != "unavailable")
            usable = time.monotonic() - began
            with capsys.disabled():
                print(f"\n{form} form: usable {usable:.2f} s after the bridge's start")
            assert usable < 20  # it takes two or three; on a busy machine more
        for key, (domain, end, kind, unit, category) in expected.items():
            entity_id = entities[key]["entity_id"]
            attributes = hass.states[entity_id]["attributes"]
            assert entity_id.startswith(f"{domain}."), key
            assert entity_id.endswith(end) or name == "bridge", key
            assert attributes.get("device_class") == kind, key
            assert attributes.get("unit_of_measurement") == unit, key
            assert entities[key]["entity_category"] == category, key
        if name != "bridge":
            camera.wait("connection", "on")
    device = hass.device(discovery.node(base_topic, "door"))
    assert device is not None
    areas = {area["area_id"]: area["name"] for area in hass.ask("config/area_registry/list")}
    assert areas[device["area_id"]] == "Hall"
    bridge_device = hass.device(discovery.node(base_topic, "bridge"))
    assert bridge_device is not None
    assert device["via_device_id"] == bridge_device["id"]
    assert device["name"] == f"Appears {form} door"
    assert (device["model"], device["sw_version"]) == ("ai-thinker, OV2640", "1.0.0")
    assert device["configuration_url"] == "http://127.0.0.1/"
    triggers = hass.ask("device_automation/trigger/list", device_id=device["id"])
    ours = {(t["type"], t["subtype"]) for t in triggers if t["domain"] == "mqtt"}
    assert ours == {("captured", "image"), ("failed", "image")}


def test_a_press_brings_a_picture_the_same_to_the_byte(
    start: Start, board: Boards, hass: HomeAssistant, client: Clients, base_topic: str
) -> None:
    start({"door": board(wire="v1", size=145_000)}, "Press")
    camera = Camera(hass, base_topic)
    camera.known(OURS.keys())
    camera.wait("capture", lambda state: state != "unavailable")
    watcher = client()
    hass.act("button.press", camera.id("capture"))
    event = camera.wait("event", lambda state: state[:2] == "20")
    result = watcher.wait(f"{base_topic}/door/result")[0].json
    assert event["attributes"]["event_type"] == "captured"
    assert event["attributes"]["id"] == result["id"]
    assert event["attributes"]["path"] == result["path"]
    jpeg = watcher.wait(f"{base_topic}/door/image", lambda m: not m.retain)[0].payload
    camera.wait("last", lambda state: state[:2] == "20")
    for key in ("camera", "last"):
        assert hass.picture(camera.id(key)) == jpeg
    camera.wait("bytes", str(len(jpeg)))
    camera.wait("path", str(result["path"]))
    camera.wait("captured_at", lambda state: state[:19] == result["captured_at"][:19])
    camera.wait("duration", lambda state: float(state) >= 0)
    camera.wait("error", "unknown")


def test_joined_requests_make_one_event(
    start: Start, board: Boards, hass: HomeAssistant, client: Clients, base_topic: str
) -> None:
    start({"door": (fake := board())}, "Joined")
    camera = Camera(hass, base_topic)
    camera.known(LEGACY.keys())
    camera.wait("capture", lambda state: state != "unavailable")
    watcher = client()
    fake.script(b.late(0.3))
    for id_ in ("first", "second", "third"):
        watcher.publish(f"{base_topic}/door/capture", {"id": id_})
        fake.wait_for(lambda it: it.asked)  # the others come too late for the first's picture
    watcher.wait(f"{base_topic}/door/result", count=3)
    watcher.publish(f"{base_topic}/door/capture", {"id": "last"})

    def ids() -> list[str]:
        ours = (e for e in list(hass.events) if e["entity_id"] == entity_id and e["new_state"])
        return [id_ for e in ours if (id_ := e["new_state"]["attributes"].get("id"))]

    entity_id = camera.id("event")
    hass.wait_until("the last event", lambda: "last" in ids())
    assert ids() == ["first", "second", "last"]  # the third shares the second's


def test_controls_do_what_they_say_and_snap_back_where_they_cannot(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    door = board(wire="v1")
    start({"door": door}, "Controls")
    camera = Camera(hass, base_topic)
    camera.known(OURS.keys())
    camera.wait("quality", "12")
    hass.act("number.set_value", camera.id("interval"), value=3600)
    camera.wait("interval", "3600")
    hass.act("number.set_value", camera.id("interval"), value=0)
    camera.wait("interval", "0")
    for key in ("save", "vflip", "hmirror"):
        now = hass.states[camera.id(key)]["state"]
        there, back = ("off", "on") if now == "on" else ("on", "off")
        hass.act(f"switch.turn_{there}", camera.id(key))
        camera.wait(key, there)
        hass.act(f"switch.turn_{back}", camera.id(key))
        camera.wait(key, back)
    hass.act("light.turn_on", camera.id("flash"))
    camera.wait("flash", "on")
    camera.wait("flash_switch", "on")
    assert (door.settings["flash"], door.settings["flash_level"]) == (True, 50)
    hass.act("switch.turn_off", camera.id("flash_switch"))
    camera.wait("flash", "off")
    hass.act("light.turn_on", camera.id("flash"), brightness_pct=100)
    shown = camera.wait("flash", "on")
    assert shown["attributes"]["brightness"] == 255
    assert (door.settings["flash"], door.settings["flash_level"]) == (True, 80)
    hass.act("light.turn_off", camera.id("flash"))
    camera.wait("flash", "off")
    assert (door.settings["flash"], door.settings["flash_level"]) == (False, 80)
    hass.act("number.set_value", camera.id("quality"), value=20)
    camera.wait("quality", "20")
    assert door.settings["quality"] == 20
    hass.act("select.select_option", camera.id("framesize"), option="SVGA")
    camera.wait("framesize", "SVGA")
    assert door.settings["framesize"] == "SVGA"
    # Of what Home Assistant lets pass, this alone is refused: an interval under a second.
    hass.act("number.set_value", camera.id("interval"), value=0.5)
    error = camera.wait("error", lambda state: "interval: expected 0 (off) or" in state)
    assert error["attributes"]["code"] == "bad_request"
    camera.wait("interval", "0")
    hass.act("button.press", camera.id("restart"))
    door.wait_for(lambda it: it.restarts == 1)
    camera.wait("connection", "on")


def test_capture_all_asks_every_camera(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    start({"door": old(board()), "hut": old(board())}, "All")
    cameras = [Camera(hass, base_topic, name) for name in ("door", "hut")]
    for camera in cameras:
        camera.known(LEGACY.keys())
    the_bridge = Camera(hass, base_topic, "bridge")
    the_bridge.known(THE_BRIDGE.keys())
    the_bridge.wait("capture_all", lambda state: state != "unavailable")
    hass.act("button.press", the_bridge.id("capture_all"))
    for camera in cameras:
        camera.wait("event", lambda state: state[:2] == "20")


def test_a_failure_is_an_event_and_says_why(
    start: Start, board: Boards, hass: HomeAssistant, client: Clients, base_topic: str
) -> None:
    door = board(wire="v1")
    start({"door": door}, "Fails")
    camera = Camera(hass, base_topic)
    camera.known(OURS.keys())
    camera.wait("capture", lambda state: state != "unavailable")
    door.script(*[b.error("camera_failed")] * 2)
    hass.act("button.press", camera.id("capture"))
    event = camera.wait("event", lambda state: state[:2] == "20")
    assert event["attributes"]["event_type"] == "failed"
    assert event["attributes"]["error"] == "camera_failed"
    shown = camera.wait("error", lambda state: "camera_failed" in state)
    assert shown["attributes"]["code"] == "camera_failed"


def test_availability_is_right_in_all_four_combinations(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    door = board()
    process = start({"door": old(door)}, "Away")
    camera = Camera(hass, base_topic)
    camera.known(LEGACY.keys())
    the_bridge = Camera(hass, base_topic, "bridge")
    camera.wait("connection", "on")
    camera.wait("interval", "0")
    door.pause()
    door.drop()
    camera.wait("connection", "off")
    camera.wait("interval", "unavailable")
    camera.wait("capture", "unavailable")
    camera.wait("event", lambda state: state != "unavailable")
    process.kill()
    camera.wait("connection", "unavailable")
    camera.wait("interval", "unavailable")
    the_bridge.wait("connection", "off")
    door.resume()
    process.start()
    the_bridge.wait("connection", "on")
    camera.wait("connection", "on")
    camera.wait("interval", "0")
    process.kill()
    camera.wait("connection", "unavailable")
    process.start()
    camera.wait("interval", "0")


def test_a_camera_that_leaves_is_gone_without_a_trace(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    process = start({"door": old(board()), "hut": board(wire="v1")}, "Leaves")
    hut = Camera(hass, base_topic, "hut")
    hut.known(OURS.keys())
    hut.wait("capture", lambda state: state != "unavailable")
    hass.act("button.press", hut.id("capture"))
    hut.wait("last", lambda state: state[:2] == "20")
    assert isinstance(process.config, dict)
    process.reload({**process.config, "cameras": {"door": process.config["cameras"]["door"]}})
    hass.wait_until("no entity", lambda: not hut.entities())
    hass.wait_until("no device", lambda: hass.device(hut.node) is None)
    Camera(hass, base_topic).known(LEGACY.keys())


def test_a_board_that_changes_its_mind_gains_and_loses_entities(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    door = board(wire="v1", hello={"features": ["framesize", "settings"]})
    start({"door": door}, "Changes")
    camera = Camera(hass, base_topic)
    some = {"framesize", "vflip", "hmirror", "firmware"}
    camera.known(LEGACY.keys() | some)
    door.hello = {}
    door.drop()
    camera.known(OURS.keys())
    door.hello = {"features": ["framesize", "settings"]}
    door.drop()
    camera.known(LEGACY.keys() | some)


@pytest.mark.parametrize(("former", "new"), [("component", "device"), ("device", "component")])
def test_a_move_between_the_forms_keeps_ids_that_a_person_has_chosen(
    start: Start,
    board: Boards,
    hass: HomeAssistant,
    base_topic: str,
    former: str,
    new: str,
) -> None:
    if not hass.knows_devices:
        pytest.skip("this Home Assistant knows the component form alone")
    process = start({"door": board(wire="v1")}, "Moves", discovery=former)
    camera = Camera(hass, base_topic)
    entities = camera.known(OURS.keys())
    before = entities["capture"]["entity_id"]
    hass.ask(
        "config/entity_registry/update",
        entity_id=before,
        new_entity_id=f"button.chosen_{base_topic.replace('-', '_')}",
        name="Chosen",
    )
    ids = {key: e["id"] for key, e in camera.entities().items()}
    named = {key: e["entity_id"] for key, e in camera.entities().items()}
    process.stop()
    camera.wait("interval", "unavailable")
    assert isinstance(process.config, dict)
    process.config["homeassistant"]["discovery"] = new
    if new == "component":  # of a Home Assistant that has no need of that form, a line per device
        hass.foreseen.add("No device components to cleanup")
    process.start()
    device_id = entities["capture"]["device_id"]

    def topics() -> set[str]:
        info = hass.ask("mqtt/device/debug_info", device_id=device_id)
        return {e["discovery_data"]["topic"] for e in [*info["entities"], *info["triggers"]]}

    def moved() -> bool:
        one = {f"homeassistant/device/{camera.node}/config"}
        return topics() == one if new == "device" else len(topics()) == len(ids) + 2 > 1

    hass.wait_until("the new form", moved)
    camera.wait("interval", "0")
    assert {key: e["id"] for key, e in camera.entities().items()} == ids
    assert {key: e["entity_id"] for key, e in camera.entities().items()} == named


def test_who_told_an_old_home_assistant_of_devices_has_but_to_change_the_form(
    start: Start, board: Boards, hass: HomeAssistant, base_topic: str
) -> None:
    if hass.knows_devices:
        pytest.skip("this Home Assistant knows the device form")
    hass.foreseen.add("Integration device is not supported")
    process = start({"door": board(wire="v1")}, "Wrong", discovery="device")
    process.wait_for_log("with firmware")
    assert isinstance(process.config, dict)
    process.stop()
    camera = Camera(hass, base_topic)
    assert not camera.entities()
    process.config["homeassistant"]["discovery"] = "component"
    process.start()
    camera.known(OURS.keys())
    camera.wait("interval", "0")


def test_fifty_cameras_at_once_are_all_there(
    start: Start, hass: HomeAssistant, base_topic: str
) -> None:
    nowhere = {"url": "ws://127.0.0.1:9", "protocol": "legacy"}
    start({f"c{number}": nowhere for number in range(50)}, "Fifty")
    count = 50 * len(LEGACY) + len(THE_BRIDGE)
    base = discovery.node(base_topic, "")
    hass.wait_until("fifty cameras", lambda: len(hass.entities(base)) == count)
    ids = {e["entity_id"] for e in hass.entities(base).values()}
    hass.wait_until("their states", lambda: ids <= hass.states.keys())


def test_an_automation_with_a_device_trigger_is_fired(
    start: Start, board: Boards, hass: HomeAssistant, client: Clients, base_topic: str
) -> None:
    start({"door": old(board())}, "Trigger")
    camera = Camera(hass, base_topic)
    camera.known(LEGACY.keys())
    device = hass.device(camera.node)
    assert device is not None
    trigger = {
        "platform": "device",  # these words are the old ones, and still good
        "domain": "mqtt",
        "device_id": device["id"],
        "type": "captured",
        "subtype": "image",
    }
    topic = f"{base_topic}/fired"
    action = {"service": "mqtt.publish", "data": {"topic": topic, "payload": "yes"}}
    automation = {"alias": "Trigger", "trigger": [trigger], "action": [action]}
    hass.post(f"/api/config/automation/config/{base_topic}", automation)
    hass.wait_for_state("automation.trigger", "on")
    camera.wait("capture", lambda state: state != "unavailable")
    watcher = client()
    watcher.publish(f"{base_topic}/door/capture")
    watcher.wait(topic)


def test_all_is_well_after_a_restart_of_any_of_the_three(
    start: Start,
    board: Boards,
    broker: Broker,
    hass: HomeAssistant,
    client: Clients,
    base_topic: str,
) -> None:
    process = start({"door": board(wire="v1")}, "Restarts")
    camera = Camera(hass, base_topic)
    camera.known(OURS.keys())
    camera.wait("capture", lambda state: state != "unavailable")
    hass.act("button.press", camera.id("capture"))
    last = camera.wait("event", lambda state: state[:2] == "20")["state"]
    ids = {key: e["id"] for key, e in camera.entities().items()}
    everything = "homeassistant/+/#"
    watcher = client(subscribe=[everything])
    watcher.sync()
    watcher.clear()
    process.stop()
    camera.wait("interval", "unavailable")
    process.start()
    camera.wait("interval", "0")
    process.wait_for_log("home assistant: 0 messages for it")
    watcher.expect_none(everything)
    hass.end()
    hass.start()
    camera.wait("interval", "0")
    camera.wait("event", last)  # the result is not retained: no second event
    for name in ("bridge", "door"):  # it said that it is back
        watcher.wait(f"homeassistant/+/{discovery.node(base_topic, name)}/#")
    assert {key: e["id"] for key, e in camera.entities().items()} == ids
    assert hass.picture(camera.id("camera"))
    hass.foreseen |= {"Disconnected from MQTT server", "[paho.mqtt.client]", "connection was lost"}
    broker.stop()
    camera.wait("interval", "unavailable")
    broker.start()
    camera.wait("interval", "0")
    camera.wait("event", last)
    assert {key: e["id"] for key, e in camera.entities().items()} == ids

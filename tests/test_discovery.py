"""What Home Assistant is told, against the keys that it takes, and what of it is news."""

import json
import re
from typing import Any, cast

import pytest

from bridge import __version__, discovery
from bridge.discovery import Board, Form, Memory, Place, Step
from bridge.entities import Described


def words(text: str) -> set[str]:
    return set(text.split())


# What 2025.4.4 takes, printed from its schemas. It drops what it does not know without a word, so
# a misspelt key would just not work; and one bad component rejects a device's whole message.
COMMON = words(
    "availability availability_mode availability_template availability_topic "
    "enabled_by_default entity_category entity_picture icon json_attributes_topic "
    "json_attributes_template origin device payload_available payload_not_available unique_id "
    "qos encoding name platform"
)
_COMMAND = "command_topic command_template retain"
KEYS = {
    platform: COMMON | words(own)
    for platform, own in {
        "camera": "topic image_encoding",
        "image": "image_topic url_topic image_encoding content_type url_template",
        "button": f"{_COMMAND} payload_press device_class",
        "event": "state_topic event_types value_template device_class",
        "number": f"{_COMMAND} state_topic value_template min max step mode unit_of_measurement"
        " device_class payload_reset optimistic",
        "switch": f"{_COMMAND} state_topic payload_on payload_off state_on state_off value_template"
        " device_class optimistic",
        "select": f"{_COMMAND} options state_topic value_template optimistic",
        "sensor": "state_topic value_template device_class unit_of_measurement state_class options"
        " suggested_display_precision expire_after force_update last_reset_value_template",
        "binary_sensor": "state_topic value_template payload_on payload_off device_class off_delay"
        " expire_after force_update",
        "light": "schema command_topic state_topic state_value_template payload_on payload_off"
        " on_command_type optimistic retain brightness_command_topic brightness_command_template"
        " brightness_scale brightness_state_topic brightness_value_template",
    }.items()
}
KEYS["device_automation"] = words(
    "platform automation_type type subtype topic payload value_template device origin qos encoding"
)
REQUIRED = {
    "camera": {"topic"},
    "image": {"image_topic"},
    "button": {"command_topic"},
    "event": {"state_topic", "event_types"},
    "number": {"command_topic"},
    "switch": {"command_topic"},
    "select": {"command_topic", "options"},
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "light": {"command_topic"},
    "device_automation": {"automation_type", "type", "subtype", "topic"},
}
ROOT = words(
    "device origin components availability availability_mode availability_topic "
    "availability_template payload_available payload_not_available state_topic command_topic "
    "qos encoding"
)
# model_id and serial_number came later than what the component form is for.
DEVICE = words(
    "identifiers connections name manufacturer model hw_version sw_version suggested_area "
    "configuration_url via_device"
)
ORIGIN = {"name", "sw_version", "support_url"}
CLASSES = {
    "sensor": {"timestamp", "data_size", "duration", "signal_strength"},
    "binary_sensor": {"connectivity"},
    "button": {"restart"},
    "number": {"duration"},
}
CATEGORIES = {"config", "diagnostic"}
TOPIC = re.compile(r"homeassistant/(device|[a-z_]+/[A-Za-z0-9_-]+)/[A-Za-z0-9_-]+/config")

DEVICE_FORM = Place(prefix="homeassistant", form="device")
COMPONENT_FORM = Place(prefix="homeassistant", form="component")
OURS = Board(
    board="ai-thinker",
    sensor="OV2640",
    firmware="1.2.3",
    framesizes=("QVGA", "SVGA", "UXGA"),
    features=("flash", "framesize", "quality", "status", "settings", "restart"),
)
AVAILABLE_WHEN_CAPTURED = (
    "{{ 'online' if (value_json | default({}, true)).get('captured_at') else 'offline' }}"
)
ALWAYS_A_TIME = (
    "{{ (value_json | default({}, true)).get('captured_at') or '1970-01-01T00:00:00+00:00' }}"
)
DOOR = Described("Front door", area="Hall", host="192.0.2.10")
LEGACY_KEYS = words(
    "camera last capture event connection captured_at bytes duration error path interval save "
    "trigger_captured trigger_failed"
)
BOARD_KEYS = words(
    "flash flash_switch framesize quality vflip hmirror rssi uptime heap reset_reason firmware "
    "restart"
)


def door(
    place: Place = DEVICE_FORM,
    board: Board | None = OURS,
    camera: Described = DOOR,
    *,
    base: str = "esp32cam",
) -> dict[str, bytes]:
    return discovery.camera_messages(place, base, "door", camera, board)


def only(messages: dict[str, bytes]) -> dict[str, Any]:
    [payload] = messages.values()
    return cast("dict[str, Any]", json.loads(payload))


def components(board: Board | None = OURS, camera: Described = DOOR) -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", only(door(board=board, camera=camera))["components"])


@pytest.mark.parametrize(
    "message",
    [
        only(discovery.bridge_messages(DEVICE_FORM, "esp32cam")),
        only(door()),
        only(door(board=None)),
    ],
    ids=["bridge", "ours", "legacy"],
)
def test_a_devices_message_has_nothing_that_home_assistant_does_not_know(
    message: dict[str, Any],
) -> None:
    assert message.keys() <= ROOT
    assert message["device"].keys() <= DEVICE
    assert message["origin"].keys() <= ORIGIN
    for key, component in message["components"].items():
        platform = component["platform"]
        assert component.keys() <= KEYS[platform], key
        assert component.keys() >= REQUIRED[platform] | {"qos"}, key
        if "device_class" in component:
            assert component["device_class"] in CLASSES[platform], key
        assert component.get("entity_category") in CATEGORIES | {None}, key
        if platform != "device_automation":
            assert component["unique_id"].endswith(f"_{key}")
            assert (
                "icon" in component
                or "device_class" in component
                or platform
                in (
                    "camera",
                    "image",
                )
            ), key
    ids = [c["unique_id"] for c in message["components"].values() if "unique_id" in c]
    assert len(set(ids)) == len(ids)


def told(topic: str) -> dict[str, str]:
    """Said in full: Home Assistant may be without its defaults while it loads a platform."""
    return {"topic": topic, "payload_available": "online", "payload_not_available": "offline"}


def test_the_component_form_says_the_same_as_the_devices() -> None:
    device = only(door())
    shared = {k: device[k] for k in ("device", "origin", "availability", "availability_mode")}
    messages = door(COMPONENT_FORM)
    assert len(messages) == len(device["components"])
    for key, component in device["components"].items():
        platform = component.pop("platform")
        message = json.loads(messages[f"homeassistant/{platform}/esp32cam_door/{key}/config"])
        whole = {**shared, **component}
        if platform == "device_automation":
            del whole["availability"], whole["availability_mode"]
        if key == "captured_at":  # what a Home Assistant that needs this form would complain of
            state = told("esp32cam/door/state") | {"value_template": AVAILABLE_WHEN_CAPTURED}
            whole["availability"] = [*device["availability"], state]
            whole["value_template"] = ALWAYS_A_TIME
        assert message == whole
        assert message.keys() <= KEYS[platform]


def test_a_board_with_our_firmware_has_more_to_show() -> None:
    assert components(board=None).keys() == LEGACY_KEYS
    assert components().keys() == LEGACY_KEYS | BOARD_KEYS
    dark = OURS.model_copy(update={"features": ("framesize", "settings")})
    keys = LEGACY_KEYS | {"framesize", "vflip", "hmirror", "firmware"}
    assert components(dark).keys() == keys


def test_there_is_no_entity_for_what_is_not_configured() -> None:
    assert "camera" not in components(camera=Described("Door", has_image=False))
    assert not {"path", "save"} & components(camera=Described("Door", is_kept=False)).keys()


def test_a_device_says_what_and_where_it_is() -> None:
    assert only(door())["device"] == {
        "identifiers": ["esp32cam_door"],
        "name": "Front door",
        "manufacturer": "esp32cam2mqtt",
        "model": "ai-thinker, OV2640",
        "sw_version": "1.2.3",
        "suggested_area": "Hall",
        "configuration_url": "http://192.0.2.10/",
        "via_device": "esp32cam_bridge",
    }
    legacy = only(door(board=None, camera=Described("Door", host="192.0.2.10")))["device"]
    assert legacy == {
        "identifiers": ["esp32cam_door"],
        "name": "Door",
        "manufacturer": "esp32cam2mqtt",
        "model": "ESP32-CAM",
        "via_device": "esp32cam_bridge",
    }
    bridge = only(discovery.bridge_messages(DEVICE_FORM, "esp32cam"))
    assert bridge["device"] == {
        "identifiers": ["esp32cam_bridge"],
        "name": "ESP32-CAM bridge",
        "manufacturer": "esp32cam2mqtt",
        "model": "Bridge",
        "sw_version": __version__,
    }


def test_what_tells_of_a_camera_that_is_away_is_available_without_it() -> None:
    message = only(door())
    bridge = told("esp32cam/bridge/state")
    assert message["availability"] == [bridge, told("esp32cam/door/availability")]
    assert message["availability_mode"] == "all"
    own = {k: c["availability"] for k, c in message["components"].items() if "availability" in c}
    assert own == {"connection": [bridge], "event": [bridge], "error": [bridge]}
    on_call = components(camera=Described("Door", on_call=True))
    assert on_call["capture"]["availability"] == [bridge]


@pytest.mark.parametrize("base", ["esp32cam", "home/cameras", "küche", "esp32cam_front", "a.b"])
@pytest.mark.parametrize("form", ["device", "component"])
def test_topics_are_such_as_discovery_takes(base: str, form: Form) -> None:
    place = Place(prefix="homeassistant", form=form)
    messages = [*discovery.bridge_messages(place, base), *door(place, base=base)]
    for topic in messages:
        assert TOPIC.fullmatch(topic)
    assert {discovery.node_of(topic) for topic in door(place, base=base)} == {
        discovery.node(base, "door")
    }
    assert set(messages) <= discovery.topics_of(place, base, ["door"])


def test_no_two_cameras_of_two_bridges_are_one() -> None:
    bases = ["esp32cam", "esp32cam_front", "esp32cam-front", "esp32cam/front", "küche", "köche"]
    nodes = {discovery.node(base, name) for base in bases for name in ("door", "front_door")}
    assert len(nodes) == 2 * len(bases)


def test_what_a_board_says_does_not_get_into_templates() -> None:
    evil = OURS.model_copy(update={"framesizes": ("SVGA", "{{ states }}", "a'b", 'X"]')})
    assert components(evil)["framesize"]["options"] == ["SVGA"]
    assert "states" not in json.dumps(components(evil))
    nothing = OURS.model_copy(update={"framesizes": ("{{ 1 }}",)})
    assert "framesize" not in components(nothing)


def test_what_is_there_already_is_no_news() -> None:
    for place in (DEVICE_FORM, COMPONENT_FORM):
        assert discovery.steps(door(place), door(place)) == []
        new = discovery.steps({}, door(place))
        assert new == [Step(topic, payload) for topic, payload in door(place).items()]


def test_what_a_board_no_longer_has_is_marked_as_gone_and_that_once() -> None:
    old, new = door(), door(board=None)
    [step] = discovery.steps(old, new)
    told = json.loads(step.payload)["components"]
    assert {key for key, c in told.items() if c.keys() == {"platform"}} == BOARD_KEYS
    assert told["flash"] == {"platform": "light"}
    assert discovery.steps({step.topic: step.payload}, new) == []
    [back] = discovery.steps({step.topic: step.payload}, old)
    assert back.payload == old[step.topic]


def test_in_the_component_form_what_is_gone_is_cleared() -> None:
    old, new = door(COMPONENT_FORM), door(COMPONENT_FORM, board=None)
    found = discovery.steps(old, new)
    assert all(step.payload == b"" and step.retain for step in found if step.topic not in new)
    assert {step.topic.split("/")[3] for step in found if not step.payload} == BOARD_KEYS
    assert {step.topic for step in found if step.payload} == set(new)  # the device is another


def test_a_camera_that_left_is_cleared() -> None:
    for place in (DEVICE_FORM, COMPONENT_FORM):
        found = discovery.steps(door(place), {})
        assert found == [Step(topic, b"") for topic in door(place)]


@pytest.mark.parametrize(
    ("old", "new"), [(COMPONENT_FORM, DEVICE_FORM), (DEVICE_FORM, COMPONENT_FORM)]
)
def test_a_move_to_the_other_form_takes_the_entities_out_of_the_old_one_first(
    old: Place, new: Place
) -> None:
    topics = list(door(old))
    migrate = b'{"migrate_discovery":true}'
    first = discovery.steps(door(old), door(new))
    assert first == [
        *(Step(topic, migrate, retain=False) for topic in topics),
        *(Step(topic, b"") for topic in topics),
    ]
    assert discovery.steps({}, door(new)) == [Step(*item) for item in door(new).items()]


def test_what_an_earlier_run_announced_is_read_again() -> None:
    memory = Memory(prefix="homeassistant", form="device", cameras={"door": OURS, "hut": None})
    assert discovery.parse_memory(memory.model_dump_json().encode()) == memory


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"online",
        b"[]",
        b"{}",
        b'{"prefix": "#", "form": "device", "cameras": {}}',
        b'{"prefix": "a", "form": "other", "cameras": {}}',
        b'{"prefix": "a", "form": "device", "cameras": {"../door": null}}',
        b'{"prefix": "a", "form": "device", "cameras": {"door": {"features": "flash"}}}',
        b"\xff",
    ],
)
def test_what_is_no_note_of_ours_is_not_taken_for_one(payload: bytes) -> None:
    assert discovery.parse_memory(payload) is None


def test_a_retained_message_that_is_none_of_ours_is_replaced() -> None:
    [(topic, payload)] = door().items()
    for foreign in (b"x", b"[]", b'{"components": []}', b'{"components": {"a": 1}}', b"\xff"):
        assert discovery.steps({topic: foreign}, door()) == [Step(topic, payload)]

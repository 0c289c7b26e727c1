"""What the examples for Home Assistant name exists, which is seen without one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge import command
from bridge.capture import Outcome, Request, result
from bridge.entities import Described, bridge_entities, camera_entities
from bridge.topics import ALL, BridgeTopics, CameraTopics

EXAMPLES = Path(__file__).parents[1] / "examples/home-assistant"
FILES = sorted(path for path in EXAMPLES.rglob("*.yaml"))
BLUEPRINTS = [path for path in FILES if "blueprints" in path.parts]

DEVICES = {"front_door": "Front door", "garden": "Garden"}
CAMERA = CameraTopics.of("esp32cam", "front_door")
BRIDGE = BridgeTopics.of("esp32cam")
RESULT = set(result(Request("a1", "door", 0, 0), Outcome(0), requested_at=0, received=0))
EVENT = RESULT | {"event_type"}
FEATURES = ("flash", "framesize", "quality", "status", "settings", "restart")


class Input(str):
    """An ``!input`` of a blueprint."""


class Loader(yaml.SafeLoader):
    """YAML as Home Assistant reads it; a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice among {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep=deep)


Loader.add_constructor("!input", lambda _, node: Input(node.value))


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader)


def strings(value: Any) -> list[str]:
    """Every string in a document, keys left out."""
    if isinstance(value, dict):
        return [s for each in value.values() for s in strings(each)]
    if isinstance(value, list):
        return [s for each in value for s in strings(each)]
    return [value] if isinstance(value, str) else []


def sections(value: Any, key: str) -> list[Any]:
    """Every value that stands under this key, however deep."""
    found = []
    for name, each in value.items() if isinstance(value, dict) else ():
        found += [each] if name == key else []
        found += sections(each, key)
    for each in value if isinstance(value, list) else ():
        found += sections(each, key)
    return found


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def entity_ids() -> set[str]:
    """What Home Assistant calls the entities of the cameras and of the bridge."""
    described = {
        name: camera_entities(
            Described(name), CAMERA, BRIDGE, features=FEATURES, framesizes=["VGA"]
        )
        for name in DEVICES.values()
    }
    described["ESP32-CAM bridge"] = bridge_entities(BRIDGE, "esp32cam/all/capture")
    return {
        f"{component['platform']}.{slug(' '.join(filter(None, (device, component['name']))))}"
        for device, components in described.items()
        for component in components.values()
        if "name" in component
    }


by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
blueprints = pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.name)


@by_name
def test_entities_of_ours_exist(path: Path) -> None:
    known = entity_ids()
    named = re.compile(rf"\b[a-z_]+\.(?:{'|'.join(DEVICES)}|esp32_cam_bridge)\w*")
    found = {match for text in strings(load(path)) for match in named.findall(text)}
    assert found - known == set()
    assert found or path.name not in ("automations.yaml", "dashboard.yaml")


@by_name
def test_topics_are_ones_of_ours(path: Path) -> None:
    document = load(path)
    made = [v["topic"] for v in sections(document, "variables") if "topic" in v]
    for topic in sections(document, "topic"):
        if topic in made:  # a camera's, without its last level
            assert topic.startswith("{{ base_topic ~ '/' ~ (device_attr(camera,")
            continue
        place, _, name = topic.rpartition("/")
        assert f"esp32cam/front_door/{name}" in (CAMERA.capture, CAMERA.result), topic
        literal = {f"esp32cam/{camera}" for camera in (*DEVICES, ALL)}
        assert place in literal or place.startswith("{{ "), topic


@by_name
def test_commands_are_ones_that_the_bridge_takes(path: Path) -> None:
    payloads = sections(load(path), "payload")
    commands = [p for p in payloads if not re.fullmatch(r"\{\{ request \}\}", p)]
    for payload in commands:
        keys = set(re.findall(r"['\"](\w+)['\"]: ", payload)) | set(re.findall(r"(\w+)=", payload))
        assert "id" in keys, payload
        assert keys <= set(command.CAPTURE_KEYS), payload
        if not payload.startswith("{{"):
            command.parse_capture(payload.encode())
    for inputs in sections(load(path), "more"):
        default = inputs["input"].get("command", {}).get("default", {})
        command.parse_capture(json.dumps(default).encode())


@by_name
def test_results_have_the_keys_that_are_read(path: Path) -> None:
    for text in strings(load(path)):
        read = re.findall(r"(?:payload_json|value_json|\bresult)\.(\w+)", text)
        assert set(read) - {"get"} <= RESULT, text
        if "to_state.attributes" in text and "capture_event" in path.read_text():
            assert set(re.findall(r"to_state\.attributes\.(\w+)", text)) <= EVENT, text


@blueprints
def test_blueprints_say_what_they_want_and_want_no_more(path: Path) -> None:
    document = load(path)
    head = document.pop("blueprint")
    assert head["domain"] == "automation"
    assert head["homeassistant"]["min_version"].count(".") == 2
    inputs = dict(head["input"])
    inputs |= inputs.pop("more")["input"]
    assert all(i["name"] and i["description"] and i["selector"] for i in inputs.values())
    assert {str(s) for s in strings(document) if isinstance(s, Input)} == inputs.keys()


def test_everything_agrees_on_where_pictures_are() -> None:
    media_dirs = load(EXAMPLES / "configuration.yaml")["homeassistant"]["media_dirs"]
    for path in BLUEPRINTS:
        inputs = load(path)["blueprint"]["input"]["more"]["input"]
        if "folder" in inputs:
            assert media_dirs[inputs["media"]["default"]] == inputs["folder"]["default"]
    replaced = re.findall(
        r"replace\('(.*?)', '(.*?)'\)", (EXAMPLES / "automations.yaml").read_text()
    )
    assert len(replaced) == 4
    for folder, url in replaced:
        assert media_dirs[url.split("/")[2]] == folder.rstrip("/")


def test_the_readme_names_every_file() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in FILES if path.name not in readme] == []
    ids = [automation["id"] for automation in load(EXAMPLES / "automations.yaml")]
    assert [id_ for id_ in ids if id_ not in readme] == []

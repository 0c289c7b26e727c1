"""docs/home-assistant.md: its entities are the ones there are, and its YAML is what was tried.

Its steps are followed in a real Home Assistant: test_screens.py of tests/integration/homeassistant.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config import load
from bridge.entities import Component, Described, bridge_entities, camera_entities
from bridge.topics import ALL, BridgeTopics, CameraTopics, group_capture
from tests.markdown import Block, blocks, read
from tests.test_docs import table
from tests.test_examples_homeassistant import FEATURES, FILES
from tests.test_examples_homeassistant import load as load_example

DOCUMENT = "docs/home-assistant.md"
BRIDGE = BridgeTopics.of("esp32cam")
SECTIONS = {"config": "Configuration", "diagnostic": "Diagnostic"}  # of a device's page
MAIN = {"button": "Controls", "event": "Events"}

Row = tuple[str, str, str]


def entities(camera: Described, *features: str) -> dict[str, Component]:
    topics = CameraTopics.of("esp32cam", "front_door")
    return camera_entities(camera, topics, BRIDGE, features=features, framesizes=["VGA"])


def rows(components: dict[str, Component]) -> set[Row]:
    """What the table should say of these: name, kind, section."""
    return {
        (
            component["name"] or "the camera's name",
            component["platform"].replace("_", " "),
            SECTIONS.get(component.get("entity_category", ""))
            or MAIN.get(component["platform"], "Sensors"),
        )
        for component in components.values()
        if component["platform"] != "device_automation"
    }


EVERYTHING = Described("Front door")
KINDS = {  # the entities of a camera by what the column says, and who has them and who has not
    "any": (entities(EVERYTHING), {}),
    "any, unless `publish: [path]`": (
        entities(EVERYTHING),
        entities(Described("Front door", has_image=False)),
    ),
    "any, unless `storage: {path: null}`": (
        entities(EVERYTHING),
        entities(Described("Front door", is_kept=False)),
    ),
    "our firmware": (
        entities(EVERYTHING, *(f for f in FEATURES if f != "flash")),
        entities(EVERYTHING),
    ),
    "our firmware, with a light": (
        entities(EVERYTHING, *FEATURES),
        entities(EVERYTHING, *(f for f in FEATURES if f != "flash")),
    ),
}


def test_the_cameras_entities_are_all_there_and_who_has_them() -> None:
    documented: dict[str, set[Row]] = {boards: set() for boards in KINDS}
    for name, kind, section, boards, meaning in table(read(DOCUMENT), "entity"):
        assert meaning, name
        documented[boards].add((name, kind, section))
    expected = {boards: rows(have) - rows(have_not) for boards, (have, have_not) in KINDS.items()}
    expected["any"] -= set().union(*(expected[boards] for boards in expected if "unless" in boards))
    assert documented == expected
    count = sum(len(each) for each in documented.values())
    assert count == len(rows(entities(EVERYTHING, *FEATURES)))


def test_the_bridges_entities_are_all_there() -> None:
    documented = {(row[0], row[1], row[2]) for row in table(read(DOCUMENT), "entity", number=1)}
    assert documented == rows(bridge_entities(BRIDGE, group_capture("esp32cam", ALL)))


def has(whole: Any, part: Any) -> bool:
    """Whether it is the part; a mapping may have more keys."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and has(whole[key], part[key]) for key in part)
    return bool(whole == part)


def contains(whole: Any, part: Any) -> bool:
    """Whether the part stands somewhere in the whole."""
    inside = whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()
    return has(whole, part) or any(contains(each, part) for each in inside)


@pytest.mark.parametrize(
    "block",
    [block for block in blocks(DOCUMENT, "yaml") if "\ncameras:" not in block.text],
    ids=lambda block: block.heading,
)
def test_its_yaml_is_out_of_an_example_or_options_of_the_bridge(
    block: Block, tmp_path: Path
) -> None:
    """The examples are fired in a real Home Assistant; whole configurations, in test_docs."""
    if any(contains(load_example(path), yaml.safe_load(block.text)) for path in FILES):
        return
    (tmp_path / "config.yaml").write_text(f"{block.text}cameras: {{door: 'ws://192.0.2.10'}}\n")
    load(tmp_path / "config.yaml")


@pytest.mark.parametrize("part", [{"a": 1}, {"b": {"c": [2]}}, {"c": [2]}])
def test_a_part_is_found(part: Any) -> None:
    assert contains([{"a": 1, "b": {"c": [2], "d": 3}}], part)


@pytest.mark.parametrize("part", [{"a": 2}, {"a": 1, "c": [2]}, {"b": {"c": 2}}, {"d": 1}])
def test_what_is_no_part_is_not_found(part: Any) -> None:
    assert not contains([{"a": 1, "b": {"c": [2], "d": 3}}], part)

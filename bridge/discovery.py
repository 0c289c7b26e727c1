"""Tells Home Assistant what there is: the messages, and which of them are news. Pure.

A device's form is one message for each device; components' is one for each entity, for versions of
Home Assistant before 2024.11. What a device is known by there, its node, comes from base topic and
camera, and stays for as long as they do.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge import __version__
from bridge.capture import to_json
from bridge.entities import (
    Component,
    Described,
    available,
    bridge_entities,
    camera_entities,
    for_component_form,
)
from bridge.topics import ALL, BRIDGE, BridgeTopics, CameraTopics, group_capture

Form = Literal["device", "component"]
Messages = dict[str, bytes]

_NAME = "ESP32-CAM bridge"
_ORIGIN = {"name": "esp32cam2mqtt", "sw_version": __version__}
_MIGRATE = to_json({"migrate_discovery": True})
_Text = Annotated[str, Field(max_length=200)]
_CameraName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True, defer_build=True)


class Board(_Model):
    """A board with our firmware, as it said in its hello."""

    board: _Text | None = None
    sensor: _Text | None = None
    firmware: _Text | None = None
    framesizes: Annotated[tuple[_Text, ...], Field(max_length=64)] = ()
    features: Annotated[tuple[_Text, ...], Field(max_length=64)] = ()


class Place(_Model):
    """Where Home Assistant listens, and how it is told."""

    prefix: Annotated[str, Field(pattern=r"^[^#+\x00-\x1f]{1,255}$")]
    form: Form


class Memory(Place):
    """What was announced, kept with the broker: cameras with their boards, ``None`` for legacy."""

    cameras: dict[_CameraName, Board | None]


class Step(NamedTuple):
    """A message that is to be sent."""

    topic: str
    payload: bytes
    retain: bool = True


def parse_memory(payload: bytes) -> Memory | None:
    """What an earlier run announced, or ``None`` if that is none of ours."""
    try:
        return Memory.model_validate_json(payload)
    except ValidationError:
        return None


def node(base: str, name: str) -> str:
    """What a device is known by; of characters that discovery topics may have.

    No underscore is in what stands for the base topic, so no two pairs have the same.
    """
    plain = re.sub(r"[^A-Za-z0-9-]", "-", base)
    if plain != base:
        plain += f"-{zlib.crc32(base.encode()):08x}"
    return f"{plain}_{name}"


def node_of(topic: str) -> str:
    """Whose message is on this topic."""
    levels = topic.split("/")
    return levels[-2] if levels[-3] == "device" else levels[-3]


def bridge_messages(place: Place, base: str) -> Messages:
    """What announces the bridge itself."""
    topics = BridgeTopics.of(base)
    device = {
        "identifiers": [node(base, BRIDGE)],
        "name": _NAME,
        "manufacturer": _ORIGIN["name"],
        "model": "Bridge",
        "sw_version": __version__,
    }
    components = bridge_entities(topics, group_capture(base, ALL))
    return _messages(place, node(base, BRIDGE), device, components)


def camera_messages(
    place: Place, base: str, name: str, camera: Described, board: Board | None
) -> Messages:
    """What announces a camera; without ``board`` it is one with the original sketch."""
    topics, bridge = CameraTopics.of(base, name), BridgeTopics.of(base)
    known = board or Board()
    components = camera_entities(
        camera, topics, bridge, features=known.features, framesizes=known.framesizes
    )
    device = {
        "identifiers": [node(base, name)],
        "name": camera.name,
        "manufacturer": _ORIGIN["name"],
        "model": _model(board),
        "sw_version": known.firmware,
        "suggested_area": camera.area,
        "configuration_url": f"http://{camera.host}/" if board and camera.host else None,
        "via_device": node(base, BRIDGE),
    }
    there = {key: value for key, value in device.items() if value}
    return _messages(
        place,
        node(base, name),
        there,
        components,
        availability=available(bridge.state, topics.availability),
        availability_mode="all",
    )


def _model(board: Board | None) -> str:
    if board is None or not board.board:
        return "ESP32-CAM"
    return f"{board.board}, {board.sensor}" if board.sensor else board.board


def _messages(
    place: Place,
    node_id: str,
    device: dict[str, Any],
    components: dict[str, Component],
    **shared: Any,
) -> Messages:
    for key, component in components.items():
        component["qos"] = 1  # not inherited from a device's message before 2026
        if component["platform"] != "device_automation":
            component["unique_id"] = f"{node_id}_{key}"
    head = {"device": device, "origin": _ORIGIN}
    if place.form == "device":
        topic = f"{place.prefix}/device/{node_id}/config"
        return {topic: to_json({**head, **shared, "components": components})}
    messages = {}
    for key, entity in components.items():
        component = for_component_form(entity, shared.get("availability", []))
        platform = component.pop("platform")
        common = {} if platform == "device_automation" else shared
        topic = f"{place.prefix}/{platform}/{node_id}/{key}/config"
        messages[topic] = to_json({**head, **common, **component})
    return messages


_EVERYTHING = Board(
    features=("flash", "framesize", "quality", "status", "settings", "restart"),
    framesizes=("VGA",),
)


def topics_of(place: Place, base: str, names: Iterable[str]) -> set[str]:
    """Every topic on which the bridge or one of these cameras may have been announced."""
    topics = set(bridge_messages(place, base))
    for name in names:
        topics.update(camera_messages(place, base, name, Described(name), _EVERYTHING))
    return topics


def steps(retained: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[Step]:
    """What brings one device from what the broker has to what it should have.

    Home Assistant loses a message that comes while it works on the one before, so a device that
    moves between the two forms is first taken out of the old one, entity ids and all kept, and is
    announced in the new one when this is asked again.
    """
    gone = [Step(topic, b"") for topic in retained if topic not in wanted]
    if wanted and gone and not retained.keys() & wanted.keys():
        return [Step(step.topic, _MIGRATE, retain=False) for step in gone] + gone
    changed = (
        Step(topic, _removing(retained.get(topic, b""), payload))
        for topic, payload in wanted.items()
    )
    return gone + [step for step in changed if step.payload != retained.get(step.topic)]


def _removing(old: bytes, new: bytes) -> bytes:
    """A device's new message, with what the old one had beyond it marked as gone.

    Marks that are there already stay, else their going would be a change.
    """
    before, after = _components(old), _components(new)
    if before is None or after is None or not (over := before.keys() - after.keys()):
        return new
    document = json.loads(new)
    gone = {key: {"platform": before[key].get("platform")} for key in before if key in over}
    document["components"] = {**after, **gone}
    return to_json(document)


def _components(payload: bytes) -> dict[str, dict[str, Any]] | None:
    try:
        components = json.loads(payload)["components"]
    except (ValueError, KeyError, TypeError):
        return None
    ours = isinstance(components, dict) and all(isinstance(c, dict) for c in components.values())
    return components if ours else None

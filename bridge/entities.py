"""The entities that a camera and the bridge have in Home Assistant. Pure.

Each is what Home Assistant calls a component, under the key that its unique id ends with. A state
may be empty, when a camera has just left, and what is in it ``null``: every template bears both.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.topics import OFFLINE, ONLINE, BridgeTopics, CameraTopics

Component = dict[str, Any]

_FRAME_SIZE = re.compile(r"[A-Z0-9]{1,16}")  # what `set` takes; and it gets into a template
_LONGEST_STATE = 255  # characters; for more, Home Assistant logs an error
_QUALITY = 4, 63
_MAX_FLASH_LEVEL = 80  # percent of full power: what `set` takes, and boards bear
_INTERVAL = 0, 86_400
_NEVER = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True, slots=True)
class Described:
    """A camera, as far as Home Assistant is told of its configuration.

    ``on_call`` is for one that is connected to for each capture: asking is what brings it back.
    """

    name: str
    area: str | None = None
    host: str | None = None
    has_image: bool = True
    is_kept: bool = True
    on_call: bool = False


def bridge_entities(topics: BridgeTopics, capture_all: str) -> dict[str, Component]:
    """What the bridge itself shows. Its connection has no availability: off says more."""
    return {
        "connection": _connection(topics.state),
        "version": {
            **_sensor("Version", topics.info, "version", icon="mdi:information-outline"),
            "availability": available(topics.state),
        },
        "capture_all": {
            "platform": "button",
            "name": "Capture all",
            "command_topic": capture_all,
            "icon": "mdi:camera-burst",
            "availability": available(topics.state),
        },
    }


def camera_entities(
    camera: Described,
    topics: CameraTopics,
    bridge: BridgeTopics,
    *,
    features: Iterable[str] = (),
    framesizes: Iterable[str] = (),
) -> dict[str, Component]:
    """What a camera shows; ``features`` and ``framesizes`` are those of its board's hello."""
    alone = {"availability": available(bridge.state)}  # what says that the board is away
    components = {
        "capture": {
            "platform": "button",
            "name": "Capture",
            "command_topic": topics.capture,
            "icon": "mdi:camera-iris",
            **(alone if camera.on_call else {}),
        },
        "event": {
            "platform": "event",
            "name": "Capture event",
            "state_topic": topics.result,
            "event_types": ["captured", "failed"],
            "value_template": _EVENT,
            "icon": "mdi:camera-timer",
            **alone,
        },
        "connection": {**_connection(topics.availability), **alone},
        **_last_capture(topics),
        "interval": {
            "platform": "number",
            "name": "Interval",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "min": _INTERVAL[0],
            "max": _INTERVAL[1],
            "step": 1,
            "mode": "box",
            "icon": "mdi:timer-outline",
            **_setting(topics, "interval", _within("interval", *_INTERVAL)),
        },
        **{
            f"trigger_{happened}": {
                "platform": "device_automation",
                "automation_type": "trigger",
                "type": happened,
                "subtype": "image",
                "topic": topics.result,
                "value_template": _HAPPENED,
                "payload": happened,
            }
            for happened in ("captured", "failed")
        },
    }
    components["error"].update(alone)
    if camera.has_image:
        components["camera"] = {"platform": "camera", "name": None, "topic": topics.image}
        components["last"] = {
            "platform": "image",
            "name": "Last capture",
            "image_topic": topics.image,
            "content_type": "image/jpeg",
        }
    if camera.is_kept:
        components["path"] = _sensor(
            "Saved path", topics.state, "path", icon="mdi:file-image-outline"
        )
        components["path"]["value_template"] = _short("path")
        components["save"] = _switch("Save pictures", topics, "save", "mdi:content-save-outline")
    return components | _board(topics, set(features), list(framesizes))


def _last_capture(topics: CameraTopics) -> dict[str, Component]:
    error = _sensor("Last error", topics.state, "message", icon="mdi:alert-circle-outline")
    error["value_template"] = _cut("message")
    error["json_attributes_topic"] = topics.state
    error["json_attributes_template"] = (
        f"{{{{ {{'code': {_value('error')}, 'failed_at': {_value('failed_at')}}} | to_json }}}}"
    )
    captured_at = _sensor("Last captured", topics.state, "captured_at", device_class="timestamp")
    del captured_at["entity_category"]
    return {
        "captured_at": captured_at,
        "bytes": _size("Image size", topics, "bytes"),
        "duration": _sensor(
            "Capture duration",
            topics.state,
            "duration",
            device_class="duration",
            unit_of_measurement="s",
            state_class="measurement",
            suggested_display_precision=2,
        ),
        "error": error,
    }


def _board(topics: CameraTopics, features: set[str], framesizes: list[str]) -> dict[str, Component]:
    """What only a board with our firmware has."""
    components: dict[str, Component] = {}
    sizes = [size for size in framesizes if _FRAME_SIZE.fullmatch(size)]
    if "flash" in features:
        components["flash"] = _flash(topics)
        components["flash_switch"] = _switch(
            "Flash with capture", topics, "flash", "mdi:flash-auto"
        )
    if "framesize" in features and sizes:
        known = f"{_value('framesize')} in {json.dumps(sizes)}"
        components["framesize"] = {
            "platform": "select",
            "name": "Frame size",
            "options": sizes,
            "icon": "mdi:image-size-select-large",
            **_setting(
                topics, "framesize", f"{{{{ {_value('framesize')} if {known} else none }}}}"
            ),
        }
        components["framesize"]["command_template"] = '{"framesize": "{{ value }}"}'
    if "quality" in features:
        components["quality"] = {
            "platform": "number",
            "name": "Quality",
            "min": _QUALITY[0],
            "max": _QUALITY[1],
            "step": 1,
            "mode": "slider",
            "icon": "mdi:quality-high",
            **_setting(topics, "quality", _within("quality", *_QUALITY)),
        }
    if "settings" in features:
        components["vflip"] = _switch("Flip", topics, "vflip", "mdi:flip-vertical")
        components["hmirror"] = _switch("Mirror", topics, "hmirror", "mdi:flip-horizontal")
    if "status" in features:
        components |= _health(topics)
    if "restart" in features:
        components["restart"] = {
            "platform": "button",
            "name": "Restart",
            "command_topic": topics.restart,
            "device_class": "restart",
            "entity_category": "config",
        }
    if features:
        components["firmware"] = _sensor("Firmware", topics.state, "firmware", icon="mdi:chip")
    return components


def _health(topics: CameraTopics) -> dict[str, Component]:
    return {
        "rssi": _sensor(
            "Wi-Fi signal",
            topics.state,
            "rssi",
            device_class="signal_strength",
            unit_of_measurement="dBm",
            state_class="measurement",
        ),
        "uptime": _sensor(
            "Uptime",
            topics.state,
            "uptime",
            device_class="duration",
            unit_of_measurement="s",
            suggested_display_precision=0,
        ),
        "heap": _size("Free memory", topics, "heap", state_class="measurement"),
        "reset_reason": _sensor(
            "Reset reason", topics.state, "reset_reason", icon="mdi:restart-alert"
        ),
    }


def _flash(topics: CameraTopics) -> Component:
    """The light that goes on with every picture; turned on, one command says how bright, too.

    As a setting it is not lit by who turns on all lights of a room.
    """
    on, off = '{"flash": true}', '{"flash": false}'
    flash, level = _value("flash"), _value("flash_level")
    known = f"'{on}' if {flash} else '{off}'"
    return {
        "platform": "light",
        "name": "Flash",
        "entity_category": "config",
        "icon": "mdi:flash",
        "command_topic": topics.set,
        "payload_on": on,
        "payload_off": off,
        "on_command_type": "brightness",
        "state_topic": topics.settings,
        "state_value_template": f"{{{{ none if {flash} is none else {known} }}}}",
        "brightness_command_topic": topics.set,
        "brightness_command_template": '{"flash": true, "flash_level": {{ value }}}',
        "brightness_scale": _MAX_FLASH_LEVEL,
        "brightness_state_topic": topics.settings,
        "brightness_value_template": f"{{{{ {level} if {level} is number else '' }}}}",
    }


def available(*topics: str) -> list[dict[str, str]]:
    """Where those are told whose saying ``online`` makes an entity available.

    What is Home Assistant's default is said all the same. While it loads the code of a further
    platform, voluptuous compiles validators anew that a message is checked by at that moment, and
    fills in no defaults (seen in 2025.4.4, under load: ``KeyError: 'payload_available'``).
    """
    return [_online(topic) for topic in topics]


def _online(topic: str) -> dict[str, str]:
    return {
        "topic": topic,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
    }


def for_component_form(component: Component, available: list[Component]) -> Component:
    """The entity, made such that a Home Assistant from before 2024.11 bears it too.

    It logs a warning at every timestamp that is none, so there is always one, and the entity is not
    available before there is a true one. ``available`` is what else that depends on.
    """
    if component.get("device_class") != "timestamp":
        return component
    value = component["value_template"].removeprefix("{{ ").removesuffix(" }}")
    there = {
        **_online(component["state_topic"]),
        "value_template": f"{{{{ 'online' if {value} else 'offline' }}}}",
    }
    return {
        **component,
        "value_template": f"{{{{ {value} or '{_NEVER}' }}}}",
        "availability": [*available, there],
    }


def _connection(topic: str) -> Component:
    return {
        "platform": "binary_sensor",
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": topic,
        "payload_on": ONLINE.decode(),
        "payload_off": OFFLINE.decode(),
    }


def _sensor(name: str, topic: str, key: str, **more: Any) -> Component:
    otherwise = "" if "device_class" in more else " or 'unknown'"  # a text may come out as "None"
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "state_topic": topic,
        "value_template": f"{{{{ {_value(key)}{otherwise} }}}}",
        **more,
    }


def _size(name: str, topics: CameraTopics, key: str, **more: Any) -> Component:
    return _sensor(
        name,
        topics.state,
        key,
        device_class="data_size",
        unit_of_measurement="B",
        suggested_display_precision=0,
        **more,
    )


def _setting(topics: CameraTopics, key: str, template: str) -> Component:
    return {
        "entity_category": "config",
        "command_topic": topics.set,
        "command_template": f'{{"{key}": {{{{ value }}}}}}',
        "state_topic": topics.settings,
        "value_template": template,
    }


def _switch(name: str, topics: CameraTopics, key: str, icon: str) -> Component:
    return {
        "platform": "switch",
        "name": name,
        "entity_category": "config",
        "icon": icon,
        "command_topic": topics.set,
        "payload_on": f'{{"{key}": true}}',
        "payload_off": f'{{"{key}": false}}',
        "state_topic": topics.settings,
        "state_on": "True",
        "state_off": "False",
        "value_template": f"{{{{ {_value(key)} }}}}",
    }


def _value(key: str) -> str:
    return f"(value_json | default({{}}, true)).get('{key}')"


def _within(key: str, least: int, most: int) -> str:
    """A number out of its range is an error in Home Assistant's log."""
    value = _value(key)
    return f"{{{{ {value} if {value} is number and {least} <= {value} <= {most} else none }}}}"


def _short(key: str) -> str:
    value = _value(key)
    short = f"0 < ({value} or '') | length <= {_LONGEST_STATE}"
    return f"{{{{ {value} if {short} else 'unknown' }}}}"


def _cut(key: str) -> str:
    value = _value(key)
    return f"{{{{ {value}[:{_LONGEST_STATE}] if {value} else 'unknown' }}}}"


# Of a result: what happened, if it was a capture, and one that does not share another's picture.
_WHAT = (
    "{% set r = value_json | default({}, true) %}"
    "{% set what = '' if r.get('joined') or r.get('trigger') in ['set', 'restart']"
    " else 'captured' if r.get('status') == 'ok' else 'failed' %}"
)
_HAPPENED = _WHAT + "{{ what }}"
_EVENT = _WHAT + "{% if what %}{{ dict(r, event_type=what) | to_json }}{% endif %}"

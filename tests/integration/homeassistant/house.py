"""The house of the examples: its cameras and all else that they name, in a real Home Assistant."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import configuration
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import ROOT, Bridge
from tests.fakes.broker import Broker
from tests.fakes.client import Client
from tests.integration.homeassistant.home_assistant import Document, HomeAssistant
from tests.integration.homeassistant.phone import Phone

EXAMPLES = ROOT / "examples/home-assistant"
BLUEPRINTS = "blueprints/automation/esp32cam2mqtt"
CAPTURES = "/srv/captures"
"""Where the bridge of the examples saves pictures; here it is a folder of the test's."""

_BESIDES = {  # what an ordinary configuration has by default_config, and who stands in for Telegram
    "input_button": None,
    "media_source": None,
    "mobile_app": None,
    "sun": None,
    "script": {
        "telegram": {
            "mode": "parallel",
            "sequence": [
                {
                    "action": "mqtt.publish",
                    "data": {
                        "topic": "esp32cam/telegram",
                        "payload": "{{ {'file': file, 'caption': caption} | to_json }}",
                    },
                }
            ],
        }
    },
}
_DEVICES: dict[str, Document] = {  # discovered over MQTT, each with a topic of its own
    "event/doorbell": {"name": "Doorbell", "event_types": ["ring"]},
    "binary_sensor/path": {"name": "Path motion", "device_class": "motion"},
    "binary_sensor/porch": {"name": "Porch motion", "device_class": "motion"},
    "alarm_control_panel/home": {"name": "Home", "command_topic": "house/home/set"},
}


def edited(text: str, **changes: tuple[str, str]) -> str:
    """The text with changes that a test needs, each of which must have something to change."""
    for before, after in changes.values():
        assert before in text, f"{before!r} is not in the example"
        text = text.replace(before, after)
    return text


def home_assistant(folder: Path, broker: Broker, captures: Path) -> HomeAssistant:
    """It has the examples' configuration.yaml and blueprints, with ``captures`` as the folder."""
    more = yaml.safe_load(_example("configuration.yaml", captures))
    more["homeassistant"]["media_dirs"]["local"] = str(captures.parent)  # in place of /media
    hass = HomeAssistant(folder, broker, more={**more, **_BESIDES})
    (hass.directory / BLUEPRINTS).mkdir(parents=True)
    for path in (EXAMPLES / BLUEPRINTS).iterdir():
        text = path.read_text().replace(CAPTURES, str(captures))
        (hass.directory / BLUEPRINTS / path.name).write_text(text)
    return hass


def _example(name: str, captures: Path) -> str:
    return edited((EXAMPLES / name).read_text(), folder=(CAPTURES, str(captures)))


class House:
    """Three cameras, a bridge between them and Home Assistant, a phone."""

    def __init__(
        self, hass: HomeAssistant, broker: Broker, watcher: Client, captures: Path, phone: Phone
    ) -> None:
        self.hass = hass
        self.phone = phone
        self.phone_id = ""
        self.watcher = watcher
        self.boards = {name: FakeBoard(name, wire="v1") for name in ("front_door", "garden", "hut")}
        self.front_door, self.garden, self.hut = self.boards.values()
        self.captures = captures
        self._broker = broker

    @contextmanager
    def lived_in(self) -> Iterator[Bridge]:
        """All of it running; the bridge."""
        for board in self.boards.values():
            board.start()
        cameras = {
            name: {"url": board.url, "name": name.replace("_", " ").capitalize()}
            for name, board in self.boards.items()
        }
        sections: dict[str, dict[str, Any]] = {
            "homeassistant": {"enabled": True},
            "storage": {"path": str(self.captures), "keep": {"free": None}},
            "capture": {"retries": 0, "timeout": 5},
        }
        config = configuration("esp32cam", self._broker, cameras, sections)
        with Bridge(config, self.watcher) as bridge:
            self.phone_id = self.phone.register(self.hass, "phone")
            for place, described in _DEVICES.items():
                name = place.partition("/")[2]
                more = {"unique_id": name, "state_topic": f"house/{name}"}
                self.watcher.publish(f"homeassistant/{place}/config", described | more, retain=True)
            for name in self.boards:
                self.hass.wait_for_state(f"button.{name}_capture", lambda s: s != "unavailable")
            for entity_id in (
                *("event.doorbell", "binary_sensor.path_motion", "binary_sensor.porch_motion"),
                "alarm_control_panel.home",
            ):
                self.hass.wait_for_state(entity_id, "unknown")
            yield bridge
        for board in self.boards.values():
            board.stop()

    # What happens in it

    def happen(self, event: str, **data: str) -> None:
        """Fire an event of Home Assistant's own."""
        self.hass.post(f"/api/events/{event}", data)

    def ring(self) -> None:
        """Ring the bell."""
        self.watcher.publish("house/doorbell", {"event_type": "ring"})

    def move(self, where: str) -> None:
        """Have somebody pass the sensor on the path or the porch."""
        entity_id = f"binary_sensor.{where}_motion"
        for state in ("OFF", "ON"):
            self.watcher.publish(f"house/{where}", state)
            self.hass.wait_for_state(entity_id, state.lower())

    def alarm(self) -> None:
        """Have the alarm go off."""
        for state in ("disarmed", "triggered"):
            self.watcher.publish("house/home", state)
            self.hass.wait_for_state("alarm_control_panel.home", state)

    # What is found out

    def results(self, camera: str = "front_door", *, count: int = 1) -> list[Document]:
        """A camera's results of this test, when there are so many."""
        messages = self.watcher.wait(f"esp32cam/{camera}/result", count=count, timeout=30)
        return [m.json for m in messages]

    def all_results(self, camera: str = "front_door") -> list[Document]:
        """All of them, nothing that was asked for before now being left out."""
        topic = f"esp32cam/{camera}"
        self.watcher.publish(f"{topic}/capture", {"id": "end"})
        self.watcher.wait(f"{topic}/result", lambda m: m.json["id"] == "end")
        results = [m.json for m in self.watcher.messages(f"{topic}/result")]
        return [r for r in results if r["id"] != "end"]

    def shows(self, image: str, result: Document) -> bool:
        """Whether Home Assistant serves just the picture of that result under this address."""
        jpeg = self.hass.download(image)
        saved = Path(result["path"]).read_bytes()
        return jpeg == saved and hashlib.sha256(jpeg).hexdigest() == result["sha256"]

    def notifications(self) -> dict[str, str]:
        """Home Assistant's own notifications: messages by their titles."""
        found = self.hass.ask("persistent_notification/get")
        return {n["title"]: n["message"] for n in found}

    def notification(self, title: str, *, containing: str = "") -> str:
        """Wait for one of those."""

        def come() -> str | None:
            message = self.notifications().get(title)
            return message if message and containing in message else None

        message = self.hass.wait_until(f"{title!r}", come)
        assert message is not None
        return message

    def telegrams(self, count: int) -> list[Document]:
        """What was sent by Telegram in this test, when it is so much."""
        messages = self.watcher.wait("esp32cam/telegram", count=count)
        return [json.loads(m.text) for m in messages]

    def device(self, camera: str) -> str:
        """What Home Assistant calls a camera's device."""
        device = self.hass.device(f"esp32cam_{camera}")
        assert device is not None
        return str(device["id"])

    def example(self, id_: str, **changes: tuple[str, str]) -> Document:
        """One of automations.yaml, with changes that a test needs in its text."""
        blocks = _example("automations.yaml", self.captures).split("\n- id: ")[1:]
        block = next(block for block in blocks if block.startswith(f"{id_}\n"))
        document: Document = yaml.safe_load(edited(f"- id: {block}", **changes))[0]
        return document

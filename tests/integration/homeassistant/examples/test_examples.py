"""Every example for Home Assistant is loaded into a real one, fired, and judged by what it did."""

import datetime
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import _show_on_failure
from tests.fakes import behaviours as b
from tests.fakes.board import stamp
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.integration.homeassistant.home_assistant import Document, HomeAssistant
from tests.integration.homeassistant.house import BLUEPRINTS, EXAMPLES, House
from tests.integration.homeassistant.phone import Phone

Automate = Callable[..., str]

TO_PHONE = {
    "action": "notify.mobile_app_phone",
    "data": {"message": "{{ name }}", "data": {"image": "{{ image }}", "tag": "{{ result.id }}"}},
}


@pytest.fixture(scope="module")
def everything(
    hass: HomeAssistant, broker: Broker, captures: Path
) -> Iterator[tuple[House, Bridge]]:
    with broker.client(subscribe=["esp32cam/#"]) as watcher, Phone() as phone:
        house = House(hass, broker, watcher, captures, phone)
        with house.lived_in() as bridge:
            yield house, bridge


@pytest.fixture
def house(everything: tuple[House, Bridge], request: pytest.FixtureRequest) -> Iterator[House]:
    """The house, with nothing going on in it."""
    house, bridge = everything
    _show_on_failure(request, bridge)
    _show_on_failure(request, house.hass)
    house.hass.post("/api/services/persistent_notification/dismiss_all", {})
    house.watcher.sync()
    house.watcher.clear()
    house.phone.notifications.clear()
    for board in house.boards.values():
        board.asked.clear()
    yield house
    for board in house.boards.values():
        board.always(b.normal)


@pytest.fixture
def automate(hass: HomeAssistant) -> Iterator[Automate]:
    """``automate(document)``: load it as the UI does; its entity. It is gone after the test."""
    ids: list[str] = []

    def entity(id_: str) -> Document | None:
        states = list(hass.states.values())
        ours = (s for s in states if s["entity_id"].startswith("automation."))
        return next((s for s in ours if s["attributes"].get("id") == id_), None)

    def load(document: Document) -> str:
        id_ = document.get("id") or f"test_{len(ids)}"
        content = {key: value for key, value in document.items() if key != "id"}
        hass.post(f"/api/config/automation/config/{id_}", content)
        ids.append(id_)
        state = hass.wait_until(f"automation {id_}", lambda: entity(id_))
        assert state is not None
        assert state["state"] == "on", state  # "unavailable" is one that is not valid
        return str(state["entity_id"])

    yield load
    for id_ in ids:
        hass.delete(f"/api/config/automation/config/{id_}")
    hass.wait_until("no automation", lambda: not any(map(entity, ids)))


def _blueprint(name: str, alias: str, **inputs: Any) -> Document:
    return {
        "id": alias.lower().replace(" ", "_"),
        "alias": alias,
        "use_blueprint": {"path": f"esp32cam2mqtt/{name}.yaml", "input": inputs},
    }


def _on(event: str, **data: str) -> Document:
    return {"trigger": "event", "event_type": event, "event_data": data}


def _stranger_is_served(house: House, seconds: float) -> None:
    """Another's capture is in the works at the front door, for so long."""
    house.front_door.script(b.late(seconds))
    house.watcher.publish("esp32cam/front_door/capture", {"id": "stranger"})
    house.front_door.wait_for_asked()


def _by_id(results: list[Document], part: str) -> Document:
    found = [r for r in results if part in r["id"]]
    assert len(found) == 1, f"{part} in {[r['id'] for r in results]}"
    return found[0]


def _images(notifications: list[Document]) -> dict[str, str]:
    return {n["message"]: n["data"]["image"] for n in notifications}


# Blueprints


def test_home_assistant_finds_nothing_wrong_with_the_blueprints(hass: HomeAssistant) -> None:
    listed = hass.ask("blueprint/list", domain="automation")
    ours = {f"esp32cam2mqtt/{path.name}" for path in (EXAMPLES / BLUEPRINTS).iterdir()}
    assert {path for path in listed if path.startswith("esp32cam2mqtt/")} == ours
    assert {path: listed[path]["error"] for path in ours if "error" in listed[path]} == {}


def test_capture_and_act_has_the_picture_of_this_very_request(
    house: House, automate: Automate
) -> None:
    for camera in ("First", "Second"):
        inputs = {
            "when": [_on(camera)],
            "camera": house.device("front_door"),
            "folder": f"{house.captures}{'/' if camera == 'First' else ''}",
            "with_picture": [
                {**TO_PHONE, "data": {**TO_PHONE["data"], "message": f"{camera}: {{{{ name }}}}"}},  # type: ignore[dict-item]
                {
                    "action": "mqtt.publish",
                    "data": {
                        "topic": "esp32cam/variables",
                        "payload": "{{ [trigger.event.event_type, path, media_url,"
                        " media_content_id, proxy_url, error] | to_json }}",
                    },
                },
            ],
        }
        automate(_blueprint("capture_and_act", camera, **inputs))
    _stranger_is_served(house, 0.5)
    house.happen("First")
    house.happen("Second")
    images = _images(house.phone.wait(2))
    results = house.results(count=3)
    first, second = _by_id(results, "first-"), _by_id(results, "second-")
    assert images.keys() == {"First: Front door", "Second: Front door"}
    assert house.shows(images["First: Front door"], first)
    assert house.shows(images["Second: Front door"], second)
    assert first["path"] != _by_id(results, "stranger")["path"]
    variables = [m.json for m in house.watcher.wait("esp32cam/variables", count=2)]
    told = next(v for v in variables if v[0] == "First")
    place = f"esp32cam{first['path'].removeprefix(str(house.captures))}"
    proxy = "/api/camera_proxy/camera.front_door"
    media = f"media-source://media_source/{place}"
    assert told == ["First", first["path"], f"/media/{place}", media, proxy, None]
    assert stamp(house.hass.picture("camera.front_door"))["board"] == "front_door"


def test_capture_and_act_tries_again_and_says_in_the_end_what_is_wrong(
    house: House, automate: Automate
) -> None:
    common = {"when": [_on("try")], "with_picture": [TO_PHONE], "pause": 1}
    for camera in ("front_door", "garden"):
        inputs = {**common, "camera": house.device(camera), "tries": 3}
        automate(_blueprint("capture_and_act", f"Try {camera}", **inputs))
    house.front_door.always(b.error("camera_failed", detail="no frame"))
    house.garden.script(b.error("camera_failed"))
    house.happen("try")
    (good,) = house.phone.wait()
    assert good["message"] == "Garden"
    failure, success = house.results("garden", count=2)
    assert (failure["error"], success["error"]) == ("camera_failed", None)
    assert good["data"]["tag"] == success["id"]
    assert house.shows(good["data"]["image"], success)
    message = house.notification("Front door: no picture")
    results = house.results(count=3)
    assert len({r["id"] for r in results}) == len(results) == house.front_door.captures == 3
    assert message == results[2]["message"]
    assert "no frame" in message
    times = [datetime.datetime.fromisoformat(r["requested_at"]) for r in results]
    assert all((late - early).total_seconds() >= 1 for early, late in pairwise(times))
    assert house.garden.captures == 2


def test_capture_and_act_says_so_if_the_bridge_gives_no_answer(
    house: House, automate: Automate
) -> None:
    inputs = {"when": [_on("try")], "with_picture": [TO_PHONE], "tries": 1, "patience": 1}
    nobody = {**inputs, "camera": house.device("hut"), "base_topic": "elsewhere"}
    automate(_blueprint("capture_and_act", "Try nobody", **nobody))
    house.happen("try")
    message = house.notification("Hut: no picture")
    assert message == "The bridge gave no answer within 1 seconds."
    assert house.hut.captures == 0


def test_capture_and_act_minds_its_conditions_and_its_cooldown(
    house: House, automate: Automate
) -> None:
    data = {"message": "{{ trigger.event.data.word }}", "data": {"image": "{{ image }}"}}
    to_phone = {**TO_PHONE, "data": data}
    inputs = {"camera": house.device("front_door"), "with_picture": [to_phone]}
    only_if: Document = {"only_if": ["{{ trigger.event.data.word != 'now' }}"]}
    only_if["folder"] = "none"  # Home Assistant can't see its files
    automate(_blueprint("capture_and_act", "Polite", when=[_on("say")], **inputs, **only_if))
    cool = {"when": [_on("cool")], "cooldown": 3600}
    cool["command"] = {"framesize": "SVGA", "save": False}
    automate(_blueprint("capture_and_act", "Cool", **cool, **inputs))
    told = []
    for event, *words in (("say", "now", "please"), ("cool", "first"), ("cool", "second")):
        for word in words:
            house.happen(event, word=word)
        if words != ["second"]:
            told += house.phone.wait()
    house.happen("say", word="at last")
    told += house.phone.wait()
    assert [n["message"] for n in told] == ["please", "first", "at last"]
    images = {n["data"]["image"] for n in told}  # for the other there is no file
    assert images == {"/api/camera_proxy/camera.front_door"}
    results = house.all_results()
    assert len(results) == 3
    assert _by_id(results, "cool-")["width"] == 800


def test_doorbell_blueprint_rings_with_the_picture_and_without(
    house: House, automate: Automate
) -> None:
    bell = {"camera": house.device("front_door"), "phones": [house.phone_id]}
    below_media = {"folder": str(house.captures.parent), "media": "local"}
    automate(_blueprint("doorbell", "Bell", doorbell=["event.doorbell"], **bell, **below_media))
    sensor = {"doorbell": ["binary_sensor.porch_motion"], "message": "{{ trigger.to_state.name }}"}
    automate(_blueprint("doorbell", "Porch", **sensor, **bell, title="Porch", cooldown=0))
    _stranger_is_served(house, 0.3)
    house.ring()
    house.ring()
    (notification,) = house.phone.wait()
    result = _by_id(house.results(count=2), "doorbell-")
    assert (notification["title"], notification["message"]) == (
        "Doorbell",
        "Somebody is at the door.",
    )
    assert notification["data"]["image"].startswith("/media/local/captures/front_door/")
    assert house.shows(notification["data"]["image"], result)
    assert (notification["data"]["ttl"], notification["data"]["priority"]) == (0, "high")
    house.front_door.always(b.error("camera_failed", detail="no frame"))
    house.move("porch")  # on, after an off that rings no bell
    (notification,) = house.phone.wait()
    assert notification["title"] == "Porch"
    assert notification["message"].startswith("Porch motion No picture: ")
    assert "no frame" in notification["message"]
    assert "image" not in notification["data"]
    assert len(house.all_results()) == 3
    assert house.phone.notifications == []


def test_alarm_blueprint_brings_each_picture_of_every_camera(
    house: House, automate: Automate
) -> None:
    failed = {"action": "mqtt.publish", "data": {"topic": "esp32cam/failed"}}
    failed["data"]["payload"] = "{{ name }}: {{ error }}"  # type: ignore[index]
    inputs = {"with_picture": [TO_PHONE], "without_picture": [failed], "count": 2, "every": 0.1}
    inputs["cameras"] = [f"event.{name}_capture_event" for name in house.boards]
    alarm = {"alarm": ["alarm_control_panel.home"], **inputs}
    automate(_blueprint("capture_all_on_alarm", "House alarm", **alarm))
    other = {"alarm": ["binary_sensor.path_motion"], **inputs}  # of which no picture is
    automate(_blueprint("capture_all_on_alarm", "House", **other))
    house.hut.always(b.error("camera_failed", detail="no frame"))
    house.watcher.publish("esp32cam/front_door/capture", {"id": "stranger"})
    house.alarm()
    notifications = house.phone.wait(4)
    assert sorted(n["message"] for n in notifications) == ["front_door"] * 2 + ["garden"] * 2
    results = [
        r
        for camera, count in (("front_door", 3), ("garden", 2))
        for r in house.results(camera, count=count)
        if r["id"] != "stranger"
    ]
    (id_,) = {r["id"] for r in results}
    assert id_.startswith("alarm-house_alarm-")
    images = {n["data"]["image"] for n in notifications}
    assert len(images) == 4
    place = {r["path"].rpartition("/")[2]: r for r in results}
    assert all(house.shows(image, place[image.rpartition("/")[2]]) for image in images)
    failures = house.watcher.wait("esp32cam/failed", count=2)
    assert all(re.match("hut: .*no frame", m.text) for m in failures)
    assert house.phone.notifications == []


def test_time_lapse_blueprint_keeps_to_its_beat_and_its_window(
    house: House, automate: Automate
) -> None:
    sun = house.hass.states["sun.sun"]["attributes"]["elevation"]
    now = datetime.datetime.now(datetime.UTC)
    hours = {n: f"{now + datetime.timedelta(hours=n):%H:%M:%S}" for n in (-2, -1, 1, 2)}
    inside = {"after": hours[-1], "before": hours[1], "elevation": sun - 5}
    too_low = {**inside, "elevation": sun + 5}
    too_late = {"after": hours[-2], "before": hours[-1], "elevation": -90}
    too_early = {"after": hours[1], "before": hours[2], "elevation": -90}
    front_door, garden, hut = (house.device(name) for name in house.boards)
    for alias, cameras, every, window in (
        ("Ten", [garden], 10, inside),
        ("Twenty", [front_door], 20, inside),
        ("Too low", [hut], 10, too_low),
        ("Too late", [hut], 10, too_late),
        ("Too early", [hut], 10, too_early),
    ):
        inputs = {"cameras": cameras, "every": every, **window}
        automate(_blueprint("time_lapse", alias, **inputs))
    ten = house.results("garden", count=2)
    (twenty,) = house.results("front_door")
    seconds = [datetime.datetime.fromisoformat(r["requested_at"]).second for r in (*ten, twenty)]
    assert [s // 10 % 2 for s in seconds[:2]] in ([0, 1], [1, 0])
    assert seconds[2] // 10 % 2 == 0
    assert all(r["saved"] and r["id"].startswith("time-lapse-") for r in (*ten, twenty))
    assert house.hut.captures == 0


# Automations to be copied


def test_every_picture_goes_to_phone_telegram_and_notifications(
    house: House, automate: Automate, everything: tuple[House, Bridge]
) -> None:
    telegram = {"sender": ("telegram_bot.send_photo", "script.telegram")}  # there is none here
    automate(house.example("esp32cam_picture_to_phone"))
    automate(house.example("esp32cam_picture_to_telegram", **telegram))
    automate(house.example("esp32cam_picture_to_notifications"))
    for id_ in ("one", "two"):
        house.watcher.publish("esp32cam/front_door/capture", {"id": id_})
        house.results(count=1 if id_ == "one" else 2)
    one, two = house.results(count=2)
    notifications = house.phone.wait(2)
    for notification, result in zip(notifications, (one, two), strict=True):
        assert notification["message"] == "A picture of the front door"
        assert house.shows(notification["data"]["image"], result)
    telegrams = house.telegrams(2)
    assert [t["file"] for t in telegrams] == [one["path"], two["path"]]
    assert re.fullmatch(r"Front door, \d\d:\d\d:\d\d", telegrams[0]["caption"])
    title = "A picture of the front door"
    path, image = house.notification(title, containing=two["path"]).split("\n")
    assert path == two["path"]
    link = re.fullmatch(r"!\[\]\((.*)\)", image)
    assert link is not None
    assert house.shows(link[1], two)
    # A bridge that comes back brings its last picture along, which is no new one. Nor is a failure.
    bridge = everything[1]
    bridge.stop()
    house.hass.wait_for_state("event.front_door_capture_event", "unavailable")
    bridge.start()
    house.hass.wait_for_state("event.front_door_capture_event", lambda s: s != "unavailable")
    house.hass.wait_for_state("button.front_door_capture", lambda s: s != "unavailable")
    house.front_door.script(b.error("camera_failed"))
    house.watcher.publish("esp32cam/front_door/capture", {"id": "failure"})
    house.results(count=3)
    house.watcher.publish("esp32cam/front_door/capture", {"id": "unsaved", "save": False})
    house.results(count=4)
    house.hass.act("number.set_value", "number.front_door_interval", value=1)
    interval = house.results(count=5)[4]
    house.hass.act("number.set_value", "number.front_door_interval", value=0)
    assert interval["trigger"] == "interval"
    assert house.telegrams(3)[2]["file"] == interval["path"]
    house.watcher.publish("esp32cam/front_door/capture", {"id": "last"})
    (notification,) = house.phone.wait()
    assert "_last.jpg" in notification["data"]["image"]


def test_movement_sends_the_picture_that_was_taken_for_it(house: House, automate: Automate) -> None:
    automate(house.example("esp32cam_movement"))
    _stranger_is_served(house, 0.5)
    house.move("path")
    house.move("porch")
    images = _images(house.phone.wait(2))
    results = house.results(count=3)
    for where in ("path", "porch"):
        result = _by_id(results, f"{where}_motion-")
        assert house.shows(images[f"{where.capitalize()} motion"], result)
        assert result["path"] != results[0]["path"]


def test_doorbell_is_heard_with_a_picture_and_without(house: House, automate: Automate) -> None:
    automate(house.example("esp32cam_doorbell"))
    _stranger_is_served(house, 0.3)
    house.ring()
    house.ring()
    (notification,) = house.phone.wait()
    result = _by_id(house.results(count=2), "doorbell-")
    assert notification["message"] == "Somebody is at the door"
    assert house.shows(notification["data"]["image"], result)
    house.front_door.always(b.error("camera_failed"))
    house.ring()
    (notification,) = house.phone.wait()
    assert notification["message"] == "Somebody is at the door, and there is no picture"
    assert "data" not in notification
    assert len(house.all_results()) == 3
    assert house.phone.notifications == []


def test_time_lapse_has_a_picture_at_each_beat_while_the_sun_is_up(
    house: House, automate: Automate
) -> None:
    sun = house.hass.states["sun.sun"]["attributes"]["elevation"]
    beat = ('minutes: "/5"', 'seconds: "/1"')
    up = ("above: 0", f"above: {sun - 5}")
    automate(house.example("esp32cam_time_lapse", beat=beat, sun=up))
    down = ("above: 0", f"above: {sun + 5}")
    garden = ("front_door", "garden")
    night = house.example("esp32cam_time_lapse", beat=beat, sun=down, camera=garden)
    automate({**night, "id": "night"})
    results = house.results(count=3)
    assert {r["id"] for r in results} == {"time-lapse"}
    assert all(r["saved"] for r in results)
    assert house.garden.captures == 0


def test_alarm_sends_three_pictures_of_each_camera(house: House, automate: Automate) -> None:
    automate(house.example("esp32cam_alarm"))
    house.watcher.publish("esp32cam/garden/capture", {"id": "stranger"})
    house.alarm()
    notifications = house.phone.wait(6)
    for camera in ("front_door", "garden"):
        ours = [n for n in notifications if n["message"] == f"Alarm: {camera}"]
        results = house.results(camera, count=4 if camera == "garden" else 3)
        alarms = [r for r in results if r["id"].startswith("alarm-")]
        assert [r["index"] for r in alarms] == [1, 2, 3]
        images = sorted(n["data"]["image"] for n in ours)
        assert len(images) == 3
        assert all(map(house.shows, images, alarms))  # the names tell the time


def test_every_morning_tries_thrice_and_says_why_there_is_no_picture(
    house: House, automate: Automate
) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3)
    changes = {"at": ("07:00:00", f"{soon:%H:%M:%S}"), "delay": ("delay: 10", "delay: 1")}
    garden = ("front_door", "garden")
    automate(house.example("esp32cam_every_morning", **changes))
    other = house.example("esp32cam_every_morning", **changes, camera=garden)
    automate({**other, "id": "morning_of_the_garden"})
    house.front_door.always(b.error("camera_failed", detail="no frame"))
    house.garden.script(b.error("camera_failed"))
    title = "No picture of the front door this morning"
    message = house.notification(title)
    results = house.results(count=3)
    assert [r["id"][-2:] for r in results] == ["-1", "-2", "-3"]
    assert message == results[2]["message"]
    assert "no frame" in message
    assert [r["error"] for r in house.results("garden", count=2)] == ["camera_failed", None]
    assert (house.front_door.captures, house.garden.captures) == (3, 2)
    assert house.notifications().keys() == {title}  # and the garden's has its picture


# The rest


def test_saved_pictures_are_home_assistants_media(house: House) -> None:
    house.watcher.publish("esp32cam/front_door/capture", {"id": "for-media"})
    (result,) = house.results()
    path = Path(result["path"]).relative_to(house.captures)
    folder = f"media-source://media_source/esp32cam/{path.parent}"
    browsed = house.hass.ask("media_source/browse_media", media_content_id=folder)
    (picture,) = [c for c in browsed["children"] if c["title"] == path.name]
    assert picture["media_content_id"] == f"media-source://media_source/esp32cam/{path}"
    assert (picture["media_class"], picture["can_play"]) == ("image", True)
    id_ = picture["media_content_id"]
    resolved = house.hass.ask("media_source/resolve_media", media_content_id=id_)
    assert resolved["mime_type"] == "image/jpeg"
    assert house.shows(resolved["url"], result)


def test_the_dashboard_names_what_there_is(house: House) -> None:
    card = yaml.safe_load((EXAMPLES / "dashboard.yaml").read_text())
    house.hass.ask("lovelace/config/save", config={"views": [{"cards": [card]}]})
    kept = house.hass.ask("lovelace/config")
    assert kept["views"][0]["cards"] == [card]
    text = str(card)
    entities = set(re.findall(r"'entity(?:_id)?': '(\w+\.\w+)'", text))
    assert len(entities) == 8
    assert entities <= house.hass.states.keys()
    services = house.hass.get("/api/services")
    known = {f"{s['domain']}.{name}" for s in services for name in s["services"]}
    assert set(re.findall(r"'perform_action': '(\S+)'", text)) <= known

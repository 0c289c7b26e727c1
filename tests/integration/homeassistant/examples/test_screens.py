"""docs/home-assistant.md followed, and what is seen; with ``ESP32CAM_SCREENS`` its pictures."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.boards import forenoon, played
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.integration.browser import Browser
from tests.integration.homeassistant.home_assistant import HomeAssistant
from tests.integration.homeassistant.house import CAPTURES, EXAMPLES, edited
from tests.integration.homeassistant.phone import Phone
from tests.integration.homeassistant.test_homeassistant import LEGACY, OURS, THE_BRIDGE, Camera
from tests.markdown import blocks

DOCUMENT = "docs/home-assistant.md"
LARGEST = 150_000

# Icons and pictures are there, and nothing moves. What would come from the Internet is hidden.
_COMPLETE = """
  deep("img").filter(it => it.src.includes("brands.home-assistant.io"))
    .forEach(it => it.style.visibility = "hidden"),
  deep("ha-icon").every(it => it.shadowRoot.querySelector("ha-svg-icon"))
  && deep("ha-svg-icon").every(it => it.shadowRoot?.querySelector("path")?.getAttribute("d"))
  && deep("img").every(it => it.style.visibility || it.complete && it.naturalWidth)
  && document.getAnimations().every(it => it.effect.getComputedTiming().endTime == Infinity
                                          || it.playState != "running")"""

# It has the words for states and for settings. A page that is shown before goes on saying "on".
_SPEAKS = """(app => app?.hass?.localize
  && app.hass.localize("component.binary_sensor.entity_component.connectivity.state.on")
  && app.hass.localize("ui.panel.config.devices.open_configuration_url")
  && app.hass.states["binary_sensor.front_door_connection"]
  && app.hass.formatEntityState(app.hass.states["binary_sensor.front_door_connection"]) != "on"
)(document.querySelector("home-assistant"))"""

Show = Callable[..., None]
Save = Callable[[str, str], None]


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    """It is light in the boards' pictures, at whatever hour they are taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", forenoon())
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def front_door(hass: HomeAssistant, broker: Broker, captures: Path) -> Iterator[Camera]:
    """The document's configuration run, with a board of ours and one with the original sketch."""
    (text,) = (block.text for block in blocks(DOCUMENT, "yaml") if "\ncameras:" in block.text)
    with (
        broker.client(subscribe=["esp32cam/#"]) as watcher,
        played(name="front door", framesize="SVGA") as ours,
        played(name="garden", framesize="SVGA", legacy_only=True) as sketch,
    ):
        config = edited(
            text,
            broker=("host: 192.0.2.5\n", f"host: 127.0.0.1\n  port: {broker.port}\n"),
            user=("  username: esp32cam2mqtt\n  password: !secret mqtt_password\n", ""),
            folder=(f"path: {CAPTURES}\n", f"path: {captures}\n  keep: {{free: null}}\n"),
            ours=("ws://192.0.2.10:81", ours.url),
            sketch=("ws://192.0.2.11:81", sketch.url),
        )
        with Bridge(config, watcher, base_topic="esp32cam"):
            for name, keys in (("front_door", OURS), ("garden", LEGACY), ("bridge", THE_BRIDGE)):
                Camera(hass, "esp32cam", name).known(keys.keys())
            camera = Camera(hass, "esp32cam", "front_door")
            camera.wait("capture", lambda state: state != "unavailable")
            camera.wait("rssi", lambda state: state.startswith("-"))
            hass.act("button.press", camera.id("capture"))
            camera.wait("last", lambda state: state[:2] == "20")
            camera.wait("captured_at", lambda state: state[:2] == "20")
            yield camera


@pytest.fixture(scope="module")
def browser(hass: HomeAssistant, front_door: Camera) -> Iterator[Browser]:
    """A browser that is logged in and has loaded Home Assistant; there is no menu at the side."""
    with Browser() as browser:
        browser.open(f"{hass.url}/manifest.json")
        browser.wait_for("location.href.endsWith('manifest.json')")
        browser.run(f"localStorage.hassTokens = {hass.login!r}")
        browser.run("localStorage.dockedSidebar = '\"always_hidden\"'")
        browser.open(f"{hass.url}/config/areas/dashboard")
        browser.wait_for(_SPEAKS)
        yield browser


@pytest.fixture
def show(browser: Browser) -> Show:
    """``show(path, *words, width=…, height=…)``: go to that page, and wait for what it says."""

    def show(path: str, *words: str, width: int, height: int) -> None:
        browser.resize(width, height)
        browser.run(f"history.pushState(null, '', {path!r})")  # as by a click
        browser.run("window.dispatchEvent(new CustomEvent('location-changed'))")
        for word in words:
            browser.wait_for(f"text().includes({word!r})")

    return show


@pytest.fixture
def save(browser: Browser, tmp_path: Path) -> Save:
    """``save(name, elements)``: what is seen, down to the last of these; all of it is there."""
    folder = Path(os.environ.get("ESP32CAM_SCREENS") or tmp_path)

    def save(name: str, elements: str) -> None:
        browser.wait_for(_COMPLETE)
        assert "unavailable" not in browser.run("text()").lower()
        path = folder / f"home-assistant-{name}.png"
        bottoms = f"({elements}).map(it => it.getBoundingClientRect().bottom)"
        browser.save(path, bottom=browser.run(f"Math.max(...{bottoms})") + 16)
        assert path.stat().st_size < LARGEST

    return save


def test_bridge_and_cameras_are_among_the_devices(
    front_door: Camera, browser: Browser, show: Show, save: Save
) -> None:
    names = ("ESP32-CAM bridge", "Front door", "Garden")
    show("/config/devices/dashboard?domain=mqtt", *names, width=1000, height=700)
    assert "unknown" not in browser.run("text()")
    save("devices", 'deep(".mdc-data-table__row")')


def test_a_camera_has_a_page_with_all_that_it_is(
    hass: HomeAssistant, front_door: Camera, show: Show, save: Save
) -> None:
    device = hass.device(front_door.node)
    assert device is not None
    words = ("Visit", "Capture event", "captured", "Flash with capture", "Connected", "dBm")
    show(f"/config/devices/device/{device['id']}", *words, width=700, height=2000)
    configuration = 'deep("ha-device-entities-card").filter(it => it.header == "Configuration")'
    save("camera", configuration)


def test_the_bell_brings_a_notification_with_the_picture(
    hass: HomeAssistant,
    front_door: Camera,
    captures: Path,
    browser: Browser,
    show: Show,
    save: Save,
) -> None:
    device = hass.device(front_door.node)
    assert device is not None
    with Phone() as phone:
        hass.ask("input_button/create", name="Doorbell", icon="mdi:doorbell")
        inputs = {
            "doorbell": ["input_button.doorbell"],
            "camera": device["id"],
            "phones": [phone.register(hass, "phone")],
        }
        blueprint = {"path": "esp32cam2mqtt/doorbell.yaml", "input": inputs}
        automation = {"alias": "Doorbell", "use_blueprint": blueprint}
        hass.post("/api/config/automation/config/doorbell", automation)
        hass.wait_for_state("automation.doorbell", "on")
        words = ("ESP32-CAM: doorbell with a picture", "Cooldown")
        show("/config/automation/edit/doorbell", *words, width=800, height=1500)
        for chosen in ("Doorbell", "Front door", "phone"):
            browser.wait_for(f'deep("input").some(it => it.value === {chosen!r})')
        save("blueprint", 'deep("ha-card")')
        hass.act("input_button.press", "input_button.doorbell")
        (notification,) = phone.wait()
        saved = captures / notification["data"]["image"].removeprefix("/media/esp32cam/")
        assert hass.download(notification["data"]["image"]) == saved.read_bytes()


def test_the_card_shows_the_picture_and_takes_a_new_one_when_it_is_tapped(
    hass: HomeAssistant, front_door: Camera, browser: Browser, show: Show, save: Save
) -> None:
    card = yaml.safe_load((EXAMPLES / "dashboard.yaml").read_text())
    hass.ask("lovelace/config/save", config={"views": [{"cards": [card]}]})
    show("/lovelace/0", "Take a picture", "Connected", width=520, height=1100)
    picture = 'deep("img").find(it => it.src.includes("/api/image_proxy/"))'
    browser.wait_for(f"{picture}?.naturalWidth == 800")
    assert "Last error" not in browser.run("text()")
    save("card", 'deep("ha-card")')
    before = front_door.wait("last", lambda state: state[:2] == "20")["state"]
    address = browser.run(f"{picture}.src")
    browser.click(picture)
    front_door.wait("last", lambda state: state[:2] == "20" and state != before)
    browser.wait_for(f"{picture}.src != {address!r}")
    hass.act("number.set_value", front_door.id("interval"), value=0.5)
    browser.wait_for("text().includes('Last error')")
    browser.wait_for("text().includes('interval: expected 0 (off) or')")
    front_door.wait("interval", "0")

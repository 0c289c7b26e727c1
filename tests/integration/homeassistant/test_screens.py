"""What a person sees in Home Assistant; with ``ESP32CAM_SCREENS`` the pictures of the manual."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartBridge
from tests.fakes.boards import played
from tests.integration.homeassistant.browser import Browser
from tests.integration.homeassistant.home_assistant import HomeAssistant
from tests.integration.homeassistant.test_homeassistant import OURS, Camera

# All text of the page: Home Assistant's is in nested shadow roots.
_TEXT = """(function text(node) {
  if (["STYLE", "SCRIPT"].includes(node.tagName)) return "";
  if (node.nodeType === 3) return node.data;
  return [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes].map(text).join(" ");
})(document.body)"""

_PICTURES = """performance.getEntriesByType("resource")
  .filter(it => it.name.includes("_proxy/") && it.responseEnd).length"""


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    """Where they are written to."""
    return Path(os.environ.get("ESP32CAM_SCREENS") or tmp_path)


@pytest.fixture
def browser(hass: HomeAssistant) -> Iterator[Browser]:
    """A browser that is logged in."""
    with Browser(height=1650) as browser:
        browser.open(f"{hass.url}/manifest.json")
        browser.wait_for("location.href.endsWith('manifest.json')")
        browser.run(f"localStorage.hassTokens = {hass.login!r}")
        yield browser


def test_a_person_sees_a_camera_with_its_picture_and_the_bridge(
    bridge: StartBridge, hass: HomeAssistant, browser: Browser, base_topic: str, screens: Path
) -> None:
    with played(name="porch", framesize="SVGA") as porch:
        bridge(
            {"porch": {"url": porch.url, "name": "Porch", "area": "Outside"}},
            homeassistant={"enabled": True},
        )
        camera = Camera(hass, base_topic, "porch")
        camera.known(OURS.keys())
        camera.wait("capture", lambda state: state != "unavailable")
        hass.act("button.press", camera.id("capture"))
        camera.wait("last", lambda state: state[:2] == "20")
        camera.wait("rssi", lambda state: state.startswith("-"))
        for name, words, pictures in (
            ("porch", "Flash with capture", 2),
            ("bridge", "Connected devices", 0),
        ):
            device = hass.device(Camera(hass, base_topic, name).node)
            assert device is not None
            browser.open(f"{hass.url}/config/devices/device/{device['id']}")
            browser.wait_for(f"{_TEXT}.includes({words!r})")
            browser.wait_for(f"{_PICTURES} >= {pictures}")
            seen = browser.run(_TEXT)
            assert "unavailable" not in seen.lower()
            browser.save(screens / f"home-assistant-{name}.png")
        assert all(path.stat().st_size < 150_000 for path in screens.glob("home-assistant-*.png"))

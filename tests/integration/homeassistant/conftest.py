"""One Home Assistant for all tests, with a broker of its own; base topics keep the tests apart."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.broker import Broker
from tests.integration.homeassistant.home_assistant import HomeAssistant

_INSTALL = Path(__file__).with_name("install.sh")


@pytest.fixture(scope="session")
def installed() -> Path:
    """Where Home Assistant is installed."""
    folder = os.environ.get("ESP32CAM_HASS") or subprocess.check_output(
        ["sh", str(_INSTALL)], text=True
    )
    return Path(folder.strip())


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """What all of them share; it keeps its messages when it is restarted."""
    with Broker(persistence=True) as broker:
        yield broker


@pytest.fixture(scope="session")
def hass(installed: Path, broker: Broker) -> Iterator[HomeAssistant]:
    """Home Assistant, running."""
    with HomeAssistant(installed, broker) as hass:
        yield hass


@pytest.fixture(autouse=True)
def quiet(hass: HomeAssistant) -> Iterator[None]:
    """Whatever a test does, Home Assistant has nothing to complain of but what is foreseen."""
    usual = set(hass.foreseen)
    yield
    complaints = hass.look()
    hass.foreseen = usual
    assert complaints == []

"""One Home Assistant for all tests, with a broker of its own; base topics keep the tests apart."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.broker import Broker
from tests.integration.homeassistant.home_assistant import HomeAssistant

INSTALL = Path(__file__).with_name("install.sh")


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """What all of them share; it keeps its messages when it is restarted."""
    with Broker(persistence=True) as broker:
        yield broker


@pytest.fixture(scope="session")
def hass(broker: Broker) -> Iterator[HomeAssistant]:
    """Home Assistant, running."""
    folder = os.environ.get("ESP32CAM_HASS") or subprocess.check_output(
        ["sh", str(INSTALL)], text=True
    )
    with HomeAssistant(Path(folder.strip()), broker) as hass:
        yield hass


@pytest.fixture(autouse=True)
def quiet(hass: HomeAssistant) -> Iterator[None]:
    """Whatever a test does, Home Assistant has nothing to complain of but what is foreseen."""
    usual = set(hass.foreseen)
    yield
    complaints = hass.look()
    hass.foreseen = usual
    assert complaints == []

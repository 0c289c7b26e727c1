"""A Home Assistant and a broker for each module: examples and documents call things by one name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.broker import Broker
from tests.integration.homeassistant.home_assistant import HomeAssistant
from tests.integration.homeassistant.house import home_assistant


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """This module's own."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bridge saves pictures, and Home Assistant finds them."""
    folder = tmp_path_factory.mktemp("house") / "captures"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def hass(installed: Path, broker: Broker, captures: Path) -> Iterator[HomeAssistant]:
    """It has the examples' configuration.yaml and blueprints."""
    with home_assistant(installed, broker, captures) as hass:
        yield hass

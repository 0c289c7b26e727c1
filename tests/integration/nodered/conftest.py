"""One Node-RED for all tests, with a broker of its own; each kind of board has its own bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Board, configuration
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.simulator import SimulatedBoard
from tests.integration.nodered.house import BASE, House
from tests.integration.nodered.node_red import NodeRed

INSTALL = Path(__file__).with_name("install.sh")


@pytest.fixture(scope="session")
def node_red() -> Iterator[NodeRed]:
    """Node-RED, running."""
    folder = os.environ.get("ESP32CAM_NODERED") or subprocess.check_output(
        ["sh", str(INSTALL)], text=True
    )
    with NodeRed(Path(folder.strip())) as node_red:
        yield node_red


@pytest.fixture(scope="session")
def neighbourhood(
    request: pytest.FixtureRequest, broker: Broker, node_red: NodeRed
) -> Iterator[House]:
    """A house, with a virtual board at its porch or with our firmware."""
    firmware = getattr(request, "param", "fake") == "firmware"
    porch: Board = SimulatedBoard("porch") if firmware else FakeBoard("porch", wire="v1")
    with (
        porch,
        FakeBoard("garden", wire="v1", size=30_000) as garden,
        broker.client() as client,
    ):
        sections = {"capture": {"timeout": 5}}
        config = configuration(BASE, broker, {"porch": porch, "garden": garden}, sections)
        with Bridge(config, client, base_topic=BASE) as bridge:
            for camera in ("porch", "garden"):
                client.wait(f"{BASE}/{camera}/availability", lambda m: m.payload == b"online")
            yield House(node_red, bridge, broker.port, client, porch=porch, garden=garden)
            assert bridge.stop() == 0
            assert "Traceback (most" not in bridge.log


@pytest.fixture
def house(neighbourhood: House) -> Iterator[House]:
    """The house, tidied up: nothing that a test saved or changed is left for the next."""
    shutil.rmtree(neighbourhood.node_red.directory / "pictures", ignore_errors=True)
    neighbourhood.patience = 10.0
    yield neighbourhood
    for board in neighbourhood.boards.values():
        if isinstance(board, FakeBoard):
            board.always(b.normal)

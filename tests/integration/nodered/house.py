"""A house with two cameras, the bridge, a broker and Node-RED, for the example flows."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.conftest import Board
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.client import Client, Message
from tests.fakes.simulator import SimulatedBoard
from tests.integration.nodered import flows
from tests.integration.nodered.node_red import Answer, NodeRed

BASE = "esp32cam"
PICTURE = f"{BASE}/porch/image"
RESULT = f"{BASE}/+/result"


class House:
    """All that a flow needs. Its cameras are ``porch``, whichever board that is, and ``garden``.

    ``patience`` is how long its checks wait for what should come.
    """

    def __init__(
        self,
        node_red: NodeRed,
        bridge: Bridge,
        port: int,
        client: Client,
        *,
        porch: Board,
        garden: FakeBoard,
    ) -> None:
        self.node_red = node_red
        self.bridge = bridge
        self.port = port
        self.client = client
        self.garden = garden
        self.boards: dict[str, Board] = {"porch": porch, "garden": garden}
        self.patience = 10.0

    @property
    def porch(self) -> Board:
        """The board that most flows ask."""
        return self.boards["porch"]

    def deploy(self, *examples: str, but: Sequence[flows.Break] = ()) -> None:
        """Import examples, change the broker's address, and deploy; ``but`` changes more."""
        nodes = flows.connected(flows.load(*examples), self.port)
        for play in but:
            play(nodes)
        self.client.sync()
        self.client.clear()
        self.node_red.deploy(nodes)

    def wait(
        self, topic: str, predicate: Callable[[Message], object] | None = None, *, count: int = 1
    ) -> list[Message]:
        """What the bridge has published there since the deploy."""
        return self.client.wait(topic, predicate, count=count, timeout=self.patience)

    def get(self, path: str) -> Answer:
        """Open a page."""
        return self.node_red.get(path, timeout=self.patience)

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Wait until something can be seen from outside."""
        self.node_red.wait_until(what, condition, self.patience)

    def pressed(self, name: str = "Take a picture") -> bytes:
        """Press a button; the picture that porch has taken since, as it was published."""
        began = self.porch.clock()
        self.node_red.press(name)
        self.wait(f"{BASE}/porch/result", lambda m: m.json["status"] == "ok")
        jpeg = self.client.messages(PICTURE)[-1].payload
        assert self.porch.exposed(jpeg) >= began, "this picture is older than the request"
        return jpeg

    def file_with(self, jpeg: bytes, pattern: str) -> Path:
        """The file below Node-RED's folder that has this picture, as soon as it is there."""

        def found() -> list[Path]:
            files = self.node_red.directory.glob(pattern)
            return [file for file in files if file.read_bytes() == jpeg]

        files = self.node_red.wait_until(pattern, found, self.patience)
        assert len(files) == 1, files
        return files[0]

    @contextmanager
    def away(self, camera: str = "porch") -> Iterator[None]:
        """A camera is out of reach; afterwards it is there again."""
        availability = f"{BASE}/{camera}/availability"
        board = self.boards[camera]
        board.pause()
        board.drop()
        self.client.wait(availability, lambda m: m.payload == b"offline")
        try:
            yield
        finally:
            self.come_back(camera)

    def come_back(self, camera: str) -> None:
        """Let it be there again, and wait until it takes a picture."""
        board = self.boards[camera]
        board.resume()
        deadline = time.monotonic() + 20
        with board.hurrying() if isinstance(board, SimulatedBoard) else nullcontext():
            while self._asked(camera) != "ok":
                assert time.monotonic() < deadline, f"{camera} does not come back"

    @contextmanager
    def frozen_bridge(self) -> Iterator[None]:
        """The bridge says nothing at all; afterwards it has done what was asked meanwhile."""
        self.bridge.freeze()
        try:
            yield
        finally:
            self.bridge.thaw()
            for camera in self.boards:
                self._asked(camera)

    def _asked(self, camera: str) -> str:
        command = {"reply": "result", "save": False}
        status: str = self.client.request(f"{BASE}/{camera}/capture", command).json["status"]
        return status

"""A real Node-RED without a head: given flows, pressed, and looked at as its editor would."""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import websocket

from tests.fakes.port import number, reserve
from tests.fakes.process import Process

T = TypeVar("T")
Node = dict[str, Any]

_START = 30.0  # seconds; it takes two
_SETTINGS = """\
module.exports = {{
    uiHost: "127.0.0.1",
    uiPort: {port},
    flowFile: "flows.json",
    credentialSecret: false,
    telemetry: {{ enabled: false, updateNotification: false }},
    editorTheme: {{ tours: false }},
    logging: {{ console: {{ level: "info" }} }},
}};
"""


class Answer(NamedTuple):
    """What an HTTP request brought."""

    status: int
    type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Debugged(NamedTuple):
    """A line in the debug sidebar: of which node, and what it says."""

    name: str
    text: str


class NodeRed(Process):
    """Node-RED in a folder of its own, where its flows' relative paths begin too.

    Args:
        folder: where it is installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("node-red")
        packages = folder / "node_modules"
        own = packages / "node" / "bin" / "node"
        self._command = [str(own) if own.exists() else "node", str(packages / "node-red/red.js")]
        self._directory = tempfile.TemporaryDirectory(prefix="node-red-")
        self.directory = Path(self._directory.name)
        self._reserved = reserve()
        self.port = number(self._reserved)
        self._socket: websocket.WebSocket | None = None
        self._listener: threading.Thread | None = None
        self._happened = threading.Condition()
        self._deployed: Sequence[Node] = ()
        self._statuses: dict[str, str] = {}
        self._debugged: list[Debugged] = []

    def __enter__(self) -> Self:
        (self.directory / "settings.js").write_text(_SETTINGS.format(port=self.port))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.alive:
                self.end()
        finally:
            self._reserved.close()
            self._directory.cleanup()

    def start(self) -> None:
        """Start it, and wait until it has flows, if only none, and its editor could come."""
        self._launch([*self._command, "--userDir", str(self.directory)], cwd=self.directory)
        for line in ("Started flows", "Server now running"):  # in either order
            self.wait_for_log(line, timeout=_START)
        self._listen()

    def end(self) -> None:
        """Stop it."""
        if self._socket is not None:
            self._socket.shutdown()  # type: ignore[no-untyped-call]
        if self._listener is not None:
            self._listener.join(10)
        self.stop()

    # What the editor does

    def deploy(self, nodes: Sequence[Node]) -> None:
        """Replace all flows by these, and wait until each MQTT node is connected."""
        with self._happened:
            self._statuses.clear()
            self._debugged.clear()
        self._deployed = nodes
        answer = self.request("POST", "/flows", json.dumps(nodes).encode())
        assert answer.status == 204, answer
        wanted = {node["id"] for node in nodes if node["type"] in ("mqtt in", "mqtt out")}
        self.wait_until(
            "MQTT",
            lambda: all("connected" in self._statuses.get(id_, "").split(".") for id_ in wanted),
        )

    def press(self, name: str) -> None:
        """Press the inject node that is called so."""
        assert self.request("POST", f"/inject/{self._id(name)}").status == 200

    def debugged(self, name: str) -> list[str]:
        """What the debug node that is called so has shown since the last deploy."""
        with self._happened:
            return [shown.text for shown in self._debugged if shown.name == name]

    def wait_for_debug(self, name: str, *, count: int = 1, timeout: float = 10.0) -> str:
        """Wait until that debug node has shown something for the ``count``-th time: what."""
        self.wait_until(name, lambda: len(self.debugged(name)) >= count, timeout)
        return self.debugged(name)[count - 1]

    def status(self, name: str) -> str:
        """What stands below the node that is called so."""
        with self._happened:
            return self._statuses.get(self._id(name), "")

    def wait_until(self, what: str, condition: Callable[[], T], timeout: float = 10.0) -> T:
        """Wait for something to become true; looked at when there is an event, and often."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what}: not in {timeout:.1f} s\n{self._story()}"
            with self._happened:
                self._happened.wait(0.01)
        return value

    # What a browser does

    def get(self, path: str, timeout: float = 30.0) -> Answer:
        """Open one of the flows' pages."""
        return self.request("GET", path, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        timeout: float = 30.0,
    ) -> Answer:
        """An HTTP request, once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            kind = response.getheader("Content-Type") or ""
            return Answer(response.status, kind.partition(";")[0], response.read())
        finally:
            connection.close()

    def _id(self, name: str) -> str:
        found: list[str] = [node["id"] for node in self._deployed if node.get("name") == name]
        assert len(found) == 1, f"nodes that are called {name!r}: {found}"
        return found[0]

    def _story(self) -> str:
        names = {node["id"]: node.get("name") or node["type"] for node in self._deployed}
        below = (f"{names.get(id_)}: {text}" for id_, text in self._statuses.items())
        return "\n".join([*below, *(f"{name} says {text}" for name, text in self._debugged)])

    # The socket over which the editor learns what is shown

    def _listen(self) -> None:
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/comms", timeout=30, max_size=None
        )
        self._socket.settimeout(None)
        for topic in ("debug", "status/#"):
            self._socket.send(json.dumps({"subscribe": topic}))
        self._listener = threading.Thread(target=self._hear, args=(self._socket,), daemon=True)
        self._listener.start()

    def _hear(self, socket: websocket.WebSocket) -> None:
        while True:
            try:
                text = socket.recv()
            except (OSError, websocket.WebSocketException):
                return
            if not text:
                return
            with self._happened:
                for message in json.loads(text):
                    self._note(message["topic"], message["data"])
                self._happened.notify_all()

    def _note(self, topic: str, data: Any) -> None:
        if topic == "debug":
            self._debugged.append(Debugged(data.get("name", ""), str(data.get("msg"))))
        elif topic.startswith("status/"):
            self._statuses[topic.removeprefix("status/")] = str(data.get("text", ""))

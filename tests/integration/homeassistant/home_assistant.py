"""A real Home Assistant without a head: started, asked over REST and WebSocket, restarted."""

import itertools
import json
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import websocket
import yaml

from tests.fakes.broker import Broker, Client
from tests.fakes.port import number, reserve
from tests.fakes.process import Process

T = TypeVar("T")
Document = dict[str, Any]

_CLIENT_ID = "http://127.0.0.1/"
_START = 60.0  # seconds; it takes five
_INSTALLATION = {  # how it is, here
    "Skipping pip installation",
    "[aiohttp_fast_zlib]",
    "Support for the running Python version 3.11",
}
_CONFIGURATION = """\
homeassistant:
  name: Test
  latitude: 0
  longitude: 0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  country: NL
  currency: EUR
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: warning
"""
_AUTOMATIONS = "automation: !include automations.yaml\n"
# `core_config` is marked as done: that step would add integrations that want the internet.
_ONBOARDING = {"version": 4, "key": "onboarding", "data": {"done": ["core_config"]}}


class HomeAssistant(Process):
    """Home Assistant with MQTT, in a folder of its own.

    Args:
        folder: where it is installed.
        broker: whose client it is.
        more: of configuration.yaml.
    """

    def __init__(
        self, folder: Path, broker: Broker, *, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__("home assistant")
        self._hass = folder / "bin" / "hass"
        self._broker = broker
        self._more = more or {}
        self._directory = tempfile.TemporaryDirectory(prefix="home-assistant-")
        self.directory = Path(self._directory.name)
        self._reserved = reserve("127.0.0.1")
        self._port = number(self._reserved)
        self._token = ""
        self._socket: websocket.WebSocket | None = None
        self._listener: threading.Thread | None = None
        self._happened = threading.Condition()
        self._answers: dict[int, Document] = {}
        self._numbers = itertools.count(1)
        self.knows_devices = True  # and so the device form
        self.foreseen = set(_INSTALLATION)  # words of complaints that are none
        self._looked_at = 0  # of its lines, how many
        self.states: dict[str, Document] = {}
        self.events: list[Document] = []

    def __enter__(self) -> Self:
        (self.directory / ".storage").mkdir()
        (self.directory / ".storage" / "onboarding").write_text(json.dumps(_ONBOARDING))
        configuration: Document = yaml.safe_load(_CONFIGURATION.format(port=self._port))
        for section, values in self._more.items():
            configuration[section] = {**(configuration.get(section) or {}), **(values or {})}
        text = yaml.safe_dump(configuration) + _AUTOMATIONS
        (self.directory / "configuration.yaml").write_text(text)
        (self.directory / "automations.yaml").write_text("[]\n")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.alive:
            self.end()
        self._reserved.close()
        self._directory.cleanup()
        assert kind or not (complaints := self.look()), complaints

    def start(self) -> None:
        """Start it, and wait until it hears and says things over MQTT."""
        command = (self._hass, "-c", self.directory, "--skip-pip", "--log-no-color")
        self._launch([str(word) for word in command], cwd=self.directory)
        self._poll("its page", self._serves)
        if not self._token:
            self._onboard()
        self._listen()
        self._poll("RUNNING", lambda: self.get("/api/config")["state"] == "RUNNING")
        version = self.get("/api/config")["version"]
        self.knows_devices = [int(n) for n in version.split(".")[:2]] >= [2024, 11]
        if not self.get("/api/config/config_entries/entry?domain=mqtt"):
            self._set_up_mqtt()
        with self._broker.client(subscribe=["round-trip"]) as client:
            self._poll("MQTT", lambda: self._round_trip(client))

    def end(self) -> None:
        """Stop it; it takes its time to write what it knows, and ten seconds for who listens."""
        if self._listener is not None:
            assert self._socket is not None
            assert self._socket.sock is not None
            self._socket.sock.shutdown(socket.SHUT_RDWR)
            self._listener.join(10)
            self._socket.shutdown()  # type: ignore[no-untyped-call]
        self.stop(timeout=30)

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def login(self) -> str:
        """What its page keeps in a browser's storage for somebody who is logged in."""
        token = {"access_token": self._token, "refresh_token": "", "token_type": "Bearer"}
        there = {"hassUrl": self.url, "clientId": f"{self.url}/"}
        return json.dumps({**token, **there, "expires_in": 1800, "expires": 9e15})

    @property
    def complaints(self) -> list[str]:
        """What it logged at WARNING or above since the last look, but for what is foreseen."""
        return self._complaints(len(self.lines))

    def look(self) -> list[str]:
        """Its complaints, once; what it logs later is for the next look, the last at its end."""
        end = len(self.lines)
        complaints = self._complaints(end)
        self._looked_at = end
        return complaints

    def _complaints(self, end: int) -> list[str]:
        return [
            line
            for line in self.lines[self._looked_at : end]
            if {"WARNING", "ERROR", "CRITICAL"} & {*line.split()}
            and not any(words in line for words in self.foreseen)
        ]

    # REST

    def get(self, path: str) -> Any:
        """The JSON there."""
        return json.loads(self._request("GET", path))

    def post(self, path: str, body: Document) -> Any:
        """Send JSON, and have JSON back."""
        return json.loads(self._request("POST", path, json.dumps(body).encode()))

    def delete(self, path: str) -> Any:
        """Delete what is there."""
        return json.loads(self._request("DELETE", path))

    def download(self, path: str) -> bytes:
        """The bytes there, for who is logged in."""
        return self._request("GET", path)

    def picture(self, entity_id: str) -> bytes:
        """The bytes that a camera or an image shows."""
        return self.download(f"/api/{entity_id.split('.')[0]}_proxy/{entity_id}")

    def act(self, action: str, entity_id: str, **data: Any) -> None:
        """Perform an action, such as ``button.press``, and wait until it is done."""
        self.post(f"/api/services/{action.replace('.', '/')}", {"entity_id": entity_id, **data})

    def _request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", data=body, method=method
        )
        request.add_header("Content-Type", kind)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer: bytes = response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                text = exc.read()[:500]
            raise AssertionError(f"{method} {path}: {exc.code} {text!r}") from None
        return answer

    # WebSocket

    def ask(self, type_: str, timeout: float = 30.0, **more: Any) -> Any:
        """Send a command of the WebSocket API; its result."""
        id_ = next(self._numbers)
        assert self._socket is not None
        with self._happened:
            self._socket.send(json.dumps({"id": id_, "type": type_, **more}))
            assert self._happened.wait_for(lambda: id_ in self._answers, timeout), type_
            answer = self._answers.pop(id_)
        assert answer["success"], f"{type_}: {answer}"
        return answer["result"]

    def wait_until(self, what: str, condition: Callable[[], T], timeout: float = 20.0) -> T:
        """Wait for something to become true; looked at when there is an event."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come about; the states:\n{self._story()}"
            with self._happened:
                self._happened.wait(min(left, 0.2))
        return value

    def wait_for_state(
        self, entity_id: str, wanted: Callable[[str], object] | str, timeout: float = 20.0
    ) -> Document:
        """Wait until an entity has this state, or one that is as wanted."""

        def found() -> Document | None:
            state = self.states.get(entity_id)
            if state is None:
                return None
            good = state["state"] == wanted if isinstance(wanted, str) else wanted(state["state"])
            return state if good else None

        state = self.wait_until(f"{entity_id} {wanted}", found, timeout)
        assert state is not None
        return state

    def entities(self, prefix: str) -> dict[str, Document]:
        """What it knows of the entities whose unique ids begin so, by the rest of those."""
        listed = self.ask("config/entity_registry/list")
        ours = {e["unique_id"]: e for e in listed if e["platform"] == "mqtt"}
        return {id_.removeprefix(prefix): e for id_, e in ours.items() if id_.startswith(prefix)}

    def device(self, identifier: str) -> Document | None:
        """What it knows of the device that has this identifier of MQTT."""
        for device in self.ask("config/device_registry/list"):
            if ["mqtt", identifier] in device["identifiers"]:
                found: Document = device
                return found
        return None

    def _story(self) -> str:
        ours = (f"{id_}: {state['state']}" for id_, state in sorted(self.states.items()))
        return "\n".join([*ours, *self.complaints])

    def _listen(self) -> None:
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{self._port}/api/websocket", timeout=30, max_size=None
        )
        self._socket.recv()
        self._socket.send(json.dumps({"type": "auth", "access_token": self._token}))
        assert json.loads(self._socket.recv())["type"] == "auth_ok"
        self._socket.settimeout(None)
        self._listener = threading.Thread(target=self._hear, args=(self._socket,), daemon=True)
        self._listener.start()
        self.ask("subscribe_events", event_type="state_changed")
        with self._happened:
            self.states = {}
        for state in self.ask("get_states"):
            self.states.setdefault(state["entity_id"], state)

    def _hear(self, there: websocket.WebSocket) -> None:
        while True:
            try:
                text = there.recv()
            except (OSError, websocket.WebSocketException):
                return
            if not text:
                return
            message = json.loads(text)
            with self._happened:
                if message["type"] == "result":
                    self._answers[message["id"]] = message
                elif message["type"] == "event":
                    self._note(message["event"])
                self._happened.notify_all()

    def _note(self, event: Document) -> None:
        data = event["data"]
        self.events.append(data)
        if data["new_state"] is None:
            self.states.pop(data["entity_id"], None)
        else:
            self.states[data["entity_id"]] = data["new_state"]

    # Setting it up

    def _poll(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + _START
        while not condition():
            assert self.alive, f"it has ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{what}: not within {_START} s:\n{self.log}"
            time.sleep(0.05)

    def _serves(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._port}/api/onboarding"
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code in (401, 404)
        except OSError:
            return False

    def _onboard(self) -> None:
        user = {"name": "Test", "username": "test", "password": "test", "language": "en"}
        code = self.post("/api/onboarding/users", {"client_id": _CLIENT_ID, **user})["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": _CLIENT_ID}
        encoded = urllib.parse.urlencode(form).encode()
        kind = "application/x-www-form-urlencoded"
        answer = json.loads(self._request("POST", "/auth/token", encoded, kind))
        self._token = answer["access_token"]
        self.post("/api/onboarding/analytics", {})
        back = {"client_id": _CLIENT_ID, "redirect_uri": f"{_CLIENT_ID}?auth_callback=1"}
        self.post("/api/onboarding/integration", back)

    def _set_up_mqtt(self) -> None:
        flow = "/api/config/config_entries/flow"
        begun = self.post(flow, {"handler": "mqtt", "show_advanced_options": True})
        there = {"broker": "127.0.0.1", "port": self._broker.port}
        self.post(f"{flow}/{begun['flow_id']}", {**there, "advanced_options": True})
        done = self.post(f"{flow}/{begun['flow_id']}", {**there, "protocol": "5"})
        assert done["type"] == "create_entry", done

    def _round_trip(self, client: Client) -> bool:
        message = {"topic": "round-trip", "payload": "there"}
        try:
            self.post("/api/services/mqtt/publish", message)
        except AssertionError:
            return False
        client.sync()
        return bool(client.messages("round-trip"))

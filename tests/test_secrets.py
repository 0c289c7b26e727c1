"""No secret comes out: canaries are in all of them, and all that the bridge says is searched."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge import config
from bridge.build import broker as broker_of
from bridge.build import make_camera
from bridge.errors import ConfigError
from bridge.threads import Pool
from tests.conftest import StartBridge
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import ROOT, Bridge, run
from tests.fakes.broker import Broker
from tests.fakes.certificates import Certificates
from tests.fakes.client import Client
from tests.fakes.talk import Talk

PLANTED = {"mqtt.password", "cameras.*.key", "cameras.*.password"}
_CAMERAS = "old", "new", "locked", "proxied", "closed"

_TEXT = """\
mqtt:
  host: 127.0.0.1
  port: {port}
  base_topic: {base}
  client_id: {base}
  username: bridge
  password: !secret mqtt
  tls: {{ca_file: {ca}, cert_file: {certificate}, key_file: key.pem}}
storage: {{keep: {{free: null}}}}
capture: {{retries: 0, timeout: 5}}
log: {{level: debug, format: {format}}}
cameras:
  old: ws://me:{in_url}@{old}
  new: {{url: 'ws://{new}', protocol: v1, key: !env CANARY_KEY}}
  locked: {{url: 'ws://{new}', protocol: v1, key: !file wrong_key}}
  proxied: {{url: 'ws://{proxied}', username: me, password: '{literal}'}}
  closed: {{url: 'ws://{closed}', username: me, password: !secret closed}}
"""


@dataclass
class Canaries:
    """Secrets that nobody else has, and all that must not have them in it."""

    folder: Path
    text: str
    values: dict[str, str]
    environment: dict[str, str]
    heard: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, what: str, said: str | bytes) -> None:
        """Something that the bridge let out."""
        self.heard.append((what, said if isinstance(said, str) else said.decode("latin-1")))

    def check(self) -> None:
        """None of it has a canary, as it is, as base64, or in a basic authorization."""
        assert self.heard
        for name, value in self.values.items():
            for form in self.forms(value):
                for what, said in self.heard:
                    assert form not in said, f"{name} came out in {what}:\n{said}"

    @staticmethod
    def forms(value: str) -> Iterator[str]:
        yield value
        yield repr(value)[1:-1]
        for text in (value, f"me:{value}"):
            yield base64.b64encode(text.encode()).decode().rstrip("=")[:-1]


@pytest.fixture
def canaries(
    own_broker: Callable[..., Broker],
    board: Callable[..., FakeBoard],
    certificates: Certificates,
    base_topic: str,
    tmp_path: Path,
) -> "Planted":
    names = ("mqtt", "in_url", "key", "wrong_key", "literal", "closed")
    values = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in names}
    boards = {"old": board(), "proxied": board(), "closed": board()}
    boards["new"] = board(wire="v1", key=values["key"])
    boards["closed"].always(b.http("401 Unauthorized"))
    own = own_broker(
        tls=certificates, require_certificate=True, users={"bridge": values["mqtt"], "me": "me"}
    )
    pem = certificates.client[1].read_text()
    values["key_file"] = pem.splitlines()[1]
    for name, text in {
        "key.pem": pem,
        "wrong_key": values["wrong_key"],
        "secrets.yaml": f"mqtt: {values['mqtt']}\nclosed: {values['closed']}\n",
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    text = _TEXT.format_map(
        {
            **{name: f"127.0.0.1:{there.port}" for name, there in boards.items()},
            "port": own.tls_port,
            "base": base_topic,
            "ca": certificates.ca,
            "certificate": certificates.client[0],
            "in_url": values["in_url"],
            "literal": values["literal"],
            "format": "{format}",
        }
    )
    return Canaries(tmp_path, text, values, {"CANARY_KEY": values["key"]}), own, boards


Planted = tuple[Canaries, Broker, dict[str, FakeBoard]]


def test_every_secret_of_the_configuration_has_its_canary() -> None:
    found = {
        ".".join((*map(str, path), name))
        for path, section in config.SECTIONS.items()
        for name, key in section.model_fields.items()
        if "SecretStr" in str(key.annotation)
    }
    assert found == PLANTED, "plant a canary in the new one, below"


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_is_in_what_a_running_bridge_says(
    canaries: Planted, base_topic: str, style: str
) -> None:
    ours, own, boards = canaries
    with own.client(username="me", password="me", subscribe=["#"]) as watcher:
        process = _run(ours, watcher, base_topic, ours.text.replace("{format}", style))
        with process:
            talk = Talk(watcher, base_topic)
            for name in _CAMERAS:
                talk.ask({"id": name}, name)
                talk.client.publish(talk.topic(name, "set"), {"id": "s", "interval": "nonsense"})
                talk.client.publish(talk.topic(name, "restart"), {"id": "r", "no": "such key"})
            results = {name: talk.result(name, name) for name in _CAMERAS}
            errors = [results[name]["error"] for name in _CAMERAS]
            assert errors == [None, None, "unauthorized", None, "unauthorized"]
            ours.hear("the process list", Path(f"/proc/{process.pid}/cmdline").read_bytes())
            for bad in _bad_configurations(ours):
                process.reload(bad)
                process.wait_for_log("the old one stays in force", count=bad.count("\n# "))
            own.stop()  # lost, and refused
            process.wait_for_log("mqtt: 127.0.0.1:.* trying again")
        ours.hear("the log", process.log)
        for message in watcher.messages():
            ours.hear(f"a message on {message.topic}", message.payload)
            ours.hear(f"the properties of {message.topic}", str(message.user))
        assert len(ours.heard) > 20
    credentials = {
        there.headers[0].get("authorization", "")[6:] for there in boards.values() if there.headers
    }
    for name in ("in_url", "literal", "closed"):  # it was all in use
        assert base64.b64encode(f"me:{ours.values[name]}".encode()).decode() in credentials
    ours.check()


def _run(ours: Canaries, watcher: Client, base_topic: str, text: str) -> Bridge:
    process = Bridge(text, watcher, base_topic=base_topic, environment=ours.environment)
    for name in ("key.pem", "wrong_key", "secrets.yaml"):
        (process.directory / name).write_bytes((ours.folder / name).read_bytes())
        (process.directory / name).chmod(0o600)
    return process


def _bad_configurations(ours: Canaries) -> list[str]:
    """Ours, each with a further fault beside a secret; the number of hashes counts them."""
    good = ours.text.replace("{format}", "text")
    literal = ours.values["literal"]
    faults = [
        ("password: !secret mqtt", "pasword: !secret mqtt"),
        ("port: ", "port: !secret mqtt\n  prt: "),
        (f"'{literal}'", f"[{literal}]"),
        (f"'{literal}'", f"'{literal}"),
        (f"password: '{literal}'", f"key: !{literal} x"),
        ("old: ws://", "old: http://"),
        ("protocol: v1, key: !env", "protocol: !env"),
        ("ca_file: ", "ca_file: !secret mqtt, cafile: "),
    ]
    bad = []
    for number, (one, other) in enumerate(faults, 1):
        assert one in good
        bad.append(good.replace(one, other, 1) + "\n# " * number)
    return bad


def test_no_secret_is_in_what_the_other_commands_say(canaries: Planted) -> None:
    ours, _, _ = canaries
    text = ours.text.replace("{format}", "text")
    (ours.folder / "config.yaml").write_text(text)
    runs = [("check", "-v"), ("check", "--connect", "--json"), ("check", "--schema")]
    runs += [("capture", name, "-v", "--json", "-o", f"{name}.jpg") for name in _CAMERAS]
    for number, bad in enumerate(_bad_configurations(ours)[::4]):
        (ours.folder / f"{number}.yaml").write_text(bad)
        runs.append(("check", "--json", "-c", f"{number}.yaml"))
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda arguments: _command(ours, *arguments), runs))
    assert b"Traceback" not in b"".join(one.stderr for one in done)
    assert [one.returncode for one in done] == [0, 1, 0, 0, 0, 1, 0, 1, 2, 2]
    ours.check()


def _command(ours: Canaries, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = run(ours.folder, *arguments, environment=ours.environment)
    ours.hear(f"{arguments}, standard output", done.stdout)
    ours.hear(f"{arguments}, standard error", done.stderr)
    return done


_CRASH = """
import bridge.connection, bridge.opening
from bridge.__main__ import main

async def lose_the_broker(self, pool):
    raise RuntimeError(f"unexpected: {self._broker!r} {self!r}")

def lose_the_board(self):
    raise RuntimeError(f"unexpected: {self._target!r} {self!r}")

bridge.WHAT
main()
"""


@pytest.mark.parametrize(
    "what", ["connection.Connection.run = lose_the_broker", "opening.Opening.run = lose_the_board"]
)
def test_no_secret_is_in_the_traceback_of_a_crash(canaries: Planted, what: str) -> None:
    ours, _, _ = canaries
    (ours.folder / "config.yaml").write_text(ours.text.replace("{format}", "text"))
    done = subprocess.run(
        [sys.executable, "-c", _CRASH.replace("bridge.WHAT", f"bridge.{what}")],
        cwd=ours.folder,
        env={**os.environ, **ours.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"RuntimeError: unexpected: " in done.stderr
    ours.hear("a traceback", done.stderr)
    ours.check()


def test_no_secret_is_in_the_repr_of_anything_that_has_one(
    canaries: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _, _ = canaries
    for name, value in ours.environment.items():
        monkeypatch.setenv(name, value)
    path = ours.folder / "config.yaml"
    path.write_text(ours.text.replace("{format}", "text"))
    found = config.load(path)
    there: list[Any] = [found, found.mqtt, broker_of(found.mqtt), *found.cameras.values()]
    for settings in found.cameras.values():
        camera = make_camera(settings, Pool(1, name="x"), lost=lambda _: None, met=lambda: None)
        there += [camera, camera._target]
    for thing in there:
        ours.hear("repr", repr(thing))
        ours.hear("str", str(thing))
    ours.hear("a dump", str(found.model_dump()))
    ours.hear("JSON", found.model_dump_json())
    for bad in _bad_configurations(ours):
        path.write_text(bad)
        with pytest.raises(ConfigError) as caught:
            config.load(path)
        error: BaseException | None = caught.value
        while error is not None:
            ours.hear("an error", f"{error} {error!r}")
            error = error.__cause__ or error.__context__
    ours.check()


# Files


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_of_secrets_that_all_can_read_is_warned_of_once(
    bridge: StartBridge, mode: int
) -> None:
    process = bridge({}, start=False)
    process.config = f"{json.dumps(process.config)}"
    process.config = process.config.replace(
        '"cameras": {}', '"cameras": {"door": "ws://127.0.0.1:9"}'
    )
    path = process.directory / "secrets.yaml"
    path.write_text("unused: text\n")
    path.chmod(mode)
    process.start()
    process.signal(signal.SIGHUP)
    process.wait_for_log("configuration reloaded")
    warnings = [line for line in process.lines if "everybody on this computer" in line]
    assert len(warnings) == (mode == 0o644)
    done = run(process.directory, "check")
    assert done.returncode == 0
    assert (b"chmod o-rwx" in done.stderr) == (mode == 0o644)

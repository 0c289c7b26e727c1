"""The demo's broker: mosquitto or iotcore, ready when started, gone when stopped or when we are."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from bridge.demo import broker as broker_module
from bridge.demo.broker import DemoBroker
from bridge.errors import ConfigError
from tests.fakes.client import Client, Version
from tests.fakes.port import listen, number, reserve

# iotcore forgets the pipe to a broker that somebody was quicker than at its port
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)

ROOT = Path(__file__).parents[1]
PAYLOAD = bytes(range(256)) * 1200  # 300 KB
Kind = Literal["mosquitto", "iotcore"]
KINDS: tuple[Kind, ...] = ("mosquitto", "iotcore")


def path_for(kind: Kind, folder: Path) -> str:
    """A PATH on which nothing is but, perhaps, mosquitto."""
    if kind == "mosquitto":
        found = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
        assert found, "mosquitto is not installed"
        (folder / "mosquitto").symlink_to(found)
    return str(folder)


@pytest.fixture(params=KINDS)
def kind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Kind]:
    """What there is, and a usual port of our own: 1883 may be that of other tests' demos."""
    chosen: Kind = request.param
    monkeypatch.setenv("PATH", path_for(chosen, tmp_path))
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(broker_module, "_USUAL_PORT", two_in_a_row(stack))
        yield chosen


def two_in_a_row(stack: contextlib.ExitStack) -> int:
    """Reserve two ports, one for each version; the first."""
    while True:
        first = number(stack.enter_context(reserve()))
        with contextlib.suppress(OSError):
            stack.enter_context(reserve(port=first + 1))
            return first


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_retained_picture_passes_in_both_versions(kind: Kind, mqtt_version: Version) -> None:
    with DemoBroker() as broker:
        assert broker.kind.startswith(kind)
        port = broker.port if mqtt_version == "5" else broker.port_v3
        with Client(port, version=mqtt_version, subscribe=["live/#"]) as client:
            client.publish("live/image", PAYLOAD, retain=True)
            assert client.wait("live/image")[0].payload == PAYLOAD
        with Client(port, version=mqtt_version, subscribe=["live/#"]) as late:
            message = late.wait("live/image")[0]
            assert message.payload == PAYLOAD
            assert message.retain
    assert is_refused(port)


@pytest.mark.parametrize("kind", ["mosquitto"], indirect=True)
def test_mosquitto_has_one_port_for_both_versions(kind: Kind) -> None:
    with DemoBroker() as broker:
        assert broker.port == broker.port_v3
        assert broker.kind.split()[1][0].isdigit()


@pytest.mark.parametrize("kind", ["iotcore"], indirect=True)
def test_an_embedded_broker_passes_messages_between_the_versions(kind: Kind) -> None:
    with (
        DemoBroker() as broker,
        Client(broker.port, version="5") as new,
        Client(broker.port_v3, version="3.1.1", subscribe=["live/#"]) as old,
    ):
        assert broker.port != broker.port_v3
        new.publish("live/image", PAYLOAD)
        assert old.wait("live/image")[0].payload == PAYLOAD


def test_a_given_port_is_kept_to(kind: Kind) -> None:
    with reserve() as reserved:
        port = number(reserved)
    with DemoBroker(port) as broker:
        assert broker.port == port
        assert not is_refused(port)


def test_a_port_that_is_taken_is_named(kind: Kind) -> None:
    with reserve() as reserved, listen(reserved) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            DemoBroker(port).start()


def test_it_can_be_stopped_twice_and_started_again(kind: Kind) -> None:
    broker = DemoBroker()
    broker.stop()
    for _ in range(2):
        broker.start()
        assert not is_refused(broker.port)
        broker.stop()
        broker.stop()
        assert is_refused(broker.port)


def test_two_demos_do_not_meet(kind: Kind) -> None:
    with DemoBroker() as one, DemoBroker() as other:
        assert len({one.port, other.port, one.port_v3, other.port_v3}) in (2, 4)


def test_who_was_quicker_at_the_port_has_it_and_we_another(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reserve() as reserved, listen(reserved) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(broker_module, "_is_free", lambda _: True)  # before it, and after
        monkeypatch.setattr(broker_module, "_USUAL_PORT", taken)
        with DemoBroker() as broker:
            assert broker.port != taken
            assert not is_refused(broker.port)


def test_no_broker_at_all_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", path_for("iotcore", tmp_path))
    monkeypatch.setitem(sys.modules, "iotcore", None)
    with pytest.raises(ConfigError, match=r"apt install mosquitto.*esp32cam2mqtt\[demo\]"):
        DemoBroker().start()


def test_a_mosquitto_that_does_not_start_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "mosquitto"
    fake.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no such luck"):
        DemoBroker().start()


def test_it_ends_with_us_even_when_we_are_killed(kind: Kind) -> None:
    program = (
        "from bridge.demo.broker import DemoBroker\n"
        "broker = DemoBroker()\n"
        "broker.start()\n"
        "print(broker.port, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        port = int(demo.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            demo.send_signal(signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):  # that is an end too
                assert client.recv(1) == b""

"""The equipment of every test: brokers, boards, clients, and the bridge between them."""

import secrets
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, cast

import hypothesis
import pytest

from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.certificates import Certificates, make_certificates
from tests.fakes.client import Client, Version
from tests.fakes.process import Process
from tests.fakes.simulator import Option, SimulatedBoard, Simulator
from tests.fakes.talk import Talk

# A time limit for each example fails where the machine is busy; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

Board = FakeBoard | SimulatedBoard
"""A board, as far as a test needs one that does nothing wrong."""

Boards = Callable[..., FakeBoard]
AnyBoards = Callable[..., Board]
Brokers = Callable[..., Broker]
Clients = Callable[..., Client]
Simulators = Callable[..., Simulator]

either = pytest.mark.parametrize("board", ["fake", "firmware"], indirect=True)
"""For tests with a `board` that does nothing wrong: each runs with the firmware too."""

_PROCESSES = pytest.StashKey[list[Process]]()


class StartBridge(Protocol):
    """What the fixture `bridge` is."""

    def __call__(
        self,
        cameras: Mapping[str, Board | Mapping[str, Any]] | None = None,
        *,
        on: Broker | None = None,
        start: bool = True,
        clean: bool = True,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        strain: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
        **sections: Mapping[str, Any],
    ) -> Bridge: ...


@pytest.fixture(params=["5", "3.1.1"])
def mqtt_version(request: pytest.FixtureRequest) -> Version:
    """Each version of MQTT: a test that has this runs twice."""
    return cast("Version", request.param)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The mosquitto that all tests share; `base_topic` keeps them apart."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def base_topic() -> str:
    """A base topic that is this test's alone."""
    return f"esp32cam-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Good certificates and bad ones."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def own_broker(request: pytest.FixtureRequest) -> Iterator[Brokers]:
    """``own_broker(**options)``: a mosquitto of this test's own, to configure and to kill."""
    with ExitStack() as stack:

        def start(**options: Any) -> Broker:
            broker = stack.enter_context(Broker(**options))
            _show_on_failure(request, broker)
            return broker

        yield start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as exc:
        pytest.skip(f"a small disk needs the right to mount one: {exc}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


@pytest.fixture
def board(request: pytest.FixtureRequest) -> Iterator[AnyBoards]:
    """``board(name, **options)``: a board that listens, a `FakeBoard` unless it is `either`."""
    with ExitStack() as stack:

        def start(*args: Any, **options: Any) -> Board:
            if getattr(request, "param", "fake") == "fake":
                return stack.enter_context(FakeBoard(*args, **options))
            simulated = SimulatedBoard(*args, **options)
            _show_on_failure(request, simulated)
            return stack.enter_context(simulated)

        yield start


@pytest.fixture
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulators]:
    """``simulator(**options)``: a board with our firmware, on its Wi-Fi and ready."""
    with ExitStack() as stack:

        def start(**options: Option) -> Simulator:
            simulator = Simulator(**options)
            _show_on_failure(request, simulator)
            return stack.enter_context(simulator)

        yield start


@pytest.fixture
def client(broker: Broker, base_topic: str) -> Iterator[Clients]:
    """``client(**options)``: a client of the shared broker that hears all of this test's messages.

    ``client(on=own)`` is one of that broker, and hears everything there.
    """
    with ExitStack() as stack:

        def start(*, on: Broker = broker, **options: Any) -> Client:
            ours = [f"{base_topic}/#"] if on is broker else ["#"]
            return stack.enter_context(on.client(**{"subscribe": ours, **options}))

        yield start


@pytest.fixture
def talk(client: Clients, base_topic: str) -> Talk:
    """Who asks this test's bridge, through the shared broker."""
    return Talk(client(), base_topic)


@pytest.fixture
def bridge(
    request: pytest.FixtureRequest,
    broker: Broker,
    base_topic: str,
    client: Clients,
) -> Iterator[StartBridge]:
    """``bridge({"door": board}, capture={…}, mqtt={…})``: the bridge as a process, and ready.

    A camera is a board or its section of config.yaml; other sections are laid over the usual ones.
    ``start=False`` leaves starting to the test. At its end the bridge must stop as it should, and
    must not have been surprised by anything, unless ``clean=False``.
    """
    bridges: list[tuple[Bridge, bool]] = []

    def start_bridge(
        cameras: Mapping[str, Board | Mapping[str, Any]] | None = None,
        *,
        on: Broker | None = None,
        start: bool = True,
        clean: bool = True,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        strain: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
        **sections: Mapping[str, Any],
    ) -> Bridge:
        on = on or broker
        watcher = client(on=on, subscribe=[f"{base_topic}/bridge/state"])
        bridge = Bridge(
            configuration(base_topic, on, cameras or {}, sections),
            watcher,
            base_topic=base_topic,
            arguments=arguments,
            environment=environment,
            strain=strain,
            wrapper=wrapper,
        )
        bridges.append((bridge, clean))
        stack.callback(bridge.close)
        _show_on_failure(request, bridge)
        if start:
            bridge.start()
        return bridge

    with ExitStack() as stack:
        yield start_bridge
        for bridge, clean in bridges:
            if bridge.alive:
                code = bridge.stop()
                assert code == 0 or not clean, f"the bridge ended with {code}:\n{bridge.log}"
            assert not clean or not _surprises(bridge), f"look at the log:\n{bridge.log}"


def old(board: Board, **more: Any) -> dict[str, Any]:
    """The section of a camera that is known to be an old one: no hello is waited for."""
    return {"url": board.url, "protocol": "legacy", **more}


def configuration(
    base_topic: str,
    broker: Broker,
    cameras: Mapping[str, Board | Mapping[str, Any]],
    sections: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """A config.yaml for these cameras, with ``sections`` laid over the usual ones."""
    mqtt: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": broker.port,
        "base_topic": base_topic,
        "client_id": base_topic,
    }
    if broker.users:
        mqtt["username"], mqtt["password"] = next(iter(broker.users.items()))
    usual: dict[str, dict[str, Any]] = {
        "mqtt": mqtt,
        "homeassistant": {"enabled": False},  # what it is told concerns few tests
        "storage": {"path": "captures", "keep": {"free": None}},  # a full disk is not our subject
        "log": {"level": "debug"},
    }
    config = {
        name: {**usual.get(name, {}), **sections.get(name, {})} for name in {**usual, **sections}
    }
    config["cameras"] = {
        name: dict(camera) if isinstance(camera, Mapping) else {"url": camera.url}
        for name, camera in cameras.items()
    }
    return config


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes of a failed test wrote."""
    report = yield
    if report.failed:
        for process in item.stash.get(_PROCESSES, []):
            report.sections.append((f"log of {process.name}", process.log))
    return report


def _show_on_failure(request: pytest.FixtureRequest, process: Process) -> None:
    request.node.stash.setdefault(_PROCESSES, []).append(process)


def _surprises(bridge: Bridge) -> list[str]:
    return [line for line in bridge.lines if "Traceback (most" in line or "ResourceWarning" in line]

"""`esp32cam2mqtt health`, as Docker runs it: beside a bridge, with its configuration."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.conftest import StartBridge
from tests.fakes.bridge import run
from tests.fakes.broker import Broker

AWAY = {"door": {"url": "ws://127.0.0.1:1"}}


def health(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run(folder, "health", *arguments)


def test_a_bridge_is_well_while_the_broker_says_so(bridge: StartBridge) -> None:
    process = bridge(AWAY)
    done = health(process.directory)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"the bridge is online\n")
    done = health(process.directory, "--json")
    assert json.loads(done.stdout) == {"status": "ok", "message": None}
    process.stop()
    done = health(process.directory)
    assert done.returncode == 1
    assert done.stderr.decode() == f"no bridge: {process.base_topic}/bridge/state is 'offline'\n"


def test_it_leaves_nothing_behind_and_puts_nobody_out(
    bridge: StartBridge, own_broker: Callable[..., Broker]
) -> None:
    own = own_broker()
    process = bridge(AWAY, on=own)
    for count in (1, 2):
        assert health(process.directory).returncode == 0
        own.wait_for_log("Received DISCONNECT from .*-health-", count=count)
    assert len(re.findall("Received UNSUBSCRIBE from .*-health-", own.log)) == 2
    assert "already connected" not in own.log
    assert not re.search("Received PUBLISH from .*-health-", own.log)


def test_without_a_broker_it_says_which_is_missing(tmp_path: Path) -> None:
    configure(tmp_path, port=1)
    done = health(tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"no broker: 127.0.0.1:1: Connection refused\n"


def test_a_broker_that_never_saw_a_bridge_is_told_from_none(
    broker: Broker, base_topic: str, tmp_path: Path
) -> None:
    configure(tmp_path, port=broker.port, base_topic=base_topic)
    done = health(tmp_path, "--json")
    message = f"no bridge: the broker has nothing on {base_topic}/bridge/state"
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"status": "error", "message": message}


def test_a_broken_configuration_is_exit_code_2(tmp_path: Path) -> None:
    configure(tmp_path, prot=1883)
    assert health(tmp_path).returncode == 2


def configure(folder: Path, **mqtt: object) -> None:
    document = {"mqtt": {"host": "127.0.0.1", **mqtt}, "cameras": AWAY}
    (folder / "config.yaml").write_text(yaml.safe_dump(document))

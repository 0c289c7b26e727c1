"""The systemd unit: systemd takes it, and finds little that it could harm."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.watchdog import LIMIT
from tests.conftest import StartBridge
from tests.fakes.board import FakeBoard

UNIT = Path(__file__).parents[1] / "examples/systemd/esp32cam2mqtt.service"
TEXT = UNIT.read_text()

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd"
)


def setting(name: str) -> str:
    found = re.findall(rf"(?m)^{name}=(.*)$", TEXT)
    assert len(found) == 1, f"{name}: {found}"
    return str(found[0])


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        env={"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    program = setting("ExecStart").split()[0]
    unit = tmp_path / UNIT.name  # with a program that is here
    unit.write_text(TEXT.replace(program, sys.executable))
    assert analyze("verify", "--man=no", str(unit)) == ""


@needs_systemd
@pytest.mark.parametrize("user", ["DynamicUser=yes", "User=bridge"])
def test_the_service_could_harm_little(tmp_path: Path, user: str) -> None:
    """Under a user of one's own too, where systemd adds nothing by itself."""
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace("DynamicUser=yes", user))
    analyze("security", "--offline=true", "--threshold=14", str(unit))  # 1.4 of 10
    found = json.loads(analyze("security", "--offline=true", "--json=short", str(unit)))
    open_doors = {entry["name"] for entry in found if float(entry["exposure"] or 0) > 0}
    assert open_doors <= {
        "IPAddressDeny=",
        "PrivateNetwork=",
        "RestrictAddressFamilies=~AF_(INET|INET6)",
        "RestrictAddressFamilies=~AF_UNIX",  # sd_notify, and a broker's
        "SystemCallFilter=~@resources",
        "RootDirectory=/RootImage=",
        "PrivateMounts=",
        "DeviceAllow=",
        "UMask=",  # the group may read the pictures
    }
    assert setting("UMask") == "0027"


def test_its_watchdog_is_more_patient_than_the_bridges_own() -> None:
    assert float(setting("WatchdogSec")) > LIMIT
    assert float(setting("TimeoutStopSec")) > 5  # seconds: the bridge's own limit for its end


def test_the_bridge_needs_no_memory_that_is_both_written_and_run(
    bridge: StartBridge, tmp_path: Path
) -> None:
    assert setting("MemoryDenyWriteExecute") == "yes"
    deny = tmp_path / "deny.py"  # PR_SET_MDWE: what systemd's filter does, by the kernel
    deny.write_text(
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):\n"
        "    sys.exit(f'PR_SET_MDWE: {os.strerror(ctypes.get_errno())}')\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    tried = subprocess.run(
        [sys.executable, str(deny), "/bin/true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this kernel can't deny it: {tried.stderr.strip()}")
    with FakeBoard(wire="legacy") as board:
        process = bridge(
            {"door": {"url": board.url, "rotate": 90}}, wrapper=(sys.executable, str(deny))
        )
        assert process.alive

"""The image, built once."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BUILD = Path(__file__).with_name("build.sh")
# What podman and runc can't do without.
PROBE = ("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true")


@pytest.fixture(scope="session")
def podman() -> Iterator[list[str]]:
    """The podman whose store has the image, for one checkout at a time: all call it the same."""
    if os.geteuid() != 0:
        pytest.skip("only root may make the Debian that the image is built on: sudo make ...")
    probe = subprocess.run(PROBE, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.fail(f"no container can run: even root gets no namespaces here: {probe.stderr}")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = home / "esp32cam2mqtt/container"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = subprocess.check_output(["sh", BUILD, cache], text=True, timeout=600)
        yield [*said.split(), "--runtime=runc"]

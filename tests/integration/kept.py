"""What root alone can run, and what is kept for it outside of this checkout, for all checkouts."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# What podman, runc and systemd-nspawn can't do without.
PROBE = ("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true")


@contextmanager
def kept(name: str, script: Path) -> Iterator[tuple[Path, str]]:
    """The folder, filled by the script, for one checkout at a time; and what the script says."""
    if os.geteuid() != 0:
        pytest.skip(f"only root may make what {script.name} makes: sudo make ...")
    probe = subprocess.run(PROBE, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.fail(f"no container can run: even root gets no namespaces here: {probe.stderr}")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "esp32cam2mqtt" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, subprocess.check_output(["sh", script, folder], text=True, timeout=600)

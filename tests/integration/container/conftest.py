"""The image, built once."""

import os
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).with_name("build.sh")


@pytest.fixture(scope="session")
def podman() -> list[str]:
    """The podman whose store has the image."""
    if os.geteuid() != 0:
        pytest.skip("only root may make the Debian that the image is built on")
    said = subprocess.check_output(["sh", str(BUILD)], text=True, timeout=600)
    return [*said.split(), "--runtime=runc"]

"""The image, built once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.kept import kept


@pytest.fixture(scope="session")
def podman() -> Iterator[list[str]]:
    """The podman whose store has the image."""
    with kept("container", Path(__file__).with_name("build.sh")) as (_, command):
        yield [*command.split(), "--runtime=runc"]

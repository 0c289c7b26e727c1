"""What is installed: the container's exact versions are of what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = (ROOT / "docker/requirements.txt").read_text()


def test_the_container_has_each_dependency_at_a_version_that_is_wanted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["images"]]
    pinned = {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", PINNED, re.MULTILINE)
    }
    for requirement in map(Requirement, wanted):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_each_of_them_has_hashes_and_no_host_is_named() -> None:
    entries = re.split(r"^(?=[\w.-]+==)", PINNED, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|/opt|--(?!hash=)(?!require)", PINNED)

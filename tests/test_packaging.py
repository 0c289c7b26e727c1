"""What is installed: the container's exact versions are of what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = (ROOT / "docker/requirements.txt").read_text()
BUILD = (ROOT / "docker/requirements-build.txt").read_text()


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


@pytest.mark.parametrize("pinned", [PINNED, BUILD])
def test_each_of_them_has_hashes_and_no_host_is_named(pinned: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", pinned, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|/opt|--(?!hash=)(?!require)", pinned)


def test_nothing_comes_into_the_container_without_a_hash() -> None:
    steps = re.split(r"&&|^[A-Z]+ ", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)
    pips = [step for step in steps if "/pip " in step]
    assert len(pips) == 4
    assert [pip for pip in pips if "--require-hashes" not in pip and "--no-deps" not in pip] == []

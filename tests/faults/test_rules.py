"""Tests of the tests: with a rule of the contract broken on purpose, the named test fails.

With `-s` and without `-n` each rule is printed with its break and the test that catches it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.breaks import BREAKS, Break

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its tests, to be broken."""
    for folder in ("bridge", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(copy: Path, *tests: str) -> tuple[int, str]:
    """Run some tests on the copy, and not on the package that is installed."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "--assert=plain"),
            *("-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"tests/{test}" for test in tests),
        ],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_with_every_rule_kept_they_all_pass(copy: Path) -> None:
    code, told = run(copy, *sorted({each.caught_by for each in BREAKS}))
    assert code == 0, told


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.rule)
def test_a_broken_rule_is_caught(copy: Path, broken: Break) -> None:
    file = copy / "bridge" / broken.file
    source = file.read_text()
    assert source.count(broken.old) == 1, "this break is of a bridge that is no more: renew it"
    file.write_text(source.replace(broken.old, broken.new))
    compile(file.read_text(), file, "exec")
    code, told = run(copy, broken.caught_by)
    last = told.rstrip().rpartition("\n")[2]
    # Any other code, or an error instead of a failure, is not the test's verdict on the rule.
    assert (code, "1 failed" in last, "error" in last) == (1, True, False), told
    print(f"\n{broken.rule}\n  {broken.file}: {broken.old!r}\n  caught by {broken.caught_by}")

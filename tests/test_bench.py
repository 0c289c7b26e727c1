"""That the bench still runs; what it measures is for people to judge."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import FLOOR
from tests.bench.boards import make_jpeg
from tests.bench.floor import look_over

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/sbin") is None
    and shutil.which("mosquitto") is None,
    reason="the bench needs mosquitto",
)


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", "--subject", FLOOR, "--rounds", "1", *options],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_bench_prints_a_row_for_a_cell_in_which_every_request_had_one_result() -> None:
    done = bench("--cells", "10x20,esp32", "--seconds", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["cell"] for cell in cells] == ["10x20", "esp32"]
    for cell in cells:
        assert cell["captures"] >= 20
        assert 0.1 < cell["cpu_ms"]["ratio"] < 10  # of the floor to itself
        assert cell["image_p50_ms"]["bridge"] <= cell["result_p50_ms"]["bridge"]
    assert "10 x 20 KB" in done.stderr


def test_the_bench_says_what_its_subject_said_when_that_does_not_work() -> None:
    done = bench("--cells", "1x20", "--subject", "python -c 'raise SystemExit(\"no bridge\")'")
    assert done.returncode == 1
    assert "no bridge" in done.stderr


@pytest.mark.parametrize("size", [300, 20_000, 400_000])
def test_the_boards_jpeg_is_one(size: int) -> None:
    jpeg = make_jpeg(size)
    assert len(jpeg) == size
    assert look_over(bytearray(jpeg)) == (1600, 1200)

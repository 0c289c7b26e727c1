"""The fuzz targets, tried by hypothesis: with anything, and with seeds that were tampered with."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

EXAMPLES = int(os.environ.get("ESP32CAM_EXAMPLES", "300"))

seeds = {name: [path.read_bytes() for path in sorted((SEEDS / name).iterdir())] for name in TARGETS}
each = pytest.mark.parametrize("name", TARGETS)


@each
def test_every_seed_holds(name: str) -> None:
    assert seeds[name]
    for seed in seeds[name]:
        TARGETS[name](seed)


@each
@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=300))
def test_any_bytes_hold(name: str, data: bytes) -> None:
    TARGETS[name](data)


@each
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_seed_that_was_tampered_with_holds(name: str, data: st.DataObject) -> None:
    """Cut out a piece, put another one in, of this or of another seed."""
    first, second = (data.draw(st.sampled_from(seeds[name])) for _ in range(2))
    start, end = sorted(data.draw(st.integers(0, len(first))) for _ in range(2))
    begin, stop = sorted(data.draw(st.integers(0, len(second))) for _ in range(2))
    piece = data.draw(st.binary(max_size=4) | st.just(second[begin:stop]))
    TARGETS[name](first[:start] + piece + first[end:])

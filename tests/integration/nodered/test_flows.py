"""The flows of examples/node-red, imported into a real Node-RED and used as people would."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge import jpeg as jpegs
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard, OnCapture, Shot
from tests.fakes.picture import stamp
from tests.integration.nodered.flows import (
    ALL,
    BUTTON,
    EXAMPLES,
    FRESH,
    LAPSE,
    RETRY,
    SAVE,
    Break,
    change,
    cut,
    knob,
    replace,
)
from tests.integration.nodered.house import BASE, PICTURE, RESULT, House

both = pytest.mark.parametrize("neighbourhood", ["fake", "firmware"], indirect=True)
"""For tests that run with a virtual board, and again with the firmware itself."""


# What each flow is for: also run with broken flows, below


def check_button(house: House) -> None:
    jpeg = house.pressed()
    house.until(
        "the picture", lambda: house.node_red.get("/esp32cam/porch.jpg").body == jpeg
    )
    answer = house.node_red.get("/esp32cam/porch.jpg")
    assert (answer.status, answer.type) == (200, "image/jpeg")
    taken = house.client.messages(f"{BASE}/porch/result")[-1].json["captured_at"]
    house.until("its page", lambda: taken in house.node_red.get("/esp32cam/porch").text)
    page = house.node_red.get("/esp32cam/porch")
    assert page.type == "text/html"
    assert '<img src="porch.jpg"' in page.text
    assert "before Node-RED" not in page.text
    assert "alert" not in page.text


def check_fresh(house: House) -> None:
    began = house.porch.clock()
    answer = house.node_red.get("/esp32cam/fresh", timeout=house.patience)
    assert (answer.status, answer.type) == (200, "image/jpeg"), answer.body[:200]
    assert house.porch.exposed(answer.body) >= began
    assert house.wait(PICTURE, lambda m: m.payload == answer.body)


def check_save(house: House) -> None:
    jpeg = house.pressed()
    file = house.file_with(jpeg, "pictures/porch/20*.jpg")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.\d{3}\.jpg", file.name)
    house.file_with(jpeg, "pictures/porch/latest.jpg")


def check_lapse(house: House) -> None:
    jpeg = house.pressed("every 5 minutes")
    file = house.file_with(jpeg, "pictures/porch/*/*.jpg")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d\.jpg", "/".join(file.parts[-2:]))


def check_retry(house: House) -> None:
    assert isinstance(house.porch, FakeBoard)
    failing = b.error("camera_failed")
    house.porch.script(failing, failing)  # the bridge tries twice itself
    house.node_red.press("Take a picture")
    shown = house.node_red.wait_for_debug("what went wrong", timeout=house.patience)
    result = house.wait(RESULT, lambda m: m.json["status"] == "error")[0].json
    assert shown == f"camera_failed: {result['message']}"
    picture = house.wait(PICTURE, lambda m: not m.retain)[0].payload
    house.until(
        "the picture", lambda: house.node_red.get("/esp32cam/retry.jpg").body == picture
    )


def check_all(house: House) -> None:
    page = house.node_red.get("/esp32cam/all", timeout=house.patience)
    assert (page.status, page.type) == (200, "text/html")
    assert pictures(page.text) == {
        camera: house.wait(f"{BASE}/{camera}/image", lambda m: not m.retain)[0].payload
        for camera in ("garden", "porch")
    }
    assert "alert" not in page.text


def pictures(page: str) -> dict[str, bytes]:
    """The pictures on the page with all cameras, by name."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="(\w+)"', page)
    return {name: base64.b64decode(data) for data, name in found}


def inside(jpeg: bytes) -> None:
    """Check that this is a whole picture."""
    jpegs.parse(jpeg)


# Each as it comes


@both
def test_a_button_brings_a_picture_into_the_browser(house: House) -> None:
    house.deploy(BUTTON)
    check_button(house)


@both
def test_each_request_is_answered_with_a_fresh_picture(house: House) -> None:
    house.deploy(FRESH)
    check_fresh(house)


@both
def test_new_pictures_become_files(house: House) -> None:
    house.deploy(SAVE)
    check_save(house)
    first = (house.node_red.directory / "pictures/porch/latest.jpg").read_bytes()
    house.client.clear()
    second = house.pressed()
    house.file_with(second, "pictures/porch/latest.jpg")  # written over, not appended to
    assert first != second
    assert len(list((house.node_red.directory / "pictures/porch").iterdir())) == 3


@both
def test_a_time_lapse_by_day(house: House) -> None:
    house.deploy(LAPSE, but=[knob("FROM", "00:00"), knob("TO", "00:00")])
    check_lapse(house)


def test_an_error_is_shown_and_then_it_is_tried_again(house: House) -> None:
    house.deploy(RETRY)
    check_retry(house)


@both
def test_all_cameras_on_one_page(house: House) -> None:
    house.deploy(ALL)
    check_all(house)

"""The flows of examples/node-red, imported into a real Node-RED and used as people would."""

import base64
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest

from bridge import jpeg as jpegs
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.client import Message
from tests.integration.nodered.flows import (
    ALL,
    BUTTON,
    EXAMPLES,
    FRESH,
    LAPSE,
    RETRY,
    SAVE,
    Break,
    Node,
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
    house.until("the picture", lambda: house.get("/esp32cam/porch.jpg").body == jpeg)
    answer = house.get("/esp32cam/porch.jpg")
    assert (answer.status, answer.type) == (200, "image/jpeg")
    taken = house.client.messages(f"{BASE}/porch/result")[-1].json["captured_at"]
    house.until("its page", lambda: taken in house.get("/esp32cam/porch").text)
    page = house.get("/esp32cam/porch")
    assert page.type == "text/html"
    assert '<img src="porch.jpg"' in page.text
    assert "before Node-RED" not in page.text
    assert "alert" not in page.text


def check_fresh(house: House) -> None:
    began = house.porch.clock()
    answer = house.get("/esp32cam/fresh")
    assert (answer.status, answer.type) == (200, "image/jpeg"), answer.body[:200]
    assert house.porch.exposed(answer.body) >= began
    assert house.wait(PICTURE, lambda m: m.payload == answer.body)


def check_save(house: House) -> None:
    jpeg = house.pressed()
    file = house.file_with(jpeg, "pictures/porch/20*.jpg")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.\d{3}\.jpg", file.name)
    house.file_with(jpeg, "pictures/porch/latest.jpg")
    house.client.clear()
    later = house.pressed()
    assert later != jpeg
    house.file_with(later, "pictures/porch/latest.jpg")  # written over, not appended to
    house.file_with(later, "pictures/porch/20*.jpg")
    assert len(list((house.node_red.directory / "pictures/porch").iterdir())) == 3


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
    house.until("the picture", lambda: house.get("/esp32cam/retry.jpg").body == picture)


def check_all(house: House) -> None:
    page = house.get("/esp32cam/all")
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


# Each as it comes


@both
def test_a_button_brings_a_picture_into_the_browser(house: House) -> None:
    house.deploy(BUTTON)
    assert house.get("/esp32cam/porch").status == 200  # whatever there is so far
    check_button(house)


@both
def test_each_request_is_answered_with_a_fresh_picture(house: House) -> None:
    house.deploy(FRESH)
    check_fresh(house)


@both
def test_new_pictures_become_files(house: House) -> None:
    house.deploy(SAVE)
    check_save(house)


@both
def test_a_time_lapse_makes_a_film(house: House) -> None:
    house.deploy(LAPSE, but=[knob("FROM", "00:00"), knob("TO", "00:00")])
    check_lapse(house)


def test_an_error_is_shown_and_then_it_is_tried_again(house: House) -> None:
    house.deploy(RETRY)
    check_retry(house)


@both
def test_all_cameras_are_on_one_page(house: House) -> None:
    house.deploy(ALL)
    check_all(house)


# Errors are shown to the person


@both
def test_a_camera_that_is_away_is_said_to_be_so_in_every_flow(house: House) -> None:
    with house.away():
        for example, button, node in (
            (BUTTON, "Take a picture", "what went wrong"),
            (SAVE, "Take a picture", "what went wrong"),
            (LAPSE, "every 5 minutes", "what went wrong"),
        ):
            all_day = [knob("FROM", "00:00"), knob("TO", "00:00")] if example == LAPSE else []
            house.deploy(example, but=all_day)
            house.node_red.press(button)
            shown = house.node_red.wait_for_debug(node)
            why = reason(house)
            assert shown == (f"porch: {why}" if example == SAVE else why)
            assert house.node_red.status(node)  # below the node, cut short
        assert not (house.node_red.directory / "pictures").exists()

        house.deploy(FRESH)
        answer = house.get("/esp32cam/fresh")
        assert (answer.status, answer.type, answer.text) == (502, "text/plain", reason(house))

        house.deploy(ALL)
        page = house.get("/esp32cam/all").text
        error, _, message = reason(house).partition(": ")
        assert f'<p role="alert"><b>{error}</b>: {html(message)}</p>' in page
        assert pictures(page).keys() == {"garden"}


@both
def test_the_page_shows_an_error_until_there_is_a_picture(house: House) -> None:
    house.deploy(BUTTON)
    house.pressed()
    with house.away():
        house.node_red.press("Take a picture")
        house.node_red.wait_for_debug("what went wrong")
        error, _, message = reason(house).partition(": ")
        page = house.get("/esp32cam/porch").text
        assert f'<p role="alert"><b>{error}</b>: {html(message)}</p>' in page
    house.client.clear()
    check_button(house)


@both
def test_a_camera_that_comes_back_is_tried_again_until_there_is_a_picture(house: House) -> None:
    house.deploy(RETRY)
    with house.away():
        house.node_red.press("Take a picture")
        house.node_red.wait_for_debug("what went wrong")
        assert house.node_red.status("worth another try?") == "unreachable: again in 5 s"
    mine = house.wait(RESULT, lambda m: m.json["camera"] == "porch" and m.json["status"] == "ok")
    assert mine
    house.until("the picture", lambda: house.get("/esp32cam/retry.jpg").type == "image/jpeg")


QUICK = change("5 s", "timeout", "0.1")


def test_after_three_tries_it_is_given_up(house: House) -> None:
    assert isinstance(house.porch, FakeBoard)
    house.deploy(RETRY, but=[QUICK])
    house.porch.always(b.error("camera_failed"))
    house.node_red.press("Take a picture")
    given_up = "camera_failed: given up after try 3"
    house.until(given_up, lambda: house.node_red.status("worth another try?") == given_up)
    assert len(house.wait(RESULT)) == 3
    assert len(house.node_red.debugged("what went wrong")) == 3


def test_what_can_not_get_better_is_not_tried_again(house: House) -> None:
    wrong = replace("first, second, third try", '"capture"', '{ framesize: "HUGE" }')
    house.deploy(RETRY, but=[QUICK, wrong])
    house.node_red.press("Take a picture")
    given_up = "unsupported: given up after try 1"
    house.until(given_up, lambda: house.node_red.status("worth another try?") == given_up)
    assert len(house.wait(RESULT)) == 1


def test_a_bridge_that_says_nothing_is_said_to_be_silent(house: House) -> None:
    house.deploy(FRESH, ALL, RETRY, but=[no_patience, change(SILENCE, "duration", "0.3")])
    with house.frozen_bridge():
        fresh = house.get("/esp32cam/fresh")
        assert fresh.status == 504
        assert "is the bridge running" in fresh.text
        page = house.get("/esp32cam/all").text
        assert page.count("<b>no_answer</b>: is the bridge running?") == 2
        house.node_red.press("Take a picture")
        shown = house.node_red.wait_for_debug("no answer")
        assert shown == "no_answer: nothing came in 90 s: is the bridge running?"


SILENCE = "no answer?"


def no_patience(nodes: list[Node]) -> None:
    for node in nodes:
        for variable in node.get("env", ()):
            if variable["name"] == "PATIENCE":
                variable["value"] = "0.3"


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("camera=shed", 504, "does its config.yaml have a camera shed?"),
        ("camera=../porch", 400, "camera: expected a name such as front_door"),
        ("camera=a&camera=b", 400, "camera: expected a name such as front_door"),
        ("framesize=vga!", 400, "framesize"),
        ("framesize=HUGE", 502, "unsupported: "),
    ],
)
def test_a_wrong_question_is_answered_as_one(
    house: House, query: str, status: int, text: str
) -> None:
    house.deploy(FRESH, but=[no_patience] if status == 504 else [])
    answer = house.get(f"/esp32cam/fresh?{query}")
    assert answer.status == status
    assert text in answer.text


def test_a_file_that_can_not_be_written_is_said_to_be_so(house: House) -> None:
    (house.node_red.directory / "pictures").write_text("in the way")
    try:
        house.deploy(SAVE)
        house.node_red.press("Take a picture")
        assert "pictures/porch" in house.node_red.wait_for_debug("the file was not written")
    finally:
        (house.node_red.directory / "pictures").unlink()


# Each has his own, once


def _is(jpeg: bytes, message: Message) -> bool:
    return message.payload == jpeg


@both
def test_those_who_ask_at_once_have_each_a_picture_of_their_own(house: House) -> None:
    house.deploy(FRESH)
    wanted = [
        (camera, size)
        for _ in range(3)
        for camera, size in (("porch", "QVGA"), ("garden", "QVGA"), ("porch", "SVGA"))
    ]
    with ThreadPoolExecutor(len(wanted)) as threads:
        answers = threads.map(
            lambda w: house.get(f"/esp32cam/fresh?camera={w[0]}&framesize={w[1]}"), wanted
        )
    for (camera, size), answer in zip(wanted, answers, strict=True):
        assert answer.status == 200, answer.text
        is_it = partial(_is, answer.body)
        house.client.wait(f"{BASE}/{camera}/image", is_it)  # perhaps a moment after its answer
        assert jpegs.parse(answer.body).width == {"QVGA": 320, "SVGA": 800}[size]


def test_all_six_together_save_each_picture_once(house: House) -> None:
    house.deploy(*EXAMPLES)
    jpeg = house.get("/esp32cam/fresh").body
    house.file_with(jpeg, "pictures/porch/20*.jpg")  # and only one


@both
def test_a_deploy_takes_and_saves_nothing(house: House) -> None:
    house.deploy(*EXAMPLES)
    house.get("/esp32cam/fresh?camera=porch")
    house.wait(PICTURE)  # it is retained from now on
    house.deploy()
    shutil.rmtree(house.node_red.directory / "pictures")
    captures = house.porch.captures
    for _ in range(3):
        house.deploy(*EXAMPLES)
        there = "the retained picture"
        house.until(there, lambda: house.get("/esp32cam/porch.jpg").status == 200)
    page = house.get("/esp32cam/porch").text
    assert "This picture is from before Node-RED started" in page
    assert not (house.node_red.directory / "pictures").exists()
    assert house.porch.captures == captures
    jpeg = house.get("/esp32cam/fresh").body
    assert len(house.wait(RESULT)) == 1
    house.file_with(jpeg, "pictures/porch/20*.jpg")


def test_who_waits_at_a_deploy_is_told_so(house: House) -> None:
    assert isinstance(house.porch, FakeBoard)
    go = threading.Event()
    house.deploy(FRESH, ALL)
    house.porch.script(b.late(go), b.late(go))
    asked = house.porch.captures
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(house.get, f"/esp32cam/{page}") for page in ("fresh", "all")]
        house.porch.wait_for_captures(asked + 1)
        house.wait(f"{BASE}/garden/image", lambda m: not m.retain)
        house.deploy(FRESH, ALL)
        for answer in answers:
            assert answer.result().status == 503
            assert answer.result().text == "this flow was deployed anew: ask again"
    go.set()


# The window of the time-lapse


def at(hours: int) -> str:
    return (datetime.now() + timedelta(hours=hours)).strftime("%H:%M")


@pytest.mark.parametrize(
    ("begins", "ends", "is_open"),
    [(-1, 1, True), (1, 2, False), (2, 1, True), (-2, -1, False), (0, 0, True)],
)
def test_the_time_lapse_keeps_its_hours(
    house: House, begins: int, ends: int, is_open: bool
) -> None:
    house.deploy(LAPSE, but=[knob("FROM", at(begins)), knob("TO", at(ends))])
    captures = house.porch.captures
    house.node_red.press("every 5 minutes")
    house.until("its status", lambda: house.node_red.status("only by day"))
    said = house.node_red.status("only by day")
    assert ("asked at" in said, "not before" in said) == (is_open, not is_open)
    house.client.request(f"{BASE}/porch/capture", {"save": False})  # it comes after the other
    assert house.porch.captures == captures + 1 + is_open


def test_the_time_lapse_goes_by_itself(house: House) -> None:
    each_second = change("every 5 minutes", "crontab", "* * * * * *")
    house.deploy(LAPSE, but=[knob("FROM", "00:00"), knob("TO", "00:00"), each_second])
    films = f"pictures/porch/{datetime.now():%Y}*/*.jpg"
    house.until("a film", lambda: len([*house.node_red.directory.glob(films)]) >= 2)
    house.deploy()


def test_an_hour_that_is_none_is_said_to_be_so(house: House) -> None:
    house.deploy(LAPSE, but=[knob("TO", "7 pm")])
    house.node_red.press("every 5 minutes")
    fault = "TO: expected a time such as 07:00, got 7 pm"
    house.until(fault, lambda: house.node_red.status("only by day") == fault)
    house.node_red.wait_for_log(fault)


# A flow that is broken is found out


BROKEN: dict[str, tuple[str, Callable[[House], None], Break]] = {
    "button: nobody is asked": (
        BUTTON, check_button, cut("Take a picture", "esp32cam/porch/capture")
    ),
    "button: another topic": (
        BUTTON, check_button, change("esp32cam/porch/image", "topic", "esp32cam/porch/picture")
    ),
    "button: the page without results": (
        BUTTON, check_button, cut("esp32cam/porch/result", "keep the result")
    ),
    "button: no answer": (
        BUTTON, check_button, cut("the picture", "image/jpeg")
    ),
    "fresh: answers elsewhere": (
        FRESH, check_fresh, change("with a response topic", "respTopic", "esp32cam-reply/else")
    ),
    "fresh: no correlation": (
        FRESH, check_fresh, replace("who asks gets the answer", "correlationData: id, ", "")
    ),
    "fresh: another camera": (
        FRESH, check_fresh, replace("who asks gets the answer", 'camera = "porch"', 'camera = "p"')
    ),
    "save: appending": (
        SAVE, check_save, change("overwrite, never append", "overwriteFile", "false")
    ),
    "save: no file": (SAVE, check_save, cut("two file names", "overwrite, never append")),
    "lapse: never asks": (LAPSE, check_lapse, cut("only by day", "esp32cam/porch/capture")),
    "lapse: answers elsewhere": (
        LAPSE, check_lapse, change("esp32cam/porch/capture", "respTopic", "esp32cam-reply/else")
    ),
    "retry: once only": (RETRY, check_retry, cut("5 s", "first, second, third try")),
    "retry: in silence": (RETRY, check_retry, cut("a picture?", "what went wrong")),
    "all: nobody is asked": (
        ALL, check_all, change("esp32cam/all/capture", "topic", "esp32cam/al/capture")
    ),
    "all: not waiting for the last": (
        ALL, check_all, change("esp32cam/+/availability", "topic", "esp32cam/+/available")
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_flow_is_found_out(house: House, broken: str) -> None:
    example, check, play = BROKEN[broken]
    easy = {LAPSE: [knob("FROM", "00:00"), knob("TO", "00:00")], RETRY: [QUICK]}.get(example, [])
    house.deploy()
    house.deploy(example, but=easy)
    began = time.monotonic()
    check(house)
    house.patience = max(0.5, 4 * (time.monotonic() - began))
    shutil.rmtree(house.node_red.directory / "pictures", ignore_errors=True)
    house.deploy()  # which forgets the picture that is kept
    house.deploy(example, but=[*easy, play])
    with pytest.raises((AssertionError, TimeoutError)):
        check(house)


def reason(house: House) -> str:
    """Why the last capture failed, as the bridge has said it."""
    house.client.sync()
    result = house.client.messages(f"{BASE}/porch/result")[-1].json
    assert result["status"] == "error"
    return f"{result['error']}: {result['message']}"


def html(text: str) -> str:
    """The text as mustache puts it into a page."""
    for raw, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&#39;"),
        ("/", "&#x2F;"),
        ("`", "&#x60;"),
        ("=", "&#x3D;"),
    ):
        text = text.replace(raw, safe)
    return text

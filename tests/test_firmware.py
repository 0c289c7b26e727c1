"""The firmware's pictures and settings over the wire: fresh, lit, and in bounded time."""

import pytest
import websocket

from tests.conftest import Simulators
from tests.fakes.wire import V1, connected, decoded, picture, size, stamp, talking

TWO_BUFFERS = {"framesize": "QVGA"}
ONE_BUFFER = {"framesize": "QVGA", "no_psram": True}  # in DRAM there is room for one
buffers = pytest.mark.parametrize(
    "options", [pytest.param(TWO_BUFFERS, id="two"), pytest.param(ONE_BUFFER, id="one")]
)


def uptime(v1: V1) -> int:
    """The board's own clock."""
    ms: int = v1.ask("status")["uptime_ms"]
    return ms


# The scene of now


@buffers
def test_a_picture_was_exposed_after_the_question(
    simulator: Simulators, options: dict[str, str]
) -> None:
    with talking(simulator(**options).url) as v1:
        for _ in range(10):
            asked = uptime(v1)
            head, data = v1.capture()
            assert stamp(data).exposed_ms >= asked
            assert 0 <= head["age_ms"] <= uptime(v1) - asked


@buffers
def test_a_picture_is_of_now_however_long_the_camera_was_idle(
    simulator: Simulators, options: dict[str, str]
) -> None:
    board = simulator(**options)
    with talking(board.url) as v1:
        v1.capture()
        board.tell("advance 10")  # what the driver holds is ten seconds old now
        asked = uptime(v1)
        head, data = v1.capture()
        assert stamp(data).exposed_ms >= asked
        assert head["dropped"] > 0


@buffers
def test_the_light_is_on_during_all_of_the_exposure_and_off_afterwards(
    simulator: Simulators, options: dict[str, str]
) -> None:
    board = simulator(**options)
    with talking(board.url) as v1:
        for settle_ms in (0, 300):
            asked = uptime(v1)
            head, data = v1.capture(flash=True, settle_ms=settle_ms)
            assert head["flash"] is True
            assert stamp(data).flash
            assert stamp(data).exposed_ms >= asked + settle_ms
            assert board.state()["led"] == 0
            assert not stamp(v1.capture(flash=False)[1]).flash


def test_a_lit_picture_is_a_brighter_one(simulator: Simulators) -> None:
    with talking(simulator(framesize="QVGA").url) as v1:
        dark, lit = (v1.capture(flash=flash)[1] for flash in (False, True))
    assert brightness(lit) > brightness(dark) + 10


def brightness(data: bytes) -> float:
    grey = decoded(data).convert("L")
    return sum(value * count for value, count in enumerate(grey.histogram())) / (
        grey.width * grey.height
    )


@buffers
def test_a_picture_after_another_of_a_different_size_has_its_own(
    simulator: Simulators, options: dict[str, str]
) -> None:
    with talking(simulator(**options).url) as v1:
        for name, wanted in (("CIF", (400, 296)), ("QVGA", (320, 240)), ("QQVGA", (160, 120))):
            asked = uptime(v1)
            _, data = v1.capture(framesize=name)
            assert size(data) == wanted
            assert stamp(data).exposed_ms >= asked
        assert size(v1.capture()[1]) == (320, 240)


def test_every_size_that_it_tells_of_it_can(simulator: Simulators) -> None:
    with talking(simulator().url) as v1:
        for name in v1.hello["framesizes"]:
            head, data = v1.capture(framesize=name, quality=30)
            assert (head["width"], head["height"]) == size(data)
        assert size(data) == (1600, 1200)


def test_without_psram_it_offers_less_and_works(simulator: Simulators) -> None:
    with talking(simulator(no_psram=True).url) as v1:
        assert v1.hello["psram"] is False
        assert "UXGA" not in v1.hello["framesizes"]
        assert v1.capture()[0]["width"] < 1600
        refused = v1.ask("capture", framesize="UXGA")
        assert refused["error"] == "bad_framesize"
        assert v1.ask("status")["psram_free"] == 0


def test_a_board_without_a_light_does_not_offer_it(simulator: Simulators) -> None:
    with talking(simulator(no_led=True, framesize="QVGA").url) as v1:
        assert "flash" not in v1.hello["features"]
        assert v1.ask("capture", flash=True)["error"] == "bad_request"
        v1.capture()


def test_a_scene_too_rich_for_the_buffer_is_taken_more_coarsely(simulator: Simulators) -> None:
    board = simulator(framesize="QVGA", quality=10)
    board.tell("overflow 14")  # no frame is whole at a quality number below
    with talking(board.url) as v1:
        head, _ = v1.capture()
        assert head["quality"] >= 14
        assert v1.ask("set")["quality"] == 10


# When the camera fails


def test_without_a_camera_the_board_is_there_and_says_what_is_wrong(simulator: Simulators) -> None:
    board = simulator(no_camera=True)
    with talking(board.url) as v1:
        assert v1.hello["type"] == "hello"
        answer = v1.ask("capture", id="c1")
        assert (answer["id"], answer["error"]) == ("c1", "camera_failed")
        assert answer["detail"]
        assert answer["retry_after_ms"] > 0
        assert v1.ask("status")["failures"] == 1
        board.tell("camera on")
        v1.capture(id="c2")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("null", "camera_failed"),
        ("nosoi", "camera_failed"),
        ("noeoi", "camera_failed"),
        ("stale", "no_fresh_frame"),
    ],
)
def test_a_camera_that_fails_is_a_named_error_within_the_bridges_deadline(
    simulator: Simulators, kind: str, error: str
) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        board.tell(f"fail forever {kind}")
        asked = uptime(v1)
        answer = v1.ask("capture", id="c1", flash=True)
        assert (answer["id"], answer["error"]) == ("c1", error)
        assert uptime(v1) - asked < 15_000  # capture.timeout's default
        assert board.state()["led"] == 0
        board.tell("fail 0")
        board.tell("advance 60")  # the light has been on for long, and has to cool down
        head, _ = v1.capture(id="c2", flash=True)
        assert (head["id"], head["flash"]) == ("c2", True)
        status = v1.ask("status")
        assert (status["captures"], status["failures"]) == (1, 1)


@pytest.mark.parametrize("kind", ["null", "nosoi", "noeoi", "badtime"])
def test_a_single_bad_frame_costs_nothing_but_time(simulator: Simulators, kind: str) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        board.tell(f"fail 1 {kind} 100")
        asked = uptime(v1)
        _, data = v1.capture()
        assert stamp(data).exposed_ms >= asked
        assert v1.ask("status")["failures"] == 0


def test_a_board_short_of_memory_says_so_and_goes_on(simulator: Simulators) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        board.tell("heap 15000 4000")
        answer = v1.ask("capture")
        assert (answer["error"], answer["retry_after_ms"]) == ("low_memory", 1000)
        board.tell("heap 180000 110000")
        v1.capture()


# Settings and restarts


def test_settings_are_those_of_before_after_a_restart(simulator: Simulators) -> None:
    board = simulator()
    wanted = {"framesize": "CIF", "quality": 20, "hmirror": True, "brightness": -1}
    with talking(board.url) as v1:
        v1.ask("set", settings=wanted, persist=True)
        v1.ask("set", settings={"contrast": 2})
    board.tell("restart power_on")
    board.wait_for_start(2)
    with talking(board.url) as v1:
        now = v1.ask("set")
        assert wanted.items() <= now.items()
        assert now["contrast"] == 0
        assert size(v1.capture()[1]) == (400, 296)


@pytest.mark.parametrize("reason", ["brownout", "panic", "watchdog", "power_on"])
def test_why_it_started_is_told(simulator: Simulators, reason: str) -> None:
    board = simulator(framesize="QVGA")
    with connected(board.url) as client:
        client.send("capture")
        picture(client)
        board.tell(f"restart {reason}")
        with pytest.raises((ConnectionError, websocket.WebSocketException)):
            client.recv()
    board.wait_for_start(2)
    with talking(board.url) as v1:
        assert v1.ask("status")["reset_reason"] == reason
        v1.capture()


def test_a_restart_that_is_asked_for_comes_after_its_answer(simulator: Simulators) -> None:
    board = simulator()
    with talking(board.url) as v1:
        assert v1.ask("restart", id="r") == {"type": "ok", "id": "r", "cmd": "restart"}
        assert v1.closing_code() == 1001
    board.wait_for_start(2)
    with talking(board.url) as v1:
        assert v1.ask("status")["reset_reason"] == "software"


# The key


def test_a_key_closes_the_old_wire_unless_it_is_allowed(simulator: Simulators) -> None:
    board = simulator(key="sesame", framesize="QVGA")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(board.url)
    assert refused.value.status_code == 401
    with talking(board.url, key="sesame") as v1:
        v1.capture()
    allowed = simulator(key="sesame", framesize="QVGA", allow_legacy=True)
    with connected(allowed.url) as client:
        client.send("capture")
        picture(client)
    with talking(allowed.url) as v1:
        assert v1.ask("capture")["error"] == "unauthorized"


def test_who_does_not_prove_the_key_is_sent_away(simulator: Simulators) -> None:
    board = simulator(key="sesame")
    with talking(board.url) as v1:
        board.tell("advance 6")
        assert v1.closing_code() == 1008


def test_neither_key_nor_password_is_ever_said(simulator: Simulators) -> None:
    board = simulator(key="key-sesame", password="page-sesame", framesize="QVGA")
    with talking(board.url, key="key-sesame") as v1:
        told = [v1.hello, v1.ask("status"), v1.ask("set"), v1.ask("capture", framesize="key")]
    with talking(board.url) as v1:
        told.append(v1.prove("key-other"))
    assert "sesame" not in str(told)
    assert "key-sesame" not in board.log

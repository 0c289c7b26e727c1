"""docs/troubleshooting.md: the bridge says what stands in its boxes, in just these words."""

import re
import time
from collections.abc import Callable

import pytest

from bridge import errors
from tests.conftest import Boards, StartBridge
from tests.fakes import behaviours as b
from tests.fakes.board import OnCapture, OnConnect
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker, Client
from tests.fakes.port import number, reserve
from tests.fakes.simulator import SimulatedBoard
from tests.markdown import ROOT, anchors, blocks, read
from tests.test_docs import table, words

DOCUMENT = "docs/troubleshooting.md"
BOXES = [line for block in blocks(DOCUMENT, "text") for line in block.text.splitlines()]
FIRMWARE = ROOT / "firmware/lib/camcore/src/camcore"

NO_FRAME = "the camera gave no frame"
COOLING = "flash: the light has to cool down"


def pattern(line: str) -> str:
    """A regular expression for the line with another camera, and other numbers and addresses."""
    line = line.replace(".local", ".invalid").replace("esp32cam/front_door", "TOPIC")
    text = re.escape(line).replace("front_door", r"\w+").replace("TOPIC", r"esp32cam[\w-]*/\w+")
    return re.sub(r"\d[\d:]*(?:\\\.\d[\d:]*)*", r"[\\d:.]+", text)


def missing(lines: list[str], told: list[str]) -> list[str]:
    return [line for line in lines if not any(re.search(pattern(line), it) for it in told)]


ABOUT_BROKER = [line for line in BOXES if line.startswith("mqtt: ") and "retained" not in line]
ABOUT_CAMERAS = [line for line in BOXES if line not in ABOUT_BROKER]


@pytest.fixture
def small(own_broker: Callable[..., Broker]) -> Broker:
    """A broker that takes no picture."""
    return own_broker(max_packet_size=10_000)


def test_what_is_said_of_cameras(
    board: Boards,
    bridge: StartBridge,
    client: Callable[..., Client],
    small: Broker,
    base_topic: str,
) -> None:
    behaviours: dict[str, OnCapture | OnConnect] = {
        "web": b.http("200 OK"),
        "full": b.slots_full,
        "half": b.truncated,
        "huge": b.huge(5_242_880),
        "silent": b.silent,
        "cut": b.cut(1000),
        "failing": b.error("camera_failed", detail=NO_FRAME),
        "hot": b.error("busy", detail=COOLING),
    }
    boards = {
        name: board(name, wire="v1" if name in ("failing", "hot") else "legacy")
        for name in ("refusing", "good", "sketch", *behaviours)
    }
    for name, behaviour in behaviours.items():
        boards[name].always(behaviour)
    boards["refusing"].pause()
    keyed = board("locked", wire="v1", key="right")
    with SimulatedBoard(key="right") as firmware:
        cameras: dict[str, object] = {name: {"url": it.url} for name, it in boards.items()}
        cameras["sketch"] = {"url": boards["sketch"].url, "protocol": "v1"}
        cameras["nameless"] = {"url": "ws://esp32cam-1a2b3c.invalid"}
        cameras["locked"] = {"url": keyed.url}
        cameras["wrong"] = {"url": firmware.url, "key": "wrong"}
        it = bridge(
            cameras,  # type: ignore[arg-type]
            on=small,
            capture={"timeout": 2, "retries": 0, "queue": 1, "max_age": 1},
            storage={"path": "captures", "keep": {"free": "900TB"}},
        )
        with client(on=small) as asker:
            asker.wait(f"{base_topic}/silent/availability", lambda m: m.payload == b"online")
            for name in ("good", "half", "huge", "cut", "failing", "hot", "silent"):
                asker.publish(f"{base_topic}/{name}/capture", {"id": name})
            asker.publish(f"{base_topic}/good/capture", {"flash": True})
            asker.publish(f"{base_topic}/good/capture", {"falsh": True})
            asker.publish(f"{base_topic}/good/capture", b"capture", retain=True)
            for id_, save in (("late", True), ("refused", False)):
                asker.publish(f"{base_topic}/silent/capture", {"id": id_, "save": save})
            asker.wait(f"{base_topic}/+/result", count=11)
            it.wait_for_log("sketch: not connected")
            results = [m.json for m in asker.messages(f"{base_topic}/+/result")]
    told = [*it.lines, *(f"{result['error']}: {result['message']}" for result in results)]
    assert missing(ABOUT_CAMERAS, told) == []


def test_what_is_said_of_the_broker(bridge: StartBridge, own_broker: Callable[..., Broker]) -> None:
    camera = {"door": {"url": "ws://127.0.0.1:9"}}
    locked = own_broker(users={"bridge": "right"}, acl="user bridge\ntopic read nothing\n")
    told: list[str] = []

    def start(**mqtt: object) -> Bridge:
        it = bridge(camera, on=locked, start=False, mqtt={"host": "localhost", **mqtt})
        it.start(wait=False)
        return it

    def hear(line: str, **mqtt: object) -> None:
        """Run a bridge until it says this."""
        told.append(start(**mqtt).wait_for_log(pattern(line), timeout=20))

    refused, stranger, acl, rival = ABOUT_BROKER
    with reserve() as nobody:
        hear(refused, port=number(nobody))
    mine = {"port": locked.port, "username": "bridge"}
    hear(stranger, **mine, password="wrong")
    hear(acl, **mine, password="right")
    same: dict[str, object] = {**mine, "password": "right", "client_id": "esp32cam2mqtt"}
    one = start(**same)
    one.wait_for_log("mqtt: connected")
    other = start(**same)  # either may be the first to notice
    deadline = time.monotonic() + 20
    while missing([rival], [*one.lines, *other.lines]) and time.monotonic() < deadline:
        time.sleep(0.01)
    told += [*one.lines, *other.lines]
    assert missing(ABOUT_BROKER, told) == []


def test_what_boards_are_quoted_with_is_what_the_firmware_says() -> None:
    source = "".join(path.read_text() for path in FIRMWARE.glob("*.cpp"))
    assert [words for words in (NO_FRAME, COOLING) if f'"{words}"' not in source] == []


def test_every_error_is_in_the_table_at_the_top() -> None:
    rows = table(read(DOCUMENT), "a result's `error`")
    documented = {word for row in rows for word in words(row[0])}
    real = {error.code for error in errors.BridgeError.__subclasses__()}
    assert documented == real - {"unknown_camera", "shutting_down"}
    sections = {anchor for row in rows for anchor in re.findall(r"\(#([\w-]+)\)", row[1])}
    assert sections <= anchors(DOCUMENT)

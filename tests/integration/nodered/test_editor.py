"""The examples in Node-RED's editor, clicked through as docs/node-red.md says."""

import os
import re
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.fakes.boards import forenoon
from tests.fakes.broker import Client
from tests.integration.browser import Browser
from tests.integration.nodered.editor import Editor, Place
from tests.integration.nodered.flows import BUTTON, EXAMPLES, FOLDER, Node
from tests.integration.nodered.house import House
from tests.integration.nodered.node_red import NodeRed
from tests.markdown import read
from tests.test_demo_simulator import demo, heard

DOCUMENT = read("docs/node-red.md")
_STATUS = 18  # pixels: what can stand below a node
_WIRE = 10  # pixels of which something is seen


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    """Where the manual's pictures are written to."""
    return Path(os.environ.get("ESP32CAM_SCREENS") or tmp_path)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser, as wide as on a laptop."""
    with Browser() as browser:
        browser.resize(1400, 720)
        yield browser


def test_from_import_to_picture_by_the_document_alone(
    node_red: NodeRed,
    browser: Browser,
    tmp_path: Path,
    screens: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ESP32CAM_SIM", "")
    monkeypatch.setenv("TZ", forenoon())
    with demo(tmp_path, "-v") as process, Browser() as another:
        another.resize(800, 560)
        there = re.search(r"on 127\.0\.0\.1:(\d+)", heard(process, "Ctrl-C"))
        assert there is not None
        node_red.deploy([])
        editor = Editor(browser, node_red.port)
        with Client(int(there[1]), subscribe=["esp32cam/porch/+"]) as client:
            began = time.monotonic()
            editor.import_file(FOLDER / f"{BUTTON}.json")
            editor.wait_for("1 configuration node")
            editor.open_tab("Button to browser")
            editor.open_broker("esp32cam/porch/capture")
            editor.fill("broker", "localhost")
            editor.fill("port", there[1])
            editor.click("Update")
            editor.click("Done")
            editor.deploy()
            for topic in ("capture", "image", "result"):
                editor.wait_for_status(f"esp32cam/porch/{topic}", "connected")
            editor.press("Take a picture")
            (result,) = client.wait("esp32cam/porch/result")
            another.open(f"http://127.0.0.1:{node_red.port}/esp32cam/porch")
            taken = f"Taken at {result.json['captured_at']}"
            another.wait_for(f"document.body.innerText.includes({taken!r})")
            another.wait_for("document.images[0].naturalWidth === 1600")
            took = time.monotonic() - began
        another.save(screens / "node-red-page.png")
        clicks = editor.clicks
        browser.run("document.querySelector('#red-ui-notifications').remove()")
        browser.save(screens / "node-red-flow.png")
        editor.open_broker("esp32cam/porch/capture")
        editor.fill("broker", "192.0.2.7")
        browser.save(screens / "node-red-broker.png")
    assert all(path.stat().st_size < 150_000 for path in screens.glob("node-red-*.png"))
    assert [words for words in editor.words if f"*{words}*" not in DOCUMENT] == []
    with capsys.disabled():
        print(f"\nfrom import to picture: {took:.1f} s, {clicks} clicks")


def test_six_imports_have_one_broker_and_are_laid_out_to_be_read(
    house: House, browser: Browser
) -> None:
    house.deploy()
    editor = Editor(browser, house.node_red.port)
    first, *others = (FOLDER / f"{example}.json" for example in EXAMPLES)
    editor.import_file(first)
    editor.open_tab("Button to browser")
    for port, status in ((1, "connecting"), (house.port, "connected")):
        editor.open_broker("esp32cam/porch/capture")
        editor.fill("port", str(port))
        editor.click("Update")
        editor.click("Done")
        editor.deploy()
        editor.wait_for_status("esp32cam/porch/capture", status)
    for other in others:
        editor.import_another(other)
    assert "*Import copy*" in DOCUMENT
    editor.deploy()
    nodes = {node["id"]: node for node in editor.nodes()}
    (broker,) = (node for node in nodes.values() if node["type"] == "mqtt-broker")
    assert (broker["broker"], broker["port"]) == ("127.0.0.1", str(house.port))
    for tab in [id_ for id_, node in nodes.items() if node["type"] == "tab"]:
        places = editor.places(tab)
        assert places.keys() == {id_ for id_, node in nodes.items() if node.get("z") == tab}
        for id_, place in places.items():
            assert place.right < editor.width(), name(nodes[id_])
            if nodes[id_]["type"].startswith("mqtt"):
                editor.wait_for_status(name(nodes[id_]), "connected")
            for end in (end for output in nodes[id_]["wires"] for end in output):
                assert place.right + _WIRE <= places[end].left, name(nodes[id_])
        for one, another in combinations(places, 2):
            apart = room(nodes[one], places[one]), room(nodes[another], places[another])
            assert not overlap(*apart), f"{name(nodes[one])}, {name(nodes[another])}"
    assert house.get("/esp32cam/all").text.count("<img") == 2


def name(node: Node) -> str:
    """What a person knows it by."""
    return str(node["name"] or node.get("topic") or node["type"])


def room(node: Node, place: Place) -> Place:
    """The place of a node and of what can stand below it."""
    speaks = node.get("tostatus") or "node.status(" in node.get("func", "")
    return place._replace(bottom=place.bottom + _STATUS) if speaks else place


def overlap(one: Place, other: Place) -> bool:
    """Whether one of them covers the other, if only in part."""
    beside = one.right <= other.left or other.right <= one.left
    return not (beside or one.bottom <= other.top or other.bottom <= one.top)

"""What docs/node-red.md says of Node-RED itself, seen in a Node-RED."""

from typing import Any

import pytest

from tests.integration.nodered.flows import BUTTON, Node, load
from tests.integration.nodered.house import BASE, PICTURE, House


def small(house: House, *nodes: Node, version: str = "5") -> None:
    """Deploy these nodes, each in the editor's default form but for what is said here."""
    (broker,) = (n for n in load(BUTTON) if n["type"] == "mqtt-broker")
    broker = {**broker, "port": str(house.port), "protocolVersion": version}
    tab = {"id": "tab", "type": "tab", "label": "small"}
    of = {"z": "tab", "broker": broker["id"], "wires": [[]], "x": 0, "y": 0}
    house.client.sync()
    house.client.clear()
    house.node_red.deploy([tab, broker, *({**of, "name": n["id"], **n} for n in nodes)])


def hear(topic: str, **more: Any) -> Node:
    """An mqtt-in node with the editor's defaults."""
    default = {"qos": "2", "datatype": "auto-detect", "nl": False, "rap": True, "rh": 0}
    return {"id": "in", "type": "mqtt in", "topic": topic, "wires": [["next"]], **default, **more}


def show(expression: str) -> Node:
    """A debug node that shows this."""
    return {
        "id": "next", "type": "debug", "active": True, "tosidebar": True,
        "complete": expression, "targetType": "jsonata" if "$" in expression else "msg",
    }  # fmt: skip


def say(**more: Any) -> Node:
    """A button, and an mqtt-out node with these properties."""
    return {"id": "out", "type": "mqtt out", "qos": "1", "retain": "false", **more}


BUTTON_NODE: Node = {
    "id": "button", "type": "inject", "wires": [["out"]],
    "props": [{"p": "payload", "v": "capture", "vt": "str"}],
}  # fmt: skip


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_picture_is_a_buffer_by_auto_detection(house: House, version: str) -> None:
    small(house, hear(PICTURE, rh=2), show("payload"), version=version)
    house.client.request(f"{BASE}/porch/capture")
    size = len(house.wait(PICTURE, lambda m: not m.retain)[0].payload)
    shown = house.node_red.wait_for_debug("next")
    assert shown.startswith("ffd8")
    assert len(shown) == 1_000 < size  # hexadecimal digits: 500 bytes


def test_without_mqtt_5_no_answer_comes(house: House) -> None:
    out = say(topic=f"{BASE}/porch/capture", respTopic="esp32cam-reply/nodered/x")
    answers = hear("esp32cam-reply/nodered/x")
    small(house, BUTTON_NODE, out, answers, show("payload"), version="4")
    house.node_red.press("button")
    house.wait(f"{BASE}/porch/result")
    (asked,) = house.client.messages(f"{BASE}/porch/capture")
    assert asked.response_topic is None
    house.client.expect_none("esp32cam-reply/#")


def test_an_empty_topic_is_the_one_that_the_message_came_from(house: House) -> None:
    small(house, hear("door/bell", nl=True, wires=[["out"]]), say(topic=""))
    house.client.publish("door/bell", "ring", response_topic="door/answer")
    house.wait("door/bell", count=2)
    house.client.expect_none("door/answer")

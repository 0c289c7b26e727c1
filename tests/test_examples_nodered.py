"""examples/node-red: what can be seen without a Node-RED; `make test-node-red` runs the flows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge import command, topics
from bridge.capture import Outcome, Request, result

ROOT = Path(__file__).parents[1]
FLOWS = sorted((ROOT / "examples/node-red").glob("*.json"))
DOCUMENT = (ROOT / "docs/node-red.md").read_text()
CORE = {
    "catch", "change", "comment", "debug", "delay", "file", "function", "http in", "http response",
    "inject", "link in", "link out", "mqtt in", "mqtt out", "mqtt-broker", "switch", "tab",
    "template", "trigger",
}  # fmt: skip
REPLIES = "esp32cam-reply/nodered/"  # what docker/mosquitto/acl lets Node-RED read

flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda path: path.stem)


def nodes(flow: Path) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(flow.read_text())
    return read


def test_there_are_six() -> None:
    assert len(FLOWS) == 6


@flow
def test_only_nodes_that_node_red_brings(flow: Path) -> None:
    assert {node["type"] for node in nodes(flow)} <= CORE


@flow
def test_every_wire_and_every_tab_leads_somewhere(flow: Path) -> None:
    ids = [node["id"] for node in nodes(flow)]
    assert len(ids) == len(set(ids))
    for node in nodes(flow):
        assert {to for output in node.get("wires", ()) for to in output} <= {*ids}, node["name"]
        assert {node.get("z", ids[0]), node.get("broker") or ids[0]} <= {*ids} | {"127.0.0.1"}


def test_ids_are_shared_by_the_broker_alone() -> None:
    counted: dict[str, list[dict[str, Any]]] = {}
    for node in (node for flow in FLOWS for node in nodes(flow)):
        counted.setdefault(node["id"], []).append(node)
    for same in counted.values():
        assert len(same) == 1 or all(node == same[0] for node in same)
        assert len(same) == 1 or same[0]["type"] == "mqtt-broker"


@flow
def test_the_broker_is_a_placeholder_on_mqtt_5_without_credentials(flow: Path) -> None:
    (broker,) = (node for node in nodes(flow) if node["type"] == "mqtt-broker")
    assert (broker["broker"], broker["port"]) == ("127.0.0.1", "1883")
    assert broker["protocolVersion"] == "5"
    assert "credentials" not in flow.read_text()


@flow
def test_every_topic_is_one_of_the_bridges(flow: Path) -> None:
    ours = topics.CameraTopics.of("esp32cam", "porch")
    out = {ours.image, ours.result, ours.availability}
    out |= {topic.replace("porch", "+") for topic in out}
    commands = {ours.capture, topics.group_capture("esp32cam", topics.ALL), ""}
    for node in nodes(flow):
        if node["type"] == "mqtt out":
            assert node["topic"] in commands
            assert node["respTopic"] == "" or node["respTopic"].startswith(REPLIES)
            assert (node["qos"], node["retain"]) == ("1", "false")
        elif node["type"] == "mqtt in":
            assert node["topic"] in out or node["topic"].startswith(REPLIES)
            assert node["qos"] == "1"
    answers = {n["respTopic"] for n in nodes(flow) if n["type"] == "mqtt out"} - {""}
    heard = {n["topic"] for n in nodes(flow) if n["type"] == "mqtt in"}
    assert answers == {topic for topic in heard if topic.startswith(REPLIES)}


@flow
def test_the_code_uses_keys_that_there_are(flow: Path) -> None:
    results = {*result(Request("a", "b", 0, 0), Outcome(0), requested_at=0, received=0)}
    for node in nodes(flow):
        code = node.get("func", "")
        for names in re.findall(r"const \{ ([\w, ]+) \} = msg\.(?:payload|userProperties);", code):
            assert {*names.split(", ")} <= results, node["name"]
        for names in re.findall(r"payload: \{ ([\w, ]+) \}", code):
            assert {*names.split(", ")} <= {*command.CAPTURE_KEYS}, node["name"]


@flow
def test_every_flow_is_documented(flow: Path) -> None:
    assert f"](../examples/node-red/{flow.name})" in DOCUMENT
    for node in nodes(flow):
        if node["type"] == "tab":
            assert "To set up" in node["info"]
            for knob in node["env"]:
                assert f"`{knob['name']}`" in DOCUMENT
        elif node["type"] == "http in":
            assert node["url"] in DOCUMENT


@flow
def test_a_file_is_written_over_and_not_appended_to(flow: Path) -> None:
    for node in nodes(flow):
        assert node.get("overwriteFile", "true") == "true"


@flow
def test_nothing_is_asked_at_a_deploy(flow: Path) -> None:
    for node in nodes(flow):
        assert not node.get("once"), node["name"]

"""The example flows: read, given the broker's address, and broken on purpose."""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Node = dict[str, Any]
Break = Callable[[list[Node]], None]

FOLDER = Path(__file__).parents[3] / "examples" / "node-red"
BUTTON, FRESH, SAVE, LAPSE, RETRY, ALL = EXAMPLES = (
    "button-to-browser",
    "fresh-picture",
    "save-to-file",
    "time-lapse",
    "retry-on-error",
    "all-cameras",
)


def load(*names: str) -> list[Node]:
    """Their nodes, each once: they have the broker in common."""
    nodes: dict[str, Node] = {}
    for name in names:
        nodes |= {n["id"]: n for n in json.loads((FOLDER / f"{name}.json").read_text())}
    return list(nodes.values())


def connected(nodes: Sequence[Node], port: int) -> list[Node]:
    """What a user makes of them: the broker's address is put in, and nothing else."""
    ours = copy.deepcopy(list(nodes))
    for node in ours:
        if node["type"] == "mqtt-broker":
            node["port"] = str(port)
    return ours


def named(nodes: Sequence[Node], name: str) -> Node:
    """The one node that has this name, topic or URL."""
    found = [n for n in nodes if name in (n.get("name"), n.get("topic"), n.get("url"))]
    assert len(found) == 1, f"{name!r}: {len(found)} nodes"
    return found[0]


def knob(name: str, value: object) -> Break:
    """Set an environment variable of a flow, which is what they are for."""

    def turn(nodes: list[Node]) -> None:
        knobs = [k for n in nodes for k in n.get("env", ()) if k["name"] == name]
        assert len(knobs) == 1, knobs
        knobs[0]["value"] = str(value)

    return turn


def cut(source: str, target: str) -> Break:
    """Cut the wire between two nodes."""

    def play(nodes: list[Node]) -> None:
        end = named(nodes, target)["id"]
        wires = named(nodes, source)["wires"]
        assert any(end in output for output in wires), f"no wire from {source} to {target}"
        named(nodes, source)["wires"] = [[to for to in output if to != end] for output in wires]

    return play


def change(name: str, key: str, value: object) -> Break:
    """Set a property of a node to something else."""

    def play(nodes: list[Node]) -> None:
        node = named(nodes, name)
        assert key in node, f"{name} has no {key}"
        assert node[key] != value, f"{name}: {key} is {value!r} already"
        node[key] = value

    return play


def replace(name: str, old: str, new: str) -> Break:
    """Replace something in a function node's code."""

    def play(nodes: list[Node]) -> None:
        node = named(nodes, name)
        assert old in node["func"], f"{name} has no {old!r}"
        node["func"] = node["func"].replace(old, new)

    return play

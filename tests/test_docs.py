"""What the documents promise is what the code does: tables against who owns the words."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from bridge import command, errors, topics
from bridge.__main__ import _parser
from bridge.capture import Outcome, Request, result
from bridge.state import CameraState
from tests.markdown import blocks, documents, read

ROOT = Path(__file__).parents[1]
MQTT = (ROOT / "docs/mqtt.md").read_text()


def table(document: str, first_header: str, *, number: int = 0) -> list[list[str]]:
    """The cells of the table whose first column is headed so, without its header."""
    tables = re.findall(
        rf"^\| {first_header} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", document, re.MULTILINE
    )
    rows = tables[number].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_topics_are_all_there_and_no_others() -> None:
    documented = {word for row in table(MQTT, "topic") for word in words(row[0])}
    camera = topics.CameraTopics.of("esp32cam", "porch")
    bridge = topics.BridgeTopics.of("esp32cam")
    real = {getattr(camera, name) for name in topics.CameraTopics.__slots__}
    real |= {getattr(bridge, name) for name in topics.BridgeTopics.__slots__}
    real |= {topics.group_capture("esp32cam", name) for name in ("outside", topics.ALL)}
    assert documented == real


def test_the_commands_keys_are_all_there() -> None:
    assert [words(row[0])[0] for row in table(MQTT, "key")] == command.CAPTURE_KEYS


def test_the_results_keys_are_all_there_and_in_order() -> None:
    request = Request("a1", "porch", 0, 0)
    real = list(result(request, Outcome(0), requested_at=0, received=0))
    assert [words(row[0])[0] for row in table(MQTT, "key", number=1)] == real
    example = re.search(r"```json\n(\{.*?\})\n```", MQTT, re.DOTALL)
    assert example is not None
    assert re.findall(r'"(\w+)": ', example[1]) == real


def test_the_settings_keys_are_all_there() -> None:
    documented = [words(row[0])[0] for row in table(MQTT, "key", number=2)]
    assert sorted(documented) == sorted(command.SET_KEYS)


def test_the_states_keys_are_all_there_and_in_order() -> None:
    documented = [words(row[0])[0] for row in table(MQTT, "key", number=3)]
    assert documented == list(CameraState().document())


def test_the_error_codes_are_all_there() -> None:
    real = [error.code for error in errors.BridgeError.__subclasses__()]
    assert [words(row[0])[0] for row in table(MQTT, "error")] == real
    tree = errors.__doc__ or ""
    assert [code for code in real if code not in tree] == []


README = (ROOT / "README.md").read_text()


def commands(document: str) -> list[str]:
    return [line for block in blocks(document, "sh") for line in block.commands]


DOCUMENTS = [str(d) for d in documents() if d.parts[0] in ("README.md", "docs", "SECURITY.md")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_in_a_document_are_ones(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in commands(document):
        program, *arguments = shlex.split(line)
        if Path(program).name == "esp32cam2mqtt":
            _parser().parse_args([a for a in arguments if a not in ("--help", "--version")])
        elif program == "make":
            assert all(f"\n{word}:" in makefile for word in arguments if "=" not in word), line
        elif program == "python" and arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]) is not None, line
    for target in re.findall(r"`make ([\w-]+)", read(document)):
        assert f"\n{target}:" in makefile, target


def test_the_extras_in_the_documents_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    documented = {words(row[0])[0] for row in table(read("docs/install.md"), "extra")}
    assert documented >= project["optional-dependencies"].keys() - {"dev"}


def test_the_topics_in_the_readme_exist() -> None:
    documented = {word for row in table(README, "topic") for word in words(row[0])}
    known = {word for row in table(MQTT, "topic") for word in words(row[0])}
    assert {topic.replace("front_door", "porch") for topic in documented} <= known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_a_document_names_exist(document: str) -> None:
    named = set(re.findall(r"`((?:bridge|docs|tests|docker)/[\w/-]+\.\w+)`", read(document)))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []

"""What the documents promise is what the code does: tables against who owns the words."""

import importlib.util
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from bridge import command, errors, topics
from bridge.__main__ import _parser
from bridge.capture import Outcome, Request, result
from bridge.config import CameraConfig, load
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


DOCUMENTS = [str(d) for d in documents() if d.parts[0] in ("README.md", "docs", "SECURITY.md")]
LEAVES = {word.split("/", 2)[2] for row in table(MQTT, "topic") for word in words(row[0])}


def commands(document: str) -> list[list[str]]:
    """The commands in a document, each as its words; one in a pipe ends before it."""
    lines = [line for block in blocks(document, "sh") for line in block.commands]
    found = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        found.append(list(itertools.takewhile(lambda word: word[0] not in "|&;<>()", lexer)))
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_in_a_document_are_ones(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for program, *arguments in commands(document):
        line = shlex.join([program, *arguments])
        if Path(program).name == "esp32cam2mqtt":
            if arguments not in (["--help"], ["--version"]):
                _parser().parse_args(arguments)
        elif program == "make":
            assert all(f"\n{word}:" in makefile for word in arguments if "=" not in word), line
        elif program == "python" and arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]) is not None, line
        elif program.startswith("mosquitto_"):
            named = [arguments[at + 1] for at, word in enumerate(arguments) if word == "-t"]
            ours = [topic.split("/", 2) for topic in named if topic.startswith("esp32cam/")]
            assert [levels for levels in ours if levels[2] not in LEAVES] == [], line
            if "-m" in arguments and any(levels[2] == "capture" for levels in ours):
                command.parse_capture(arguments[arguments.index("-m") + 1].encode())
    for target in re.findall(r"`make ([\w-]+)", read(document)):
        assert f"\n{target}:" in makefile, target


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d != "docs/configuration.md"])
def test_a_configuration_in_a_document_is_right(document: str, tmp_path: Path) -> None:
    """Whole files, which docs/configuration.md's own tests do for that, and options by the way."""
    whole = [b.text for b in blocks(document, "yaml") if re.search("(?m)^cameras:", b.text)]
    camera = "cameras: {front_door: {url: 'ws://192.0.2.10'"
    sections = re.findall(
        r"`((?:mqtt|homeassistant|storage|capture|groups): [{][^`]*)`", read(document)
    )
    whole += [f"{section}\n{camera}}}}}\n" for section in sections]
    options = re.findall(r"`((\w+): [^`{!…]+)`", read(document))
    fields = CameraConfig.model_fields
    whole += [f"{camera}, {option}}}}}\n" for option, key in options if key in fields]
    (tmp_path / "secrets.yaml").write_text("mqtt_password: x\n")
    for text in whole:
        (tmp_path / "config.yaml").write_text(text)
        assert load(tmp_path / "config.yaml").cameras


def test_the_extras_in_the_documents_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    documented = {words(row[0])[0] for row in table(read("docs/install.md"), "extra")}
    assert documented == project["optional-dependencies"].keys() - {"dev"}


def test_the_topics_in_the_readme_exist() -> None:
    documented = {word for row in table(README, "topic") for word in words(row[0])}
    known = {word for row in table(MQTT, "topic") for word in words(row[0])}
    assert {topic.replace("front_door", "porch") for topic in documented} <= known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_a_document_names_exist(document: str) -> None:
    named = set(re.findall(r"`((?:bridge|docs|tests|docker)/[\w/-]+\.\w+)`", read(document)))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_module_is_in_the_plan_of_the_house() -> None:
    named = set(re.findall(r"`bridge/([\w/]+\.py)`", read("docs/architecture.md")))
    real = {path.name for path in (ROOT / "bridge").glob("*.py")} - {"__init__.py"}
    assert sorted(real - named) == []

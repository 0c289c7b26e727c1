"""What the documents promise is what the code does: tables against who owns the words."""

import re
import shlex
from pathlib import Path

import pytest

from bridge import command, errors, topics
from bridge.__main__ import _parser
from bridge.capture import Outcome, Request, result
from bridge.config import load
from bridge.state import CameraState

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


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_a_configuration_in_the_readme_is_right(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(block)
    assert load(tmp_path / "config.yaml").cameras


def test_the_commands_in_the_readme_are_ones() -> None:
    lines = re.findall(r"^\.venv/bin/esp32cam2mqtt (.*)$", README, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        _parser().parse_args(shlex.split(line))
    for target in re.findall(r"`?make (\w+)", README):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
    for topic, payload in re.findall(
        r"^mosquitto_pub -t (\S+)/capture -m (.*)$", README, re.MULTILINE
    ):
        assert topic == "esp32cam/front_door"
        assert command.parse_capture(shlex.split(payload)[0].encode()).id == "ring-1"


def test_the_topics_in_the_readme_exist() -> None:
    documented = {word for row in table(README, "topic") for word in words(row[0])}
    known = {word for row in table(MQTT, "topic") for word in words(row[0])}
    assert {topic.replace("front_door", "porch") for topic in documented} <= known


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/mqtt.md"])
def test_the_files_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    named = set(re.findall(r"`((?:bridge|docs|tests)/[\w/-]+\.\w+)`", text))
    named |= {str(Path(document).parent / link) for link in re.findall(r"\]\(([\w./-]+)\)", text)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []

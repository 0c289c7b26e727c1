"""docs/configuration.md and the schema say what the code says.

``python -m tests.test_docs_configuration`` writes them anew, after a change of the models.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import config
from bridge.errors import ConfigError

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "docs" / "config.schema.json"

_TABLE = re.compile(r"(?s)<!-- options: (\S+) -->\n(.*?)<!-- end -->")
_WRONG = re.compile(
    r"(?s)<!-- a wrong file -->\n```yaml\n(.*?)```\n\n```text\n(.*?)```\n<!-- end -->"
)
_BLOCK = re.compile(r"(?s)```yaml\n(.*?)```")


def options(section: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of everything in a section."""
    model = config.SECTIONS[tuple(section.split("."))]
    for key, field in model.model_fields.items():
        inherited = model is config.CameraConfig and key in config.CaptureConfig.model_fields
        if not inherited:
            default = "" if field.is_required() else _default(key, field.default)
            yield f"`{key}`", default, field.description or ""


def _default(key: str, value: Any) -> str:
    if value in ("", {}) or key == "tls":
        return ""
    if isinstance(value, list):
        return f"`[{', '.join(value)}]`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def table(section: str) -> str:
    rows = [("key", "default", "meaning"), ("---", "---", "---"), *options(section)]
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows)


def problems(text: str, folder: Path) -> str:
    """What ``load`` says of a file, as if it stood in the current folder."""
    (folder / "config.yaml").write_text(text)
    (folder / "secrets.yaml").write_text("mqtt_password: x\nfront_door_key: y\n")
    with pytest.raises(ConfigError) as caught:
        config.load(folder / "config.yaml")
    return str(caught.value).replace(f"{folder}/", "") + "\n"


def test_the_tables_in_the_documentation_are_what_the_code_has() -> None:
    document = DOC.read_text()
    found = dict(_TABLE.findall(document))
    assert set(found) == {".".join(map(str, path)) for path in config.SECTIONS if path}
    assert found == {section: table(section) for section in found}


def test_the_errors_in_the_documentation_are_those_of_the_file_above_them(tmp_path: Path) -> None:
    match = _WRONG.search(DOC.read_text())
    assert match is not None
    assert match[2] == problems(match[1], tmp_path)


def test_every_other_file_in_the_documentation_is_right(tmp_path: Path) -> None:
    blocks = _BLOCK.findall(_WRONG.sub("", DOC.read_text()))
    secrets = [block for block in blocks if "cameras:" not in block]
    assert len(secrets) == 1
    (tmp_path / "secrets.yaml").write_text(secrets[0])
    for number, block in enumerate(blocks):
        if block not in secrets:
            (tmp_path / f"{number}.yaml").write_text(block)
            assert config.load(tmp_path / f"{number}.yaml").cameras["front_door"].url


def test_the_committed_schema_is_what_the_code_makes() -> None:
    assert json.loads(SCHEMA.read_text()) == config.schema()


def test_every_key_is_explained_in_the_schema() -> None:
    document = config.schema()
    camera = document["$defs"]["CameraConfig"]["anyOf"][1]
    for part in [document, camera, *document["$defs"].values()]:
        for key, described in part.get("properties", {}).items():
            assert described.get("description"), key


def write() -> None:
    """Bring the tables, the errors and the schema up to date."""
    from tempfile import TemporaryDirectory

    document = _TABLE.sub(
        lambda match: f"<!-- options: {match[1]} -->\n{table(match[1])}<!-- end -->",
        DOC.read_text(),
    )
    with TemporaryDirectory() as folder:
        document = _WRONG.sub(
            lambda match: match[0].replace(
                f"```text\n{match[2]}```", f"```text\n{problems(match[1], Path(folder))}```"
            ),
            document,
        )
    DOC.write_text(document)
    SCHEMA.write_text(json.dumps(config.schema(), indent=2) + "\n")


if __name__ == "__main__":
    write()

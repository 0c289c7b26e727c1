"""What the firmware's documents promise is what its source says, and what its builds are called."""

import configparser
import json
import re
from pathlib import Path

from bridge.config import load
from tests.test_docs import table, words

ROOT = Path(__file__).parents[1] / "firmware"
CORE = ROOT / "lib/camcore/src/camcore"
WIRE = (ROOT.parent / "docs/firmware.md").read_text()
README = (ROOT / "README.md").read_text()


def test_the_error_codes_are_all_there() -> None:
    real = re.findall(r'constexpr const char\* k\w+ = "(\w+)"', (CORE / "fault.h").read_text())
    assert [words(row[0])[0] for row in table(WIRE, "error")] == real


def test_the_settings_are_all_there() -> None:
    documented = {word for row in table(WIRE, "setting") for word in words(row[0])}
    real = re.findall(r'\{"(\w+)", &Settings::', (CORE / "settings.cpp").read_text())
    assert documented == {"framesize", *real}


def test_the_pages_routes_are_all_there_with_what_they_need() -> None:
    needs = {"kNothing": "no", "kPasswordIfKey": "with a key", "kPassword": "yes"}
    real = [
        (method, path, needs[need])
        for method, path, need in re.findall(
            r'\{"(\w+)", "(/\w*)", Needs::(\w+),', (CORE / "http.cpp").read_text()
        )
    ]
    documented = [
        (*words(row[0])[0].split("?")[0].split(), row[1]) for row in table(WIRE, "request")
    ]
    assert sorted(documented) == sorted(real)


def test_every_board_has_a_build_and_a_line_in_the_readme() -> None:
    builds = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    builds.read(ROOT / "platformio.ini")
    built = {
        name: re.findall(r"-D(BOARD_(?!HAS)\w+)", builds[f"env:{name}"]["build_flags"])
        for name in (section.removeprefix("env:") for section in builds.sections())
        if f"env:{name}" in builds and "build_flags" in builds[f"env:{name}"]
    }
    known = set(re.findall(r"defined\((BOARD_\w+)\)", (ROOT / "src/boards.h").read_text()))
    assert {flag for flags in built.values() for flag in flags} == known
    assert all(len(flags) == 1 for flags in built.values())
    documented = {word for row in table(README, "build") for word in words(row[0])}
    assert documented == set(built)


def test_what_is_installed_from_a_browser_says_the_firmwares_own_name_and_version() -> None:
    manifest = json.loads((ROOT / "install/manifest.json").read_text())
    version = re.search(r'FIRMWARE_VERSION "(.+)"', (ROOT / "src/defaults.h").read_text())
    assert version is not None
    assert manifest["version"] == version[1]
    assert f'"{manifest["name"]}"' in (ROOT / "src/console.cpp").read_text()


def test_the_readmes_configuration_is_right(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "config.yaml").write_text(block)
    assert load(tmp_path / "config.yaml").cameras

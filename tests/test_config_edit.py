"""Cameras are added to a person's file, and nothing else in it changes."""

import difflib
import os
from pathlib import Path

import pytest

from bridge import config
from bridge.config_edit import add_cameras
from bridge.errors import ConfigError
from bridge.yaml_edit import Entry

NEW = Entry("garden", {"url": "ws://192.0.2.9:81", "name": 'The "garden": #1'}, comment="a board")

COMMENTED = """\
# mine
mqtt: {host: broker.example.org}

cameras:
    door:                      # four spaces here
        url: ws://192.0.2.1:81 # keep me
        # interval: 5
    # porch: ws://192.0.2.2:81

# what is logged
log: {level: info}
"""

FILES = {
    "commented": COMMENTED,
    "at the end, without a newline": "cameras:\n  door: ws://192.0.2.1:81",
    "windows": "cameras:\r\n  door: ws://192.0.2.1:81\r\nlog: {level: info}\r\n",
    "bom": "\ufeffcameras:\n  door: ws://192.0.2.1:81\n",
    "flow": "cameras: {door: 'ws://192.0.2.1:81'} # all\nlog: {level: info}\n",
    "json": '{"cameras": {"door": {"url": "ws://192.0.2.1:81"}}}\n',
    "many lines in brackets": "cameras: {\n  door: {url: 'ws://192.0.2.1:81'}, # a\n}\n",
    "no cameras": "# only this\nlog: {level: info}\n",
    "cameras without any": "cameras:\n  # none yet\nlog: {level: info}\n",
    "no cameras in brackets": "cameras: {}\n",
    "nothing but a comment": "# later\n",
    "a block of text": "cameras:\n  door:\n    url: >-\n      ws://192.0.2.1:81\n\nlog: {}\n",
    "anchors": "cameras:\n  door: &d\n    url: ws://192.0.2.1:81\n  porch: *d\nlog: {}\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_camera_is_added_and_no_line_is_lost(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode())
    add_cameras(path, [NEW])
    cameras = config.load(path).cameras
    assert cameras["garden"].name == 'The "garden": #1'
    assert cameras["garden"].url == "ws://192.0.2.9:81"
    now = path.read_bytes().decode()
    inside = ("{" in text and "cameras: {" in text) or text.startswith("{")
    if inside:
        left = iter(now)
        assert all(c in left for c in text)  # in order
    else:
        lost = [d for d in difflib.ndiff(text.splitlines(), now.splitlines()) if d[0] == "-"]
        assert lost == []
    assert ("\r\n" in now) == ("\r\n" in text)


def test_it_stands_behind_the_comments_of_the_camera_above_and_in_its_style(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(COMMENTED)
    add_cameras(path, [NEW])
    wanted = COMMENTED.replace(
        "    # porch: ws://192.0.2.2:81\n",
        "    # porch: ws://192.0.2.2:81\n"
        "    garden:  # a board\n"
        "        url: ws://192.0.2.9:81\n"
        '        name: "The \\"garden\\": #1"\n',
    )
    assert path.read_text() == wanted


@pytest.mark.parametrize(
    "text",
    [
        "cameras: &c\n  door: ws://192.0.2.1:81\nother: *c\n",  # an unknown key
        "x: &c {door: 'ws://192.0.2.1:81'}\ncameras: *c\n",
        "{log: {level: info}}\n",
        "cameras: null\n",
        "cameras:\n  door: http://192.0.2.1\n",
        "- door\n",
        "cameras:\n  door: ws://192.0.2.1:81\n  garden: ws://192.0.2.2:81\n",  # the name is taken
    ],
)
def test_a_file_that_cannot_be_added_to_stays_as_it_was(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        add_cameras(path, [NEW])
    assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_mode_and_link_stay_and_secrets_are_those_beside_the_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real/mine.yaml"
    target.write_text("cameras:\n  door: {url: 'ws://192.0.2.1:81', key: !secret door}\n")
    target.chmod(0o600)
    (tmp_path / "secrets.yaml").write_text("door: abc\n")
    link = tmp_path / "config.yaml"
    link.symlink_to(target)
    add_cameras(link, [NEW])
    assert link.is_symlink()
    assert os.stat(target).st_mode & 0o777 == 0o600
    assert "!secret door" in target.read_text()


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    add_cameras(tmp_path / "config.yaml", [NEW])
    assert list(config.load(tmp_path / "config.yaml").cameras) == ["garden"]

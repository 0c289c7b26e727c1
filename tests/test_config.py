"""config.yaml: what is taken, what is refused, and in which words."""

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge import config, notation, yaml_file
from bridge.config import Config, camera_from_url, hints, load
from bridge.errors import ConfigError
from bridge.notation import Context

EXAMPLE = Path(__file__).parents[1] / "config.yaml"
DOOR = "cameras: {door: ws://192.0.2.1:81}\n"

Read = Callable[..., Config]
Problems = Callable[..., list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Load a configuration with one camera, ``door``, unless the text has its own."""

    def load_text(text: str, **files: str) -> Config:
        for name, content in files.items():
            (tmp_path / name.replace("__", ".")).write_bytes(content.encode())
        (tmp_path / "config.yaml").write_text(text if "cameras:" in text else DOOR + text)
        return load(tmp_path / "config.yaml")

    return load_text


@pytest.fixture
def problems(read: Read, tmp_path: Path) -> Problems:
    """What is wrong with a configuration, its folder left out."""

    def refuse(text: str, **files: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **files)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.problems]

    return refuse


@pytest.fixture(params=["libyaml", "python"])
def any_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers: some boards' Python has no libyaml."""
    if request.param == "python":
        monkeypatch.setattr(yaml_file, "_Loader", yaml.SafeLoader)


# --- what is taken ---------------------------------------------------------------------------


def test_a_camera_is_all_one_has_to_write(read: Read, tmp_path: Path) -> None:
    found = read("cameras:\n  front_door: ws://192.0.2.1:81\n")
    door = found.cameras["front_door"]
    assert (door.url, door.name, door.area) == ("ws://192.0.2.1:81", "Front door", None)
    assert (door.protocol, door.key, door.publish) == ("auto", None, ("image",))
    assert (door.retain_image, door.keep_open) == (True, True)
    assert (door.interval, door.discard, door.rotate) == (0, 0, 0)
    assert (door.timeout, door.retries, door.queue, door.max_age) == (15, 1, 8, 60)
    assert door.max_image == 4 * 1024 * 1024
    assert (found.mqtt.host, found.mqtt.port, found.mqtt.base_topic) == (
        "localhost",
        1883,
        "esp32cam",
    )
    assert (found.mqtt.version, found.mqtt.transport, found.mqtt.tls) == ("auto", "tcp", None)
    assert (found.mqtt.keepalive, found.mqtt.max_payload) == (30, None)
    assert found.storage.path == tmp_path / "captures"
    assert (found.storage.latest, found.storage.durability) == (True, "file")
    keep = found.storage.keep
    assert (keep.days, keep.count, keep.size, keep.free) == (None, None, None, 500_000_000)
    assert (found.groups, found.log.level, found.log.format) == ({}, "info", "text")


def test_the_example_is_right_as_it_stands() -> None:
    found = load(EXAMPLE)
    assert list(found.cameras) == ["front_door"]
    assert found.mqtt.host == "localhost"
    assert hints(found) == []


def test_the_example_is_right_with_every_option_taken(read: Read) -> None:
    text = re.sub(r"(?m)^( *)#(?=[a-z_]+:)", r"\1", EXAMPLE.read_text())
    text = re.sub(r"(?m)^(mqtt|storage|capture|groups|log):", r"\n\1:", text)
    found = read(text, secrets__yaml="mqtt_password: a\nfront_door_key: b\n")
    assert list(found.cameras) == ["front_door", "garden"]
    assert found.groups == {"outside": ["front_door"]}
    assert found.cameras["front_door"].interval == 300


def test_the_example_shows_every_default_as_it_is(read: Read) -> None:
    text = EXAMPLE.read_text()
    keep = {"garden", "area", "interval", "key", "username", "password", "tls", "groups"}
    taken = re.sub(rf"(?m)^( *)#(?!{'|'.join(keep)})(?=[a-z_]+:)", r"\1", text)
    (plain, full) = (read(text), read(taken))
    assert plain == full
    assert taken != text


def test_a_camera_has_what_capture_says_unless_it_says_otherwise(read: Read) -> None:
    found = read(
        "capture: {timeout: 5s, queue: 2}\n"
        "cameras: {a: {url: 'ws://h', timeout: 2m}, b: {url: 'ws://h', queue: 8}}\n"
    )
    a, b = found.cameras["a"], found.cameras["b"]
    assert (a.timeout, a.queue) == (120, 2)
    assert (b.timeout, b.queue) == (5, 8)


def test_a_section_can_be_shared_by_an_anchor(read: Read) -> None:
    found = read(
        "cameras:\n  a: &a {url: 'ws://a', rotate: 90}\n  b:\n    <<: *a\n    url: ws://b\n"
    )
    assert found.cameras["b"].rotate == 90
    assert found.cameras["b"].url == "ws://b:81"


def test_the_version_of_mqtt_may_look_like_a_number(read: Read) -> None:
    for written in ("5", "'5'", "3.1.1", "auto"):
        assert read(f"mqtt: {{version: {written}}}").mqtt.version == written.strip("'")


def test_tls_is_on_when_its_block_is_there_and_has_its_own_port(read: Read) -> None:
    assert read("mqtt: {tls: {}}").mqtt.port == 8883
    assert read("mqtt: {tls: {}, port: 1884}").mqtt.port == 1884
    found = read("mqtt: {tls: {ca_file: ca.crt}}", ca__crt="x")
    assert found.mqtt.tls is not None
    assert found.mqtt.tls.ca_file is not None
    assert found.mqtt.tls.ca_file.read_text() == "x"


def test_paths_start_from_the_folder_of_the_file(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read("storage: {path: a/../b}").storage.path == tmp_path / "b"
    assert read("storage: {path: /srv/x}").storage.path == Path("/srv/x")
    assert read("storage: {path: null}").storage.path is None
    monkeypatch.setenv("HOME", "/home/somebody")
    assert read("storage: {path: ~/x}").storage.path == Path("/home/somebody/x")
    monkeypatch.chdir(tmp_path)
    assert load(Path("config.yaml")).storage.path == Path("/home/somebody/x")


def test_a_unix_socket_is_a_path(read: Read, tmp_path: Path) -> None:
    found = read("mqtt: {transport: unix, host: ./run/mqtt.sock}")
    assert found.mqtt.host == str(tmp_path / "run/mqtt.sock")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ws://192.0.2.1", "ws://192.0.2.1:81"),
        ("WS://Cam.local:8081/", "ws://Cam.local:8081"),
        ("ws://cam/a?b=c", "ws://cam:81/a?b=c"),
        ("wss://cam.example.org", "wss://cam.example.org:443"),
        ("ws://cam_1.fritz.box:80/ws", "ws://cam_1.fritz.box:80/ws"),
        ("ws://[2001:db8::1]:81", "ws://[2001:db8::1]:81"),
        ("ws://[fe80::1%eth0]", "ws://[fe80::1%eth0]:81"),
        ("ws://[fe80::1%25eth0]", "ws://[fe80::1%eth0]:81"),
    ],
)
def test_an_address_has_its_port_always(written: str, meant: str) -> None:
    assert camera_from_url(written).url == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "192.0.2.1",
        "http://192.0.2.1",
        "ws://",
        "ws://:81",
        "ws://host:0",
        "ws://host:65536",
        "ws://host:x",
        "ws://ho st",
        "ws://host/a b",
        "ws://host/a#b",
        "ws://host#b",
        "ws://host/\n",
        "ws://host/\u00e4",
        "ws://192.0.2.256",
        "ws://1.2.3",
        "ws://[fe80::1",
        "ws://[::1::]",
        "ws://[fe80::1%]",
        "ws://[192.0.2.1]",
        "ws://fe80::1",
        "ws://-a",
        "ws://a..b",
        "ws://" + "a" * 64,
        "ws://\x00",
        " ws://host",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"^url: expected a WebSocket's address such as ws://"):
        camera_from_url(written)


def test_credentials_in_the_address_are_taken_out_of_it() -> None:
    camera = camera_from_url("wss://me:p%40ss@w@cam.example.org/x")
    assert (camera.url, camera.username) == ("wss://cam.example.org:443/x", "me")
    assert camera.password is not None
    assert camera.password.get_secret_value() == "p@ss@w"


def test_a_fingerprint_may_have_colons(read: Read) -> None:
    pairs = ":".join(["AB"] * 32)
    text = f"cameras: {{a: {{url: 'wss://h', tls: {{fingerprint: '{pairs}'}}}}}}"
    tls = read(text).cameras["a"].tls
    assert tls is not None
    assert tls.fingerprint == "ab" * 32


# --- tags ------------------------------------------------------------------------------------


def test_tags_stand_for_what_is_elsewhere(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1884")
    monkeypatch.setenv("LATEST", "no")
    monkeypatch.setenv("DOOR", "ws://me:0123@192.0.2.9")
    found = read(
        "mqtt: {username: !file user.txt, password: !secret pw, port: !env PORT}\n"
        "storage: {latest: !env LATEST}\n"
        "cameras: {door: !env DOOR}\n",
        secrets__yaml="pw: 0123\n",
        user__txt="\ufeffsomebody\r\n",
    )
    assert (found.mqtt.username, found.mqtt.port) == ("somebody", 1884)
    assert found.mqtt.password is not None
    assert found.mqtt.password.get_secret_value() == "0123"
    assert found.storage.latest is False
    door = found.cameras["door"]
    assert (door.url, door.username) == ("ws://192.0.2.9:81", "me")
    assert door.password is not None
    assert door.password.get_secret_value() == "0123"


def test_a_missing_secret_variable_or_file_is_told_once_and_with_its_line(
    problems: Problems,
) -> None:
    text = "mqtt:\n  username: !secret usr\n  password: !env NO_SUCH_THING\n  host: !file nowhere\n"
    assert problems(DOOR + text, secrets__yaml="user: x") == [
        "config.yaml:3: mqtt.username: !secret usr: not in secrets.yaml, did you mean 'user'?",
        "config.yaml:4: mqtt.password: !env NO_SUCH_THING: there is no such environment variable",
        "config.yaml:5: mqtt.host: !file nowhere: there is no such file",
    ]


def test_without_a_file_of_secrets_it_is_told_where_one_is_asked_for(problems: Problems) -> None:
    assert problems("mqtt: {username: !secret user}\n") == [
        "config.yaml:2: mqtt.username: !secret user: secrets.yaml: there is no such file"
    ]


def test_faults_in_the_file_of_secrets_have_its_name(problems: Problems) -> None:
    text = "mqtt: {username: !secret user, password: !secret pw}\n"
    secrets = "user: [hunter2]\npw: !env hunter2\n"
    assert problems(text, secrets__yaml=secrets) == [
        "secrets.yaml:2: pw: a tag: here stand the values themselves",
        "secrets.yaml:1: user: expected one value, got a block of them",
    ]
    assert problems(text, secrets__yaml="user: a\npw: 'hunter2\n") == [
        "secrets.yaml:2: column 5: this is not YAML: the quote that is opened here is never closed"
    ]
    assert problems(text, secrets__yaml="user: a\npw:\n") == [
        "secrets.yaml:2: pw: a name without a value"
    ]
    assert problems(text, secrets__yaml="just text") == [
        "secrets.yaml: expected lines of 'name: value'"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "mqtt: {password: {hunter2: hunter2}}",
        "mqtt: {password: [hunter2]}",
        "mqtt: {pasword: hunter2}",
        "mqtt: {password: !hunter2 }",
        "mqtt: {password: *hunter2 }",
        "mqtt: {password: 'hunter2}",
        "mqtt: {password: hunter2}",
        "mqtt: {host: !secret it}",
        "mqtt: {port: !secret it}",
        "mqtt: {version: !secret it}",
        "mqtt: {tls: {ca_file: !secret it}}",
        "mqtt: !secret it",
        "storage: {filename: !secret it}",
        "storage: {latest: !secret it}",
        "capture: {timeout: !secret it}",
        "groups: {a: [!secret it]}",
        "groups: {a: !secret it}",
        "groups: !secret it",
        "log: {level: !secret it}",
        "cameras: !secret it",
        "cameras: {a: !secret it}",
        "cameras: {a: {url: !secret it}}",
        "cameras: {a: {url: 'ws://a', publish: [!secret it]}}",
        "cameras: {a: {url: 'wss://a', tls: {fingerprint: !secret it}}}",
        "cameras: {a: &a {url: 'ws://a', rotate: !secret it}, b: *a}",
        "cameras: {a: 'ws://me:hunter2@h h'}",
        "cameras: {a: 'http://me:hunter2@h'}",
        "cameras: {a: 'me:hunter2@h'}",
        "cameras: {a: 'ws://me:hun/hunter2@h'}",
        "cameras: {a: {url: 'ws://me:hunter2@h', password: hunter2}}",
        "cameras: {a: {url: 'ws://h', key: !!int hunter2}}",
        "cameras: {a: {url: 'ws://h', key: 'hunter2', key: 'hunter2'}}",
    ],
)
@pytest.mark.usefixtures("any_parser")
def test_no_error_shows_a_secret(read: Read, text: str) -> None:
    for value in ("{hunter2}", "192.0.2.7:hunter2", "http://x:hunter2@h", "ws://hunter2%3A@h"):
        with pytest.raises(ConfigError) as caught:
            read(text, secrets__yaml=f"it: '{value}'")
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter2" not in f"{error} {error!r}"
            error = error.__cause__ or error.__context__


def test_a_number_that_should_have_been_a_password_is_not_shown(problems: Problems) -> None:
    text = "mqtt: {password: 48151623}\ncameras: {a: {url: ws://h, key: 48151623}}\n"
    assert "48151623" not in "".join(problems(text))


def test_no_secret_is_in_the_repr_of_a_configuration(read: Read) -> None:
    found = read(
        "mqtt: {username: me, password: hunter2}\n"
        "cameras: {a: {url: 'ws://me:hunter2@h', key: hunter2}}\n"
    )
    assert "hunter2" not in repr(found) + str(found) + str(found.model_dump())


# --- what is refused -------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(problems: Problems) -> None:
    text = """\
mqtt:
  hots: localhost
  port: http
  password: 1234
  tls:
capture:
  timeout: 12:30
cameras:
  Front Door: ws://h
  no: ws://h
  bridge: ws://h
  door:
    name: no
    interval: 500ms
    rotate: 45
    publish: [image, pth]
    rotate: 90
  roof:
groups:
  door: []
  outside: [door, dor, door]
"""
    assert problems(text) == [
        "config.yaml:2: mqtt.hots: unknown key, did you mean 'host'?",
        "config.yaml:3: mqtt.port: expected 1 to 65535, got 'http'",
        "config.yaml:4: mqtt.password: expected text"
        " (put it in quotes: YAML may take it for something else)",
        "config.yaml:5: mqtt.tls: expected a block of keys, got nothing"
        " ({} for the defaults, or no such line)",
        "config.yaml:7: capture.timeout: expected 100ms to 10m, written as seconds or as 500ms,"
        " 10s, 5m, 2h, 1d, got '12:30' (a number has no zero in front, no : and no _)",
        "config.yaml:9: cameras.'Front Door': expected a name of 1 to 64 of the characters a-z,"
        " 0-9, _ and -, got 'Front Door' (did you mean 'front_door'?)",
        "config.yaml:10: cameras.no: expected a name, got 'no'"
        " (put it in quotes: YAML may take it for something else)",
        "config.yaml:11: cameras.bridge: expected another name: 'bridge' and 'all' are topics of"
        " the bridge itself, got 'bridge'",
        "config.yaml:12: cameras.door.url: missing, and it is a must",
        "config.yaml:13: cameras.door.name: expected a name, got 'no'"
        " (put it in quotes: YAML may take it for something else)",
        "config.yaml:14: cameras.door.interval: expected 0, or 1s to 1d, written as seconds or as"
        " 500ms, 10s, 5m, 2h, 1d, got '500ms'",
        "config.yaml:15: cameras.door.rotate: expected 0, 90, 180 or 270, got 45",
        "config.yaml:16: cameras.door.publish[1]: expected image or path, got 'pth'",
        "config.yaml:17: cameras.door.rotate: given twice, first in line 15",
        "config.yaml:18: cameras.roof: expected a url or a block of keys, got nothing",
        "config.yaml:20: groups.door: expected a name that no camera has, got 'door'",
        "config.yaml:20: groups.door: expected a list of at least one camera, got an empty list",
        "config.yaml:21: groups.outside[1]: expected the name of a camera, got 'dor'"
        " (did you mean 'door'?)",
        "config.yaml:21: groups.outside[2]: expected each camera once, got 'door'",
    ]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("mqtt: {keepalive: 4}", "mqtt.keepalive"),
        ("mqtt: {port: 0}", "mqtt.port"),
        ("mqtt: {port: 0x75b}", "mqtt.port"),
        ("mqtt: {port: 1_883}", "mqtt.port"),
        ("mqtt: {port: 1883.0}", "mqtt.port"),
        ("mqtt: {port: true}", "mqtt.port"),
        ("mqtt: {host: 'localhost:1883'}", "mqtt.host"),
        ("mqtt: {host: 'mqtt://localhost'}", "mqtt.host"),
        ("mqtt: {host: /run/x.sock}", "mqtt.host"),
        ("mqtt: {transport: unix}", "mqtt.host"),
        ("mqtt: {transport: unix, host: /x, tls: {}}", "mqtt.tls"),
        (f"mqtt: {{transport: unix, host: /{'x' * 107}}}", "mqtt.host"),
        ("mqtt: {path: /x}", "mqtt.path"),
        ("mqtt: {password: x}", "mqtt.password"),
        ("mqtt: {version: 3.1}", "mqtt.version"),
        ("mqtt: {version: 4}", "mqtt.version"),
        ("mqtt: {base_topic: a/+/b}", "mqtt.base_topic"),
        ("mqtt: {base_topic: a#}", "mqtt.base_topic"),
        ("mqtt: {base_topic: /a}", "mqtt.base_topic"),
        ("mqtt: {base_topic: a/}", "mqtt.base_topic"),
        ("mqtt: {base_topic: $SYS}", "mqtt.base_topic"),
        ('mqtt: {base_topic: "a\\0b"}', "mqtt.base_topic"),
        ('mqtt: {base_topic: "a\\uffff"}', "mqtt.base_topic"),
        (f"mqtt: {{base_topic: {'a' * 1025}}}", "mqtt.base_topic"),
        ("mqtt: {client_id: ''}", "mqtt.client_id"),
        ("mqtt: {client_id: 12}", "mqtt.client_id"),
        ("mqtt: {max_payload: 1}", "mqtt.max_payload"),
        ("mqtt: {tls: {cert_file: config.yaml}}", "mqtt.tls.cert_file"),
        ("mqtt: {tls: {key_file: config.yaml}}", "mqtt.tls.key_file"),
        ("mqtt: {tls: {ca_file: nowhere.crt}}", "mqtt.tls.ca_file"),
        ("mqtt: {tls: {ca_file: .}}", "mqtt.tls.ca_file"),
        ("storage:", "storage"),
        ("storage: {path: ''}", "storage.path"),
        ("storage: {keep: {free: 500 apples}}", "storage.keep.free"),
        ("storage: {keep: {free: 500M}}", "storage.keep.free"),
        ("storage: {keep: {days: 030}}", "storage.keep.days"),
        ("storage: {filename: x.jpg}", "storage.filename"),
        ("storage: {filename: '{camera}.png'}", "storage.filename"),
        ("storage: {filename: '{camera.__class__}.jpg'}", "storage.filename"),
        ("storage: {filename: '{camera[0]}.jpg'}", "storage.filename"),
        ("storage: {filename: '{camera!r}.jpg'}", "storage.filename"),
        ("storage: {filename: '/{camera}/{id}.jpg'}", "storage.filename"),
        ("storage: {filename: '../{camera}/{id}.jpg'}", "storage.filename"),
        ("storage: {filename: '{camera}/{captured_at:../%Y}.jpg'}", "storage.filename"),
        ("storage: {filename: '{camera}/{id.jpg'}", "storage.filename"),
        ("storage: {filename: '{camera}/{cam}.jpg'}", "storage.filename"),
        ("storage: {durability: both}", "storage.durability"),
        ("capture: {timeout: 0}", "capture.timeout"),
        ("capture: {timeout: .inf}", "capture.timeout"),
        ("capture: {timeout: .nan}", "capture.timeout"),
        ("capture: {timeout: 601}", "capture.timeout"),
        ("capture: {timeout: 1e999}", "capture.timeout"),
        ("capture: {timeout: -1}", "capture.timeout"),
        ("capture: {timeout: 5 minutes}", "capture.timeout"),
        ("capture: {timeout: null}", "capture.timeout"),
        ("capture: {retries: yes}", "capture.retries"),
        ("capture: {queue: [1]}", "capture.queue"),
        ("groups: {all: [door]}", "groups.all"),
        ("groups: {outside: door}", "groups.outside"),
        ("groups: {outside: [1]}", "groups.outside[0]"),
        ("groups: [door]", "groups"),
        ("log: {level: INFO!}", "log.level"),
        ("log: info", "log"),
        ("homeassistent: {}", "homeassistent"),
        ("homeassistant: {discovery: devices}", "homeassistant.discovery"),
        ("homeassistant: {discovery_prefix: 'home/#'}", "homeassistant.discovery_prefix"),
        ("cameras: {}", "cameras"),
        ("cameras: [ws://a]", "cameras"),
        ("cameras: {door: [ws://a]}", "cameras.door"),
        ("cameras: {1: ws://a}", "cameras.1"),
        ("cameras: {Door: ws://a}", "cameras.Door"),
        (f"cameras: {{{'a' * 65}: ws://a}}", f"cameras.'{'a' * 65}"),
        ("cameras: {all: ws://a}", "cameras.all"),
        ("cameras: {door: {url: ws://a, tls: {}}}", "cameras.door.tls"),
        ("cameras: {door: {url: ws://a, tls: }}", "cameras.door.tls"),
        ("cameras: {door: {url: ws://a, username: 'a:b'}}", "cameras.door.username"),
        ("cameras: {door: {url: ws://a, password: x}}", "cameras.door.password"),
        ("cameras: {door: {url: ws://u@a, username: x}}", "cameras.door.username"),
        ("cameras: {door: {url: ws://a, publish: []}}", "cameras.door.publish"),
        ("cameras: {door: {url: ws://a, publish: [image, image]}}", "cameras.door.publish"),
        ("cameras: {door: {url: ws://a, interval: 0.5}}", "cameras.door.interval"),
        ("cameras: {door: {url: ws://a, rotate: false}}", "cameras.door.rotate"),
        ("cameras: {door: {url: ws://a, retain_image: 1}}", "cameras.door.retain_image"),
        ('cameras: {door: {url: ws://a, name: "a\\nb"}}', "cameras.door.name"),
        ("cameras: {door: {url: ws://a, key: 0123}}", "cameras.door.key"),
        ("cameras: {door: {url: wss://a, tls: {fingerprint: ab}}}", "cameras.door.tls.fingerprint"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(
    problems: Problems, tmp_path: Path, written: str, key: str
) -> None:
    found = problems(written)
    line = 1 if "cameras:" in written else 2
    assert len(found) == 1
    assert found[0].startswith(f"config.yaml:{line}: {key}")


def test_names_of_groups_and_members_are_checked_even_where_a_camera_is_wrong(
    problems: Problems,
) -> None:
    found = problems("cameras: {a: http://h, b: ws://h}\ngroups: {x: [a, b, c]}\n")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "cameras.a.url",
        "groups.x[2]",
    ]


def test_what_is_shown_is_cut_short(problems: Problems) -> None:
    (found,) = problems(f"mqtt: {{port: {'x' * 1000}}}")
    assert found.endswith(f"got '{'x' * 60}'…")


def test_no_more_than_a_hundred_problems_are_told(problems: Problems) -> None:
    found = problems("".join(f"k{number}: 1\n" for number in range(250)))
    assert len(found) == 101
    assert found[-1] == "config.yaml: and 150 more"


# --- files that are none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2\n", r":2: column 2: .*comma or the closing bracket.*opened in line 1"),
        ("a: b: c\n", ":1: column 5: .*a ': ' where none can be"),
        ("a:\n\tb: c\n", ":2: column 1: .*spaces, not tabs"),
        ("a:\n  b: c\n\td: e\n", ":3: column 1: .*spaces, not tabs"),
        ("a: 1\n'b: 2\n", ":2: column 1: .*the quote that is opened here is never closed"),
        ("a: b\nc\nd: e\n", ":2: column 1: .*a key without its ': '"),
        ("a: 1\n- b\n", ":2: column 1: .*indented like its neighbours"),
        ('a: "C:\\q"\n', ":1: column .*backslash"),
        ("a: *b\n", r":1: an alias \(\*\) without its anchor"),
        ("a: &a [*a]\n", r":1: an alias \(\*\) without its anchor"),
        ("a: 1\n---\nb: 2\n", ":2: a second document"),
        ("? [a]\n: 1\n", ":1: a key must be text"),
        ("a: \x07\n", r":1: the character U\+0007 has no place in YAML"),
        ("a: " + "[" * 100_000, ":1: nested more than 20 deep"),
        ("a: " + "{a: " * 100_000, ":1: nested more than 20 deep"),
        ("x" * (1024 * 1024 + 1), ": larger than 1024 KiB"),
        ("", ": it is empty; the least that it needs is cameras:"),
        ("# nothing\n", ": it is empty; "),
        ("cameras:\n", ":1: cameras: expected cameras, such as .*, got nothing"),
        ("cameras: [front_door]\n", ":1: cameras: expected cameras, such as .*, got a list"),
        ("cameras: {}\n", ":1: cameras: expected at least one camera"),
        ("hello\n", ": it has no keys; "),
        ("[]\n", ": it has no keys; "),
    ],
)
@pytest.mark.usefixtures("any_parser")
def test_what_is_no_configuration_is_refused_in_one_sentence(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert re.match(re.escape(str(path)) + told, problem), problem


@pytest.mark.usefixtures("any_parser")
def test_aliases_that_stand_for_billions_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    laughs = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
    path.write_text("a0: &a0 [lol]\n" + laughs)
    started = time.monotonic()
    with pytest.raises(ConfigError, match="more than 100000 values"):
        load(path)
    assert time.monotonic() - started < 5


def test_a_file_that_is_not_there_a_folder_or_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match=r"there is no such file: write .*ws://.* -c FILE"):
        load(path)
    with pytest.raises(ConfigError, match="this is a folder"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file"):
        load(Path("\0"))
    path.write_bytes(DOOR.encode("utf-16"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)
    path.write_bytes(DOOR.encode("utf-8-sig"))
    assert load(path).cameras


def test_a_file_that_may_not_be_read_is_told(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match="can't be read: Permission denied"):
        load(tmp_path / "config.yaml")


# --- hints -----------------------------------------------------------------------------------


def test_what_is_suspicious_is_hinted_at(read: Read) -> None:
    found = read(
        "storage: {path: null}\n"
        "mqtt: {tls: {ca_file: config.yaml, insecure: true}}\n"
        "cameras:\n"
        "  a: ws://h:81\n"
        "  b: {url: ws://h, name: A, publish: path}\n"
    )
    assert hints(found) == [
        "cameras.a and cameras.b have the same url",
        "cameras.a and cameras.b have the same name",
        "cameras.b.publish: there is no path, as storage.path is null",
        "mqtt.tls.ca_file isn't looked at, because of insecure",
    ]


# --- whatever comes --------------------------------------------------------------------------


def test_a_thousand_cameras_load_well_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    camera = "  camera_{0}:\n    url: ws://192.0.2.1:{1}\n    interval: 5m\n    area: Hall\n"
    path.write_text("cameras:\n" + "".join(camera.format(n, n + 1) for n in range(1000)))
    started = time.process_time()
    assert len(load(path).cameras) == 1000
    assert time.process_time() - started < 1.5  # 0.2 s with libyaml, 0.8 s without


@given(st.integers(1, 4096), st.sampled_from(sorted(notation._SIZES)))
def test_a_size_is_what_its_unit_says(number: int, unit: str) -> None:
    kind = notation.size(0, 10**18)
    assert kind.parse(f"{number}{unit.upper()}", Context()) == number * notation._SIZES[unit]
    assert kind.parse(number, Context()) == number
    shown = notation.in_units(number, notation._SIZES)
    assert kind.parse(shown, Context()) == number


@given(st.integers(1, 10**6), st.sampled_from(sorted(notation._TIMES)))
def test_a_duration_is_what_its_unit_says(number: int, unit: str) -> None:
    kind = notation.seconds(0, 10**12)
    expected = pytest.approx(number * notation._TIMES[unit])
    assert kind.parse(f"{number}{unit}", Context()) == expected
    assert kind.parse(f"{number} {unit}", Context()) == expected
    assert kind.parse(notation.in_units(number, notation._TIMES), Context()) == number


@given(st.text("0123456789._:-+eExobaf ntTzZ~yYnNOlurs", max_size=12))
@example("1_0")
@example("2026-11-22 10:00:00 Z")
@example("-.Inf")
def test_what_yaml_1_1_takes_for_no_text_is_not_taken_for_text(text: str) -> None:
    resolve: Any = yaml.SafeLoader("").resolve
    tag = resolve(yaml.ScalarNode, text, (True, False))
    if tag.rpartition(":")[2] in ("null", "bool", "int", "float", "timestamp"):
        assert type(yaml_file.plain(text)) is not str


SCALARS: Any = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["ws://h", "5m", "4MiB", "{camera}.jpg", "1:30", "no", "a", "{", "{0}", "%"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "tls", "a", "keep", "door"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = [(*path, key) for path, model in config.SECTIONS.items() for key in model.model_fields]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.yaml"


def _problems(path: Path) -> list[str]:
    try:
        assert isinstance(load(path), Config)
    except ConfigError as exc:
        return exc.problems or ["none was told"]
    return []


def _is_answered(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for problem in _problems(path):
        assert problem.startswith(str(path.parent))
        assert problem.isprintable()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=4))
def test_any_value_at_any_key_is_taken_or_refused(
    scratch: Path, entries: list[tuple[tuple[str, ...], Any]]
) -> None:
    document: dict[str, Any] = {"cameras": {"*": {"url": "ws://h"}}}
    for place, value in entries:
        block: Any = document
        for key in place[:-1]:
            if not isinstance(block.get(key), dict):
                block[key] = {}
            block = block[key]
        block[place[-1]] = value
    text = yaml.safe_dump(document).replace("'*'", "door")
    _is_answered(scratch, text.encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text("ab:-[]{}&*!|>'\"%@`#\n ?,<~0", max_size=60).map(str.encode)
    | st.lists(
        st.sampled_from(
            ["cameras:", "\n", "  ", "a", ": ", "&x ", "*x", "<<: ", "- ", "!env ", "!secret ",
             "!file ", "{", "}", "[", "]", "ws://h", "'", '"', "mqtt:", "password: ", "? ", "---"]
        ),
        max_size=20,
    ).map(lambda parts: "".join(parts).encode())
)  # fmt: skip
def test_any_file_is_taken_or_refused(scratch: Path, content: bytes) -> None:
    _is_answered(scratch, content)


@settings(deadline=None)
@given(st.text("{}camera:!r.[]jpg/%Yd0captured_at", max_size=40))
def test_any_template_is_taken_or_refused(scratch: Path, template: str) -> None:
    text = yaml.safe_dump({"cameras": {"a": "ws://h"}, "storage": {"filename": template}})
    _is_answered(scratch, text.encode())


@settings(deadline=None)
@given(st.text("ws:/@[]%.0f1?#a ", max_size=30) | st.text(max_size=30))
def test_an_address_that_is_taken_is_taken_as_it_is_then(url: str) -> None:
    with contextlib.suppress(ConfigError):
        taken = camera_from_url("ws://" + url).url
        assert camera_from_url(taken).url == taken


def test_importing_it_brings_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, bridge.config; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parent)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    ).stdout.split()
    assert not {"paho", "websocket", "asyncio", "difflib", "pydantic.v1"} & set(loaded)

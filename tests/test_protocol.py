"""The board's wires: what is understood, what is not, and what a board's errors mean."""

import hashlib
import hmac
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.capture import Options, to_json
from bridge.errors import BadImage, BridgeError, CameraFailed, Unauthorized, Unsupported
from bridge.protocol import (
    LEGACY_CAPTURE,
    MAX_TEXT,
    V1_PATH,
    BoardError,
    Hello,
    ImageHead,
    Ok,
    Settings,
    Status,
    auth_command,
    capture_command,
    check_image,
    failure,
    parse,
    restart_command,
    set_command,
    status_command,
    unsupported,
)

HELLO: dict[str, Any] = {
    "type": "hello",
    "protocol": 1,
    "device": "esp32cam",
    "name": "porch",
    "firmware": "1.0.0",
    "board": "ai-thinker",
    "sensor": "OV2640",
    "psram": True,
    "framesizes": ["QVGA", "SVGA", "UXGA"],
    "features": ["flash", "framesize", "quality", "status", "settings"],
    "auth": "hmac",
    "nonce": "00112233445566778899aabbccddeeff",
}


def said(**document: Any) -> Any:
    return parse(json.dumps(document).encode())


def hello(**other: Any) -> Hello:
    message = said(**{**HELLO, **other})
    assert isinstance(message, Hello)
    return message


def test_the_legacy_command_is_seven_bytes() -> None:
    assert LEGACY_CAPTURE == "capture"
    assert V1_PATH == "/v1"


def test_a_hello_says_what_the_board_is_and_can() -> None:
    assert hello().model_dump() == HELLO


def test_a_board_need_not_say_more_than_that_it_is_there() -> None:
    message = said(type="hello", protocol=1)
    assert isinstance(message, Hello)
    assert (message.features, message.framesizes, message.nonce) == ([], [], None)


def test_what_a_newer_board_says_besides_is_no_hindrance() -> None:
    assert hello(battery=17).nonce == HELLO["nonce"]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"type": "ok", "cmd": "auth"}, Ok),
        ({"type": "image", "id": "c1", "bytes": 150321, "crc32": "9a0b", "age_ms": 90}, ImageHead),
        ({"type": "image", "bytes": 0}, ImageHead),
        ({"type": "error", "error": "busy"}, BoardError),
        ({"type": "status", "id": "s1", "rssi": -61, "uptime_ms": 5}, Status),
        ({"type": "settings", "id": "x", "vflip": True}, Settings),
    ],
)
def test_each_kind_of_message_is_known_by_its_type(document: dict[str, Any], kind: type) -> None:
    assert type(said(**document)) is kind


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"capture",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xd8\xff",
        b'{"type":"hello"',
        b'{"type":"hello"}',
        b'{"type":"hello","protocol":2}',
        b'{"type":"hello","protocol":"1"}',
        b'{"type":"HELLO","protocol":1}',
        b'{"type":"party"}',
        b'{"type":["hello"],"protocol":1}',
        b'{"type":"hello","protocol":1,"features":"flash"}',
        b'{"type":"hello","protocol":1,"name":"\\ud800"}',
        b'{"type":"image"}',
        b'{"type":"image","bytes":-1}',
        b'{"type":"image","bytes":1.5}',
        b'{"type":"image","bytes":' + b"9" * 5000 + b"}",
        b'{"type":"image","bytes":1,"crc32":"9a0bff0011"}',
        b'{"type":"image","bytes":1,"crc32":"no hex"}',
        b'{"type":"error"}',
        b'{"type":"error","error":"busy","retry_after_ms":-1}',
        b'{"type":"error","error":"busy","retry_after_ms":NaN}',
        b'{"type":"error","error":"' + b"x" * 201 + b'"}',
        b'{"type":"settings","x":' + b"[" * 7000 + b"]" * 7000 + b"}",
    ],
)
def test_what_is_none_of_ours_is_nothing(text: bytes) -> None:
    assert parse(text) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_nothing(text: bytes) -> None:
    parse(text)


@given(
    st.dictionaries(
        st.sampled_from(["type", "id", "error", "bytes", "crc32", "rssi", "protocol", "settings"])
        | st.text(),
        st.sampled_from(["hello", "ok", "image", "error", "status", "settings", 1])
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
            ),
            max_leaves=3,
        ),
        max_size=5,
    )
)
@settings(max_examples=60)
def test_any_object_is_a_message_or_nothing(document: dict[str, Any]) -> None:
    message = parse(json.dumps(document).encode())
    assert message is None or message.type == document["type"]
    if isinstance(message, BoardError):
        failure(message)
    elif isinstance(message, Settings):
        assert all(
            isinstance(value, bool | int | float | str) for value in message.values().values()
        )


@pytest.mark.parametrize(
    "document",
    [
        {"vflip": True, "quality": 10, "framesize": "SVGA", "list": [1], "none": None},
        {"settings": {"vflip": True, "quality": 10, "framesize": "SVGA", "object": {}}},
    ],
)
def test_settings_are_the_scalars_wherever_they_stand(document: dict[str, Any]) -> None:
    message = said(type="settings", id="x", **document)
    assert message.values() == {"vflip": True, "quality": 10, "framesize": "SVGA"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_settings_are_fit_to_be_published_as_json(number: str) -> None:
    message = parse(b'{"type":"settings","x":%s,"quality":10}' % number.encode())
    if isinstance(message, Settings):
        json.loads(to_json(message.values()), parse_constant=pytest.fail)


def command(text: str) -> Any:
    assert len(text.encode()) <= 1024
    assert "\n" not in text
    return json.loads(text)


def test_a_capture_says_only_what_was_asked_for() -> None:
    board = hello()
    assert command(capture_command("c1", Options(save=True, timeout=5.0), board)) == {
        "cmd": "capture",
        "id": "c1",
    }
    wanted = Options(flash=True, framesize="SVGA", quality=12, count=3, every=1.0)
    assert command(capture_command("c2", wanted, board)) == {
        "cmd": "capture",
        "id": "c2",
        "flash": True,
        "framesize": "SVGA",
        "quality": 12,
    }


def test_settings_are_changed_for_good_and_only_told_without_a_change() -> None:
    assert command(set_command("x", {"vflip": True})) == {
        "cmd": "set",
        "id": "x",
        "settings": {"vflip": True},
        "persist": True,
    }
    assert command(set_command("x", {})) == {
        "cmd": "set",
        "id": "x",
        "settings": {},
        "persist": False,
    }


def test_status_and_restart_are_asked_for_by_name() -> None:
    assert command(status_command("s1")) == {"cmd": "status", "id": "s1"}
    assert command(restart_command("r1")) == {"cmd": "restart", "id": "r1"}


@pytest.mark.parametrize("key", ["secret", "Schlüssel 🔑", "k" * 200])
def test_the_key_is_proven_over_the_nonces_characters_and_never_sent(key: str) -> None:
    text = auth_command(hello(), key)
    expected = hmac.new(key.encode(), HELLO["nonce"].encode("ascii"), hashlib.sha256).hexdigest()
    assert command(text) == {"cmd": "auth", "mac": expected}
    assert key not in text


def test_the_proof_is_what_openssl_makes_of_it() -> None:
    # printf 00112233445566778899aabbccddeeff | openssl dgst -sha256 -hmac secret
    assert (
        command(auth_command(hello(), "secret"))["mac"]
        == "024a4cd795dbf64e3f8aee57d9fd5ff8958313b1fcc718b16eaa8e51e2a6ec4a"
    )


@pytest.mark.parametrize(
    ("options", "features", "key"),
    [
        (Options(flash=True), ["framesize", "quality"], "flash"),
        (Options(framesize="SVGA"), ["flash", "quality"], "framesize"),
        (Options(quality=10), ["flash", "framesize"], "quality"),
    ],
)
def test_a_board_is_not_asked_for_what_it_does_not_offer(
    options: Options, features: list[str], key: str
) -> None:
    limited, legacy = unsupported(options, hello(features=features)), unsupported(options, None)
    assert limited is not None
    assert legacy is not None
    assert limited.startswith(f"{key}: ")
    assert legacy.startswith(f"{key}: ")
    with pytest.raises(Unsupported, match=key):
        capture_command("c1", options, hello(features=features))
    assert unsupported(options, hello()) is None


def test_a_frame_size_must_be_one_of_the_boards() -> None:
    fault = unsupported(Options(framesize="QXGA"), hello())
    assert fault is not None
    assert "QVGA, SVGA, UXGA" in fault
    assert "QXGA" in fault
    assert unsupported(Options(framesize="QXGA"), hello(framesizes=[])) is None


@pytest.mark.parametrize("board", [None, hello(features=[])])
def test_no_flash_and_what_the_bridge_does_itself_can_be_asked_of_every_board(
    board: Hello | None,
) -> None:
    ours = Options(save=True, flash=False, count=5, every=1.0, timeout=3.0)
    assert unsupported(ours, board) is None


DATA = b"\xff\xd8 a picture \xff\xd9"
CRC = f"{zlib.crc32(DATA):08x}"


def head(**given: Any) -> ImageHead:
    message = said(**{"type": "image", "bytes": len(DATA), "crc32": CRC} | given)
    assert isinstance(message, ImageHead)
    return message


@pytest.mark.parametrize("announced", [None, head(), head(crc32=None), head(crc32=CRC.upper())])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_an_image_as_announced_is_right(
    announced: ImageHead | None, kind: type[bytes] | type[bytearray]
) -> None:
    check_image(announced, kind(DATA))


@pytest.mark.parametrize(
    ("announced", "data"),
    [
        (head(), DATA[:-1]),
        (head(), DATA + b"\0"),
        (head(), b""),
        (head(bytes=0), DATA),
        (head(), DATA[:-3] + b"?\xff\xd9"),
        (head(crc32="0"), DATA),
    ],
)
def test_an_image_unlike_its_announcement_is_bad(announced: ImageHead, data: bytes) -> None:
    with pytest.raises(BadImage, match="announced"):
        check_image(announced, data)


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        ("busy", CameraFailed, True),
        ("camera_failed", CameraFailed, True),
        ("no_fresh_frame", CameraFailed, True),
        ("low_memory", CameraFailed, True),
        ("bad_framesize", Unsupported, False),
        ("unknown_command", Unsupported, False),
        ("unauthorized", Unauthorized, False),
        ("bad_request", CameraFailed, False),
        ("on_fire", CameraFailed, False),
    ],
)
def test_a_boards_error_is_one_of_ours_and_some_are_worth_asking_again(
    code: str, kind: type[BridgeError], again: bool
) -> None:
    error, after = failure(said(type="error", error=code, detail="too\nhot", retry_after_ms=1500))
    assert type(error) is kind
    assert after == (1.5 if again else None)
    assert code in str(error)
    assert "hot" in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize(("told", "after"), [(None, 0), (0, 0), (60_000, 60), (1e12, 60)])
def test_a_board_can_not_make_us_wait_for_ever(told: float | None, after: float) -> None:
    assert failure(said(type="error", error="busy", retry_after_ms=told))[1] == after


def test_a_boards_words_are_cut_short() -> None:
    error, _ = failure(said(type="error", error="x" * 200, detail="\x1b[2J" * 40))
    assert len(str(error)) <= 200
    assert str(error).isprintable()


def test_a_text_may_be_sixteen_times_what_the_protocol_promises() -> None:
    assert MAX_TEXT == 16 * 1024

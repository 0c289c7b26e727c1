"""What a client may ask: every form of a command, every bound, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.capture import Options
from bridge.command import (
    MAX_COMMAND,
    Change,
    Command,
    parse_capture,
    parse_restart,
    parse_set,
    quote,
)
from bridge.errors import BadRequest

KEYS = ["id", "reply", "save", "flash", "framesize", "quality", "count", "every", "timeout"]
SETTINGS = ["interval", "save", "flash", "flash_level", "framesize", "quality", "vflip", "hmirror"]


def refusal(parse: Callable[[bytes], object], payload: bytes | dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return caught.value


def assert_fit_for_a_result(error: BadRequest) -> None:
    message = str(error)
    assert message.isprintable()  # one line, no control character, no surrogate
    assert len(message) <= 250
    assert error.id is None or (0 < len(error.id) <= 128 and error.id.encode())


@pytest.mark.parametrize("payload", [b"", b"capture", b"PRESS", b"{}", b" { } \n"])
def test_a_plain_command_asks_for_one_picture_as_the_camera_is_set_up(payload: bytes) -> None:
    assert parse_capture(payload) == Command(id=None, reply="image", options=Options())


def test_a_command_may_have_every_key() -> None:
    document = {
        "id": "a1",
        "reply": "path",
        "save": True,
        "flash": False,
        "framesize": "SVGA",
        "quality": 12,
        "count": 3,
        "every": 2,
        "timeout": 7.5,
    }
    assert sorted(document) == sorted(KEYS)
    assert parse_capture(json.dumps(document).encode()) == Command(
        id="a1",
        reply="path",
        options=Options(
            save=True, flash=False, framesize="SVGA", quality=12, count=3, every=2.0, timeout=7.5
        ),
    )


@pytest.mark.parametrize("key", KEYS)
def test_null_is_as_good_as_leaving_a_key_out(key: str) -> None:
    assert parse_capture(json.dumps({key: None}).encode()) == Command()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "x"),
        ("id", "Tür 1 🚪/../+#"),
        ("id", "🚪" * 128),
        ("reply", "image"),
        ("reply", "result"),
        ("save", False),
        ("framesize", "QXGA"),
        ("framesize", "96X96"),
        ("quality", 4),
        ("quality", 63),
        ("count", 1),
        ("count", 50),
        ("every", 0),
        ("every", 3600),
        ("timeout", 0.001),
        ("timeout", 600),
    ],
)
def test_a_value_at_its_bound_is_taken(key: str, value: object) -> None:
    command = parse_capture(json.dumps({key: value}).encode())
    assert getattr(command if key in ("id", "reply") else command.options, key) == value


BOOLEAN: list[object] = ["true", 0, 1, []]
BAD: list[tuple[str, str, list[object]]] = [
    ("id", "1 to 128 characters", ["", "a" * 129, 7, True, ["a"], {}]),
    (
        "id",
        "control character",
        [f"a{c}b" for c in "\0\n\x1b\x7f\x85\u2028\u2029\ud800\ufdd0\ufffe\U0010ffff"],
    ),
    ("reply", "'image', 'path' or 'result'", ["", "jpeg", 1, ["path"]]),
    ("save", "true or false", BOOLEAN),
    ("flash", "true or false", BOOLEAN),
    ("framesize", "such as 'SVGA'", ["", "svga", "SV GA", "SVGA\n", "A" * 17, "\ud800", 5, True]),
    ("quality", "from 4 (best) to 63", [3, 64, -1, 10.0, 10.5, "10", True, 10**4000]),
    ("count", "from 1 to 50", [0, 51, -1, 1.0, "2", True, 10**30]),
    ("every", "seconds from 0 to 3600", [-0.1, 3600.1, "1", True]),
    ("timeout", "above 0, 600 at most", [0, -1, 600.1, "15", True, 10**400]),
]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [(key, value, expected) for key, expected, values in BAD for value in values],
)
def test_a_refusal_names_the_key_what_was_expected_and_the_id(
    key: str, value: object, expected: str
) -> None:
    error = refusal(parse_capture, {"id": "a1", key: value})
    assert str(error).startswith(f"{key}: expected ")
    assert expected in str(error)
    assert error.id == (None if key == "id" else "a1")
    assert_fit_for_a_result(error)


@pytest.mark.parametrize("payload", ['"capture"', "null", "[1]", "{'id': 'a'}"])
def test_a_refusal_repeats_what_came_as_it_came(payload: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_capture(payload.encode())
    assert str(caught.value).endswith(f", got {payload!r}")


@pytest.mark.parametrize("value", ["true", "[true, null]", "'yes'", "1.5"])
def test_a_wrong_value_is_repeated_as_json_has_it(value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_capture(b'{"count": %s}' % value.replace("'", '"').encode())
    assert str(caught.value).endswith(f", got {value}")


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"count": 5, "quality": 99}, 5),
        ({"count": 5, "colour": "red"}, 5),
        ({"count": 5, "id": ""}, 5),
        ({"count": 5, "reply": "path", "save": False}, 5),
        ({"count": 51}, 51),
        ({"count": 2**31}, 1),  # more than a number of others' holds
        ({"count": 0}, 1),
        ({"count": "5"}, 1),
        ({"count": True, "quality": 99}, 1),
        ({"quality": 99}, 1),
    ],
)
def test_a_refusal_says_how_many_pictures_were_asked_for(
    asked: dict[str, object], count: int
) -> None:
    assert refusal(parse_capture, asked).count == count


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "9" * 400])
@pytest.mark.parametrize("key", ["every", "timeout"])
def test_a_number_beyond_all_measure_is_no_time_to_wait(key: str, number: str) -> None:
    try:
        options = parse_capture(f'{{"{key}": {number}}}'.encode()).options
    except BadRequest as exc:
        assert_fit_for_a_result(exc)
    else:
        assert (key, number, options.every) == ("every", "1e-400", 0.0)


def test_an_unknown_key_is_named_with_the_keys_there_are() -> None:
    error = refusal(parse_capture, {"id": "a1", "qualty": 5, "flash": True})
    assert "unknown key 'qualty'" in str(error)
    assert all(key in str(error) for key in KEYS)
    assert error.id == "a1"


@pytest.mark.parametrize("parse", [parse_capture, parse_set, parse_restart])
@pytest.mark.parametrize(
    "key",
    [
        "\n" * 50,
        "x" * 10_000,
        "",
        "Id",
        "\ud800",
    ],
)
def test_an_unknown_key_is_refused_whatever_it_looks_like(
    parse: Callable[[bytes], object], key: str
) -> None:
    error = refusal(parse, {"id": "a1", key: 1})
    assert "unknown key" in str(error)
    assert error.id == "a1"
    assert_fit_for_a_result(error)


def test_a_path_can_not_be_had_of_a_picture_that_is_not_saved() -> None:
    error = refusal(parse_capture, {"id": "a1", "reply": "path", "save": False})
    assert "reply" in str(error)
    assert "save" in str(error)
    assert error.id == "a1"
    assert parse_capture(b'{"reply": "image", "save": false}').options.save is False


@pytest.mark.parametrize(
    "payload",
    [
        b"Capture",
        b"capture\n",
        b"\0",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\xff\xd9",
        b"null",
        b"1",
        b"[]",
        b'"capture"',
        b'{"id": "a1"',
        b'{"id": "a1"} {}',
        b"{'id': 'a1'}",
        b'{"every": NaN}',
        b'{"every": Infinity}',
        b'{"unheard_of": -Infinity}',
        b'{"quality": ' + b"9" * 5000 + b"}",
        b"[" * MAX_COMMAND,
        b"[" * 400 + b"]" * 400,
        b'{"id":' * 2000 + b"1" + b"}" * 2000,
        b'{"flash":' + b"[" * 7000 + b"]" * 7000 + b"}",
        '{"id": "a1"}'.encode("utf-16")[:-1],
    ],
)
def test_what_is_no_command_is_refused_in_one_line(payload: bytes) -> None:
    error = refusal(parse_capture, payload)
    assert "expected" in str(error)
    assert_fit_for_a_result(error)


def test_of_bytes_that_are_no_text_only_their_number_is_repeated() -> None:
    message = str(refusal(parse_capture, b"\xff\xd8" + bytes(1000)))
    assert "a JSON object, got 1002 bytes that are no text" in message


def test_a_command_longer_than_any_sensible_one_is_not_even_parsed() -> None:
    fitting = b'{"id": "a1"' + b" " * (MAX_COMMAND - 12) + b"}"
    assert parse_capture(fitting).id == "a1"
    error = refusal(parse_capture, fitting + b" ")
    assert f"{MAX_COMMAND + 1} bytes" in str(error)
    assert_fit_for_a_result(error)


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert parse_capture(b'{"id": "a", "count": 99, "count": 2, "id": "b"}') == Command(
        id="b", options=Options(count=2)
    )
    assert_fit_for_a_result(refusal(parse_capture, b'{"count": 2, "count": 99}'))


def test_a_change_is_parted_into_ours_and_the_boards() -> None:
    document = {
        "id": "s1",
        "interval": 60,
        "save": False,
        "flash": True,
        "flash_level": 80,
        "framesize": "UXGA",
        "quality": 63,
        "vflip": True,
        "hmirror": False,
    }
    assert sorted(document) == sorted(["id", *SETTINGS])
    assert parse_set(json.dumps(document).encode()) == Change(
        id="s1",
        own={"interval": 60, "save": False},
        board={key: document[key] for key in SETTINGS if key not in ("interval", "save")},
    )


@pytest.mark.parametrize("interval", [0, 1, 1.5, 86_400])
def test_an_interval_is_off_or_a_second_to_a_day(interval: float) -> None:
    change = parse_set(json.dumps({"interval": interval}).encode())
    assert (change.own, change.board) == ({"interval": interval}, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("interval", value) for value in (-1, 0.5, 86_401, "60", True)],
        *[(key, value) for key in ("save", "flash", "vflip", "hmirror") for value in (0, "on")],
        ("framesize", "svga"),
        ("quality", 3),
        ("quality", 64),
        *[("flash_level", value) for value in (0, 81, 50.5, True)],
        ("id", "a\nb"),
    ],
)
def test_a_change_out_of_bounds_is_refused_by_name(key: str, value: object) -> None:
    error = refusal(parse_set, {"id": "s1", "flash": True, key: value})
    assert str(error).startswith(f"{key}: expected ")
    assert error.id == (None if key == "id" else "s1")
    assert_fit_for_a_result(error)


@pytest.mark.parametrize("payload", [b"{}", b'{"id": "s1"}', b'{"id": "s1", "flash": null}'])
def test_a_change_of_nothing_says_what_can_be_set(payload: bytes) -> None:
    error = refusal(parse_set, payload)
    assert str(error) == f"nothing to set; expected some of {', '.join(SETTINGS)}"


@pytest.mark.parametrize("payload", [b"", b"PRESS", b"on", b"capture", b"\xff\xd8"])
def test_a_change_must_be_an_object(payload: bytes) -> None:
    assert "expected a JSON object" in str(refusal(parse_set, payload))


@pytest.mark.parametrize(
    ("payload", "id_"),
    [
        (b"", None),
        (b"PRESS", None),
        (b"restart", None),
        (b"\xff", None),
        (b"{}", None),
        (b'  {"id": "r1"}', "r1"),
    ],
)
def test_a_restart_needs_no_words_and_may_have_an_id(payload: bytes, id_: str | None) -> None:
    assert parse_restart(payload) == id_


@pytest.mark.parametrize("payload", [b"{", b'{"id": 1}', b'{"now": true}'])
def test_a_restart_that_begins_as_an_object_must_be_a_right_one(payload: bytes) -> None:
    assert_fit_for_a_result(refusal(parse_restart, payload))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()  # NaN and the infinities too: json.dumps writes them
    | st.text()
    | st.sampled_from(["image", "path", "SVGA", "\ud800", "\u2028", 10**400, -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from([*KEYS, *SETTINGS]) | st.text(), JSON, max_size=6)


def assert_only_ever_right_or_refused(payload: bytes) -> None:
    for parse in (parse_capture, parse_set, parse_restart):
        try:
            command = parse(payload)
        except BadRequest as exc:
            assert_fit_for_a_result(exc)
            continue
        if isinstance(command, Command):
            assert 1 <= command.options.count <= 50
            assert 0 <= command.options.every <= 3600
            assert command.options.timeout is None or 0 < command.options.timeout <= 600
        id_ = command if command is None or isinstance(command, str) else command.id
        assert id_ is None or 0 < len(id_.encode()) <= 512


@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xff\xfe{\0")
@example(b'"\xed\xa0\x80"')
def test_any_bytes_are_a_command_or_a_bad_request(payload: bytes) -> None:
    assert_only_ever_right_or_refused(payload)


@given(DOCUMENTS, st.booleans())
def test_any_object_is_a_command_or_a_bad_request(document: dict[str, Any], plain: bool) -> None:
    text = json.dumps(document, ensure_ascii=plain)
    assert_only_ever_right_or_refused(text.encode("utf-8", "surrogatepass"))


@given(st.text(min_size=1, max_size=128))
def test_an_id_is_taken_if_a_person_could_read_it(id_: str) -> None:
    usable = not any(
        c < " "
        or "\x7f" <= c <= "\x9f"
        or c in "\u2028\u2029"
        or "\ufdd0" <= c <= "\ufdef"
        or ord(c) & 0xFFFE == 0xFFFE
        for c in id_
    )
    if usable:
        assert parse_capture(json.dumps({"id": id_}).encode()).id == id_
        assert refusal(parse_capture, {"id": id_, "count": 0}).id == id_
    else:
        assert refusal(parse_capture, {"id": id_, "count": 0}).id is None


@given(st.binary() | st.text())
def test_a_quotation_is_short_and_printable(value: str | bytes) -> None:
    assert quote(value).isprintable()
    assert len(quote(value)) <= 60

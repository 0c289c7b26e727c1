import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.filename import MAX_NUMBER, Caption, Template, check_template, numbered

DEFAULT = "{camera}/{captured_at:%Y/%m/%d}/{captured_at:%H%M%S_%f}_{id}.jpg"
TEMPLATES = [
    DEFAULT,
    "{camera}.jpg",
    "{camera}/{id}.jpg",
    "{camera}/{id}/{id}{id}.jpg",
    "{camera}/.{id}{captured_at:%%}/{index} of {count}, {{{trigger}}} {width}x{height}.jpg",
    "{captured_at:%Y%m%d}/{camera}_{captured_at:%H%M%S}.jpg",
    "{camera}/{captured_at:%A %d %B %Y, %I %p %z}/{camera}/{id}写真.jpg",
    "{camera}/" + "x" * 200 + "{id}.jpg",
]
AT = datetime(2026, 11, 22, 11, 0, 0, 480000, UTC)


def render(
    template: str,
    id: str = "a1",  # noqa: A002
    camera: str = "front_door",
    captured_at: datetime = AT,
    index: int = 1,
) -> PurePosixPath:
    caption = Caption(
        camera=camera,
        id=id,
        captured_at=captured_at,
        index=index,
        count=1,
        width=1600,
        height=1200,
        trigger="mqtt",
    )
    return Template(template).render(caption)


@pytest.fixture
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("local_time")
def test_the_time_in_a_name_is_local_time() -> None:
    assert str(render(DEFAULT)) == "front_door/2026/11/22/163000_480000_a1.jpg"


def test_every_field_can_be_used() -> None:
    path = render("{camera}/{index}-{count}-{width}x{height}-{trigger}-{id}.jpg", index=7)
    assert str(path) == "front_door/7-1-1600x1200-mqtt-a1.jpg"


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("a/b", "a_b"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("..", "_."),
        (".", "_"),
        (".hidden", "_hidden"),
        ("/", "_"),
        ("\\", "_"),
        ("a b\u2400\u202e", "a_b__"),
        ("{camera}", "_camera_"),
        ("%Y%n", "_Y_n"),
        ("😀" * 128, "_" * 128),
        ("", "_"),
        ("Door.1_x-y", "Door.1_x-y"),
    ],
)
def test_an_id_never_chooses_a_folder(id: str, name: str) -> None:  # noqa: A002
    assert render("{camera}/{id}.jpg", id) == PurePosixPath(f"front_door/{name}.jpg")


def test_a_long_id_is_cut_and_the_ending_is_not() -> None:
    name = render("{camera}/" + "x" * 200 + "{id}.jpg", "y" * 128).name
    assert re.fullmatch(r"x{200}y{43}\.jpg", name)
    assert len(numbered(name, MAX_NUMBER)) == 255


@given(
    template=st.sampled_from(TEMPLATES),
    id=st.text(min_size=1, max_size=128),
    camera=st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True),
    captured_at=st.datetimes(
        datetime(1970, 1, 2),
        datetime(2200, 1, 1),
        timezones=st.just(UTC),
    ),
    number=st.sampled_from([1, 2, 17, MAX_NUMBER]),
)
def test_any_picture_has_a_name_in_the_folder_that_is_known_again(
    template: str,
    id: str,  # noqa: A002
    camera: str,
    captured_at: datetime,
    number: int,
) -> None:
    path = numbered(str(render(template, id, camera, captured_at)), number)
    names = path.split("/")
    assert len(names) == Template(template).depth
    assert not {"", ".", ".."} & set(names)
    assert all(len(os.fsencode(name)) <= 255 for name in names)
    assert path.endswith(".jpg")
    parsed = Template(template).parse(path)
    assert parsed is not None
    assert parsed[0] == camera
    patterns = Template(template).patterns
    assert all(pattern.fullmatch(name) for pattern, name in zip(patterns, names, strict=True))


@pytest.mark.usefixtures("local_time")
@pytest.mark.parametrize(
    ("template", "said"),
    [
        (DEFAULT, "20261122163000480000"),
        ("{captured_at:%Y%m%d}/{camera}_{captured_at:%H%M}.jpg", "202611221630"),
        ("{camera}/{captured_at:%d.%m.%Y} {captured_at:%f}.jpg", "20261122"),
        ("{camera}/{captured_at:%Y-%m}/{id}.jpg", ""),
        ("{camera}/{captured_at:%H%M%S}.jpg", ""),
        ("{camera}/{id}.jpg", ""),
    ],
)
def test_a_name_says_its_time_as_far_as_the_template_goes(template: str, said: str) -> None:
    assert Template(template).parse(str(render(template))) == ("front_door", said)


@pytest.mark.parametrize(
    "path",
    [
        "front_door/latest.jpg",
        "front_door/2026/11/22/holiday.jpg",
        "front_door/2026/11/22/110000_480000_a1.jpeg",
        "front_door/2026/11/22/110000_480000_a1.jpg.bak",
        "front_door/2026/11/22/110000_480000_a1 (copy).jpg",
        "front_door/2026/11/22/110000_480000_.jpg",
        "front_door/2026/11/22/250000_480000_a1.jpg",
        "front_door/2026/13/22/110000_480000_a1.jpg",
        "front_door/2026/11/110000_480000_a1.jpg",
        "front_door/2026/11/22/a/110000_480000_a1.jpg",
        "Front Door/2026/11/22/110000_480000_a1.jpg",
        "/front_door/2026/11/22/110000_480000_a1.jpg",
        "front_door/2026/11/22/110000_480000_a1.jpg\n",
    ],
)
def test_a_persons_own_file_is_not_ours(path: str) -> None:
    assert Template(DEFAULT).parse(path) is None


def test_latest_is_no_picture_of_its_own() -> None:
    assert Template("{camera}/{id}.jpg").parse("front_door/latest.jpg") is None
    assert Template("{camera}/{id}.jpg").parse("front_door/latest_2.jpg") == ("front_door", "")


def test_a_name_whose_parts_disagree_is_not_ours() -> None:
    template = Template("{camera}/{captured_at:%Y}/{camera}_{captured_at:%Y}_{id}.jpg")
    assert template.parse("a/2026/a_2026_x.jpg")
    assert template.parse("a/2026/b_2026_x.jpg") is None
    assert template.parse("a/2026/a_2025_x.jpg") is None


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_good_template_is_accepted(template: str) -> None:
    check_template(template)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{id}.jpg", "expected {camera} in it"),
        ("", "expected a path within"),
        ("/{camera}/{id}.jpg", "expected a path within"),
        ("{camera}//{id}.jpg", "expected a path within"),
        ("../{camera}/{id}.jpg", "expected a path within"),
        ("{camera}/../../{id}.jpg", "expected a path within"),
        ("{camera}/./{id}.jpg", "expected a path within"),
        ("{camera}/{id}.jpg/", "expected a path within"),
        ("{camera}/{captured_at:..}/{id}.jpg", "expected a path within"),
        ("{camera}/{captured_at:/../}/{id}.jpg", "expected a path within"),
        (".{captured_at:.}/{camera}/{id}.jpg", "expected a path within"),
        ("{camera}/{id}", "end in .jpg"),
        ("{camera}/{id}.png", "end in .jpg"),
        ("{camera}/.jpg{id}", "end in .jpg"),
        ("{camera}/{id.__class__}.jpg", "unknown field {id.__class__}"),
        ("{camera}/{id[0]}.jpg", "unknown field"),
        ("{camera}/{name}.jpg", "unknown field {name}; there are {captured_at:…}, {camera}"),
        ("{camera}/{}.jpg", "unknown field {}"),
        ("{camera}/{0}.jpg", "unknown field {0}"),
        ("{camera}/{id!r}.jpg", "expected {id} alone"),
        ("{camera}/{id:>1000000000}.jpg", "expected {id} alone"),
        ("{camera}/{id:{width}}.jpg", "expected {id} alone"),
        ("{camera}/{captured_at}.jpg", "needs a format"),
        ("{camera}/{captured_at:{id}}.jpg", "needs a format"),
        ("{camera}/{captured_at:%Q}.jpg", "'%Q' is none of %Y"),
        ("{camera}/{captured_at:%-d}.jpg", "'%-' is none of %Y"),
        ("{camera}/{captured_at:%Y%}.jpg", "'%' is none of %Y"),
        ("{camera}/{id.jpg", "brace"),
        ("{camera}/}{id}.jpg", "brace"),
        ("{camera}\\{id}.jpg", "can't be in a file's name"),
        ("{camera}/\0{id}.jpg", "can't be in a file's name"),
        ("{camera}/\ud800{id}.jpg", "can't be in a file's name"),
        ("{camera}/{captured_at:%Y\n}{id}.jpg", "can't be in a file's name"),
        ("{camera}_{id}.jpg", "a folder of its own"),
        ("{camera}{index}.jpg", "a folder of its own"),
        ("{camera}/" + "é" * 120 + "{id}.jpg", "longer than 255 bytes"),
        ("{camera}/" + "{captured_at:%f}" * 40 + ".jpg", "longer than 255 bytes"),
    ],
)
def test_a_bad_template_is_refused_with_a_reason(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check_template(template)

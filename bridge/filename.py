"""How saved pictures are called, and which files are ours. Pure: no file is looked at.

A template (``storage.filename``) becomes a relative path, and a relative path is told to be one
of ours or not. A request's id is text from outside: it never chooses a folder.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import PurePosixPath
from string import Formatter

CAMERA = re.compile(r"[a-z0-9_-]{1,64}")

MAX_COMPONENT = 255
"""Bytes of a folder's or a file's name: what Linux's and Windows' file systems take."""

MAX_NUMBER = 9_999_999
_SUFFIX_ROOM = len(f"_{MAX_NUMBER}")
_MIN_ID = 8  # characters that a template must leave for the id

_FIELDS = {
    "camera": r"[a-z0-9_-]{1,64}?",
    "id": r"[A-Za-z0-9_-][A-Za-z0-9._-]*",
    "index": r"\d+",
    "count": r"\d+",
    "width": r"\d+",
    "height": r"\d+",
    "trigger": r"[a-z]+",
}
_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%m": r"(?:0[1-9]|1[0-2])",
    "%d": r"(?:0[1-9]|[12]\d|3[01])",
    "%H": r"(?:[01]\d|2[0-3])",
    "%M": r"[0-5]\d",
    "%S": r"[0-5]\d",
    "%f": r"\d{6}",
    "%y": r"\d\d",
    "%j": r"[0-3]\d\d",
    "%I": r"(?:0[1-9]|1[0-2])",
    "%p": r"[^/]+?",
    "%a": r"[^/]+?",
    "%A": r"[^/]+?",
    "%b": r"[^/]+?",
    "%B": r"[^/]+?",
    "%u": r"[1-7]",
    "%G": r"\d{4}",
    "%V": r"[0-5]\d",
    "%z": r"[+-]\d{4,6}",
}
_PATTERNS = _FIELDS | _DIRECTIVES
_TIME = ("%Y", "%m", "%d", "%H", "%M", "%S", "%f")  # in this order digits sort as time does

_UNSAFE = re.compile(r"^\.|[^A-Za-z0-9._-]")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_EXAMPLE = "as in '{camera}/{captured_at:%Y-%m-%d}/{captured_at:%H%M%S_%f}_{id}.jpg'"
_WIDEST = {**dict.fromkeys(_FIELDS, "9" * 8), **dict.fromkeys(_DIRECTIVES, "9" * 9)}
_WIDEST |= {"camera": "c" * 64, "id": ""}


@dataclass(frozen=True, slots=True)
class Caption:
    """What the name of a picture may tell of it."""

    camera: str
    id: str
    captured_at: datetime
    index: int
    count: int
    width: int
    height: int
    trigger: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """One piece of a name: literal ``text``, or a field, or a directive of ``captured_at``."""

    text: str = ""
    field: str = ""


class Template:
    """A checked ``storage.filename``.

    ``depth`` is how many names a path has; ``patterns`` tell of each what it may be, so that a
    walk needn't enter folders that are none of ours.

    Raises:
        ValueError: it can't be used; the sentence says why.
    """

    def __init__(self, template: str) -> None:
        names = _split(template)
        self.depth = len(names)
        self.patterns = [re.compile(_pattern(name, {})) for name in names]
        self.patterns[-1] = re.compile(_pattern(names[-1], {}, last=True))
        groups: dict[str, str] = {}
        whole = [_pattern(name, groups) for name in names[:-1]]
        self._whole = re.compile("/".join([*whole, _pattern(names[-1], groups, last=True)]))
        self._times = [groups[key] for key in takewhile(groups.__contains__, _TIME)]
        if len(self._times) < len(("year", "month", "day")):
            self._times = []
        self._id_limit = min(_room_for_id(name) for name in names)
        self._directives = [key for key in groups if key in _DIRECTIVES]
        self._ask_time = "\n".join(self._directives)
        self._format = "/".join(_format(name) for name in names)

    def render(self, caption: Caption) -> PurePosixPath:
        """The relative path of a picture, in local time; always below where it is joined to."""
        times = caption.captured_at.astimezone().strftime(self._ask_time).split("\n")
        values = {
            **dict(zip(self._directives, times, strict=False)),
            "camera": caption.camera,
            "id": _UNSAFE.sub("_", caption.id)[: self._id_limit] or "_",
            "index": caption.index,
            "count": caption.count,
            "width": caption.width,
            "height": caption.height,
            "trigger": caption.trigger,
        }
        return PurePosixPath(self._format.format_map(values))

    def parse(self, path: str) -> tuple[str, str] | None:
        """The camera and the time in the name of a picture of ours, ``None`` of any other file.

        The time is local, as digits from the year on as far as the template has it; empty where
        that isn't even the day.
        """
        match = self._whole.fullmatch(path)
        if match is None or path == latest(match["camera"]):
            return None
        return match["camera"], "".join([match[group] for group in self._times])


def check_template(template: str) -> None:
    """Raise a ``ValueError`` that says what is wrong with a ``storage.filename``, if anything."""
    Template(template)


def latest(camera: str) -> str:
    """The path of a camera's newest picture, which no other picture is given."""
    return f"{camera}/latest.jpg"


def numbered(path: str, number: int) -> str:
    """``path`` for a picture whose name is taken: ``a.jpg``, ``a_2.jpg``, ``a_3.jpg`` …"""
    return path if number == 1 else f"{path.removesuffix('.jpg')}_{number}.jpg"


def _split(template: str) -> list[list[_Piece]]:
    """The pieces of each name of the path, checked."""
    if found := _FORBIDDEN.search(template):
        raise ValueError(f"{found.group()!r} can't be in a file's name; folders end with '/'")
    names: list[list[_Piece]] = [[]]
    for piece in _pieces(template):
        first, *others = piece.text.split("/")
        if first or piece.field:
            names[-1].append(_Piece(first, piece.field))
        names += [[_Piece(text)] if text else [] for text in others]
    for name in names:
        literal = "".join(piece.text for piece in name)
        if literal in {"", ".", ".."} and not any(piece.field for piece in name):
            raise ValueError(
                "expected a path within storage.path: no '/' at its beginning or end, no '//', "
                f"no '.' and no '..', {_EXAMPLE}"
            )
    fields = [{piece.field for piece in name} for name in names]
    if not any("camera" in name for name in fields):
        raise ValueError(f"expected {{camera}} in it, or cameras would share names, {_EXAMPLE}")
    if not names[-1][-1].text.endswith(".jpg"):
        raise ValueError(f"expected it to end in .jpg, {_EXAMPLE}")
    # Retention reads the camera back from the name; `a_b_c.jpg` could be camera a's or a_b's.
    if not any("camera" in name and name <= {"", "camera", *_DIRECTIVES} for name in fields):
        raise ValueError(
            "{camera} can't be told from the fields beside it: give it a folder of its own, "
            + _EXAMPLE
        )
    return names


def _pieces(template: str) -> Iterator[_Piece]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as exc:
        raise ValueError(f"{exc}; a brace that is meant as such is written twice") from exc
    for text, field, spec, conversion in parsed:
        yield _Piece(text)
        if field is None:
            continue
        if field not in _FIELDS and field != "captured_at":
            allowed = ", ".join(f"{{{name}}}" for name in ("captured_at:…", *_FIELDS))
            raise ValueError(f"unknown field {{{field}}}; there are {allowed}")
        if conversion or (spec and field != "captured_at"):
            raise ValueError(f"expected {{{field}}} alone; only {{captured_at:…}} has a format")
        if field == "captured_at":
            yield from _time_pieces(spec or "")
        else:
            yield _Piece("", field)


def _time_pieces(spec: str) -> Iterator[_Piece]:
    if not spec or "{" in spec:
        raise ValueError("{captured_at} needs a format of its own, as in {captured_at:%Y-%m-%d}")
    for word in re.findall(r"%.?|[^%]+", spec):
        if word in _DIRECTIVES:
            yield _Piece("", word)
        elif word == "%%" or word[0] != "%":
            yield _Piece(word.removeprefix("%"))
        else:
            allowed = " ".join(_DIRECTIVES)
            raise ValueError(f"{{captured_at:{spec}}}: {word!r} is none of {allowed}")


def _pattern(name: list[_Piece], groups: dict[str, str], *, last: bool = False) -> str:
    """A regular expression of one name; a field that is in ``groups`` must be the same again."""
    source = ""
    for piece in name:
        if not piece.field:
            source += re.escape(piece.text)
        elif piece.field in groups:
            source += f"(?P={groups[piece.field]})"
        else:
            groups[piece.field] = piece.field.replace("%", "t_")
            source += f"(?P<{groups[piece.field]}>{_PATTERNS[piece.field]})"
    return source.removesuffix(r"\.jpg") + r"(?:_\d{1,7})?\.jpg" if last else source


def _format(name: list[_Piece]) -> str:
    return "".join(
        f"{{{piece.field}}}" if piece.field else piece.text.replace("{", "{{").replace("}", "}}")
        for piece in name
    )


def _room_for_id(name: list[_Piece]) -> int:
    """How many characters of an id fit, beside the widest that anything else can be."""
    used = len(_format(name).format_map(_WIDEST).encode())
    ids = sum(piece.field == "id" for piece in name)
    room = (MAX_COMPONENT - _SUFFIX_ROOM - used) // max(ids, 1)
    if room < (_MIN_ID if ids else 0):
        raise ValueError("a folder's or file's name could be longer than 255 bytes")
    return room if ids else MAX_COMPONENT

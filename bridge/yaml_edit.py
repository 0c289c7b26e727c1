"""Adds to a block of a YAML file without touching anything else in it: comments, order, style.

Beside ``yaml_file`` the only module that knows yaml, and only of where things stand. What it makes
is a proposal: who uses it reads the new text back, and compares.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INDENT = 2
_PLAIN = re.compile(r"ws://[\w.:\[\]%-]+")  # what needs no quotes


class NoPlaceError(Exception):
    """There is nowhere that something could be added to; ``str()`` of it says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is added: a key, the texts below it, and comments."""

    key: str
    values: dict[str, str]
    comment: str = ""
    hint: str = ""  # a line of its own below the values, commented out


def add(text: str, block: str, entries: list[Entry]) -> str:
    """``text`` with the entries at the end of its top-level ``block``, which is made if need be.

    Raises:
        NoPlaceError: the block is no block of keys, or there is no telling where it ends.
    """
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    place = _find(text, block)
    if place is None:
        added = [f"{block}:", *_written(entries, _INDENT, _INDENT)]
        at = len(lines)
    elif place.flow:
        return _into_flow(lines, place, entries)
    else:
        added = _written(entries, place.column, place.indent)
        at = _end(lines, place)
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += newline
    lines[at:at] = [line + newline for line in added]
    return "".join(lines)


def written(block: str, entries: list[Entry]) -> str:
    """The entries as they would stand in a file of their own."""
    return add("", block, entries)


def _written(entries: list[Entry], column: int, indent: int) -> list[str]:
    outer, inner = " " * column, " " * (column + indent)
    lines = []
    for entry in entries:
        lines.append(f"{outer}{entry.key}:" + (f"  # {entry.comment}" if entry.comment else ""))
        lines += [f"{inner}{key}: {_scalar(value)}" for key, value in entry.values.items()]
        if entry.hint:
            lines.append(f"{inner}# {entry.hint}")
    return lines


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(value: str | dict[str, str]) -> str:
    """JSON, which is YAML as well."""
    return json.dumps(value, ensure_ascii=False)


def _into_flow(lines: list[str], place: "_Place", entries: list[Entry]) -> str:
    added = [f"{_quoted(entry.key)}: {_quoted(entry.values)}" for entry in entries]
    line = lines[place.line]
    before = "" if place.empty else ", "
    lines[place.line] = line[: place.last] + before + ", ".join(added) + line[place.last :]
    return "".join(lines)


# --- where it goes ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Place:
    """A block: the last line (from 0) and column of what is in it, and how it is indented."""

    line: int
    last: int
    column: int
    indent: int = _INDENT
    flow: bool = False
    empty: bool = True


def _find(text: str, block: str) -> _Place | None:
    loader = _Loader(text)
    try:
        events = iter(loader.get_event, None)
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        root = next(events)
        if isinstance(root, yaml.ScalarEvent) and not root.value and root.implicit[0]:
            return None  # nothing but comments
        if not isinstance(root, yaml.MappingStartEvent):
            raise NoPlaceError("the file is no block of keys")
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            value = next(events)
            if isinstance(key, yaml.ScalarEvent) and key.value == block:
                return _measure(events, key, value)
            _skip(events, value)
    finally:
        loader.dispose()
    if root.flow_style:
        raise NoPlaceError(f"the file is written in one pair of {{}}, without {block!r} in it")
    return None


def _measure(events: Any, key: Any, start: Any) -> _Place:
    if isinstance(start, yaml.ScalarEvent) and not start.style and not start.value:
        end: Any = key.end_mark
        return _Place(end.line, end.column, key.start_mark.column + _INDENT)
    if not isinstance(start, yaml.MappingStartEvent):
        raise NoPlaceError(f"{key.value!r} is no block of keys")
    mark: Any = start.end_mark
    place = _Place(mark.line, mark.column, key.start_mark.column, flow=bool(start.flow_style))
    event: Any
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        place.column = event.start_mark.column
        place.empty = False
        value: Any = next(events)
        nested = isinstance(value, yaml.MappingStartEvent) and not value.flow_style
        if nested and not value.anchor:  # with one, it begins there
            place.indent = max(value.start_mark.column - place.column, 1)
        end = _skip(events, value) or event.end_mark
        text_only = end.column == 0  # a block of text ends where the next line begins
        place.line, place.last = end.line - text_only, end.column
    return place


def _skip(events: Any, event: Any) -> Any:
    """Pass over a value; where its last character is."""
    end: Any = None
    depth = 0
    while True:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        written = isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent))
        ends = isinstance(event, yaml.CollectionEndEvent)
        closed = ends and event.end_mark.index > event.start_mark.index  # a bracket
        if written or closed:
            end = event.end_mark
        if depth == 0:
            return end
        event = next(events)


def _end(lines: list[str], place: _Place) -> int:
    """The line behind the block and the comments that belong to it, as they are indented so."""
    at = place.line + 1
    for number in range(at, len(lines)):
        line = lines[number].strip()
        if not line:
            continue
        comment = line.startswith("#")
        if not comment or len(lines[number]) - len(lines[number].lstrip(" ")) < place.column:
            break
        at = number + 1
    return at

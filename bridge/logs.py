"""How the log looks: a line for each record, as text or as JSON, that no peer can forge."""

import json
import logging
import re
import sys
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

# Control characters, what ends a line, and what makes a terminal write from right to left.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def set_up(level: str, style: str) -> None:
    """Log to standard error, at ``level``, as ``text`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Nobody prints these, and finding them out takes longer than all the rest of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as the logging HOWTO advises


def one_line(text: str) -> str:
    """Text with nothing in it that begins a line or that a terminal would obey."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _moment(record: logging.LogRecord) -> str:
    start, zone = _second(int(record.created))
    return f"{start}.{int(record.msecs):03d}{zone}"


@lru_cache(maxsize=1)
def _second(seconds: int) -> tuple[str, str]:
    moment = datetime.fromtimestamp(seconds, UTC).astimezone().isoformat()
    return moment[:19], moment[19:]


def _message(record: logging.LogRecord) -> str:
    text = one_line(record.getMessage())
    if record.exc_info and record.exc_info[1] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        text += "\n" + textwrap.indent(trace, "  | ", lambda _: True)
    return text


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_moment(record)} {record.levelname:<7} {_message(record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _moment(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _message(record),
            },
            ensure_ascii=False,
        )


def count(things: Iterable[object], name: str) -> str:
    """How many there are, in words."""
    number = len(list(things))
    return f"{number} {name}{'' if number == 1 else 's'}"

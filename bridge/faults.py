"""What is wrong in a configuration, in words: pydantic's errors as lines a person can act on. Pure.

No value is shown that may be a secret: none of ``password`` and ``key``, none of an unknown key
(which may be a password's, misspelt), none that came from a tag.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.notation import FaultsError, WrongError
from bridge.yaml_file import MAX_PROBLEMS, MISSING, Document, Given, KeyPath, did_you_mean

_SECRET = ("password", "key")


def note_faults(
    document: Document, error: ValidationError, keys: Callable[[KeyPath], Iterable[str]]
) -> None:
    """Add what pydantic found to the document's problems; ``keys`` tells what may be at a path."""
    for fault in error.errors(include_url=False):
        path = tuple(key for key in fault["loc"] if key != "[key]")
        if any(path[:depth] in document.failed for depth in range(len(path) + 1)):
            continue  # there is no value, and that is reported already
        if len(document.problems) > MAX_PROBLEMS:
            document.problems.append((sys.maxsize, ""))  # only counted
            continue
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, FaultsError):
            for wrong in cause.faults:
                document.problem(path + wrong.at, _wrong(wrong, path + wrong.at, fault["input"]))
        elif isinstance(cause, WrongError):
            document.problem(path + cause.at, _wrong(cause, path + cause.at, fault["input"]))
        else:
            document.problem(path, _other(fault, path, keys))


def _wrong(wrong: WrongError, path: KeyPath, value: Any) -> str:
    for key in wrong.at:
        try:
            value = value[key]
        except (LookupError, TypeError):
            value = MISSING
    if wrong.got and not isinstance(value, Given):
        value = wrong.got["got"]
    hint = f" ({wrong.hint})" if wrong.hint and not isinstance(value, Given) else ""
    return f"{wrong}{_got(value, path)}{hint}"


def _other(fault: ErrorDetails, path: KeyPath, keys: Callable[[KeyPath], Iterable[str]]) -> str:
    match fault["type"]:
        case "missing":
            return "missing, and it is a must"
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(path[-1]), keys(path[:-1]))}"
        case "too_short":
            return "expected at least one camera"
        case "dict_type" if path == ("cameras",):
            such = "cameras, such as front_door: ws://192.168.1.50:81"
            return f"expected {such}{_got(fault['input'], path)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            hint = " (leave it out, or write {} for the defaults)" if fault["input"] is None else ""
            return f"expected a block of keys{_got(fault['input'], path)}{hint}"
        case "value_error":
            hidden = isinstance(fault["input"], Given)  # the sentence quotes the value
            return "expected something else" if hidden else str(fault["ctx"]["error"])
        case _:
            return fault["msg"]


def _got(value: Any, path: KeyPath) -> str:
    """``, got 'http'``, or nothing where it must not be shown."""
    if value is MISSING or (path and path[-1] in _SECRET):
        return ""
    if isinstance(value, Given):
        return ", got a value that is not shown"
    return f", got {_shown(value)}"


def _shown(value: Any) -> str:
    match value:
        case None | "":
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"{value[:60]!r}" + "…" * (len(value) > 60)
        case int() | float():
            return repr(value)
        case dict():
            return "a block of keys"
        case _:
            return "a list" if value else "an empty list"

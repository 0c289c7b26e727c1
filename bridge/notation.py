"""How single values are written in config.yaml: numbers, times, sizes, words, paths.

A ``Kind`` stands in an ``Annotated``: pydantic calls its ``parse``, and an editor gets its
``schema``. The words of a refusal are ours, so that a person can act on them.
"""

import os
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from bridge.yaml_file import KeyPath, Unquoted, plain


class WrongError(ValueError):
    """``expected``, got something else: the value itself, or what is below it at ``at``.

    ``got`` is given where the value must not be shown as it is.
    """

    def __init__(self, expected: str, *, hint: str = "", at: KeyPath = (), **got: Any) -> None:
        super().__init__(f"expected {expected}")
        self.hint = hint
        self.at = at
        self.got = got

    def below(self, key: str | int, **got: Any) -> Self:
        """The same of a value that stands below ``key``."""
        self.at = (key, *self.at)
        self.got |= got
        return self


class FaultsError(ValueError):
    """Several ``WrongError`` at once."""

    def __init__(self, faults: list[WrongError]) -> None:
        super().__init__()
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Context:
    """What a value can't know: the folder that paths start from, and what cameras there are."""

    folder: Path = Path()
    cameras: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)  # typing wants it hashable, and a dict isn't
class Kind:
    """One way in which values are written; ``parse`` raises ``WrongError``."""

    parse: Callable[[Any, Context], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def validate(value: Any, info: ValidationInfo) -> Any:
            return self.parse(value, info.context or Context())

        return core_schema.with_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return deepcopy(self.schema)  # pydantic adds to it


# --- numbers ---------------------------------------------------------------------------------

_MEASURE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([A-Za-z]{1,3})")
_TIMES: dict[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES: dict[str, float] = {"b": 1}
for _power, _prefix in enumerate("kmgt", 1):
    _SIZES |= {f"{_prefix}b": 1000**_power, f"{_prefix}ib": 1024**_power}


def whole(low: int, high: int) -> Kind:
    """A whole number."""

    def parse(value: Any, _: Context) -> int:
        number = _number(value)
        if type(number) is int and low <= number <= high:
            return number
        raise _wrong_number(f"{low} to {high}", value)

    return Kind(parse, {"type": "integer", "minimum": low, "maximum": high})


def seconds(low: float, high: float, *, or_zero: bool = False) -> Kind:
    """A duration, as a float of seconds."""
    written, pattern = "seconds or as 500ms, 10s, 5m, 2h, 1d", "(ms|s|m|h|d)"
    return _measure(low, high, or_zero, _TIMES, written, pattern)


def whole_seconds(low: int, high: int) -> Kind:
    """A duration, as a whole number of seconds."""
    return _rounded(seconds(low, high))


def size(low: int, high: int) -> Kind:
    """A size, as a whole number of bytes."""
    written, pattern = "bytes or as 500MB, 4MiB, 1GB", "([kKmMgGtT][iI]?)?[bB]"
    return _rounded(_measure(low, high, False, _SIZES, written, pattern))


def _rounded(measure: Kind) -> Kind:
    return Kind(lambda value, context: round(measure.parse(value, context)), measure.schema)


def _measure(
    low: float, high: float, or_zero: bool, units: dict[str, float], written: str, pattern: str
) -> Kind:
    expected = f"{in_units(low, units)} to {in_units(high, units)}, written as {written}"
    if or_zero:
        expected = f"0, or {expected}"

    def parse(value: Any, _: Context) -> float:
        number = _number(value)
        if isinstance(number, str) and (found := _MEASURE.fullmatch(number)):
            unit = units.get(found[2].lower())
            number = round(float(found[1]) * unit, 6) if unit else number
        if type(number) in (int, float) and (low <= number <= high or (or_zero and number == 0)):
            return float(number)
        raise _wrong_number(expected, value)

    number = {"type": "number", "minimum": 0 if or_zero else low, "maximum": high}
    text = {"type": "string", "pattern": rf"^[0-9]+(\.[0-9]+)? *{pattern}$"}
    return Kind(parse, {"anyOf": [number, text]})


def in_units(number: float, units: dict[str, float]) -> str:
    """The largest unit in which it is a whole number: ``10m``, ``4MiB``."""
    for name, unit in sorted(units.items(), key=lambda item: -item[1]):
        if number >= unit and round(number / unit, 9).is_integer():
            shown = name if units is _TIMES else name.upper().replace("I", "i")
            return f"{number / unit:.0f}{shown}"
    return f"{number:g}"


def _number(value: Any) -> Any:
    """What came as text, from the environment or in quotes, may still be a number."""
    return plain(value) if isinstance(value, str) else value


def _wrong_number(expected: str, value: Any) -> WrongError:
    strange = isinstance(value, Unquoted) and value[:1].isdigit()
    return WrongError(expected, hint="a number has no zero in front, no : and no _" * strange)


# --- words -----------------------------------------------------------------------------------


def flag() -> Kind:
    """``true`` or ``false``, and what YAML 1.1 took for them."""

    def parse(value: Any, _: Context) -> bool:
        value = _number(value)
        if isinstance(value, str) and value.lower() in ("yes", "on", "no", "off"):
            return value.lower() in ("yes", "on")
        if isinstance(value, bool):
            return value
        raise WrongError("true or false")

    return Kind(parse, {"type": "boolean"})


def choice(literal: Any) -> Kind:
    """One of the words or numbers of a ``Literal``."""
    options = {str(option): option for option in get_args(literal)}
    *first, last = options

    def parse(value: Any, _: Context) -> Any:
        if type(value) is not bool and isinstance(value, str | int) and str(value) in options:
            return options[str(value)]
        raise WrongError(f"{', '.join(first)} or {last}")

    return Kind(parse, {"enum": [int(word) if word.isdigit() else word for word in options]})


def choices(literal: Any) -> Kind:
    """One or more of them: a list, or a single one as it is."""
    one = choice(literal)

    def parse(value: Any, context: Context) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            return (one.parse(value, context),)
        found = tuple(_below(index, one, item, context) for index, item in enumerate(value))
        if not found or len(set(found)) < len(found):
            raise WrongError("at least one, and each of them once")
        return found

    many = {"type": "array", "items": one.schema, "minItems": 1, "uniqueItems": True}
    return Kind(parse, {"anyOf": [many, one.schema]})


_CONTROL = re.compile(  # with lone surrogates and noncharacters, for which brokers hang up
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)
_TEXT = {"type": "string", "minLength": 1}


def text(
    expected: str = "text",
    check: Callable[[str], str] = str,
    *,
    longest: int = 1024,
    pattern: str = "",
) -> Kind:
    """One line of at most ``longest`` bytes, which ``check`` may refuse or put differently."""

    def parse(value: Any, _: Context) -> str:
        line = _text(value, expected)
        if _CONTROL.search(line):
            raise WrongError(f"{expected}, without control characters")
        if len(line.encode()) > longest:
            raise WrongError(f"{expected}, of at most {longest} bytes")
        return check(str(line))

    return Kind(parse, _TEXT | {"pattern": pattern} if pattern else _TEXT)


def secret() -> Kind:
    """Text that is never shown."""

    def parse(value: Any, _: Context) -> SecretStr:
        if isinstance(value, SecretStr):
            return value
        word = _text(value, "text")
        if re.search("[\ud800-\udfff]", word) or len(word.encode()) > 65_535:
            raise WrongError("text as MQTT can carry it: Unicode, at most 65535 bytes")
        return SecretStr(str(word))

    return Kind(parse, _TEXT)


def _text(value: Any, expected: str) -> str:
    if isinstance(value, Unquoted) or type(value) in (bool, int, float):
        raise WrongError(expected, hint="put it in quotes: YAML may take it for something else")
    if not isinstance(value, str) or not value:
        raise WrongError(expected)
    return value


def _below(at: str | int, kind: Kind, value: Any, context: Context) -> Any:
    try:
        return kind.parse(value, context)
    except WrongError as exc:
        raise exc.below(at) from None


# --- paths -----------------------------------------------------------------------------------


def folder() -> Kind:
    """A path from the folder of config.yaml; nothing need be there yet."""
    return Kind(absolute, _TEXT)


def file() -> Kind:
    """A file that can be read now."""

    def parse(value: Any, context: Context) -> Path:
        path = absolute(value, context)
        if os.path.isfile(path) and os.access(path, os.R_OK):  # opening it could wait for a pipe
            return path
        raise WrongError("a file that can be read")

    return Kind(parse, _TEXT)


def absolute(value: Any, context: Context) -> Path:
    """The path ``value`` as seen from the folder of config.yaml, without ``..`` and ``~``."""
    if isinstance(value, Path):
        value = str(value)
    line: str = text("a path", longest=4095).parse(value, context)
    return Path(os.path.abspath(context.folder / os.path.expanduser(line)))

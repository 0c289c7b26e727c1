"""A YAML file as plain data, with the line of every value, and ``!secret``, ``!env``, ``!file``.

Shell: files, the environment and yaml. It reads PyYAML's events rather than its objects, because a
user's file wants more care: duplicate keys are faults, every value has a line, scalars mean what
YAML 1.2 (and so an editor) takes them for, and no file can cost more than its size.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from bridge.errors import ConfigError

MAX_BYTES = 1024 * 1024
"""Of one file. 1,000 cameras with every key written out are 600 KB."""
MAX_VALUES = 100_000
"""Counted with what aliases repeat: a few lines of them can stand for billions of values."""
MAX_DEPTH = 20
"""Of nested blocks. config.yaml has four."""

_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
MAX_PROBLEMS = 100
"""Reported at once. Who has more has one that repeats."""

MISSING: Final = object()
"""Stands where a value could not be had; the reason is among the problems already."""

KeyPath = tuple[str | int, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # no libyaml on some armv7 boards
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Unquoted(str):
    """Unquoted text that YAML 1.1 takes for something else: ``no``, ``012``, ``12:30``."""

    __slots__ = ()


class Given(str):
    """Text that came from a tag. It may be a secret, so it is never shown."""

    __slots__ = ()


def read(path: Path, text: str | None = None) -> "Document":
    """The document at ``path``; faults that leave something to look at are in its ``problems``.

    With ``text``, the document that would be there if it had that.

    Raises:
        ConfigError: there is nothing to look at: no such file, no YAML, too much of it.
    """
    document = Document(str(path))
    tags = _Tags(document, path.parent)
    if text is None:
        try:
            text = _read_text(path)
        except ValueError as exc:
            raise ConfigError([f"{path}: {exc}"]) from exc
    document.compose(text, tags.scalar)
    return document


class Document:
    """What a file holds, and where."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data: Any = None
        self.problems: list[tuple[int, str]] = []
        self.failed: set[KeyPath] = set()
        self._lines: dict[KeyPath, int] = {}

    def line(self, path: KeyPath) -> int:
        """Where ``path``, or what is nearest above it, stands in the file; 0 if nowhere."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)

    def in_order(self) -> list[str]:
        """Its first problems, by line; those of secrets.yaml and of the whole come first."""
        texts = [text for _, text in sorted(self.problems, key=lambda problem: problem[0])]
        more = len(texts) - MAX_PROBLEMS
        return texts if more <= 0 else [*texts[:MAX_PROBLEMS], f"{self.name}: and {more} more"]

    def problem(self, path: KeyPath, text: str, line: int | None = None) -> None:
        """Note a fault, in the form of them all: ``config.yaml:12: mqtt.port: …``."""
        line = self.line(path) if line is None else line
        where = [f"{self.name}:{line}" if line else self.name, dotted(path), text]
        self.problems.append((line, ": ".join(filter(None, where))))

    def broken(self, path: KeyPath, text: str) -> object:
        """Note a fault that leaves no value at ``path``."""
        self.failed.add(path)
        self.problem(path, text)
        return MISSING

    def compose(self, text: str, scalar: "ScalarReader") -> None:
        """Fill ``data``; ``scalar`` makes a value of each scalar event."""
        if found := _NOT_TEXT.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise self._unusable(line, f"the character U+{ord(found[0]):04X} has no place in YAML")
        loader = _Loader(text)
        try:
            self.data = _Composer(self, loader.get_event, self._lines, scalar).document()
            return
        except yaml.MarkedYAMLError as exc:
            refusal = self._unusable(*_in_words(exc))
        except _RefusedError as exc:
            refusal = self._unusable(exc.line, str(exc))
        except yaml.YAMLError:
            refusal = self._unusable(0, "this is not YAML")
        finally:
            loader.dispose()
        raise refusal  # out here, because PyYAML's exception quotes the file, secrets and all

    def _unusable(self, line: int, text: str) -> ConfigError:
        return ConfigError([f"{self.name}:{line}: {text}" if line else f"{self.name}: {text}"])


def dotted(path: KeyPath) -> str:
    """A key's path as people write it: ``cameras.door.publish[0]``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += "." * bool(text) + (
                key if re.fullmatch(r"[\w-]{1,64}", key) else f"{key!r:.66}"
            )
    return text


# --- scalars ---------------------------------------------------------------------------------

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
)
_ELSEWHERE = re.compile(  # YAML 1.1's booleans, octal, sexagesimal and long numbers, its dates
    r"(?i:y|n|yes|no|on|off)|[-+]?\.(?i:inf)|\.(?i:nan)|[-+]?0[xob][0-9a-fA-F_]+"
    r"|[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?"
)


def plain(text: str) -> bool | int | float | str | None:
    """What unquoted ``text`` means: YAML 1.2, and ``Unquoted`` where YAML 1.1 disagrees."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return Unquoted(text) if _ELSEWHERE.fullmatch(text) else text


class _Tags:
    """Makes values of config.yaml's scalars."""

    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._known = {"!secret": self._secret, "!env": self._env, "!file": self._file}
        self._secrets: Document | None = None

    def scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Any:
        if event.tag in _TEXT_TAGS:
            return plain(event.value) if event.tag is None and event.implicit[0] else event.value
        if event.tag not in self._known:  # not shown: it may be a password that begins with !
            return self._document.broken(
                path,
                "an unknown tag: there are !secret name, !env NAME and !file path,"
                " and other text that begins with ! goes in quotes",
            )
        try:
            value = self._known[event.tag](event.value)
        except ValueError as exc:
            return self._document.broken(path, f"{event.tag} {dotted((event.value,))}: {exc}")
        if value is None:
            self._document.failed.add(path)
            return MISSING
        return Given(value)

    def _env(self, name: str) -> str:
        if name not in os.environ:
            raise ValueError("there is no such environment variable")
        return os.environ[name]

    def _file(self, name: str) -> str:
        return _read_text(self._folder / name).removesuffix("\n").removesuffix("\r")

    def _secret(self, name: str) -> str | None:
        """``None`` if ``secrets.yaml`` has a fault there, which is told once."""
        if self._secrets is None:
            self._secrets = self._read_secrets()
        if self._secrets.failed & {(), (name,)}:
            return None
        secrets: dict[str, str] = self._secrets.data
        if name not in secrets:
            raise ValueError(f"not in {self._secrets.name}{did_you_mean(name, secrets)}")
        return secrets[name]

    def _read_secrets(self) -> Document:
        path = self._folder / "secrets.yaml"
        try:
            text = _read_text(path)
        except ValueError as exc:
            raise ValueError(f"{path}: {exc}") from exc
        secrets = Document(str(path))
        try:
            secrets.compose(text, lambda event, at: _secret_text(secrets, event, at))
        except ConfigError as exc:
            secrets.failed.add(())
            secrets.problems = [(0, problem) for problem in exc.problems]
        else:
            if isinstance(secrets.data, dict):
                for name, value in secrets.data.items():
                    if not isinstance(value, str) and (name,) not in secrets.failed:
                        secrets.broken((name,), "expected one value, got a block of them")
            else:
                secrets.broken((), "expected lines of 'name: value'")
        self._document.problems.extend((0, problem) for _, problem in secrets.problems)
        return secrets


def _secret_text(secrets: Document, event: yaml.ScalarEvent, path: KeyPath) -> Any:
    """Secrets are text, zeros in front and all."""
    if event.tag not in _TEXT_TAGS:
        return secrets.broken(path, "a tag: here stand the values themselves")
    if event.implicit[0] and event.value in _NULL:
        return secrets.broken(path, "a name without a value")
    return event.value


def _read_text(path: Path) -> str:
    """Raises ``ValueError`` with a sentence, which does not name the file and quotes nothing."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may never end
            raise ValueError("a regular file was expected")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES // 1024} KiB")
        return content.decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise ValueError("there is no such file") from exc
    except IsADirectoryError as exc:
        raise ValueError("this is a folder, and a file was expected") from exc
    except OSError as exc:
        raise ValueError(f"can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8 text: save it as UTF-8") from exc


def did_you_mean(word: str, words: Any) -> str:
    """``, did you mean 'port'?`` or nothing."""
    from difflib import get_close_matches  # only where something is wrong already

    close = get_close_matches(word[:100], list(words)[:1000], n=1)
    return f", did you mean {close[0]!r}?" if close else ""


# --- structure -------------------------------------------------------------------------------

ScalarReader = Callable[[yaml.ScalarEvent, KeyPath], Any]


class _RefusedError(Exception):
    """Something in the file makes the rest of it meaningless."""

    def __init__(self, event: Any, text: str) -> None:
        super().__init__(text)
        self.line = event.start_mark.line + 1


class _Composer:
    """Makes dicts and lists of events. An alias is the value itself, so nothing is repeated."""

    def __init__(
        self,
        document: Document,
        events: Callable[[], Any],
        lines: dict[KeyPath, int],
        scalar: ScalarReader,
    ) -> None:
        self._document = document
        self._next = events
        self._lines = lines
        self._scalar = scalar
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def document(self) -> Any:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        data = self._value(self._next(), (), 0)
        self._next()  # the document's end
        if not isinstance(after := self._next(), yaml.StreamEndEvent):
            raise _RefusedError(after, "a second document begins here (---): only one is read")
        return data

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        before = self._count
        self._count += 1
        if isinstance(event, yaml.AliasEvent):
            if (
                event.anchor not in self._anchors
            ):  # its name isn't shown: a password may begin with *
                raise _RefusedError(
                    event, "an alias (*) without its anchor (&) above; * is text in quotes"
                )
            value, size = self._anchors[event.anchor]
            self._count += size
        elif isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
        elif depth == MAX_DEPTH:
            raise _RefusedError(event, _TOO_DEEP)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path, depth + 1)
        else:
            value = self._mapping(path, depth + 1)
        if self._count > MAX_VALUES:
            raise _RefusedError(event, f"more than {MAX_VALUES} values, with what aliases repeat")
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = (value, self._count - before)
        return value

    def _sequence(self, path: KeyPath, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self._lines.setdefault(here, event.start_mark.line + 1)
            items.append(self._value(event, here, depth))
        return items

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or event.tag not in _TEXT_TAGS:
                raise _RefusedError(event, "a key must be text")
            key = event.value
            if event.implicit[0] and type(plain(key)) is not str:
                key = Unquoted(key)
            here = (*path, key)
            first = self._lines.setdefault(here, line)
            value = self._value(self._next(), here, depth)
            if key == "<<" and event.implicit[0]:
                self._merge(merged, value, here)
            elif key in mapping:
                self._document.problem(here, f"given twice, first in line {first}", line)
            else:
                mapping[key] = value
        return {**merged, **mapping}

    def _merge(self, merged: dict[str, Any], value: Any, path: KeyPath) -> None:
        for block in value if isinstance(value, list) else [value]:
            if isinstance(block, dict):
                for key, item in block.items():
                    merged.setdefault(key, item)
            else:
                self._document.problem(path, "expected an alias of a block of keys")


_IN_WORDS = {
    "mapping values": "a ': ' where none can be: is this line indented like its neighbours, is the"
    " one above complete, and is text with ': ' in quotes?",
    "a tab character": "indent with spaces, not tabs",
    "cannot start any token": "no value begins with this character: indent with spaces, not tabs,"
    " and put text that begins with @, %, ` or the like in quotes",
    "end of stream": "the quote that is opened here is never closed",
    "',' or ": "a comma or the closing bracket is missing",
    "find expected ':'": "a key without its ': '",
    "expected key": "is this line indented like its neighbours, and what is in quotes closed?",
    "block end": "is this line indented like its neighbours, and what is in quotes closed?",
    "'-' indicator": "is this line indented like its neighbours, with its '- '?",
    "escape": "a backslash means something special in double quotes: use single ones",
    "alphabetic or numeric": "text that begins with & or * goes in quotes",
    "tag": "text that begins with ! goes in quotes",
    "node content": "a bracket closes here that was not opened",
    "incompatible": "the directive asks for a YAML that there isn't",
    "document start": "only one document is read, and this is outside of it",
}


def _in_words(exc: yaml.MarkedYAMLError) -> tuple[int, str]:
    """The line, and what a person can do about it. libyaml and PyYAML word it differently."""
    problem = exc.problem or ""
    words = next((words for part, words in _IN_WORDS.items() if part in problem), "")
    begins = "end of stream" in problem or "find expected ':'" in problem
    mark = (exc.context_mark if begins else None) or exc.problem_mark or exc.context_mark
    if mark is None:
        return 0, "this is not YAML"
    if "nesting depth" in problem:  # libyaml 0.2.6 has a limit of its own, far beyond ours
        return mark.line + 1, _TOO_DEEP
    if "',' or " in problem and exc.context_mark:
        words += f" (it was opened in line {exc.context_mark.line + 1})"
    return mark.line + 1, f"column {mark.column + 1}: this is not YAML: {words or 'unreadable'}"

"""Adds cameras to config.yaml, which is a person's: everything else in it stays as it was."""

import os
from pathlib import Path
from typing import Any

from bridge import config, yaml_edit, yaml_file
from bridge.errors import ConfigError, StorageFailed
from bridge.yaml_edit import Entry, NoPlaceError

_CAMERAS = "cameras"


def add_cameras(path: Path, cameras: list[Entry]) -> None:
    """Add cameras to the file at ``path``, which is made if it isn't there.

    What comes out is read back, and is written only if it says the old and the new and nothing
    else. The file is replaced as a whole, and keeps its mode and its owner.

    Raises:
        ConfigError: the file can't be used, or not be added to; it is as it was.
        StorageFailed: it can't be written; it is as it was.
    """
    target = path.resolve()  # a link stays one
    try:
        old = target.read_bytes().decode()
    except FileNotFoundError:
        old = ""
    except (OSError, UnicodeDecodeError):
        config.load(path)  # has the words for it
        raise
    mark = "\ufeff" * old.startswith("\ufeff")
    text = old.removeprefix(mark)
    before: Any = yaml_file.read(path, text).data
    if before is None:
        before = {}
    if isinstance(before, dict) and before.get(_CAMERAS):
        config.load(path, text)  # who has faults in it has to do with those first
    try:
        new = yaml_edit.add(text, _CAMERAS, cameras)
    except NoPlaceError as exc:
        raise _refused(path, str(exc)) from exc
    _check(path, before, new, cameras)
    _replace(path, target, mark + new)


def _check(path: Path, before: Any, text: str, cameras: list[Entry]) -> None:
    try:
        after = yaml_file.read(path, text).data
    except ConfigError as exc:
        raise _refused(path, "nothing can be put behind what is there") from exc
    added = {camera.key: camera.values for camera in cameras}
    wanted = {**before, _CAMERAS: {**(before.get(_CAMERAS) or {}), **added}}
    if after != wanted:
        raise _refused(path, "it would come to mean something else")
    config.load(path, text)


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError([f"{path}: not changed: {why}; the lines have to be put in by hand"])


def _replace(path: Path, target: Path, text: str) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("xb") as file:
            if target.exists():
                was = target.stat()
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
                os.fchmod(file.fileno(), was.st_mode)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise StorageFailed(f"{path}: not changed: {exc.strerror}") from exc

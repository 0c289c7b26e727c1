"""What the user wants: config.yaml, read, checked and completed.

What may stand in it is in ``sections``; how a file becomes data, with lines and tags, is in
``yaml_file``.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge import yaml_file
from bridge.errors import ConfigError
from bridge.faults import note_faults
from bridge.notation import Context
from bridge.sections import (
    SECTIONS,
    CameraConfig,
    CameraTls,
    CaptureConfig,
    Config,
    HomeAssistantConfig,
    MqttConfig,
    MqttTls,
    StorageConfig,
)
from bridge.yaml_file import Document, KeyPath

__all__ = [
    "SECTIONS",
    "CameraConfig",
    "CaptureConfig",
    "Config",
    "HomeAssistantConfig",
    "MqttConfig",
    "StorageConfig",
    "camera_from_url",
    "exposed",
    "hints",
    "load",
    "schema",
]

_LEAST = "cameras: {front_door: 'ws://192.168.1.50:81'}"


def load(path: Path, text: str | None = None) -> Config:
    """The configuration in the file at ``path``; with ``text``, as if that were in it.

    Raises:
        ConfigError: with everything that is wrong in it. No value of a secret is in there.
    """
    if text is None and not os.path.exists(path):
        what_to_do = f"write one with {_LEAST}, or name another with -c FILE"
        raise ConfigError([f"{path}: there is no such file: {what_to_do}"])
    document = yaml_file.read(path, text)
    data = document.data
    if not isinstance(data, dict):
        what = "it is empty" if data is None else "it has no keys"
        raise ConfigError([f"{path}: {what}; the least that it needs is {_LEAST}"])
    cameras = data.get("cameras")
    context = Context(
        Path(os.path.abspath(path.parent)),
        frozenset(cameras) if isinstance(cameras, dict) else None,
    )
    return _validate(Config, data, document, context)


def camera_from_url(url: str) -> CameraConfig:
    """A camera with all defaults, for a single picture.

    Raises:
        ConfigError: ``url`` is none of a WebSocket.
    """
    return _validate(CameraConfig, {"url": url, "name": "Camera"}, Document(""), Context())


_Model = TypeVar("_Model", bound=BaseModel)


def _validate(model: type[_Model], data: Any, document: Document, context: Context) -> _Model:
    result = None
    try:
        result = model.model_validate(data, context=context)
    except ValidationError as exc:
        note_faults(document, exc, _keys)
    if result is None or document.problems:  # outside of the except: its text would quote secrets
        raise ConfigError(document.in_order())
    return result


def _keys(path: KeyPath) -> Iterable[str]:
    """The keys that may stand below ``path``."""
    place = ("cameras", "*", *path[2:]) if path[:1] == ("cameras",) else path
    return SECTIONS[place].model_fields if place in SECTIONS else ()


def hints(config: Config) -> list[str]:
    """What can be meant but probably isn't, in sentences."""
    found = []
    blocks: list[tuple[str, MqttTls | CameraTls | None]] = [("mqtt.tls", config.mqtt.tls)]
    for what in ("url", "name"):
        seen: dict[str, str] = {}
        for key, camera in config.cameras.items():
            first = seen.setdefault(getattr(camera, what), key)
            if first != key:
                found.append(f"cameras.{first} and cameras.{key} have the same {what}")
    for key, camera in config.cameras.items():
        blocks.append((f"cameras.{key}.tls", camera.tls))
        if "path" in camera.publish and config.storage.path is None:
            found.append(f"cameras.{key}.publish: there is no path, as storage.path is null")
    for where, tls in blocks:
        if tls and tls.ca_file and (tls.insecure or getattr(tls, "fingerprint", None)):
            why = "insecure" if tls.insecure else "fingerprint"
            found.append(f"{where}.ca_file isn't looked at, because of {why}")
    return found


def exposed(path: Path, config: Config) -> list[str]:
    """Files with secrets that everybody on this computer can read, in sentences."""
    files = [path.with_name("secrets.yaml")]
    if config.mqtt.tls is not None and config.mqtt.tls.key_file is not None:
        files.append(config.mqtt.tls.key_file)
    found = []
    for file in files:
        try:
            open_to_all = os.stat(file).st_mode & stat.S_IROTH
        except OSError:
            continue
        if open_to_all:
            found.append(f"{file}: everybody on this computer can read it; chmod o-rwx {file}")
    return found


def schema() -> dict[str, Any]:
    """JSON schema of config.yaml, by which editors complete and check it. Tags look like text."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_tidy(Config.model_json_schema()),
        "title": "config.yaml of esp32cam2mqtt",
    }


def _tidy(part: Any) -> Any:
    """Without what pydantic adds: titles, defaults that are none, and ``null`` for ``tls``."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    useless = (("default", None), ("default", ""))
    tidy = {k: _tidy(v) for k, v in part.items() if k != "title" and (k, v) not in useless}
    match tidy:
        case {"anyOf": [{"$ref": ref}, {"type": "null"}], **others}:
            return {"$ref": ref, **others}
    return tidy

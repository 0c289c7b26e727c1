"""The sections of config.yaml, and what each key may be.

They are the configuration's documentation too: the schema for editors and the tables of
docs/configuration.md are made from them. How a value is written is in ``notation`` and ``checks``.
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from bridge import checks, notation
from bridge.filename import check_template
from bridge.notation import FaultsError, Kind, WrongError
from bridge.yaml_file import KeyPath

Version = Literal["auto", "5", "3.1.1"]
Transport = Literal["tcp", "websockets", "unix"]
Durability = Literal["none", "file", "full"]
Protocol = Literal["auto", "legacy", "v1"]
Discovery = Literal["device", "component"]
Publish = Literal["image", "path"]
Rotate = Literal[0, 90, 180, 270]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_MIB = 1024 * 1024


def _key(default: Any, description: str, **more: Any) -> Any:
    """A key with its default as the user would write it; ``...``: it is a must."""
    return Field(default, description=description, **more)


def _block(value: Any) -> Any:
    """``tls:`` with all below it commented out could mean either, so it means neither."""
    if value is None:
        raise WrongError("a block of keys", hint="{} for the defaults, or no such line")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


class MqttTls(_Section):
    """TLS to the broker. That the block is there turns it on, even an empty one: {}."""

    ca_file: Annotated[Path, notation.file()] | None = _key(
        None, "who signs the broker's certificate; null: whom the system trusts"
    )
    cert_file: Annotated[Path, notation.file()] | None = _key(
        None, "the bridge's own certificate, for brokers that want one"
    )
    key_file: Annotated[Path, notation.file()] | None = _key(None, "the key of `cert_file`")
    insecure: Annotated[bool, notation.flag()] = _key(
        False, "true: whatever certificate the broker shows is accepted"
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.cert_file and not self.key_file:
            raise WrongError("a key_file with it", at=("cert_file",))
        if self.key_file and not self.cert_file:
            raise WrongError("a cert_file with it", at=("key_file",))
        return self


class MqttConfig(_Section):
    """The broker."""

    host: Annotated[str, Kind(checks.broker_host, {"type": "string"})] = _key(
        "localhost",
        "name or address of the broker; with `transport: unix` the socket's path",
    )
    port: Annotated[int, notation.whole(1, 65535)] = _key(
        1883, "the broker's port; with `tls` and no port it is 8883"
    )
    username: Annotated[str, notation.text("a user name")] | None = _key(
        None, "what the broker knows the bridge as"
    )
    password: Annotated[SecretStr, notation.secret()] | None = _key(
        None, "its password; best as `!secret mqtt_password`"
    )
    base_topic: Annotated[str, notation.text("a topic", checks.base_topic)] = _key(
        "esp32cam", "what all topics of the bridge begin with"
    )
    client_id: Annotated[str, notation.text("a client id", longest=256)] = _key(
        "esp32cam2mqtt",
        "one per running bridge: two with the same throw each other out",
    )
    version: Annotated[Version, notation.choice(Version)] = _key(
        "auto", "of MQTT: `5`, `3.1.1`, or `auto`: 5, and 3.1.1 where the broker can't"
    )
    transport: Annotated[Transport, notation.choice(Transport)] = _key(
        "tcp", "`tcp`, `websockets` or `unix`"
    )
    path: Annotated[str, notation.text("a path", checks.http_path)] = _key(
        "/mqtt", "with `transport: websockets`: the path of the broker's WebSocket"
    )
    keepalive: Annotated[int, notation.whole_seconds(5, 65535)] = _key(
        30, "after how long a silent connection is tried with a ping, 5 s to 65535 s"
    )
    max_payload: Annotated[int, notation.size(1024, 256 * _MIB)] | None = _key(
        None, "the largest payload that is sent, as a size; null: what the broker says"
    )
    tls: Annotated[MqttTls | None, BeforeValidator(_block)] = _key(
        None, "the keys of TLS, below; absent: no TLS", validate_default=False
    )

    @model_validator(mode="before")
    @classmethod
    def _tls_has_its_port(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("tls") is not None and "port" not in data:
            return {**data, "port": 8883}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.transport == "unix" and not self.host.startswith("/"):
            wanted = "with transport: unix the path of a socket, such as /run/mosquitto.sock"
            faults.append(WrongError(wanted, at=("host",), got=self.host))
        if self.transport != "unix" and self.host.startswith("/"):
            wanted = "a host name or address, or transport: unix with it"
            faults.append(WrongError(wanted, at=("host",), got=self.host))
        if self.transport == "unix" and self.tls is not None:
            faults.append(WrongError("no TLS with transport: unix", at=("tls",)))
        if self.transport != "websockets" and "path" in self.model_fields_set:
            faults.append(WrongError("transport: websockets with it", at=("path",), got=self.path))
        if self.password and not self.username:
            faults.append(WrongError("a username with it", at=("password",)))
        if faults:
            raise FaultsError(faults)
        return self


class HomeAssistantConfig(_Section):
    """How Home Assistant is told of the cameras."""

    enabled: Annotated[bool, notation.flag()] = _key(
        True, "false: it is told nothing, and forgets what it was told"
    )
    discovery_prefix: Annotated[str, notation.text("a topic", checks.base_topic)] = _key(
        "homeassistant", "what the topics begin with on which it listens"
    )
    discovery: Annotated[Discovery, notation.choice(Discovery)] = _key(
        "device", "`device`, a message per camera; `component` for versions before 2024.11"
    )


class KeepConfig(_Section):
    """How long pictures are kept. The oldest go first."""

    days: Annotated[int, notation.whole(1, 36_500)] | None = _key(
        None, "how many days they are kept; null: no limit"
    )
    count: Annotated[int, notation.whole(1, 1_000_000_000)] | None = _key(
        None, "how many of each camera are kept; null: no limit"
    )
    size: Annotated[int, notation.size(1, 10**15)] | None = _key(
        None, "how much those of all cameras take, as a size; null: no limit"
    )
    free: Annotated[int, notation.size(0, 10**15)] | None = _key(
        "500MB", "how much of the disk is left free, as a size; null: no limit"
    )


class StorageConfig(_Section):
    """Where pictures are kept."""

    path: Annotated[Path, notation.folder()] | None = _key(
        "captures", "the folder, from that of config.yaml; null: nothing is kept"
    )
    filename: Annotated[
        str, notation.text("a template", lambda line: check_template(line) or line)
    ] = _key(
        "{camera}/{captured_at:%Y/%m/%d}/{captured_at:%H%M%S_%f}_{id}.jpg",
        "a template, in local time, of `{camera}` (a must), `{captured_at:…}`, `{id}`,"
        " `{index}`, `{count}`, `{width}`, `{height}`, `{trigger}`",
    )
    latest: Annotated[bool, notation.flag()] = _key(
        True, "keep the newest as `<camera>/latest.jpg` too"
    )
    durability: Annotated[Durability, notation.choice(Durability)] = _key(
        "file",
        "what a power cut spares: `none`, `file` (fsync), `full` (and its folder)",
    )
    keep: KeepConfig = _key({}, "what is deleted, and when: below")


class CaptureConfig(_Section):
    """How captures are made, by every camera that says nothing else."""

    timeout: Annotated[float, notation.seconds(0.1, 600)] = _key(
        15, "how long one may take, reconnecting and retrying included, up to 10 min"
    )
    retries: Annotated[int, notation.whole(0, 10)] = _key(
        1, "how often a failed one is tried again within `timeout`, 0 to 10"
    )
    queue: Annotated[int, notation.whole(1, 1000)] = _key(
        8, "how many may wait for a camera before it is `busy`, 1 to 1000"
    )
    max_age: Annotated[float, notation.seconds(1, 86_400)] = _key(
        60, "how long one may wait before it is `expired`, 1 s to 1 day"
    )
    max_image: Annotated[int, notation.size(1024, 32 * _MIB)] = _key(
        "4MiB", "the largest picture that is taken from a board, 1 KiB to 32 MiB"
    )


class CameraTls(_Section):
    """How the certificate of a wss:// camera is checked, if not against the system's CAs."""

    ca_file: Annotated[Path, notation.file()] | None = _key(
        None, "who signs its certificate; null: whom the system trusts"
    )
    fingerprint: Annotated[str, notation.text("a fingerprint", checks.fingerprint)] | None = _key(
        None, "SHA-256 of the one certificate that is accepted, in hex"
    )
    insecure: Annotated[bool, notation.flag()] = _key(
        False, "true: whatever certificate it shows is accepted"
    )


class CameraConfig(CaptureConfig):
    """One camera. It may be written as just its URL, and have any key of capture as well."""

    url: Annotated[str, notation.text(checks.A_URL, checks.url)] = _key(
        ..., "**must**; `ws://HOST` or `wss://HOST`, with `:PORT` where it isn't 81 or 443"
    )
    name: Annotated[str, notation.text("a name", longest=255)] = _key(
        "",
        "what people see; by default made from the key, `front_door`: Front door",
        validate_default=False,
    )
    area: Annotated[str, notation.text("a name", longest=255)] | None = _key(
        None, "the room or place it is in"
    )
    protocol: Annotated[Protocol, notation.choice(Protocol)] = _key(
        "auto", "`legacy` (the old sketch), `v1` (our firmware), or `auto`: find out"
    )
    key: Annotated[SecretStr, notation.secret()] | None = _key(
        None, "what a v1 board asks for; best as `!secret front_door_key`"
    )
    publish: Annotated[tuple[Publish, ...], notation.choices(Publish)] = _key(
        ["image"], "`image`, `path`, or both; result and state always are"
    )
    retain_image: Annotated[bool, notation.flag()] = _key(
        True, "the broker keeps the last image for who comes later"
    )
    keep_open: Annotated[bool, notation.flag()] = _key(
        True, "stay connected; false: connect for each capture"
    )
    interval: Annotated[float, notation.seconds(1, 86_400, or_zero=True)] = _key(
        0, "a capture every so often, 1 s to 1 day; 0: only on command"
    )
    discard: Annotated[int, notation.whole(0, 10)] = _key(
        0, "how many pictures are dropped before one, for boards that give old ones"
    )
    rotate: Annotated[Rotate, notation.choice(Rotate)] = _key(
        0, "degrees clockwise: 0, 90, 180, 270; needs `esp32cam2mqtt[images]`"
    )
    username: Annotated[str, notation.text("a user name", checks.user_name)] | None = _key(
        None, "for a proxy in front of it that asks; `user:password@` in `url` does too"
    )
    password: Annotated[SecretStr, notation.secret()] | None = _key(None, "goes with `username`")
    tls: Annotated[CameraTls | None, BeforeValidator(_block)] = _key(
        None, "of a `wss://` camera, below; absent: as browsers", validate_default=False
    )

    _USERINFO: ClassVar = re.compile(r"(?P<scheme>[A-Za-z]+://)(?P<user>[^/?#]*)@(?P<rest>.*)")

    @model_validator(mode="before")
    @classmethod
    def _take_url_apart(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"url": data}
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise WrongError("a url or a block of keys")
        url = data.get("url")
        if not isinstance(url, str) or not (found := cls._USERINFO.fullmatch(url)):
            return data
        for key in data.keys() & {"username", "password"}:
            raise WrongError(f"the {key} here or in the url, not in both", at=(key,))
        kind = type(url)  # what comes from a tag stays unseen
        username, _, password = found["user"].partition(":")
        data = {**data, "url": kind(found["scheme"] + found["rest"])}
        data["username"] = kind(unquote(username))
        return data | {"password": kind(unquote(password))} if password else data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.tls is not None and not self.url.startswith("wss:"):
            faults.append(WrongError("a wss:// url with it", at=("tls",)))
        if self.password and not self.username:
            faults.append(WrongError("a username with it", at=("password",)))
        if faults:
            raise FaultsError(faults)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core_schema))]}


class LogConfig(_Section):
    """What the bridge writes to its standard error."""

    level: Annotated[Level, notation.choice(Level)] = _key(
        "info", "`debug`, `info`, `warning` or `error`"
    )
    format: Annotated[Format, notation.choice(Format)] = _key(
        "text", "`text`, or `json`: an object per line"
    )


_CameraName = Annotated[
    str, notation.text("a name", checks.camera_name, pattern="^[a-z0-9_-]{1,64}$")
]
_GROUPS = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}


class Config(_Section):
    """The whole of config.yaml."""

    mqtt: MqttConfig = _key({}, "the broker")
    homeassistant: HomeAssistantConfig = _key({}, "what Home Assistant is told")
    storage: StorageConfig = _key({}, "where pictures are kept")
    capture: CaptureConfig = _key({}, "defaults of all cameras")
    cameras: dict[_CameraName, CameraConfig] = _key(
        ...,
        "**must**; each under a name of its own: `a-z`, `0-9`, `_`, `-`",
        min_length=1,
        json_schema_extra={"additionalProperties": False},
    )
    groups: Annotated[dict[str, list[str]], Kind(checks.groups, _GROUPS)] = _key(
        {}, "cameras that are asked together: `outside: [front_door, garden]`"
    )
    log: LogConfig = _key({}, "what is logged")

    @field_validator("cameras")
    @classmethod
    def _complete(
        cls, cameras: dict[str, CameraConfig], info: ValidationInfo
    ) -> dict[str, CameraConfig]:
        """Cameras take from ``capture:`` what they don't say themselves, and their name."""
        defaults = dict(info.data.get("capture", ()))
        complete = {}
        for key, camera in cameras.items():
            mine = {k: v for k, v in defaults.items() if k not in camera.model_fields_set}
            if not camera.name:
                mine["name"] = re.sub("[_-]+", " ", key).strip().capitalize() or key
            complete[key] = camera.model_copy(update=mine)
        return complete


SECTIONS: dict[KeyPath, type[BaseModel]] = {
    (): Config,
    ("mqtt",): MqttConfig,
    ("mqtt", "tls"): MqttTls,
    ("homeassistant",): HomeAssistantConfig,
    ("storage",): StorageConfig,
    ("storage", "keep"): KeepConfig,
    ("capture",): CaptureConfig,
    ("cameras", "*"): CameraConfig,
    ("cameras", "*", "tls"): CameraTls,
    ("log",): LogConfig,
}
"""Where each model stands; ``*`` is any camera."""

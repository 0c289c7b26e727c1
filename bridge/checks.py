"""What names, topics and addresses in config.yaml may look like. Pure.

Most are a ``check`` for ``notation.text``: they give the text in the form that the bridge uses, or
raise ``WrongError``.
"""

import ipaddress
import re
from typing import Any

from bridge.notation import Context, FaultsError, WrongError, absolute, text
from bridge.yaml_file import MAX_PROBLEMS, did_you_mean

# --- addresses -------------------------------------------------------------------------------

A_HOST = "a host name, an address or a socket's path"
A_URL = "a WebSocket's address such as ws://192.168.1.50:81"

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?")
_SCOPED = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]{1,64})?")
_URL = re.compile(
    r"(?P<scheme>wss?)://(?:\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^\[\]:/?#@\s]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][!\"$-~]*)?",
    re.IGNORECASE,
)
_PORTS = {"ws": 81, "wss": 443}
"""Where a URL names none. Boards listen on 81, and behind wss:// stands a proxy."""


def host(line: str) -> str:
    """A name, or an address without brackets."""
    bare = line[1:-1] if line.startswith("[") and line.endswith("]") else line
    if _is_host(bare):
        return bare
    hint = "only the name: the port has its own key" if ":" in line else ""
    raise WrongError(A_HOST, hint=hint)


def broker_host(value: Any, context: Context) -> str:
    """A name or an address; with a ``/`` in it, the absolute path of a Unix socket."""
    line: str = text(A_HOST).parse(value, context)
    if "/" not in line or "://" in line:
        return host(line)
    path = str(absolute(line, context))
    if len(path.encode()) > 107:  # Linux holds 108 bytes, the zero at the end included
        raise WrongError("a socket's path of at most 107 bytes")
    return path


def url(line: str) -> str:
    """A board's address, always with its port, and without a path that is only ``/``."""
    found = _URL.fullmatch(line)
    if found is None:
        raise _no_url(line)
    name = found["host"] or found["ipv6"].replace("%25", "%")  # RFC 6874's form of a scope
    if not _is_host(name):
        raise _no_url(line, "there can be no such host")
    scheme = found["scheme"].lower()
    port = int(found["port"] or _PORTS[scheme])
    if not 1 <= port <= 65535:
        raise _no_url(line, "a port is 1 to 65535")
    path = "" if found["path"] in (None, "/") else found["path"]
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}{path}"


def _no_url(line: str, hint: str = "") -> WrongError:
    if re.match(r"(?i)https?://", line):
        hint = "boards speak WebSocket: ws:// in place of http://"
    elif "#" in line:
        hint = "without a #fragment"
    masked = re.sub(r"^([A-Za-z]+://)?.*@", r"\1…@", line)  # there may be a password in front
    if masked == line and "://" not in line and _is_host(line.partition(":")[0]):
        hint = f"did you mean ws://{line:.60}?"
    return WrongError(A_URL, hint=hint, got=masked)


def _is_host(line: str) -> bool:
    if not re.fullmatch(r"[0-9.]+", line) and not _SCOPED.fullmatch(line):
        return _HOST.fullmatch(line) is not None
    try:
        ipaddress.ip_address(line)
    except ValueError:
        return False
    return True


def http_path(line: str) -> str:
    """What a WebSocket's handshake asks for."""
    if not re.fullmatch(r"/[!\"$-~]*", line):
        raise WrongError("a path such as /mqtt")
    return line


def user_name(line: str) -> str:
    """Of HTTP's basic authentication, where a colon ends it."""
    if ":" in line:
        raise WrongError("a user name without a colon")
    return line


def fingerprint(line: str) -> str:
    """As 64 lower-case hex digits."""
    digits = line.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return digits
    hint = "this is SHA-1" if re.fullmatch(r"[0-9a-f]{40}", digits) else ""
    raise WrongError("the certificate's SHA-256, 64 hex digits with or without colons", hint=hint)


# --- names -----------------------------------------------------------------------------------


def base_topic(line: str) -> str:
    """The level or levels that all our topics begin with."""
    if line.startswith("$") or re.search(r"[+#]", line) or not all(line.split("/")):
        raise WrongError("a topic without + and #, without $ in front, without empty levels")
    return line


def camera_name(line: str) -> str:
    """The key of a camera or a group: a level of topics, and a folder."""
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", line):
        simple = re.sub(r"[^a-z0-9_-]+", "_", line.lower())[:64].strip("_")
        hint = f"did you mean {simple!r}?" if simple else ""
        raise WrongError("a name of 1 to 64 of the characters a-z, 0-9, _ and -", hint=hint)
    if line in ("bridge", "all"):
        raise WrongError("another name: 'bridge' and 'all' are topics of the bridge itself")
    return line


def groups(value: Any, context: Context) -> dict[str, list[str]]:
    """Names of groups and of their cameras, or all that is wrong with them."""
    if not isinstance(value, dict):
        raise WrongError("a block of groups, each with a list of cameras")
    name = text("a name", camera_name)
    cameras = context.cameras
    faults: list[WrongError] = []
    for group, members in value.items():
        try:
            name.parse(group, context)
        except WrongError as exc:
            faults.append(exc.below(group, got=group))
        if cameras and group in cameras:
            faults.append(WrongError("a name that no camera has", at=(group,), got=group))
        if not isinstance(members, list) or not members:
            faults.append(WrongError("a list of at least one camera", at=(group,)))
            continue
        seen: set[str] = set()
        for index, member in enumerate(members):
            at = (group, index)
            if not isinstance(member, str):
                faults.append(WrongError("a camera's name", at=at))
            elif cameras is not None and member not in cameras:
                hint = did_you_mean(member, cameras) if len(faults) < MAX_PROBLEMS else ""
                faults.append(
                    WrongError("the name of a camera", hint=hint.removeprefix(", "), at=at)
                )
            elif member in seen:
                faults.append(WrongError("each camera once", at=at))
            else:
                seen.add(member)
    if faults:
        raise FaultsError(faults)
    return {str(group): [str(member) for member in members] for group, members in value.items()}

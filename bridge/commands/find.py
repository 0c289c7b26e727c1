"""``esp32cam2mqtt find``: boards on the network, and what config.yaml would say of them."""

import argparse
import asyncio
import contextlib
import json
import re
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from bridge import config, logs, mdns, yaml_edit
from bridge.commands import say
from bridge.config import Config
from bridge.config_edit import add_cameras
from bridge.errors import ConfigError, StorageFailed
from bridge.logs import count
from bridge.mdns import Board
from bridge.threads import Pool
from bridge.yaml_edit import Entry

_NOTHING = """\
no board has answered within {timeout:g} s. What to check:
  - Is this computer on the boards' own network? What they announce does not leave it: no VLAN, no
    guest network, and of a container only one with the host's network.
  - Does the access point keep its clients apart (AP or client isolation), or swallow multicast?
    Does a firewall here close UDP port 5353?
  - Do the boards run this project's firmware, and are they on the Wi-Fi? The original sketch
    does not announce itself: try its address with  esp32cam2mqtt capture ws://ADDRESS:81"""


def find(options: argparse.Namespace) -> int:
    """Look for boards; 1 if there is none."""
    logs.set_up("debug" if options.verbose else "critical", "text")
    mdns.check_available()
    known = _Known.read(options)
    try:
        boards = asyncio.run(_find(options.timeout, known))
    except OSError as exc:
        say(f"there is no network to look on: {exc.strerror or exc}")
        boards = []
    news = _entries([board for board in boards if board not in known.cameras], known.taken)
    added: list[str] = []
    if options.write and news:
        try:
            add_cameras(options.config, [entry for _, entry in news])
        except StorageFailed as exc:
            say(str(exc))
            return 1
        added = [entry.key for _, entry in news]
        known.cameras.update({board: entry.key for board, entry in news})
    if options.json:
        found = [{**asdict(b), "url": b.url, "camera": known.cameras.get(b)} for b in boards]
        print(json.dumps({"boards": found, "added": added}, ensure_ascii=False))
    _tell(options, boards, known, news, added)
    return 0 if boards else 1


@dataclass(slots=True)
class _Known:
    """What the configuration has: its cameras' places, taken names, and whose board is whose."""

    urls: dict[str, str]
    taken: set[str]
    cameras: dict[Board, str]

    @classmethod
    def read(cls, options: argparse.Namespace) -> "_Known":
        configuration: Config | None = None
        try:
            configuration = config.load(options.config)
        except ConfigError as exc:
            if options.config.exists() and not options.write:
                say(f"{exc.problems[0]}: so it is not known which boards it has already")
        if configuration is None:
            return cls({}, set(), {})
        urls = {name: camera.url for name, camera in configuration.cameras.items()}
        return cls(urls, {*urls, *configuration.groups}, {})


async def _find(timeout: float, known: _Known) -> list[Board]:
    places, boards = await asyncio.gather(
        _look_up(known.urls.values(), timeout), mdns.find(timeout)
    )
    for name, url in known.urls.items():
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        for board in boards:
            there = {board.address, board.host.lower()}
            if parts.port == board.port and there & {host, *places.get(host, ())}:
                known.cameras.setdefault(board, name)
    return boards


async def _look_up(urls: Iterable[str], timeout: float) -> dict[str, set[str]]:
    """The addresses of the hosts, as far as they come in time."""
    pool = Pool(8, name="look-up")
    places: dict[str, set[str]] = {}

    async def one(host: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            found = await pool.run(socket.getaddrinfo, host, None)
            places[host] = {str(address[0]) for *_, address in found}

    hosts = {(urlsplit(url).hostname or "").rstrip(".") for url in urls}
    await asyncio.wait(
        [asyncio.ensure_future(one(host)) for host in {"localhost", *hosts}], timeout=timeout
    )
    return places


# --- what config.yaml would say --------------------------------------------------------------

_NO_NAMES = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "all", "bridge"]
)


def _entries(boards: list[Board], taken: set[str]) -> list[tuple[Board, Entry]]:
    entries = []
    names = set(taken)
    for board in boards:
        key = _key(board.name, names)
        names.add(key)
        values = {"url": board.url}
        if board.name != key:
            values["name"] = board.name
        firmware = board.firmware and f"firmware {board.firmware}"
        hint = f"key: !secret {key}_key  # this board wants its key" if board.auth == "hmac" else ""
        comment = ", ".join(filter(None, [board.board, firmware]))
        entries.append((board, Entry(key, values, comment=comment, hint=hint)))
    return entries


def _key(name: str, taken: set[str]) -> str:
    """A camera's name, as the board's is and as topics allow, that nobody has."""
    simple = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-")
    if not simple[:1].isalpha() or simple in _NO_NAMES:  # and YAML would take some for numbers
        simple = f"camera_{simple}".rstrip("_")
    simple = simple[:60]
    number = 1
    key = simple
    while key in taken:
        number += 1
        key = f"{simple}_{number}"
    return key


# --- what people see -------------------------------------------------------------------------


def _tell(
    options: argparse.Namespace,
    boards: list[Board],
    known: _Known,
    news: list[tuple[Board, Entry]],
    added: list[str],
) -> None:
    if not boards:
        for line in _NOTHING.format(timeout=options.timeout).splitlines():
            say(line)
        return
    if options.json:
        return
    rows = [("name", "address", "board", "firmware", "camera")]
    for b in boards:
        address = b.url.removeprefix("ws://")
        rows.append(
            (b.name, address, b.board or "-", b.firmware or "-", known.cameras.get(b, "new"))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(map(str.ljust, row, widths)).rstrip())
    if added:
        say(f"{options.config}: {count(added, 'camera')} added: {', '.join(added)}")
        locked = [b.name for b, _ in news if b.auth == "hmac"]
        if locked:
            say(f"still to do: the key of {', '.join(locked)}, below the camera's url")
    elif news:
        say(f"for {options.config}, to paste or to let be written (--write):")
        sys.stdout.write(yaml_edit.written("cameras", [entry for _, entry in news]))
    else:
        say(f"{options.config} has them all")

"""Boards that announce themselves on the network, by multicast DNS.

Shell: only this module imports zeroconf. Everything that a board says of itself is a stranger's
word: cut short, and without what is not printable.
"""

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from typing import Any

from bridge.errors import ConfigError

SERVICE = "_esp32cam._tcp.local."
MAX_BOARDS = 256
"""A network of more is no home; and names are free, for who wants to fill our memory."""

_LONGEST = 63  # characters of a value; a name's bytes in DNS
_TO_ANSWER = 1.0  # seconds for what a board's announcement left out, when time is nearly over


@dataclass(frozen=True, slots=True)
class Board:
    """One board as it describes itself; ``None`` where it says nothing."""

    name: str
    host: str
    address: str
    port: int
    board: str | None = None
    firmware: str | None = None
    mac: str | None = None
    auth: str | None = None

    @property
    def url(self) -> str:
        """What goes into config.yaml."""
        return f"ws://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


def check_available() -> None:
    """Find out whether zeroconf is installed.

    Raises:
        ConfigError: it isn't; names what to install.
    """
    try:
        import zeroconf  # noqa: F401
    except ImportError as exc:
        raise ConfigError(["find needs zeroconf: pip install 'esp32cam2mqtt[find]'"]) from exc


async def find(timeout: float) -> list[Board]:
    """The boards that answer within ``timeout`` seconds, by name.

    Raises:
        OSError: there is no network to ask on.
    """
    from zeroconf import DNSQuestionType, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

    deadline = time.monotonic() + timeout
    found: dict[tuple[str, int, str], Board] = {}
    names: set[str] = set()

    async def ask(zeroconf: Zeroconf, name: str) -> None:
        left = max(deadline - time.monotonic(), _TO_ANSWER)
        for board in await _resolve(zeroconf, name, left):
            found.setdefault((board.name, board.port, board.mac or board.address), board)

    def change(zeroconf: Zeroconf, name: str, **_: object) -> None:
        if name not in names and len(names) == MAX_BOARDS:
            return
        names.add(name)
        asking.create_task(ask(zeroconf, name))

    try:
        zeroconf = AsyncZeroconf()
    except RuntimeError as exc:  # its word for a computer without any address
        raise OSError(str(exc)) from exc
    try:
        async with asyncio.TaskGroup() as asking:
            browser = AsyncServiceBrowser(
                zeroconf.zeroconf,
                SERVICE,
                handlers=[change],
                question_type=DNSQuestionType.QM,  # of a shared port, another may get a unicast
            )
            await asyncio.sleep(timeout)
            await browser.async_cancel()
            for name in names:  # once more, for what a second board of the name has said since
                asking.create_task(ask(zeroconf.zeroconf, name))
    finally:
        await zeroconf.async_close()
    return sorted(found.values(), key=lambda board: (board.name, board.address))


async def _resolve(zeroconf: Any, name: str, timeout: float) -> list[Board]:
    """A board for each of the addresses that a name has: two boards may claim the same one."""
    from zeroconf import DNSQuestionType, Error, IPVersion
    from zeroconf.asyncio import AsyncServiceInfo

    try:
        info = AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(zeroconf, timeout * 1000, DNSQuestionType.QM):
            return []
    except Error:  # a name that can't be one
        return []
    told = {
        key: _clean(value.decode(errors="replace"))
        for key, value in info.properties.items()
        if value
    }
    addresses = info.parsed_scoped_addresses(IPVersion.V4Only)
    return [
        Board(
            name=_clean(name.removesuffix(f".{SERVICE}")) or "?",
            host=_clean((info.server or "").rstrip(".")),
            address=address,
            port=info.port,
            board=told.get(b"board"),
            firmware=told.get(b"firmware"),
            mac=told.get(b"mac"),
            auth=told.get(b"auth"),
        )
        for address in addresses or info.parsed_scoped_addresses(IPVersion.V6Only)[:1]
        if info.port and _can_be_one(address)
    ]


def _can_be_one(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return not (found.is_multicast or found.is_unspecified)


def _clean(text: str) -> str:
    """One line that a terminal shows as it is, and that YAML takes."""
    return "".join(c if c.isprintable() else "�" for c in text[:_LONGEST]).strip()

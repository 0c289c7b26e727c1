"""A real cable, as far as Linux has one: a pair of network interfaces, the far one elsewhere.

What starts at the far end is in a network of its own, which nothing but the cable leads to.
Pulled, it loses packets and says nothing, as a switch with nobody at it. That takes root.
"""

import ctypes
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SBIN = ":/usr/sbin:/sbin"
_LOOK = 0.005  # seconds


class NotPermitted(Exception):
    """Why there can be no cable here."""


class Cable:
    """From ``near``, an address of this machine, to ``far``, one of a network behind it."""

    def __init__(self) -> None:
        # RFC 2544's addresses for tests of networks, of which each cable takes four
        third, fourth = secrets.randbelow(256), secrets.randbelow(64) * 4
        half = 18 + secrets.randbelow(2)
        self.near = f"198.{half}.{third}.{fourth + 1}"
        self.far = f"198.{half}.{third}.{fourth + 2}"
        self._name = f"esp32-{secrets.token_hex(4)}"  # of the network; an interface has 15 at most

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Lay it, plugged in.

        Raises:
            NotPermitted: this kernel, or whoever has started us, does not allow it.
        """
        name = self._name
        run("ip", "netns", "add", name)
        try:
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", name)
            run("ip", "address", "add", f"{self.near}/30", "dev", name)
            run("ip", "-n", name, "address", "add", f"{self.far}/30", "dev", "far")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "link", "set", name, "up")
            self.plug_in()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take it away, and the network behind it."""
        if Path(f"/sys/class/net/{self._name}").exists():
            run("ip", "link", "delete", self._name)  # both ends, whoever is still in there
        run("ip", "netns", "delete", self._name)

    @contextmanager
    def far_end(self) -> Iterator[None]:
        """What this thread opens or starts meanwhile is at the far end, and stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def pull(self) -> None:
        """Nothing gets through, and nobody is told."""
        run("ip", "-n", self._name, "link", "set", "far", "down")

    def plug_in(self) -> None:
        """Let everything through again."""
        run("ip", "-n", self._name, "link", "set", "far", "up")

    def limit(self, rate: str, *, queue: str = "64kb") -> None:
        """Let only so much come from the far end, such as ``400kbit``; what finds no room is lost.

        A queue of a few packets therefore loses many.
        """
        shape = ("rate", rate, "burst", "4kb", "limit", queue)
        run("tc", "-n", self._name, "qdisc", "replace", "dev", "far", "root", "tbf", *shape)

    def spoil(self, *what: str) -> None:
        """Do to packets from the far end what ``tc-netem`` can: ``loss 5%``, ``reorder 25%`` …

        Raises:
            NotPermitted: this kernel can't do that.
        """
        run("tc", "-n", self._name, "qdisc", "replace", "dev", "far", "root", "netem", *what)

    def clear(self) -> None:
        """End `limit` and `spoil`."""
        run("tc", "-n", self._name, "qdisc", "delete", "dev", "far", "root")

    @property
    def lost(self) -> int:
        """Packets that `limit` or `spoil` has dropped so far."""
        told = run("tc", "-n", self._name, "-s", "qdisc", "show", "dev", "far")
        return int(told.partition("dropped ")[2].partition(",")[0])

    @property
    def received(self) -> int:
        """Bytes that have come from the far end so far."""
        return int(Path(f"/sys/class/net/{self._name}/statistics/rx_bytes").read_text())

    def wait_for_bytes(self, count: int, *, since: int = 0, timeout: float = 10.0) -> None:
        """Wait until so many have come from the far end, ``since`` of them before."""
        deadline = time.monotonic() + timeout
        while (got := self.received - since) < count:
            assert time.monotonic() < deadline, f"{got} of {count} bytes in {timeout} s"
            time.sleep(_LOOK)


def run(program: str, *arguments: str) -> str:
    """What a system's program writes.

    Raises:
        NotPermitted: it isn't there, or it fails, with what it said.
    """
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath) + _SBIN)
    if path is None:
        raise NotPermitted(f"{program} is not installed")
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        raise NotPermitted(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _enter(network: int) -> None:
    """This thread alone: those that it starts and the processes too, others not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

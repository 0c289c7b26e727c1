"""Tells systemd how the bridge is: sd_notify(3), a datagram to the socket that systemd names.

Without systemd, or in a unit that is not of ``Type=notify``, nothing is sent.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_MOST = 2.0  # seconds between two signs of life: so old may the status be that people see


class Systemd:
    """The service manager that started us, if there is one.

    Args:
        environment: where it says so.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        self.every = min(_watchdog(environment) / 2, _MOST)

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return self._socket is not None

    def ready(self) -> None:
        """The configuration is in force, at the start or after ``reloading``."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A new configuration is about to be read."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def alive(self, status: str) -> None:
        """A sign of life, due every ``every`` seconds; ``status`` is what ``systemctl`` shows."""
        self._tell("WATCHDOG=1", f"STATUS={' '.join(status.splitlines())}")

    def close(self) -> None:
        """Tell no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # nothing that the bridge could do about it
                message = "\n".join(lines).encode()
                self._socket.sendto(message, socket.MSG_DONTWAIT, self._address)


def _watchdog(environment: Mapping[str, str]) -> float:
    """The unit's ``WatchdogSec=`` in seconds; infinite if there is none, or it is not for us."""
    text = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    usec = int(text) if text.isascii() and text.isdigit() else 0
    return usec / 1e6 if ours and usec else float("inf")

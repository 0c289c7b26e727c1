"""The firmware itself as a board to play with: `esp32cam-sim`, where `make sim` has built it."""

import asyncio
import contextlib
import json
import os
from pathlib import Path

from bridge.errors import ConfigError

_BUILT = Path(__file__).parents[2] / "firmware/build/esp32cam-sim"
_START = 10.0  # seconds; it takes a tenth of one


def find() -> Path | None:
    """The program: ``$ESP32CAM_SIM`` if that is set, else what stands beside this package.

    An empty ``$ESP32CAM_SIM`` is for doing without it.
    """
    told = os.environ.get("ESP32CAM_SIM")
    if told is None:
        return _BUILT if _BUILT.is_file() else None
    return Path(told).absolute() if told else None


class SimulatedBoard:
    """A board with our firmware: ``start()`` starts the program, ``stop()`` ends it.

    Args:
        program: what `find` has found.
        port: of its WebSocket; 0 for a free one, which ``url`` then has.
        verbose: let what it says over its serial line be seen on standard error.
    """

    def __init__(self, program: Path, *, port: int = 0, verbose: bool = False) -> None:
        self.url = ""
        self.http_url = ""
        self._program = program
        self._port = port
        self._verbose = verbose
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ConfigError: it doesn't run, or can't have the port.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                *("--ws-port", str(self._port), "--http-port", "0", "--with-parent"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if self._verbose else asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is ours: the bridge stops first
            )
            assert self._process.stdout is not None
            async with asyncio.timeout(_START):
                urls = json.loads(await self._process.stdout.readline())
            self.url, self.http_url = urls["ws"], urls["http"]
        except (OSError, TimeoutError, ValueError, KeyError) as exc:
            await self.stop()
            raise ConfigError(
                [
                    f"the firmware does not start as a program ({self._program}), or can't have "
                    f"port {self._port}; with ESP32CAM_SIM= in the environment it is done without"
                ]
            ) from exc

    async def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it has nothing to lose
            await process.wait()

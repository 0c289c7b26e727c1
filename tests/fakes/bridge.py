"""The bridge itself as its users run it: a process of its own, with a configuration file."""

import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.fakes.broker import Client
from tests.fakes.pauses import pauses
from tests.fakes.process import Process

ROOT = Path(__file__).parents[2]

_TO_END = 5.0  # seconds after a SIGTERM, by the contract


def run(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """``esp32cam2mqtt`` with these arguments in that folder, until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        timeout=30,
        check=False,
    )


class Bridge(Process):
    """``python -m bridge run`` in a folder of its own, with ``config`` as its config.yaml.

    Args:
        config: what config.yaml says; as text it is written as it is, for ``!secret`` and the like.
        watcher: a client of the same broker, subscribed to the base topic, by which we see that
            the bridge is ready. It is the caller's.
        base_topic: where config doesn't tell.
        arguments: of the command line, after ``run``.
        environment: further variables.
        strain: run it under `strained` instead, with these arguments.
        wrapper: a command that runs it, such as ``unshare``.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str,
        watcher: Client,
        *,
        base_topic: str | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        strain: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
    ) -> None:
        super().__init__("bridge")
        self.config = config if isinstance(config, str) else copy.deepcopy(dict(config))
        mqtt = {} if isinstance(config, str) else config.get("mqtt") or {}
        self.base_topic: str = base_topic or mqtt.get("base_topic", "esp32cam")
        self._watcher = watcher
        program = ("-m", "bridge", "run", "-c", "config.yaml", *arguments)
        if strain:
            program = ("-m", "tests.fakes.strained", "config.yaml", *strain)
        self._command = (*wrapper, sys.executable, *program)
        self._environment = {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default",  # a ResourceWarning is to be seen in the log
            **(environment or {}),
        }
        self._directory = tempfile.TemporaryDirectory(prefix="bridge-")
        self.directory = Path(self._directory.name)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it says ``online``, unless it is to fail or has no broker."""
        self._write(self.config)
        seen = self._births()
        self._launch(self._command, cwd=self.directory, env=self._environment)
        if wait:
            self.wait_until_ready(births=seen + 1)

    def wait_until_ready(self, *, births: int = 1, timeout: float = 15.0) -> None:
        """Wait until it has said ``online`` for the ``births``-th time, not counting retained."""
        deadline = time.monotonic() + timeout
        while self._births() < births:
            assert self.alive, f"the bridge has ended:\n{self.log}"
            assert time.monotonic() < deadline, f"the bridge is not ready:\n{self.log}"
            time.sleep(0.005)

    def reload(self, config: Mapping[str, Any] | str) -> None:
        """Give it another configuration and tell it so; it takes it in its own time."""
        self._write(config)
        self.config = config if isinstance(config, str) else copy.deepcopy(dict(config))
        self.signal(signal.SIGHUP)

    def end_in_time(self) -> int:
        """End it with SIGTERM, in the time that it has for that, and return its exit code."""
        began = time.monotonic()
        with pauses() as paused:
            self.signal(signal.SIGTERM)
            code = self.wait()
            took = time.monotonic() - began - paused()
        assert took < _TO_END, f"it took {took:.1f} s to end:\n{self.log}"
        return code

    def close(self) -> None:
        """End it, if it runs, and remove its folder."""
        try:
            if self.alive:
                self.stop()
        finally:
            self._directory.cleanup()

    def _births(self) -> int:
        births = self._watcher.messages(f"{self.base_topic}/bridge/state")
        return sum(m.payload == b"online" and not m.retain for m in births)

    def _write(self, config: Mapping[str, Any] | str) -> None:
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False)
        (self.directory / "config.yaml").write_text(text)

"""Programs under test: started, ended, frozen and looked at from outside, their output kept."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Process:
    """A program that may run more than once; what it writes is kept line by line over all runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self._first = 0
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def log(self) -> str:
        """All that it wrote, standard output and error as they came."""
        return "\n".join(self.lines)

    def wait_for_log(
        self, pattern: str, *, count: int = 1, timeout: float = 10.0, this_run: bool = False
    ) -> str:
        """Wait for the ``count``-th line in which ``pattern`` is found, and give it back.

        Lines of earlier runs are counted unless it is to be ``this_run``.
        """
        first = self._first if this_run else 0

        def found() -> list[str]:
            return [line for line in self.lines[first:] if re.search(pattern, line)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise AssertionError(f"{self.name}: no {pattern!r} in its log:\n{self.log}")
            return found()[count - 1]

    @property
    def pid(self) -> int:
        """The process id; an assertion if it never ran."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running().send_signal(number)

    def freeze(self) -> None:
        """Stop it in its tracks; its sockets stay open and nobody reads them."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self, timeout: float = 10.0) -> int:
        """End it with SIGTERM, unless it has ended, and return its exit code."""
        if self.alive:
            self.signal(signal.SIGTERM)
            self.thaw()
        return self.wait(timeout)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for its end and return its exit code."""
        process = self._running()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end in {timeout} s:\n{self.log}") from None
        finally:
            self._close()
        return code

    def memory(self) -> int:
        """Bytes of memory in use (RSS)."""
        return int(self._status("VmRSS").split()[0]) * 1024

    def threads(self) -> int:
        """How many threads it has."""
        return int(self._status("Threads"))

    def fds(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """Seconds of CPU it has used, in steps of a hundredth."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def page_faults(self) -> int:
        """How often the kernel has given it a page of memory."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[7])

    def _launch(
        self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        assert not self.alive, f"{self.name} runs already"
        self._first = len(self.lines)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def _close(self) -> None:
        """Read what it had still to say, and close its output."""
        if self._reader is not None:
            self._reader.join(10)
            assert not self._reader.is_alive(), f"something {self.name} started holds its output"
            self._reader = None
        stdout = self._running().stdout
        if stdout is not None:
            stdout.close()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def _status(self, key: str) -> str:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(line.partition(":")[2] for line in status.splitlines() if line.startswith(key))

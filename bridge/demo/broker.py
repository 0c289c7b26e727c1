"""A broker for the demo: mosquitto if it is installed, else iotcore, embedded.

Both listen on this computer alone, keep nothing, and end with us. It alone imports iotcore.
"""

import contextlib
import logging
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge.errors import ConfigError

_LOGGER = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_USUAL_PORT = 1883  # then mosquitto_pub needs no -p
_MAX_PAYLOAD = 10 * 1024 * 1024
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.01

_MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
message_size_limit {max_payload}
log_dest stderr
log_type error
log_type information
connection_messages false
"""
_RUNNING = " running\n"  # mosquitto's word, since 2.0, that its port is its own

# When we are gone, killed or not, so is our end of this shell's standard input. Then ``read`` ends
# without a line, and the shell in the background ends what the one in the foreground has become.
# prctl's PDEATHSIG, the other way, is Linux' alone and fires when the thread that started it ends.
_LEASH = 'exec 3<&0 </dev/null; { read -r _ <&3 || kill "$$"; } & exec "$@" 3<&-'

# MQTT 3.1.1 and 5 have a port each; the router's numbers are rumqttd's own examples' ones.
_IOTCORE = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 4194304
max_segment_count = 10

[v4.1]
name = "v4-1"
listen = "{host}:{port_v3}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 500
dynamic_filters = true

[v5.1]
name = "v5-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 500
dynamic_filters = true
"""


class DemoBroker:
    """A broker of our own; as a context manager it is started and stopped.

    Args:
        port: where it listens; by default 1883 if that is free, else any port that is.
    """

    host = _HOST

    def __init__(self, port: int | None = None) -> None:
        self._wanted = port
        self._process: subprocess.Popen[bytes] | None = None
        self._embedded: Any = None  # iotcore.Broker, which is untyped
        self.port = self.port_v3 = 0
        self.kind = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; once this returns, clients can connect.

        Raises:
            ConfigError: no broker is installed, or it can't be started.
        """
        try:
            self._start(usual=True)
        except ConfigError:
            if self._wanted is not None:
                raise
            self._start(usual=False)  # somebody may have been quicker at the port, if only briefly
        _LOGGER.info("broker: %s on %s:%d", self.kind, self.host, self.port)

    def _start(self, *, usual: bool) -> None:
        self.port = self.port_v3 = _free_port(self._wanted, usual=_USUAL_PORT if usual else None)
        mosquitto = shutil.which("mosquitto")
        with tempfile.TemporaryDirectory(prefix="esp32cam2mqtt-") as folder:  # read at the start
            try:
                if mosquitto:
                    self._start_mosquitto(mosquitto, Path(folder))
                else:
                    self._start_iotcore(Path(folder), usual=usual)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End it; more than once does no harm."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._embedded is not None:
            self._embedded.stop()
            self._embedded = None

    def _start_mosquitto(self, program: str, folder: Path) -> None:
        self.kind = _version(program)
        configuration, log = folder / "mosquitto.conf", folder / "log"
        configuration.write_text(
            _MOSQUITTO.format(port=self.port, host=_HOST, max_payload=_MAX_PAYLOAD)
        )
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603  what was found on PATH
                ["/bin/sh", "-c", _LEASH, "sh", program, "-c", str(configuration)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is ours: the bridge says goodbye first
            )
        deadline = time.monotonic() + _START_SECONDS
        while _RUNNING not in (said := log.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = said.strip()[-300:] or "it says nothing"
                raise ConfigError([f"mosquitto does not start: {said}"])
            time.sleep(_POLL_SECONDS)

    def _start_iotcore(self, folder: Path, *, usual: bool) -> None:
        try:
            import iotcore
        except ImportError as exc:
            raise ConfigError(
                [
                    "the demo needs a broker: install mosquitto (apt install mosquitto), or "
                    "pip install 'esp32cam2mqtt[demo]'"
                ]
            ) from exc
        self.kind = "iotcore"
        self.port_v3 = _free_port(None, usual=_USUAL_PORT + 1 if usual else None)
        configuration = folder / "iotcore.toml"
        configuration.write_text(
            _IOTCORE.format(
                host=_HOST, port=self.port, port_v3=self.port_v3, max_payload=_MAX_PAYLOAD
            )
        )
        self._embedded = iotcore.Broker(config_path=str(configuration))
        # A process inherits which signals are blocked. It is to survive Ctrl-C until the bridge
        # has said goodbye, and it ends with us anyway: it watches its standard input.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._embedded.start(timeout=_START_SECONDS)
        except (OSError, RuntimeError) as exc:
            raise ConfigError([f"the embedded broker does not start: {exc}"]) from exc
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _free_port(wanted: int | None, *, usual: int | None) -> int:
    if wanted is not None:
        if not _is_free(wanted):
            raise ConfigError([f"the demo's broker can't have port {wanted}: it is taken"])
        return wanted
    if usual is not None and _is_free(usual):
        return usual
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _version(program: str) -> str:
    """The first line of its help: ``mosquitto version 2.0.11``."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(  # noqa: S603
            [program, "-h"], capture_output=True, timeout=_STOP_SECONDS, check=False
        )
        words = said.stdout.decode(errors="replace").split()
        if len(words) > 2 and words[1] == "version":
            return f"mosquitto {words[2]}"
    return "mosquitto"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the shell may have ended with its group
        process.stdin.write(b"\n")  # a line: there is nothing left to end
        process.stdin.close()

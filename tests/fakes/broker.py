"""A real mosquitto to test against, with whatever a configuration can do to a client."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from tests.fakes.certificates import Certificates
from tests.fakes.certificates import make_certificates as make_certificates
from tests.fakes.client import NO_SUBSCRIBERS as NO_SUBSCRIBERS
from tests.fakes.client import Client as Client
from tests.fakes.client import Message as Message
from tests.fakes.port import number, reserve
from tests.fakes.process import Process
from tests.fakes.proxy import Proxy, Refusal

_START_TIMEOUT = 10.0
_SBIN = ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"  # where it is, but not on everyone's PATH


class Broker(Process):
    """mosquitto, listening on ``port`` for plain MQTT, and wherever else it is told to.

    At a `start` it takes up ``certificate`` (and key) and ``require_certificate`` as they are then.
    It keeps its ports and its folder from `start` to `close`, however often it is stopped, killed
    and started in between.

    Args:
        persistence: keeps sessions and retained messages over a `stop`, though not over a `kill`.
        max_packet_size: what an MQTT 5 client is told, and any client is thrown out for.
        message_size_limit: bytes of a payload; what is over it is dropped, in silence on 3.1.1.
        users: passwords by user name; nobody else may connect.
        acl: an ACL file's text.
        tls: serve on ``tls_port`` too, with these.
        certificate: the one of them that is shown.
        require_certificate: on ``tls_port`` only clients with a certificate.
        websockets: serve on ``websockets_port`` too.
        unix: serve on ``unix_path`` too.
        only_3_1_1: serve on ``old_port`` too, as a broker that refuses MQTT 5 in this way.
        extra: further lines of the configuration.
    """

    def __init__(
        self,
        *,
        persistence: bool = False,
        max_packet_size: int | None = None,
        message_size_limit: int | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        tls: Certificates | None = None,
        certificate: Literal["server", "expired", "elsewhere", "strange"] = "server",
        require_certificate: bool = False,
        websockets: bool = False,
        unix: bool = False,
        only_3_1_1: Refusal | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        super().__init__("mosquitto")
        self.users = dict(users or {})
        self._acl = acl
        self._tls = tls
        self.certificate: tuple[Path, Path] | None = getattr(tls, certificate, None)
        self.require_certificate = require_certificate
        self._only_3_1_1 = only_3_1_1
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._wanted = {"tcp": True, "tls": tls is not None, "websockets": websockets, "unix": unix}
        self._ports: dict[str, socket.socket] = {}
        self._proxy: Proxy | None = None
        self._options = {
            "persistence": persistence or None,
            "max_packet_size": max_packet_size,
            "message_size_limit": message_size_limit,
            "allow_anonymous": not users,
        }
        self._extra = list(extra)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The plain listener's port."""
        return number(self._ports["tcp"])

    @property
    def tls_port(self) -> int:
        """The TLS listener's port."""
        return number(self._ports["tls"])

    @property
    def websockets_port(self) -> int:
        """The WebSocket listener's port."""
        return number(self._ports["websockets"])

    @property
    def unix_path(self) -> Path:
        """The unix socket."""
        return self.directory / "mqtt.sock"

    @property
    def old_port(self) -> int:
        """Where the broker looks like one that has never heard of MQTT 5."""
        return self.proxy.port

    @property
    def proxy(self) -> Proxy:
        """What makes it look so; `Proxy.refused` counts."""
        assert self._proxy is not None, "a broker without only_3_1_1"
        return self._proxy

    @property
    def directory(self) -> Path:
        """Where its files are."""
        assert self._directory is not None, "the broker was not started"
        return Path(self._directory.name)

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        program = _find("mosquitto")
        if self._directory is None:
            self._prepare()
        configuration = "\n".join([*self._configuration(), ""])
        (self.directory / "mosquitto.conf").write_text(configuration)
        self._launch([program, "-c", "mosquitto.conf"], cwd=self.directory)
        deadline = time.monotonic() + _START_TIMEOUT
        for name, reserved in self._ports.items():
            while not _accepts(reserved.getsockname()):
                assert self.alive, f"mosquitto did not start:\n{self.log}"
                assert time.monotonic() < deadline, f"mosquitto does not serve {name}:\n{self.log}"
                time.sleep(0.002)
        while self._wanted["unix"] and not _accepts(str(self.unix_path)):
            assert time.monotonic() < deadline, f"mosquitto serves no unix socket:\n{self.log}"
            time.sleep(0.002)

    def close(self) -> None:
        """Stop it, and give back its ports and its folder."""
        if self.alive:
            self.stop()
        if self._proxy is not None:
            self._proxy.stop()
        for reserved in self._ports.values():
            reserved.close()
        if self._directory is not None:
            self._directory.cleanup()

    def client(self, **options: Any) -> Client:
        """A client for the plain port that may connect, as one of its users if it has any."""
        if self.users:
            username, password = next(iter(self.users.items()))
            options = {"username": username, "password": password} | options
        return Client(options.pop("port", self.port), **options)

    def _prepare(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="broker-")
        for name in ("tcp", "tls", "websockets"):
            if self._wanted[name]:
                self._ports[name] = reserve()
        if self._only_3_1_1 is not None:
            self._proxy = Proxy(self.port, only_3_1_1=self._only_3_1_1)
            self._proxy.resume()
        if self.users:
            self._write_passwords()

    def _configuration(self) -> list[str]:
        lines = ["log_dest stderr", "log_type all", "sys_interval 0"]
        if os.geteuid() == 0:
            lines.append("user root")  # or it becomes someone who may not read this folder
        for name, value in self._options.items():
            if value is not None:
                lines.append(f"{name} {str(value).lower()}")
        lines.append(f"persistence_location {self.directory}/")
        if self.users:
            lines.append(f"password_file {self._passwords}")
        if self._acl is not None:
            (self.directory / "acl").write_text(self._acl)
            lines.append(f"acl_file {self.directory / 'acl'}")
        lines.extend(self._extra)
        lines.append(f"listener {self.port} 127.0.0.1")
        if self._tls is not None and self.certificate is not None:
            certificate, key = self.certificate
            lines += [
                f"listener {self.tls_port} 127.0.0.1",
                f"cafile {self._tls.ca}",
                f"certfile {certificate}",
                f"keyfile {key}",
                f"require_certificate {str(self.require_certificate).lower()}",
            ]
        if self._wanted["websockets"]:
            lines += [f"listener {self.websockets_port} 127.0.0.1", "protocol websockets"]
        if self._wanted["unix"]:
            lines.append(f"listener 0 {self.unix_path}")
        return lines

    @property
    def _passwords(self) -> Path:
        return self.directory / "passwords"

    def _write_passwords(self) -> None:
        self._passwords.touch(mode=0o600)
        for user, password in self.users.items():
            command = [_find("mosquitto_passwd"), "-b", str(self._passwords), user, password]
            subprocess.run(command, check=True, capture_output=True)


def _find(program: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", os.defpath) + _SBIN)
    if found is None:
        raise RuntimeError(f"these tests need {program}: apt-get install mosquitto")
    return found


def _accepts(address: tuple[Any, ...] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        try:
            sock.connect(address)
        except OSError:
            return False
    return True

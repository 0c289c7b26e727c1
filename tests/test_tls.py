"""TLS that does not come about: why is told once, with what to change, and it heals by itself."""

import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.commands.hints import BROKER
from bridge.tls import Tls, TlsError
from tests.conftest import Boards, Brokers, StartBridge, old
from tests.fakes.bridge import ROOT, run
from tests.fakes.broker import Broker
from tests.fakes.certificates import Certificates
from tests.fakes.talk import Talk

_FAULTS = {
    "strange": r"signed by nobody whom {block}\.ca_file names \(.+\); set {block}\.ca_file to",
    "expired": r"its certificate has expired: renew it there",
    "elsewhere": r"its certificate is for another name \(.*127\.0\.0\.1",
    "missing": r"it wants a certificate of us; (mqtt\.tls\.cert_file names|we have) none",
}
_REFUSED = r"TLS: it does not accept our certificate, mqtt\.tls\.cert_file \(unknown ca\)"


def _told(fault: str, block: str) -> str:
    return f"TLS: .*{_FAULTS[fault].format(block=re.escape(block))}"


@pytest.fixture
def bad_broker(own_broker: Brokers, certificates: Certificates) -> Callable[[str], Broker]:
    """``bad_broker(fault)``: one that no client trusts, or that trusts no client."""

    def start(fault: str) -> Broker:
        if fault == "missing":
            return own_broker(tls=certificates, require_certificate=True)
        return own_broker(tls=certificates, certificate=fault)

    return start


# The broker


@pytest.mark.parametrize("fault", _FAULTS)
def test_what_is_wrong_with_a_brokers_certificate_is_told_once_and_it_heals(
    bridge: StartBridge,
    bad_broker: Callable[[str], Broker],
    board: Boards,
    client: Callable[..., Any],
    certificates: Certificates,
    fault: str,
) -> None:
    own = bad_broker(fault)
    tls = {"ca_file": str(certificates.ca)}
    process = bridge(
        {"door": old(board())}, on=own, mqtt={"port": own.tls_port, "tls": tls}, start=False
    )
    process.start(wait=False)
    process.wait_for_log(f"mqtt: .*{_told(fault, 'mqtt.tls')}", count=2)
    loud = [line for line in process.lines if " mqtt: " in line and " DEBUG " not in line]
    assert len(loud) == 1, process.log
    assert f"WARNING mqtt: 127.0.0.1:{own.tls_port}: TLS: " in loud[0]

    own.stop()
    own.certificate, own.require_certificate = certificates.server, False
    own.start()
    process.wait_for_log(r"INFO +mqtt: connected to .*\(MQTT 5\)", timeout=25)
    talk = Talk(client(on=own), process.base_topic)
    talk.client.wait(f"{process.base_topic}/bridge/state", lambda m: m.payload == b"online")
    talk.ask({"id": "healed"})
    assert talk.result("healed")["status"] == "ok"


def test_a_certificate_of_ours_that_the_broker_refuses_is_told_as_such(
    bridge: StartBridge, bad_broker: Callable[[str], Broker], certificates: Certificates
) -> None:
    own = bad_broker("missing")
    certificate, key = map(str, certificates.wrong_client)
    tls = {"ca_file": str(certificates.ca), "cert_file": certificate, "key_file": key}
    process = bridge({}, on=own, mqtt={"port": own.tls_port, "tls": tls}, start=False)
    process.config["cameras"] = {"door": "ws://127.0.0.1:9"}  # type: ignore[index]
    process.start(wait=False)
    assert " WARNING " in process.wait_for_log(f"mqtt: .*{_REFUSED}")
    assert " DEBUG " in process.wait_for_log(f"mqtt: .*{_REFUSED}", count=2)


def test_check_connect_names_the_fault_of_a_brokers_certificate(
    bad_broker: Callable[[str], Broker], certificates: Certificates, tmp_path: Path
) -> None:
    checks = {}
    for fault in _FAULTS:
        mqtt = {
            "host": "127.0.0.1",
            "port": bad_broker(fault).tls_port,
            "tls": {"ca_file": str(certificates.ca)},
        }
        checks[fault] = _check(tmp_path / fault, mqtt=mqtt, cameras={"door": "ws://127.0.0.1:9"})
    for fault, check in checks.items():
        report = json.loads(check.communicate(timeout=30)[0])
        assert check.returncode == 1
        assert re.search(_told(fault, "mqtt.tls"), report["broker"]), report


def test_check_connect_does_not_ask_whether_a_broker_runs_that_has_answered(
    bad_broker: Callable[[str], Broker], certificates: Certificates, tmp_path: Path
) -> None:
    tls = {"ca_file": str(certificates.ca)}
    mqtt = {"host": "127.0.0.1", "port": bad_broker("expired").tls_port, "tls": tls}
    document = {"mqtt": mqtt, "cameras": {"door": "ws://127.0.0.1:9"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    told = run(tmp_path, "check", "--connect").stderr.decode()
    assert re.search(_told("expired", "mqtt.tls"), told), told
    assert BROKER not in told


def _check(folder: Path, **document: Any) -> subprocess.Popen[str]:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", "check", "--connect", "--json"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


# Boards behind wss://


def test_what_is_wrong_with_a_boards_certificate_is_in_its_results_and_it_heals(
    bridge: StartBridge, board: Boards, talk: Talk, certificates: Certificates, tmp_path: Path
) -> None:
    boards = {}
    for fault in _FAULTS:
        pair = certificates.server if fault == "missing" else getattr(certificates, fault)
        boards[fault] = board(fault, tls=pair)
    server = boards["missing"].tls
    assert server is not None
    server.load_verify_locations(certificates.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    trust = {"tls": {"ca_file": str(certificates.ca)}}
    cameras = {name: old(there) | trust for name, there in boards.items()}
    other = {"tls": {"fingerprint": "0" * 64}}
    cameras["other"] = old(boards["expired"]) | other
    told = {fault: _told(fault, "tls") for fault in _FAULTS}
    told["other"] = r"TLS: its certificate has the fingerprint [0-9a-f]{64}; tls\.fingerprint names"

    process = bridge(cameras, capture={"retries": 0})
    for name in cameras:
        talk.ask({"id": name}, name)
    for name, message in told.items():
        result = talk.result(name, name)
        assert result["error"] == "unreachable"
        assert re.search(message, result["message"]), result
        process.wait_for_log(f"WARNING +camera {name}: not connected: .*{message}")
        process.wait_for_log(f"WARNING +camera {name}: unreachable: .*{message}")
        loud = [li for li in process.lines if f" camera {name}: " in li and " DEBUG " not in li]
        assert len(loud) == 2, process.log  # that it is away, and that a picture failed

    for there in boards.values():
        assert there.tls is not None
        there.tls.load_cert_chain(*certificates.server)
    server.verify_mode = ssl.CERT_NONE
    for name in boards:
        talk.ask({"id": "healed"}, name)
        assert talk.result("healed", name)["status"] == "ok"

    found = _check(tmp_path / "check", mqtt=process.config["mqtt"], cameras={"a": cameras["other"]})  # type: ignore[index]
    report = json.loads(found.communicate(timeout=30)[0])
    assert re.search(told["other"], report["connected"]["a"]), report


# Our own files


def test_files_that_cannot_be_used_are_named_by_their_keys(
    certificates: Certificates, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    locked = tmp_path / "locked.key"
    lock = ["openssl", "pkcs8", "-topk8", "-in", str(certificates.client[1]), "-out", str(locked)]
    subprocess.run([*lock, "-passout", "pass:much-secret"], check=True)
    certificate, key = certificates.client
    pair = r"mqtt\.tls\.cert_file and key_file "
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca_file": nonsense}, r"mqtt\.tls\.ca_file holds no certificate"),
        ({"ca_file": tmp_path / "gone"}, r"mqtt\.tls\.ca_file holds no certificate"),
        ({"cert_file": nonsense, "key_file": key}, f"{pair}are no pair of PEM files"),
        ({"cert_file": certificate, "key_file": nonsense}, f"{pair}are no pair of PEM files"),
        ({"cert_file": certificate, "key_file": locked}, f"{pair}.*wants a password"),
        (
            {"cert_file": certificate, "key_file": certificates.server[1]},
            f"{pair}do not belong together",
        ),
    ]
    for wrong, message in cases:
        with pytest.raises(TlsError, match=message):
            Tls("mqtt.tls", **wrong).context()


def test_a_port_that_speaks_no_tls_is_told_as_such() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=10) as ours,
        server.accept()[0] as theirs,
    ):
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError) as caught:
            Tls("tls").context().wrap_socket(ours, server_hostname="localhost")
        assert "speaks no TLS" in Tls("tls").explain(caught.value)

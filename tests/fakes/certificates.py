"""Certificates for tests, made with the openssl command: good ones, and all sorts of bad ones."""

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[elsewhere]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:elsewhere.example.org
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """The files of `make_certificates`; a pair is a certificate and its key."""

    ca: Path
    server: tuple[Path, Path]  # for localhost, 127.0.0.1 and ::1
    client: tuple[Path, Path]
    expired: tuple[Path, Path]  # a server's, over since yesterday
    elsewhere: tuple[Path, Path]  # a server's, for another name
    strange: tuple[Path, Path]  # a server's for these names, signed by wrong_ca
    wrong_ca: Path  # signed none of these
    wrong_client: tuple[Path, Path]  # signed by wrong_ca


def make_certificates(directory: Path) -> Certificates:
    """Make two authorities, and what they sign."""
    (directory / "openssl.cnf").write_text(_CONFIG)
    ca, wrong_ca = (_make(directory, name, "ca") for name in ("ca", "wrong-ca"))
    return Certificates(
        ca=ca[0],
        server=_make(directory, "server", "server", signer=ca),
        client=_make(directory, "client", "client", signer=ca),
        expired=_make(directory, "expired", "server", signer=ca, days=-1),
        elsewhere=_make(directory, "elsewhere", "elsewhere", signer=ca),
        strange=_make(directory, "strange", "server", signer=wrong_ca),
        wrong_ca=wrong_ca[0],
        wrong_client=_make(directory, "wrong-client", "client", signer=wrong_ca),
    )


def _make(
    directory: Path,
    name: str,
    kind: str,
    *,
    signer: tuple[Path, Path] | None = None,
    days: int = 2,
) -> tuple[Path, Path]:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    request = directory / f"{name}.csr"
    config = directory / "openssl.cnf"
    new = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    _openssl(
        *new.split(), "-subj", f"/CN={name}", "-config", config, "-keyout", key, "-out", request
    )
    by = ("-signkey", key) if signer is None else ("-CA", signer[0], "-CAkey", signer[1])
    _openssl(
        *("x509", "-req", "-in", request, *by, "-set_serial", str(secrets.randbits(63))),
        *("-days", str(days), "-extfile", config, "-extensions", kind, "-out", certificate),
    )
    return certificate, key


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(("openssl", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openssl {arguments[0]} failed:\n{done.stderr}"

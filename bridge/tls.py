"""TLS to the broker and to boards: how the other side is known, and what went wrong, in words.

OpenSSL says ``unable to get local issuer certificate``; who reads the log wants to know whose
certificate it is, and which key of config.yaml to change.
"""

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from pathlib import Path

_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_…, from OpenSSL's x509_vfy.h
_WRONG_NAME = (62, 64)
_NO_CERTIFICATE_SHOWN = "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"
_OURS_REFUSED = (
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
)
_NO_TLS = "WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"


class TlsError(OSError):
    """What is wrong, and what to change; ``str()`` of it is a sentence."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How one peer is known, and we to it.

    Args:
        where: the block in config.yaml, as messages name it: ``mqtt.tls``.
        mutual: whether that block has a ``cert_file``.
    """

    where: str
    mutual: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    fingerprint: str | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """What to wrap a socket with.

        Raises:
            TlsError: one of the files is not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            raise TlsError(f"{self._key('ca_file')} holds no certificate that can be read") from exc
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_password)
            except OSError as exc:
                raise TlsError(f"{self._key('cert_file')} and key_file {_unfit(exc)}") from exc
        if self.insecure or self.fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def check_fingerprint(self, secured: ssl.SSLSocket) -> None:
        """Where only one certificate is accepted, see whether it is this one.

        Raises:
            TlsError: it isn't.
        """
        if self.fingerprint:
            shown = hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
            if not hmac.compare_digest(shown, self.fingerprint):
                raise TlsError(
                    f"its certificate has the fingerprint {shown}; {self.where}.fingerprint "
                    "names another"
                )

    def explain(self, exc: ssl.SSLError | TlsError) -> str:
        """What OpenSSL means."""
        if isinstance(exc, TlsError):
            return str(exc)
        if isinstance(exc, ssl.SSLCertVerificationError):
            return self._explain_theirs(exc)
        reason = exc.reason or ""
        if reason in _NO_CERTIFICATE_SHOWN and self.cert_file is None:
            have = f"{self._key('cert_file')} names none" if self.mutual else "we have none for it"
            return f"it wants a certificate of us; {have}"
        if reason in (*_NO_CERTIFICATE_SHOWN, *_OURS_REFUSED):
            what = reason.partition("ALERT_")[2].replace("_", " ").lower()
            return f"it does not accept our certificate, {self._key('cert_file')} ({what})"
        if reason in _NO_TLS:
            return "what answers there speaks no TLS; is it the right port?"
        return reason.replace("_", " ").lower() or str(exc)

    def _explain_theirs(self, exc: ssl.SSLCertVerificationError) -> str:
        if exc.verify_code == _EXPIRED:
            return "its certificate has expired: renew it there (or is our clock wrong?)"
        if exc.verify_code == _NOT_YET:
            return "its certificate is not valid yet: is our clock wrong?"
        if exc.verify_code in _WRONG_NAME:
            return f"its certificate is for another name ({exc.verify_message.rstrip('.')})"
        signer = "this system trusts" if self.ca_file is None else f"{self.where}.ca_file names"
        return (
            f"its certificate is signed by nobody whom {signer} ({exc.verify_message}); "
            f"set {self._key('ca_file')} to the certificate of who signed it"
        )

    def _key(self, key: str) -> str:
        return f"{self.where}.{key}"


def alert(secured: ssl.SSLSocket) -> None:
    """Where the peer takes no more, look whether it has said why.

    With TLS 1.3 it refuses our certificate only after we have begun to write.

    Raises:
        ssl.SSLError: it has.
    """
    try:
        secured.recv(1)
    except ssl.SSLError as exc:
        if "ALERT" in (exc.reason or ""):
            raise
    except OSError:
        pass


def _unfit(exc: OSError) -> str:
    if getattr(exc, "reason", None) == "KEY_VALUES_MISMATCH":
        return "do not belong together"
    return "are no pair of PEM files that can be read (a key that wants a password can't)"


def _no_password() -> str:
    """Without this, OpenSSL asks the terminal for the password of a key, and waits."""
    return ""

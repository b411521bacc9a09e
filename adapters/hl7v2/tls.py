"""TLS on a listener: its certificates, and the handshake before the first byte of HL7.

Peers and limits are checked before a handshake begins, and a handshake has a deadline, so that
nobody who is not let in costs more than a socket. Certificates are read again when their files
change: a renewed one holds from the next connection on.
"""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adapters.hl7v2.dues import LOG
from twin_core.clock import Clock, SystemClock
from twin_core.errors import ConfigurationError
from twin_core.settings import TlsSettings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from adapters.hl7v2.listener import MllpListener

HANDSHAKE_S = 10.0
"""How long a handshake may take, where a frame may not take less."""
FAREWELL_S = 2.0
"""How long the other side may take to agree to the end."""

NAME_CHARACTERS = 100
"""How much of a name in a certificate is worth telling."""

_MINIMUM = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class Certificates:
    """What a listener shows and whom it trusts; `where` names the settings, such as `mllp.tls`.

    The clock is the machine's, by which the other side judges too, and not a hospital's that may
    run faster. Raises ConfigurationError where a file is missing, damaged, or does not fit another.
    """

    def __init__(self, where: str, settings: TlsSettings, clock: Clock | None = None) -> None:
        self._where, self._settings = where, settings
        self._clock = clock or SystemClock()
        self._again_at: datetime | None = None
        self._stamp = self._stamps()
        self._context = _context(where, settings)
        self.expires_at = expires_at(where, settings)

    def context(self) -> ssl.SSLContext:
        """The context for the next connection; files that have changed are read again."""
        stamp = self._stamps()
        begun = self._again_at is not None and self._clock.now() >= self._again_at
        if stamp != self._stamp or begun:
            self._stamp, self._again_at = stamp, None
            try:
                self._renew()
            except ConfigurationError as error:
                # Half a renewal: what was good stays in use until the files fit each other.
                LOG.error("%s changed and is not usable: %s", self._where, error)
        return self._context

    def _renew(self) -> None:
        """Take what the files say now; ConfigurationError where nobody would accept it today."""
        context = _context(self._where, self._settings)
        chain = _chain(self._where, self._settings.certificate)
        own, now = chain[0], self._clock.now()
        if own.not_valid_after_utc <= now:
            raise _outside(self._where, f"ended {own.not_valid_after_utc}")
        if own.not_valid_before_utc > now:
            self._again_at = own.not_valid_before_utc
            raise _outside(self._where, f"begins {own.not_valid_before_utc}, and is taken then")
        self._context, self.expires_at = context, _first_end(chain)
        LOG.info("%s was read again; it expires %s", self._where, self.expires_at)

    def tell(self) -> None:
        """Log until when the certificate holds, as an error where nobody accepts it any more."""
        if self.expires_at <= self._clock.now():
            ended = "%s ended %s: senders are turned away until it is renewed"
            LOG.error(ended, self._where, self.expires_at)
        else:
            LOG.info("%s holds until %s", self._where, self.expires_at)

    def refusal(self, client: str) -> str:
        """Why a client with this name in its certificate may not connect; empty where it may."""
        allowed = self._settings.clients
        if not allowed or client in allowed:
            return ""
        # As a literal, so that nobody writes lines of their own into the log.
        shown = repr(client[:NAME_CHARACTERS]) if client else "none"
        return f"the name in its certificate, {shown}, is not among the feed's clients"

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(_stamp, self._settings.files()))


class Handshake(asyncio.Protocol):
    """A connection whose TLS handshake is under way; afterwards `Connection` has it."""

    def __init__(self, listener: "MllpListener", certificates: Certificates) -> None:
        self._listener, self._certificates = listener, certificates
        self._early: list[bytes] = []
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.peer = "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast(asyncio.Transport, transport)
        address = plain.get_extra_info("peername") or ("?", 0)
        self.peer = f"{address[0]} port {address[1]}"
        refusal = self._listener.begin_handshake(self, str(address[0]))
        if refusal:
            LOG.warning("refused a connection from %s: %s", self.peer, refusal)
            plain.abort()
            return
        plain.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._secure(plain))

    def data_received(self, data: bytes) -> None:
        """What comes together with the end of the handshake."""
        self._early.append(data)

    def eof_received(self) -> bool:
        self._ended = True
        return False

    def cancel(self) -> None:
        """Give up: the listener stops."""
        if self._task is not None:
            self._task.cancel()

    async def _secure(self, plain: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                plain,
                self,
                self._certificates.context(),
                server_side=True,
                ssl_handshake_timeout=min(HANDSHAKE_S, self._listener.mllp.frame_timeout_s),
                ssl_shutdown_timeout=FAREWELL_S,
            )
        except OSError as error:
            LOG.warning("the TLS handshake with %s failed: %s", self.peer, _reason(error))
            self._listener.fail_handshake(self)
            plain.abort()
            return
        except asyncio.CancelledError:
            plain.abort()
            raise
        self._listener.end_handshake(self)
        if secured is not None and not self._ended:
            self._hand_over(secured)

    def _hand_over(self, secured: asyncio.Transport) -> None:
        connection = self._listener.connection()
        secured.set_protocol(connection)
        connection.connection_made(secured)
        for received in self._early:
            if not secured.is_closing():
                connection.data_received(received)


def client_name(transport: asyncio.Transport) -> str:
    """The common name in a client's certificate, else its first DNS name, else nothing."""
    shown: dict[str, Any] | None = transport.get_extra_info("peercert")
    if not shown:
        return ""
    names = [value for part in shown.get("subject", ()) for key, value in part]
    common = [v for part in shown.get("subject", ()) for key, v in part if key == "commonName"]
    others = [value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"]
    return str((common + others + names + [""])[0])


def expires_at(where: str, settings: TlsSettings) -> datetime:
    """When the listener's own certificate ends, or one that it sends along, if that is sooner."""
    return _first_end(_chain(where, settings.certificate))


def ends_at(where: str, certificate: Path) -> datetime:
    """When the first certificate of a PEM file ends. ConfigurationError where there is none."""
    return _first_end(_chain(where, certificate))


def _first_end(chain: "Sequence[Certificate]") -> datetime:
    return min(certificate.not_valid_after_utc for certificate in chain)


def _chain(where: str, path: Path) -> "Sequence[Certificate]":
    # Takes a tenth of a second to import; only listeners with TLS pay for it.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(where, "certificate", path, error) from error


def _context(where: str, settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[settings.minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION
    for name, path in settings.named_files():
        if not path.is_file():
            raise _unusable(where, name, path, FileNotFoundError(2, "No such file"))
    try:
        # A key with a password would be asked for on a terminal that a server does not have.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:
        raise _unusable(where, "certificate and key", settings.certificate, error) from error
    if settings.client_authority is not None:
        try:
            context.load_verify_locations(settings.client_authority)
        except (OSError, ValueError) as error:
            raise _unusable(where, "client_authority", settings.client_authority, error) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _outside(where: str, when: str) -> ConfigurationError:
    return ConfigurationError(
        f"The certificate of {where} is not valid now.",
        why=f"It {when}.",
        do="Put a certificate there that is valid now; until then the one before stays in use.",
    )


def _unusable(where: str, name: str, path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The setting {where}.{name} is not usable.",
        why=f"{path}: {_reason(error)}.",
        do="Give PEM files that this user may read: a certificate with its chain, the key that "
        "belongs to it without a password, and the authority of the clients.",
    )


def _reason(error: Exception) -> str:
    """What went wrong, in words and without content; never empty."""
    said: str | None = None
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"{error.reason}: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        said = error.reason
    elif isinstance(error, OSError):
        said = error.strerror or str(error)
    return said or type(error).__name__


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)

"""Where the twin listens: MLLP, TLS on it, and HTTP."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from twin_core.settings.section import Section


class TlsSettings(Section):
    """TLS on an MLLP listener: PEM files, which are read again when they change."""

    certificate: Path
    """The listener's certificate, and the chain that leads to its authority."""
    key: Path | None = None
    """Its private key, without a password; in the certificate's file where unset."""
    client_authority: Path | None = None
    """Authorities of client certificates; where set, a sender must show one of theirs."""
    clients: tuple[str, ...] = ()
    """Common names of the client certificates that may connect; any where empty."""
    minimum: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """The oldest version of TLS that is spoken."""

    @model_validator(mode="after")
    def _names_need_an_authority(self) -> "TlsSettings":
        if self.clients and self.client_authority is None:
            raise ValueError("clients needs client_authority, which vouches for their names")
        return self

    def named_files(self) -> list[tuple[str, Path]]:
        """The files by the name of their setting."""
        named = {
            "certificate": self.certificate,
            "key": self.key,
            "client_authority": self.client_authority,
        }
        return [(name, path) for name, path in named.items() if path is not None]

    def files(self) -> list[Path]:
        """Every file that is named."""
        return [path for _, path in self.named_files()]


class MllpSettings(Section):
    """The main MLLP listener, of feed `adt`. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    """The address to listen on; any but this machine's own needs the feed's `peers`."""
    port: int = Field(default=2575, ge=0, le=65535)
    """0 takes a free one."""
    frame_timeout_s: float = 30.0
    """From the first byte of a frame to its last; a slower sender is disconnected."""
    idle_timeout_s: float = 3600.0
    """A connection that is silent for longer is closed."""
    connections: int = 256
    """How many may be open at once."""
    tls: TlsSettings | None = None


class HttpTlsSettings(Section):
    """TLS of the API and the board: PEM files, which are read again when they change."""

    certificate: Path
    """The server's certificate, and the chain that leads to its authority."""
    key: Path | None = None
    """Its private key, without a password; in the certificate's file where unset."""
    client_authority: Path | None = None
    """Authorities of client certificates; where set, a client must show one of theirs."""
    minimum: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """The oldest version of TLS that is spoken."""

    def as_listener(self) -> TlsSettings:
        """The same as settings of a listener, whose certificates are watched already."""
        return TlsSettings(**self.model_dump())


class HttpSettings(Section):
    """The API and the board. Other machines are served only where [access] says whom."""

    host: str = "127.0.0.1"
    """The address to listen on; any but this machine's own needs [access], and TLS or a proxy."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free one."""
    tls: HttpTlsSettings | None = None

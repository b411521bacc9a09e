"""Signed checkpoints of a ledger, as the signed notes that transparency logs exchange.

A checkpoint says how many entries there are, the RFC 6962 root over them and the last link of the
chain. The text is that of C2SP's tlog-checkpoint, so that other programs can verify it:

    wardtwin/6c1f...          origin: the ledger
    1200                      entries
    fX9...=                   root, base64
    at 2026-11-01T08:00:00Z   further lines are ours
    link 9d2...=
    signatures Qx0...=        the digest of all signatures so far

    - wardtwin/6c1f... Az3k...=      (an em dash) name, key id and Ed25519 signature
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from twin_core.audit.keys import AuditKeys, is_signed
from twin_core.errors import UsageError

_ED25519 = b"\x01"
_MARK = "\N{EM DASH} "


class Checkpoint(NamedTuple):
    """The state of a ledger after `size` entries."""

    origin: str
    size: int
    root: bytes
    at: datetime
    link: bytes
    signatures: bytes | None = None
    """The digest of the signatures of all entries; of none in checkpoints of earlier versions."""

    def text(self) -> str:
        """What is signed."""
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        lines = (
            self.origin,
            str(self.size),
            _b64(self.root),
            f"at {at}",
            f"link {_b64(self.link)}",
            *((f"signatures {_b64(self.signatures)}",) if self.signatures is not None else ()),
        )
        return "\n".join(lines) + "\n"


FIRST_SIGNATURES = hashlib.sha256(b"wardtwin signatures").digest()


def next_signatures(digest: bytes, signature: bytes) -> bytes:
    """The digest of the signatures so far and of one more."""
    return hashlib.sha256(digest + signature).digest()


class Forged(ValueError):
    """A checkpoint that is malformed, or not signed by the key that is trusted."""


def origin_of(ledger_id: str) -> str:
    """The name of a ledger in its checkpoints."""
    return f"wardtwin/{ledger_id}"


def signed(checkpoint: Checkpoint, keys: AuditKeys) -> str:
    """A checkpoint as a signed note."""
    text = checkpoint.text()
    signature = keys.sign(text.encode())
    told = _b64(_key_id(checkpoint.origin, keys.public()) + signature)
    return f"{text}\n{_MARK}{checkpoint.origin} {told}\n"


def opened(note: str, public: bytes) -> Checkpoint:
    """The checkpoint in a signed note. Raises Forged where the key did not sign just this."""
    text, gap, signatures = note.rpartition("\n\n")
    text += "\n"
    try:
        checkpoint = _read(text)
    except (ValueError, IndexError) as error:
        raise Forged("it does not read as a checkpoint") from error
    wanted = _key_id(checkpoint.origin, public)
    for line in signatures.splitlines() if gap else ():
        name, _, told = line.removeprefix(_MARK).rpartition(" ")
        raw = _signature(told)
        known = name == checkpoint.origin and raw[:4] == wanted
        if known and is_signed(text.encode(), raw[4:], public):
            return checkpoint
    raise Forged("it is not signed by the key of this ledger")


def verifier_line(ledger_id: str, public: bytes) -> str:
    """The public key as others write it: name, key id in hex, and the key."""
    origin = origin_of(ledger_id)
    return f"{origin}+{_key_id(origin, public).hex()}+{_b64(_ED25519 + public)}"


def public_key(line: str) -> tuple[str, bytes]:
    """The ledger's id and the public key of a verifier's line. Raises UsageError."""
    try:
        origin, key_id, told = line.strip().split("+", 2)
        raw = base64.b64decode(told, validate=True)
        if raw[:1] != _ED25519 or key_id != _key_id(origin, raw[1:]).hex():
            raise ValueError("the key is not the one that the line names")
    except ValueError:
        raise UsageError(
            "This is no public key of a ledger.", do="Copy what `wardtwin audit key` prints."
        ) from None
    return origin.removeprefix("wardtwin/"), raw[1:]


def _signature(told: str) -> bytes:
    try:
        return base64.b64decode(told, validate=True)
    except ValueError:
        return b""


def _read(text: str) -> Checkpoint:
    origin, size, root, at, link, *more = text.splitlines()
    (signatures,) = more or (None,)
    checkpoint = Checkpoint(
        origin,
        int(size),
        base64.b64decode(root, validate=True),
        datetime.fromisoformat(at.removeprefix("at ")),
        base64.b64decode(link.removeprefix("link "), validate=True),
        base64.b64decode(signatures.removeprefix("signatures "), validate=True)
        if signatures is not None
        else None,
    )
    if checkpoint.text() != text:
        raise ValueError("one checkpoint has one spelling")
    return checkpoint


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

"""Where a ledger ends, remembered twice under its key: in the ledger, and in a file beside it.

What stands behind the last checkpoint could be cut off and nothing would be missed: every entry
before the cut is signed. So each commit also writes a signed tip, in the same transaction, and
about once a second the tip is taken into a file beside the ledger. Entries are on disk before the
file names them, so whatever ends the program, the file is never ahead of a whole ledger: a tip that
the ledger does not reach, or reaches by another link, tells of a cut, or of an older file in its
place.
"""

import base64
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.audit.checkpoint import Forged
from twin_core.audit.keys import AuditKeys, is_signed
from twin_core.errors import AuditFailed

ENDING = ".tip"


class Tip(NamedTuple):
    """The end of the chain."""

    seq: int
    link: bytes


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    ledger: str
    seq: int
    link: str
    signature: str


def told_tip(ledger_id: str, tip: Tip, keys: AuditKeys) -> str:
    """A tip as one signed line."""
    signature = keys.sign(_signed_of(ledger_id, tip))
    texts = (base64.b64encode(raw).decode() for raw in (tip.link, signature))
    return msgspec.json.encode(_Told(ledger_id, tip.seq, *texts)).decode()


def heard_tip(line: str, ledger_id: str, public: bytes) -> Tip:
    """The tip in a line. Raises Forged where the key of this ledger did not sign it."""
    try:
        told = msgspec.json.decode(line, type=_Told)
        tip = Tip(told.seq, base64.b64decode(told.link, validate=True))
        signature = base64.b64decode(told.signature, validate=True)
    except (msgspec.DecodeError, ValueError) as error:
        raise Forged("it does not read as the end of a ledger") from error
    if told.ledger != ledger_id:
        raise Forged("it is the end of another ledger")
    if not is_signed(_signed_of(ledger_id, tip), signature, public):
        raise Forged("it is not signed by the key of this ledger")
    return tip


def _signed_of(ledger_id: str, tip: Tip) -> bytes:
    return f"wardtwin ledger {ledger_id} ends at {tip.seq}\n".encode() + tip.link


class TipFile:
    """The file beside a ledger: the newest tip in its last line, and before it those that the
    ledger could not account for when it was opened, which stay as evidence."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(ledger.name + ENDING)

    def lines(self) -> list[str]:
        """What is remembered. Raises AuditFailed where the file is there and cannot be read."""
        try:
            return self.path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.path, error) from error

    def remember(self, lines: Sequence[str]) -> None:
        """Replace the file whole, on disk. Raises AuditFailed."""
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write("".join(f"{line}\n" for line in lines).encode())
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(self.path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    beside.unlink()
        except OSError as error:
            raise _unusable(self.path, error) from error


def _unusable(path: Path, error: OSError) -> AuditFailed:
    return AuditFailed(
        f"{path.name}, which remembers where the ledger ends, cannot be used.",
        why=error.strerror or str(error),
    )

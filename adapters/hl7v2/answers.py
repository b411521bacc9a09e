"""What a receiver's acknowledgement says, and which message it is about.

An acknowledgement is about the message whose control id its MSA-2 repeats, and about no other:
neither the order of arrival nor the connection says so. Anything without a readable MSA is no
acknowledgement at all.
"""

import re

import msgspec

from adapters.hl7v2.escapes import Escapes
from adapters.hl7v2.header import peek
from adapters.hl7v2.modes import answering_to

_LINE_END = re.compile(r"[\r\n]+")
_PLAIN = re.compile(r"[A-Za-z0-9^. ]{0,40}", re.ASCII)
CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})
"""Table 0008: application and commit, accept, error and reject."""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """One acknowledgement: its code (table 0008) and the control id that it is about."""

    code: str
    control_id: str
    fault: str = ""
    """Where and why by ERR-2 and ERR-3, codes only: free text may name a patient."""
    text: str = ""
    """MSA-3 or ERR-8, for the operator's eyes only."""
    raw: bytes = b""
    """The answer as it came."""

    def wants_receipt(self) -> bool:
        """Whether the receiver wants it acknowledged in turn, as an answer on its own may ask."""
        return not self.is_commit and bool(answering_to(self.raw, "AA").accept)

    @property
    def is_commit(self) -> bool:
        """Whether it says that the message was stored, not what became of it."""
        return self.code.startswith("C")


def read_acknowledgement(raw: bytes) -> Acknowledgement | None:
    """The acknowledgement that the bytes are; None where they are none."""
    header = peek(raw)
    if header is None:
        return None
    text = raw.decode("iso8859-1")
    segments = [line.split(header.field) for line in _LINE_END.split(text)]
    msa = next((fields for fields in segments if fields[0] == "MSA" and len(fields) > 2), None)
    if msa is None:
        return None
    code = msa[1].strip().upper()
    if code not in CODES:
        return None
    err = next((fields for fields in segments if fields[0] == "ERR"), [])
    err += [""] * (9 - len(err))
    return Acknowledgement(
        code=code,
        control_id=meant(msa[2].partition(header.component)[0], raw),
        fault=_fault(err, header.component),
        text=(msa[3] if len(msa) > 3 and msa[3] else err[8])[:200],
        raw=raw,
    )


def control_id_of(raw: bytes) -> str:
    """MSH-10 of a message, as `Acknowledgement.control_id` would repeat it."""
    header = peek(raw)
    return meant(header.control_id, raw) if header is not None else ""


def meant(field: str, raw: bytes) -> str:
    """A field of the message, its escape sequences undone."""
    header = peek(raw)
    if header is None or header.escape not in field:
        return field.strip()
    marks = (header.field, header.component, header.repetition, header.escape)
    return Escapes("".join((*marks, header.subcomponent, "\x00")), "iso8859-1").undo(field).strip()


def answers_success(raw: bytes) -> bool:
    """Whether the sender of the message has to expect an answer when all is well.

    In original mode always. In enhanced mode MSH-15 and MSH-16 decide: NE never, ER only on
    error (table 0155).
    """
    expected = answering_to(raw, "AA")
    return bool(expected.accept or expected.application)


def answers_twice(raw: bytes) -> bool:
    """Whether an application answer follows the one that the message was stored."""
    return answering_to(raw, "AA").later


def _fault(err: list[str], component: str) -> str:
    """ERR-2 and ERR-3.1, or ERR-1 of old versions, where they are codes and nothing else."""
    parts = (err[2], err[3].partition(component)[0]) if err[3] else (err[1], "")
    codes = (part.replace(component, "^") for part in parts)
    return " ".join(code for code in codes if code and _PLAIN.fullmatch(code))

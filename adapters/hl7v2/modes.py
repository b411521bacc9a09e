"""Which answers a message gets: HL7's original and enhanced acknowledgement modes.

MSH-15 (accept) and MSH-16 (application) name the condition under which each answer is wanted, by
HL7 table 0155. Where neither is valued the original rules hold: one application answer, always.
Where one is, the other is `NE` unless valued (HL7 2.9, section 2.9).

The accept answer says that the message is in safe storage (CA) or why it is not taken (CE for its
content, CR for its envelope: both are checked before anything is accepted). A message that was
refused there is not answered a second time. The application answer follows a CA once the message
has been applied; who wants no accept answer is waiting for the application one, and has it at once.
"""

from typing import NamedTuple

from adapters.hl7v2.header import Header, peek

WANTED = {
    "AL": (True, True),
    "NE": (False, False),
    "SU": (True, False),
    "ER": (False, True),
}
"""HL7 table 0155: whether an answer is wanted to what is taken, and to what is refused."""

COMMIT_CODES = {"AA": "CA", "AE": "CE", "AR": "CR"}
"""HL7 table 0008: what an application answer is called while only acceptance is spoken of."""


class Answering(NamedTuple):
    """The answers to one message; an empty code is an answer that is not sent."""

    accept: str
    application: str
    later: bool = False
    """The application answer is a message of its own, due once the message has been applied."""


def answering(header: Header, code: str) -> Answering:
    """The answers to a message that became `code` (AA, AE or AR), as its sender wants them."""
    if not header.accept and not header.application:
        return Answering("", code)
    at = 0 if code == "AA" else 1
    accept = COMMIT_CODES[code] if _wanted(header.accept)[at] else ""
    if accept in {"CE", "CR"}:
        return Answering(accept, "")
    application = code if _wanted(header.application)[at] else ""
    return Answering(accept, application, later=bool(accept and application))


def answering_to(raw: bytes, code: str) -> Answering:
    """As `answering`, to a message as it was received."""
    return answering(peek(raw) or Header(), code)


def _wanted(condition: str) -> tuple[bool, bool]:
    # A condition that the table does not have is answered: nobody shall wait in vain.
    return WANTED.get(condition or "NE", WANTED["AL"])

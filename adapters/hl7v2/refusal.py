"""Why a message is refused: raised where the reason is found, answered once in `translate`."""

from twin_core.events import Fault

SEGMENT_SEQUENCE = "100"
REQUIRED_FIELD = "101"
DATA_TYPE = "102"
TABLE_VALUE = "103"
TOO_LONG = "104"
UNSUPPORTED_MESSAGE = "200"
UNSUPPORTED_EVENT = "201"
UNSUPPORTED_PROCESSING_ID = "202"
UNSUPPORTED_VERSION = "203"
INTERNAL_ERROR = "207"
"""HL7 table 0357, as far as it is used here."""


class Refused(Exception):
    """A message cannot be applied: AE for its content, AR for its envelope. Never holds PHI."""

    def __init__(self, answer: str, where: str, code: str, reason: str) -> None:
        super().__init__(f"{answer} {code} at {where}")
        self.answer = answer
        self.faults = (Fault(where=where, code=code, reason=reason),)


def content_fault(where: str, code: str, reason: str) -> Refused:
    """A refusal for what the message says (AE)."""
    return Refused("AE", where, code, reason)


def envelope_fault(where: str, code: str, reason: str) -> Refused:
    """A refusal for how the message comes, or for what nobody here takes (AR)."""
    return Refused("AR", where, code, reason)

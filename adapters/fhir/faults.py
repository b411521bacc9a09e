"""Why a resource is refused: HL7 table 0357 codes, and the FHIR issue types that say the same."""

from typing import NamedTuple

from twin_core.events import Fault, Rejection

STRUCTURE = "100"
REQUIRED = "101"
DATA_TYPE = "102"
NOT_IN_TABLE = "103"
UNSUPPORTED = "200"
UNKNOWN_KEY = "204"
DUPLICATE_KEY = "205"
INTERNAL = "207"

ISSUE_TYPES = {
    STRUCTURE: "structure",
    REQUIRED: "required",
    DATA_TYPE: "value",
    NOT_IN_TABLE: "code-invalid",
    UNSUPPORTED: "not-supported",
    UNKNOWN_KEY: "not-found",
    DUPLICATE_KEY: "structure",
    INTERNAL: "exception",
}
"""FHIR issue type (OperationOutcome.issue.code) for each table 0357 code in use."""


class Refused(NamedTuple):
    """A body that cannot be read as FHIR JSON at all, with the HTTP status that says so."""

    status: int
    fault: Fault


def rejection(refused: Refused, source: str, control_id: str = "") -> Rejection:
    """The quarantine's form of a body that could not be read."""
    return Rejection(
        code="AR",
        faults=(refused.fault,),
        feed=source,
        sender=source,
        control_id=control_id,
        trigger_event="FHIR",
    )

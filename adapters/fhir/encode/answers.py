"""Answers in FHIR: OperationOutcome and Bundle responses, without a value from what was sent."""

from collections.abc import Iterable, Sequence
from datetime import UTC
from email.utils import format_datetime
from typing import NamedTuple

import msgspec

from adapters.fhir.encode.words import Json
from adapters.fhir.faults import ISSUE_TYPES
from adapters.fhir.times import moment
from twin_core.events import Fault, NotedFinding

_STATUS_TEXTS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    410: "Gone",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class EntryAnswer(NamedTuple):
    """What became of one entry of a Bundle, or of one resource."""

    status: int
    subject: str = ""
    version: str = ""
    last_updated: str = ""
    outcome: Json | None = None
    resource: object = None
    """What was read, where something was."""


def encode(resource: Json) -> bytes:
    """A resource as JSON text."""
    return msgspec.json.encode(resource)


def operation_outcome(issues: Iterable[Json]) -> Json:
    """An OperationOutcome of the given issues; one that says all is well where there are none."""
    found = list(issues) or [issue("information", "informational", "Stored.")]
    return {"resourceType": "OperationOutcome", "issue": found}


def issue(severity: str, code: str, diagnostics: str, expression: str = "") -> Json:
    """One issue of an OperationOutcome."""
    found: Json = {"severity": severity, "code": code, "diagnostics": diagnostics}
    if expression:
        found["expression"] = [expression]
    return found


def refusal(faults: Sequence[Fault], position: int | None = None) -> Json:
    """Why something was refused. With a position, expressions are those of a Bundle's entry."""
    return operation_outcome(
        issue("error", ISSUE_TYPES.get(fault.code, "invalid"), fault.reason, where)
        for fault, where in ((one, expression(one, position)) for one in faults)
    )


def expression(fault: Fault, position: int | None) -> str:
    """Where a fault is: from the resource, or from the Bundle that the resource is an entry of."""
    if position is None or fault.where.startswith("Bundle."):
        return fault.where
    _, dot, below = fault.where.partition(".")
    return f"Bundle.entry[{position}].resource{dot}{below}"


def acceptance(findings: Sequence[NotedFinding]) -> Json:
    """That something was stored, with what was odd about it as warnings."""
    return operation_outcome(
        issue("warning", "business-rule", f"{one.kind}: {one.detail}") for one in findings
    )


def bundle_response(kind: str, answers: Iterable[EntryAnswer], base: str) -> Json:
    """The response to a transaction, or to a Bundle whose entries stand alone."""
    response = "transaction-response" if kind == "transaction" else "batch-response"
    entries = [_answered(answer, base) for answer in answers]
    found: Json = {"resourceType": "Bundle", "type": response}
    # An empty array is no valid FHIR.
    return {**found, "entry": entries} if entries else found


def headers(answer: EntryAnswer, base: str) -> dict[str, str]:
    """The headers that say what was stored and where."""
    found: dict[str, str] = {}
    if answer.subject:
        found["Location"] = location(answer, base)
    if answer.version:
        found["ETag"] = f'W/"{answer.version}"'
    if answer.last_updated:
        found["Last-Modified"] = _http_date(answer.last_updated)
    return found


def location(answer: EntryAnswer, base: str) -> str:
    """The address of a stored version."""
    history = f"/_history/{answer.version}" if answer.version else ""
    return f"{base}/{answer.subject}{history}"


def _answered(answer: EntryAnswer, base: str) -> Json:
    told = {"response": _response(answer, base)}
    return told if answer.resource is None else {"resource": answer.resource, **told}


def _response(answer: EntryAnswer, base: str) -> Json:
    found: Json = {"status": f"{answer.status} {_STATUS_TEXTS.get(answer.status, '')}".strip()}
    if answer.subject:
        found["location"] = location(answer, base)
    if answer.version:
        found["etag"] = f'W/"{answer.version}"'
    if answer.last_updated:
        found["lastModified"] = answer.last_updated
    if answer.outcome is not None:
        found["outcome"] = answer.outcome
    return found


def _http_date(instant: str) -> str:
    return format_datetime(moment(instant, UTC).at, usegmt=True)

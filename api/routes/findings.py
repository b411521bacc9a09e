"""`/v1/findings`: what is odd, conflicting or unresolved in what was received, with counts."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import AskedTwin, Limit

router = APIRouter(prefix="/v1", tags=["findings"])

FINDINGS = """
SELECT finding_id, kind, subject, message_id, found_at, detail FROM twin.finding
WHERE ($kind::VARCHAR IS NULL OR kind = $kind)
  AND ($subject::VARCHAR IS NULL OR subject = $subject)
ORDER BY found_at DESC, finding_id LIMIT $rows
"""
COUNTS = "SELECT kind, count(*) AS findings FROM twin.finding GROUP BY kind ORDER BY kind"


class ListedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, without a patient's details."""

    finding_id: str
    kind: str
    subject: str
    message_id: int | None
    found_at: datetime
    detail: str | None


class FindingPage(msgspec.Struct, frozen=True, kw_only=True):
    """Findings, newest first; `counts` by kind are of all, `more` tells that some are left out."""

    findings: list[ListedFinding]
    counts: dict[str, int]
    more: bool


@router.get(
    "/findings",
    summary="Data-quality findings, newest first, with counts by kind",
    responses=answers(FindingPage, "Findings", problems="422 503"),
)
def findings(
    twin: AskedTwin,
    kind: Annotated[str | None, Query(description="Such as unresolved_reference")] = None,
    subject: Annotated[str | None, Query(description="About this visit, patient, ...")] = None,
    limit: Limit = 100,
) -> Response:
    """What is odd, conflicting or unresolved; a finding that no longer holds is gone."""
    asked = {"kind": kind, "subject": subject, "rows": limit + 1}
    rows: list[dict[str, Any]] = twin.query(FINDINGS, asked)
    counted = {str(row["kind"]): row["findings"] for row in twin.query(COUNTS)}
    return reply(
        FindingPage(
            findings=msgspec.convert(rows[:limit], list[ListedFinding]),
            counts=msgspec.convert(counted, dict[str, int]),
            more=len(rows) > limit,
        )
    )

"""Which visit a message is about that names it by an account alone, such as a result or a booking.

Such messages move nobody: they are of the only visit that their patient has under the account, else
of the one that was open at their time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from twin_core.store.fold.rows import EntityRow

VOID = frozenset({"cancelled", "entered-in-error"})


class BilledVisit(NamedTuple):
    """A visit as its row tells it; `owner` is the family that the row is of."""

    owner: int
    encounter_id: str
    patient_id: str | None
    account_id: str | None
    status: str
    from_at: datetime | None
    to_at: datetime | None

    def is_open(self, at: datetime) -> bool:
        """Whether the visit had begun and not ended before an instant."""
        begun = self.from_at is None or self.from_at <= at
        return begun and (self.to_at is None or at <= self.to_at)


COLUMNS = ("encounter_id", "patient_id", "account_id", "status", "admitted_at", "discharged_at")
"""The columns of `encounter` that a BilledVisit is made of, in its order."""


def row_of(rows: Sequence[tuple[EntityRow, int]]) -> tuple[object, ...] | None:
    """The cells of the encounter among the present rows of a family."""
    return next((cells for (entity, cells), _ in rows if entity == "encounter"), None)


def visit_meant(
    visits: Sequence[BilledVisit], patient_id: str | None, at: datetime | None
) -> tuple[BilledVisit | None, bool]:
    """The visit of a patient that is meant at an instant, and whether several may be.

    None where there is no visit, or more than one and not just one of them open then.
    """
    own = [
        visit
        for visit in visits
        if visit.status not in VOID and patient_id in (None, visit.patient_id)
    ]
    if len(own) > 1:
        open_then = [visit for visit in own if at is not None and visit.is_open(at)]
        return (open_then[0], False) if len(open_then) == 1 else (None, True)
    return (own[0] if own else None), False

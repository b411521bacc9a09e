"""The rows of visits and beds as a store holds them now, and which of these a batch changed."""

from collections import defaultdict
from typing import NamedTuple

from twin_core.kpi.kept.beds import Bed, bed_of
from twin_core.kpi.kept.emergency import Unit
from twin_core.kpi.kept.records import OF_VISITS, Columns, Instant, Row, Visit, visit_of

Rows = dict[str, list[Columns]]
"""The rows of one encounter or location, by table."""


class Change(NamedTuple):
    """What a batch changed: rows that began, rows that ended."""

    opened: list[Row]
    closed: list[Row]


class Held:
    """Visits and beds, and where each visit is to be looked for."""

    def __init__(self, since: Instant) -> None:
        self.since = since
        self._rows: dict[str, dict[str, Rows]] = {"visit": {}, "bed": {}}
        self.visits: dict[str, Visit] = {}
        self.beds: dict[str, Bed] = {}
        self.of_patient: dict[str, set[str]] = defaultdict(set)
        self.parts: dict[str, set[str]] = defaultdict(set)
        self.in_bed: dict[str, set[str]] = defaultdict(set)
        self.of_unit: dict[Unit, set[str]] = defaultdict(set)
        self.units: set[Unit] = set()
        """Those whose beds have changed and are to be worked out."""

    def missing(self, change: Change) -> set[str]:
        """The encounters of which a batch changed something and the ledger holds nothing."""
        of_visits = [row for row in change.opened if row[0] in OF_VISITS]
        told = {str(columns[0]) for name, columns in of_visits if name == "encounter"}
        ended = {str(columns[0]) for name, columns in change.closed if name in OF_VISITS}
        touched = {str(columns[0]) for _, columns in of_visits} | ended
        new = told - ended
        return touched - self._rows["visit"].keys() - new

    def take(
        self, change: Change, before: dict[str, Visit] | None = None
    ) -> tuple[set[str], set[str]]:
        """Apply rows; the encounters and locations that are not as they were."""
        touched: dict[str, set[str]] = {"visit": set(), "bed": set()}
        for (name, columns), begins in (
            *((row, True) for row in change.opened),
            *((row, False) for row in change.closed),
        ):
            kind, key = ("visit" if name in OF_VISITS else "bed"), str(columns[0])
            if columns[0] is None:
                continue
            touched[kind].add(key)
            held = self._rows[kind].setdefault(key, {}).setdefault(name, [])
            if begins:
                held.append(columns)
            elif columns in held:
                held.remove(columns)
        changed = {key for key in touched["visit"] if self._told(key, before)}
        return changed, {key for key in touched["bed"] if self._bed_told(key)}

    def _told(self, key: str, before: dict[str, Visit] | None) -> bool:
        rows = self._rows["visit"][key]
        old, new = self.visits.get(key), visit_of(rows)
        if not any(rows.values()):
            del self._rows["visit"][key]
        if old == new:
            return False
        if old is not None:
            self._index(old, held=False)
            del self.visits[key]
            if before is not None:
                before.setdefault(key, old)
        if new is not None:
            self._index(new, held=True)
            self.visits[key] = new
        return True

    def _bed_told(self, key: str) -> bool:
        rows = self._rows["bed"][key]
        rows["encounter_plan"] = self._since(rows.get("encounter_plan", []))
        rows["location_status"] = self._since(rows.get("location_status", []))
        old, new = self.beds.get(key), bed_of(rows)
        if old == new:
            return False
        if old is not None:
            self.of_unit[old.unit].discard(key)
            self.units.add(old.unit)
            del self.beds[key]
        if new is not None:
            self.of_unit[new.unit].add(key)
            self.units.add(new.unit)
            self.beds[key] = new
        return True

    def _since(self, periods: list[Columns]) -> list[Columns]:
        return [row for row in periods if row[-1] is None or row[-1] >= self.since]  # type: ignore[operator]

    def _index(self, visit: Visit, *, held: bool) -> None:
        def note(index: dict[str, set[str]], key: str) -> None:
            index[key].add(visit.encounter_id) if held else index[key].discard(visit.encounter_id)

        for patient in patients_of(visit):
            note(self.of_patient, patient)
        if visit.part_of is not None:
            note(self.parts, visit.part_of)
        for place in {place for stay in visit.stays for place in stay.places}:
            note(self.in_bed, place)

    def undone(self, absent: set[str], fetched: list[Row], change: Change) -> dict[str, Visit]:
        """How encounters that were missing were before a batch, from how they are after it."""
        if not absent:
            return {}
        rows: dict[str, Rows] = defaultdict(lambda: defaultdict(list))
        for name, columns in (*fetched, *change.closed):
            if name in OF_VISITS and str(columns[0]) in absent:
                rows[str(columns[0])][name].append(columns)
        for name, columns in change.opened:
            if str(columns[0]) in absent and columns in rows[str(columns[0])][name]:
                rows[str(columns[0])][name].remove(columns)
        return {key: visit for key, held in rows.items() if (visit := visit_of(held)) is not None}


def patients_of(visit: Visit) -> set[str]:
    """Whose visit it is: also the patients that its stays name."""
    return {visit.patient, *(stay.patient for stay in visit.stays)}

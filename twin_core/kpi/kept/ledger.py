"""The contributions of visits and beds to the board's KPIs, kept up to date batch by batch.

A batch names the rows that began and those that ended. Only the visits that have such rows, their
patients' other visits, and the beds they lie in are worked out again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from twin_core.kpi.kept.beds import Bed, bed_of, staffing_known
from twin_core.kpi.kept.course import Interval, course, united
from twin_core.kpi.kept.emergency import (
    EdVisit,
    Unit,
    began_as_emergency,
    ed_visit,
    in_emergency,
)
from twin_core.kpi.kept.records import OF_VISITS, Columns, Instant, Row, Visit, visit_of
from twin_core.kpi.kept.spells import Lying, Spell, in_bed, lasts, lying, presences, spell

Key = TypeVar("Key")
One = TypeVar("One")
Rows = dict[str, list[Columns]]
"""The rows of one encounter or location, by table."""


class Change(NamedTuple):
    """What a batch changed: rows that began, rows that ended."""

    opened: list[Row]
    closed: list[Row]


class Site(NamedTuple):
    """What no message says: time zones by facility, and the psychiatric services."""

    zones: Mapping[str, ZoneInfo]
    psychiatric: frozenset[str]


class Ledger:
    """What every visit, patient, bed and unit contributes, as far as it matters."""

    def __init__(self, since: Instant, site: Site) -> None:
        self.since, self._site = since, site
        self._rows: dict[str, dict[str, Rows]] = {"visit": {}, "bed": {}}
        self.visits: dict[str, Visit] = {}
        self._of_patient: dict[str, set[str]] = defaultdict(set)
        self._parts: dict[str, set[str]] = defaultdict(set)
        self._in_bed: dict[str, set[str]] = defaultdict(set)
        self._of_unit: dict[Unit, set[str]] = defaultdict(set)
        self._units: set[Unit] = set()
        """Those whose beds have changed and are to be worked out."""
        self._stays: Counter[Unit] = Counter()
        self._emergencies: Counter[Unit] = Counter()
        self.ed_units: frozenset[Unit] = frozenset()
        self.ed_visits: dict[str, EdVisit] = {}
        self.spells: dict[str, Spell] = {}
        self.lying: dict[str, list[Lying]] = {}
        self.emergency: dict[str, list[Interval]] = {}
        """When each visit was among the ED's patients."""
        self.presences: dict[str, list[Interval]] = {}
        """By patient."""
        self.beds: dict[str, Bed] = {}
        self.occupied: dict[str, list[Interval]] = {}
        """When somebody lay in each bed, one patient or more."""
        self.taken: dict[str, list[Interval]] = {}
        """When a stay named each bed, whether its patient was on leave or not."""
        self.bed_units: dict[str, Unit] = {}
        self.known: dict[Unit, list[Interval]] = {}
        """When the staffing of some bed of each unit was known."""

    def begin(
        self, rows: Iterable[Row], stays: Mapping[Unit, int], emergencies: Mapping[Unit, int]
    ) -> None:
        """Take over what a store holds: the rows since the instant, and of each unit all its stays
        ever, and how many of them began as emergencies."""
        self._stays, self._emergencies = Counter(stays), Counter(emergencies)
        touched = self._take(Change(list(rows), []))
        self._count_eds()
        self._work_out(*touched, whole=True)

    def missing(self, change: Change) -> set[str]:
        """The encounters of which a batch changed something and the ledger holds nothing."""
        of_visits = [row for row in change.opened if row[0] in OF_VISITS]
        told = {str(columns[0]) for name, columns in of_visits if name == "encounter"}
        ended = {str(columns[0]) for name, columns in change.closed if name in OF_VISITS}
        touched = {str(columns[0]) for _, columns in of_visits} | ended
        new = told - ended
        return touched - self._rows["visit"].keys() - new

    def apply(self, change: Change, late: Iterable[Row] = ()) -> None:
        """Count a batch; `late` are the rows, after it, of the encounters that were missing."""
        fetched = list(late)
        absent = self.missing(change)
        here = Change(
            [row for row in change.opened if str(row[1][0]) not in absent],
            [row for row in change.closed if str(row[1][0]) not in absent],
        )
        before = self._undone(absent, fetched, change)
        encounters, locations = self._take(here, before)
        more, _ = self._take(Change(fetched, []), before)
        encounters |= more | absent
        after = {name: v for name in encounters if (v := self.visits.get(name)) is not None}
        whole = self._recount(before, after)
        self._work_out(encounters, locations, whole=whole, before=before)

    # --- rows --------------------------------------------------------------------------------

    def _take(
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
            self._of_unit[old.unit].discard(key)
            self._units.add(old.unit)
            del self.beds[key]
        if new is not None:
            self._of_unit[new.unit].add(key)
            self._units.add(new.unit)
            self.beds[key] = new
        return True

    def _since(self, periods: list[Columns]) -> list[Columns]:
        return [row for row in periods if row[-1] is None or row[-1] >= self.since]  # type: ignore[operator]

    def _index(self, visit: Visit, *, held: bool) -> None:
        def note(index: dict[str, set[str]], key: str) -> None:
            index[key].add(visit.encounter_id) if held else index[key].discard(visit.encounter_id)

        for patient in _patients(visit):
            note(self._of_patient, patient)
        if visit.part_of is not None:
            note(self._parts, visit.part_of)
        for place in {place for stay in visit.stays for place in stay.places}:
            note(self._in_bed, place)

    def _undone(self, absent: set[str], fetched: list[Row], change: Change) -> dict[str, Visit]:
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

    # --- contributions -----------------------------------------------------------------------

    def _recount(self, before: Mapping[str, Visit], after: Mapping[str, Visit]) -> bool:
        """Count stays by unit anew; whether other units are emergency departments than before."""
        for visits, sign in ((before, -1), (after, 1)):
            for visit in visits.values():
                for unit, emergency in began_as_emergency(visit):
                    self._stays[unit] += sign
                    self._emergencies[unit] += sign * emergency
        return self._count_eds()

    def _count_eds(self) -> bool:
        found = frozenset(
            unit for unit, n in self._stays.items() if n > 0 and 2 * self._emergencies[unit] >= n
        )
        changed, self.ed_units = found != self.ed_units, found
        return changed

    def _work_out(
        self,
        encounters: set[str],
        locations: set[str],
        *,
        whole: bool,
        before: Mapping[str, Visit] | None = None,
    ) -> None:
        seen = [v for key in encounters if (v := self.visits.get(key)) is not None]
        seen += [] if before is None else before.values()
        patients = {patient for visit in seen for patient in _patients(visit)}
        keys = {place for visit in seen for stay in visit.stays for place in stay.places}
        linked = {other for key in encounters for other in self._parts[key]}
        linked |= {visit.part_of for visit in seen if visit.part_of is not None}
        related = {key for patient in patients for key in self._of_patient[patient]} | linked
        for key in encounters:
            self._of_visit(key)
        for key in encounters | (self.visits.keys() if whole else related):
            self._of_related(key)
        for patient in patients:
            self._of_one_patient(patient)
        for key in keys | locations:
            self._of_bed(key)
        self._of_units()

    def _of_visit(self, key: str) -> None:
        visit = self.visits.get(key)
        pieces = [] if visit is None else course(visit)
        here = [] if visit is None else lying(visit, pieces)
        _put(self.lying, key, [one for one in here if lasts(one[:2], self.since)])
        emergency = [one for one in in_emergency(pieces) if lasts(one, self.since)]
        _put(self.emergency, key, emergency)

    def _of_related(self, key: str) -> None:
        visit = self.visits.get(key)
        found = None if visit is None else self._ed_visit(visit)
        if found is None or self._over(found.departed_at, found.discharged_at):
            self.ed_visits.pop(key, None)
        else:
            self.ed_visits[key] = found
        whole = self.visits.get(visit.part_of or "") if visit is not None else None
        left = None if visit is None else spell(visit, whole, self._site.zones)
        if left is None or left.discharged_at < self.since:
            self.spells.pop(key, None)
        else:
            self.spells[key] = left

    def _over(self, *ends: Instant | None) -> bool:
        return all(end is not None and end < self.since for end in ends)

    def _ed_visit(self, visit: Visit) -> EdVisit | None:
        keys = self._of_patient[visit.patient] | self._parts[visit.encounter_id]
        keys = keys | {visit.part_of or ""}
        others = [
            other
            for key in keys
            if key != visit.encounter_id and (other := self.visits.get(key)) is not None
        ]
        return ed_visit(visit, others, self.ed_units, self._site.psychiatric)

    def _of_one_patient(self, patient: str) -> None:
        stays = [
            stay
            for key in self._of_patient[patient]
            for stay in self.visits[key].stays
            if stay.patient == patient
        ]
        _put(self.presences, patient, [p for p in presences(stays) if lasts(p, self.since)])

    def _of_bed(self, key: str) -> None:
        visits = [self.visits[name] for name in sorted(self._in_bed[key])]
        taken = [one for visit in visits for one in in_bed(visit, key, course(visit))]
        _put(self.occupied, key, [one for one in united(taken) if lasts(one, self.since)])
        stays = [stay for visit in visits for stay in visit.stays if stay.location_id == key]
        named_by = [(stay.from_at, stay.to_at) for stay in stays]
        _put(self.taken, key, [one for one in named_by if lasts(one, self.since)])
        bed = self.beds.get(key)
        named = [
            (stay.facility, stay.unit or "")
            for visit in visits
            for stay in visit.stays
            if stay.bed_key == key and stay.lasted and lasts((stay.from_at, stay.to_at), self.since)
        ]
        stated = bed.unit if bed is not None else ("", "")
        facility = stated[0] or min((place[0] for place in named), default="")
        unit = stated[1] or min((place[1] for place in named), default="")
        self.bed_units[key] = (facility, unit)

    def _of_units(self) -> None:
        for unit in self._units:
            beds = (self.beds[key] for key in self._of_unit[unit])
            _put(self.known, unit, [o for o in staffing_known(beds) if lasts(o, self.since)])
        self._units.clear()


def _patients(visit: Visit) -> set[str]:
    return {visit.patient, *(stay.patient for stay in visit.stays)}


def _put(kept: dict[Key, list[One]], key: Key, found: list[One]) -> None:
    if found:
        kept[key] = found
    else:
        kept.pop(key, None)

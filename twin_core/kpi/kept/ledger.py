"""The contributions of visits and beds to the board's KPIs, kept up to date batch by batch.

A batch names the rows that began and those that ended. Only the visits that have such rows, their
patients' other visits, and the beds they lie in are worked out again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from twin_core.kpi.kept.beds import staffing_known
from twin_core.kpi.kept.course import Interval, course, united
from twin_core.kpi.kept.emergency import (
    EdVisit,
    Unit,
    began_as_emergency,
    ed_visit,
    in_emergency,
)
from twin_core.kpi.kept.held import Change, Held, patients_of
from twin_core.kpi.kept.records import Instant, Row, Visit
from twin_core.kpi.kept.spells import Lying, Spell, in_bed, lasts, lying, presences, spell

Key = TypeVar("Key")
One = TypeVar("One")


class Site(NamedTuple):
    """What no message says: time zones by facility, and the psychiatric services."""

    zones: Mapping[str, ZoneInfo]
    psychiatric: frozenset[str]


class Ledger:
    """What every visit, patient, bed and unit contributes, as far as it matters."""

    def __init__(self, since: Instant, site: Site) -> None:
        self.since, self._site = since, site
        self._held = Held(since)
        self.visits, self.beds = self._held.visits, self._held.beds
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
        touched = self._held.take(Change(list(rows), []))
        self._count_eds()
        self._work_out(*touched, whole=True)

    def missing(self, change: Change) -> set[str]:
        """The encounters of which a batch changed something and the ledger holds nothing."""
        return self._held.missing(change)

    def apply(self, change: Change, late: Iterable[Row] = ()) -> None:
        """Count a batch; `late` are the rows, after it, of the encounters that were missing."""
        fetched = list(late)
        absent = self._held.missing(change)
        here = Change(
            [row for row in change.opened if str(row[1][0]) not in absent],
            [row for row in change.closed if str(row[1][0]) not in absent],
        )
        before = self._held.undone(absent, fetched, change)
        encounters, locations = self._held.take(here, before)
        more, _ = self._held.take(Change(fetched, []), before)
        encounters |= more | absent
        after = {name: v for name in encounters if (v := self.visits.get(name)) is not None}
        whole = self._recount(before, after)
        self._work_out(encounters, locations, whole=whole, before=before)

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
        patients = {patient for visit in seen for patient in patients_of(visit)}
        keys = {place for visit in seen for stay in visit.stays for place in stay.places}
        linked = {other for key in encounters for other in self._held.parts[key]}
        linked |= {visit.part_of for visit in seen if visit.part_of is not None}
        related = {key for patient in patients for key in self._held.of_patient[patient]} | linked
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
        keys = self._held.of_patient[visit.patient] | self._held.parts[visit.encounter_id]
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
            for key in self._held.of_patient[patient]
            for stay in self.visits[key].stays
            if stay.patient == patient
        ]
        _put(self.presences, patient, [p for p in presences(stays) if lasts(p, self.since)])

    def _of_bed(self, key: str) -> None:
        visits = [self.visits[name] for name in sorted(self._held.in_bed[key])]
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
        for unit in self._held.units:
            beds = (self.beds[key] for key in self._held.of_unit[unit])
            _put(self.known, unit, [o for o in staffing_known(beds) if lasts(o, self.since)])
        self._held.units.clear()


def _put(kept: dict[Key, list[One]], key: Key, found: list[One]) -> None:
    if found:
        kept[key] = found
    else:
        kept.pop(key, None)

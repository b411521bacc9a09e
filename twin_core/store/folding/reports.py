"""Appointments, devices, results and requests: what refers to people, visits and places."""

from collections.abc import Sequence, Set
from functools import cache

from twin_core.store.fold.appointment import fold_appointment
from twin_core.store.fold.care import care_id_of, fold_care, linked_kind
from twin_core.store.fold.device import device_id_of, fold_census, fold_device, fold_directory
from twin_core.store.fold.observation import fold_device_events, fold_results
from twin_core.store.fold.observation_stated import fold_stated_results
from twin_core.store.folding.answers import Answers
from twin_core.store.folding.batch import REPORTED
from twin_core.store.messages import Filed
from twin_core.store.subjects import (
    APPOINTMENT,
    CARE,
    CENSUS,
    DEVICE,
    DEVICE_EVENT,
    DIRECTORY,
    RESULT,
)
from twin_core.store.units import Unit, owners_where

_LINKING = (
    ("slot", "schedule_id"),
    ("task", "focus"),
    ("service_request", "based_on"),
    ("procedure", "requested_by"),
)
"""Which of their tables refer to another of them, and by which column."""


class ReportFolding(Answers):
    """What a batch says about people, visits and places that were folded before."""

    def _fold_appointments(self) -> None:
        units = self.units.fetch(APPOINTMENT, self._dirty[APPOINTMENT])
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            identifiers = self.nodes.identifiers(unit.owner)
            self._replace(unit, fold_appointment(unit.standing(), identifiers, resolver))

    def _fold_devices(self, filed: Sequence[Filed], before: dict[int, str]) -> None:
        reporting = {
            self.nodes.family(self.nodes.number(kind, identifier))
            for _, _, subject in filed
            if subject.kind in (RESULT, DEVICE_EVENT)
            for kind, identifier in subject.asked
            if kind == DEVICE
        }
        # A device that only its reports name is folded once, to be shown at all.
        seen_first = {u.owner for u in self.units.fetch(DEVICE, reporting) if not u.rows}
        devices = self.units.fetch(DEVICE, self._dirty[DEVICE] | seen_first)
        described = {
            device_id_of(self.nodes.identifiers(unit.owner)): bool(unit.standing())
            for unit in devices
            if bool(unit.standing()) != bool(unit.rows)
        }
        self._refold_waiting("Device", [one for one, now in described.items() if now])
        deleted = {one for one, now in described.items() if not now}
        if deleted:
            self._refold_reports("device_id", deleted)
        self._fetch_asked(devices)
        resolver = self._resolver()
        for unit in devices:
            if unit.withdrawn and not unit.standing() and not self._is_reported(unit, reporting):
                self._replace(unit, [])
                continue
            rows = fold_device(unit.standing(), self.nodes.identifiers(unit.owner), resolver)
            self._replace(unit, rows)
        renamed = {
            device_id
            for owner, device_id in before.items()
            if device_id != device_id_of(self.nodes.identifiers(self.nodes.family(owner)))
        }
        if renamed:
            self._refold_reports("device_id", renamed)

    def _is_reported(self, unit: Unit, reporting: Set[int]) -> bool:
        """Whether a device that no source describes any more still reports something."""
        device_id = device_id_of(self.nodes.identifiers(unit.owner))
        return unit.owner in reporting or any(
            owners_where(self._connection, entity, "device_id", [device_id])
            for entity, _ in REPORTED
        )

    def _fold_others(self) -> None:
        results = self.units.fetch(RESULT, self._dirty[RESULT])
        alarms = self.units.fetch(DEVICE_EVENT, self._dirty[DEVICE_EVENT])
        self._fetch_asked([*results, *alarms])
        # Visits and devices are folded by now, and many results name the same ones.
        asked = self._resolver()
        resolver = asked._replace(
            encounter=cache(asked.encounter),
            device=cache(asked.device),
            device_known=cache(asked.device_known),
        )
        for unit in results:
            facts = unit.standing()
            rows = [*fold_results(facts, resolver), *fold_stated_results(facts, resolver)]
            self._replace(unit, rows)
        for unit in alarms:
            self._replace(unit, fold_device_events(unit.facts, resolver))
        for unit in self.units.fetch(DIRECTORY, self._dirty[DIRECTORY]):
            self._replace(unit, fold_directory(unit.standing()))
        for unit in self.units.fetch(CENSUS, self._dirty[CENSUS]):
            self._replace(unit, fold_census(unit.facts))

    def _fold_care(self) -> None:
        if not self._dirty[CARE]:
            return
        units = self.units.fetch(CARE, self._dirty[CARE])
        # What is described first, or deleted, is looked at again by whatever refers to it.
        changed = [u for u in units if bool(u.standing()) != bool(u.rows)]
        subjects = [(u, self.nodes.identifiers(u.owner)[0]) for u in changed]
        for _, subject in subjects:
            kind = linked_kind(subject)
            if kind:
                self._refold_waiting(kind, [care_id_of(subject)])
        gone = [care_id_of(subject) for unit, subject in subjects if unit.rows]
        for entity, column in _LINKING if gone else ():
            self._refold(CARE, owners_where(self._connection, entity, column, gone))
        units = self.units.fetch(CARE, self._dirty[CARE])
        self._fetch_asked(units)
        resolver = self._resolver()
        for unit in units:
            self._replace(unit, fold_care(unit.standing(), resolver))

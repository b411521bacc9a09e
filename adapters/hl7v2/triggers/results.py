"""Results: what was observed of a patient, by a laboratory, a nurse or a device (ORU).

A message reports groups of results, one per OBR. It identifies the patient and the visit; it never
moves anyone, and what its PID says of a person besides identifiers is left to ADT, since a
laboratory repeats what it was told when the order was placed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapters.hl7v2.codes import RESULT_STATUSES, STATUS_ONLY
from adapters.hl7v2.codings import MDC, Coding
from adapters.hl7v2.fields import CLEARED, Reading, Segment, patient_identifiers
from adapters.hl7v2.timestamps import Moment, within_unit
from adapters.hl7v2.triggers.reading import Events, Translator
from adapters.hl7v2.triggers.values import NO_VALUE, TEXTS, read_value
from adapters.hl7v2.visits import numbered
from twin_core.events import Event, Observation, ObservationsReported, PatientDescribed
from twin_core.identifiers import Identifier

FILLER, PLACER = "FILL", "PLAC"
_AHEAD = timedelta(minutes=5)


class Order:
    """One OBR with what stands around it: its numbers, its times, and whom its results are of."""

    __slots__ = (
        "default_status",
        "device",
        "effective_at",
        "filler",
        "obr",
        "participations",
        "placer",
        "reported_at",
    )

    def __init__(self, reading: Reading, obr: Segment, orc: Segment | None, sequence: int) -> None:
        message, terms = reading.message, reading.conventions.terms
        self.obr = obr
        self.filler = terms.number(message, obr[3], FILLER) or (
            terms.number(message, orc[3], FILLER) if orc else None
        )
        self.placer = terms.number(message, obr[2], PLACER) or (
            terms.number(message, orc[2], PLACER) if orc else None
        )
        observed = reading.moment(obr[7], f"OBR^{sequence}^7")
        changed = reading.moment(obr[22], f"OBR^{sequence}^22")
        self.reported_at = reading.recorded_at
        """OBR-22 where it is filled and not ahead of the message, else EVN-2 or MSH-7."""
        if changed is not None:
            self.reported_at = min(reading.recorded_at, within_unit(changed, reading.recorded_at))
        self.effective_at = (
            self.reported_at if observed is None else within_unit(observed, reading.recorded_at)
        )
        self.default_status = obr[25]
        self.device: Identifier | None = None
        self.participations: list[Segment] = []
        """The PRT segments of the group."""


class Subject:
    """Whom a group of results is of: a person and a visit as far as the message names them."""

    __slots__ = ("encounter", "identification", "patient", "source")

    def __init__(self, reading: Reading, pid: Segment | None, pv1: Segment | None) -> None:
        message = reading.message
        self.patient: tuple[Identifier, ...] = ()
        others: tuple[Identifier, ...] = ()
        self.encounter: Identifier | None = None
        if pid is not None:
            listed = pid[3] if pid[3] and pid[3] != CLEARED else pid[2] or pid[4]
            self.patient, others = patient_identifiers(reading, listed)
            if not self.patient:
                detail = "The patient has no identifier (PID-3); results are kept without one."
                reading.note("missing_identifier", detail)
            self.encounter = numbered(reading, pid[18], "AN")
        if pv1 is not None:
            self.encounter = numbered(reading, pv1[19], "VN") or self.encounter
        self.source = f"{message.text(message.header[2])}|{message.text(message.header[3])}"
        self.identification: PatientDescribed | None = None
        """Which identifiers are one person; a device's messages leave that to others."""
        if self.patient:
            self.identification = PatientDescribed(
                occurred_at=reading.recorded_at, patient=self.patient, other_identifiers=others
            )


def results_reported(reading: Reading) -> Events:
    """R01, R30, R31, R32: results of orders, of a device, or of a test at the bedside."""
    events: list[Event] = []
    for subject, groups in patients_with_results(reading):
        found = groups.reports(subject)
        by_devices_only = all(
            observation.system == MDC for report in found for observation in report.observations
        )
        if subject.identification is not None and not (found and by_devices_only):
            events.append(subject.identification)
        events += found
    return tuple(events)


def patients_with_results(reading: Reading) -> Iterator[tuple[Subject, "Groups"]]:
    """Every patient of the message (there may be several PID) with the results of each."""
    message, separator = reading.message, reading.message.delimiters.field
    pid: Segment | None = None
    pv1: Segment | None = None
    groups = Groups(reading)
    for line in message.lines:
        name = line[:3]
        if name == "OBX":
            groups.result(line.split(separator))
        elif name == "OBR":
            groups.order(message.fields(line))
        elif name == "ORC":
            groups.orc = message.fields(line)
        elif name == "PRT":
            groups.participant(message.fields(line))
        elif name == "PV1":
            pv1 = pv1 or message.fields(line)
        elif name == "PID":
            if groups.orders:
                yield Subject(reading, pid, pv1), groups
                groups, pv1 = Groups(reading), None
            pid = message.fields(line)
    yield Subject(reading, pid, pv1), groups


class Groups:
    """The results of one patient, gathered OBX by OBX under their orders."""

    def __init__(self, reading: Reading) -> None:
        self._reading, self._terms = reading, reading.conventions.terms
        self.orc: Segment | None = None
        self.orders: list[tuple[Order, list[Observation]]] = []
        self._repeats: dict[tuple[object, ...], int] = {}
        self._containers: dict[str, Identifier] = {}
        self._number = 0

    def order(self, obr: Segment) -> None:
        """An OBR opens a group."""
        self._containers = {}
        order = Order(self._reading, obr, self.orc, len(self.orders) + 1)
        self.orders.append((order, []))
        self.orc = None

    def participant(self, prt: Segment) -> None:
        """PRT-10: the device that took part in what stands before the PRT (2.7 and later)."""
        if not self.orders:
            return
        self.orders[-1][0].participations.append(prt)
        device = self._terms.device(self._reading.message, prt[10])
        if device is None:
            return
        order, observations = self.orders[-1]
        if not observations:
            order.device = order.device or device
        elif observations[-1].device is None:
            observations[-1] = replace(observations[-1], device=device)

    def result(self, obx: Segment) -> None:
        """One OBX."""
        self._number += 1
        if not self.orders:
            self.order([""] * 64)
        order, observations = self.orders[-1]
        if len(obx) < 20:
            obx += [""] * (20 - len(obx))
        coding = self._terms.coding(self._reading.message, obx[3])
        if coding is None:
            detail = "An OBX has no observation identifier (OBX-3) and is left out."
            self._reading.note("missing_identifier", detail)
            return
        device = self._terms.device(self._reading.message, obx[18]) if obx[18] else None
        if coding.system == MDC:
            if not obx[2] and not obx[5]:
                if device is not None:
                    self._containers[obx[4]] = device
                return
            device = device or self._container(obx[4])
        observation = self._observation(order, obx, coding, device)
        if not self._continues(observations, observation, obx[2]):
            observations.append(observation)

    def _observation(
        self, order: Order, obx: Segment, coding: Coding, device: Identifier | None
    ) -> Observation:
        reading, terms = self._reading, self._terms
        value = read_value(reading, terms, obx[2], obx[5]) if obx[5] else NO_VALUE
        unit = terms.unit(reading.message, obx[6])
        if unit.unknown:
            reading.note("unknown_unit", "OBX-6 holds a unit that is not UCUM; kept as sent.")
        status = self._status(obx[11] or order.default_status)
        return Observation(
            system=coding.system,
            code=coding.code,
            display=coding.display,
            sub_id=obx[4] if obx[4].isalnum() else _plain(reading, obx[4]),
            status=status,
            status_only=not value.value_type and obx[11] in STATUS_ONLY,
            effective_at=self._effective_at(obx[14], order) if obx[14] else None,
            value_type=value.value_type,
            value=value.value,
            value_number=value.value_number,
            comparator=value.comparator,
            value_system=value.value_system,
            value_code=value.value_code,
            unit=unit.unit,
            unit_system=unit.system,
            withheld=value.withheld,
            reference_range=_plain(reading, obx[7]) if obx[7] else "",
            interpretation=obx[8] if obx[8].isalnum() else self._flags(obx[8]),
            device=device,
        )

    def _status(self, code: str) -> str:
        status = RESULT_STATUSES.get(code) or RESULT_STATUSES.get(code.strip().upper())
        if status is None:
            status = "unknown"
            if code != CLEARED:
                self._reading.note("unknown_code", "OBX-11 is no code of table 0085.")
        return status

    def _effective_at(self, field: str, order: Order) -> datetime | None:
        moment: Moment | None = self._reading.moment(field, f"OBX^{self._number}^14")
        if moment is None:
            return None
        at = within_unit(moment, self._reading.recorded_at)
        return None if at == order.effective_at else at

    def _flags(self, field: str) -> str:
        """OBX-8: the codes of all repetitions, a blank between them."""
        if not field or field == CLEARED:
            return ""
        message = self._reading.message
        codes = (message.code(one) for one in field.split(message.delimiters.repetition))
        return " ".join(code for code in codes if code)[:100]

    def _container(self, path: str) -> Identifier | None:
        """The device that holds a metric: its channel, its module, or the whole (MDS.VMD.CHAN)."""
        parts = path.split(".")
        for depth in (3, 2, 1):
            held = self._containers.get(".".join([*parts[:depth], *"0000"[depth:]][:4]))
            if held is not None:
                return held
        return None

    def _continues(self, observations: list[Observation], one: Observation, kind: str) -> bool:
        """Whether an OBX only goes on with the text of the one before; then both are narrative."""
        if not observations or kind not in TEXTS:
            return False
        last = observations[-1]
        if (last.code, last.sub_id, last.system) != (one.code, one.sub_id, one.system):
            return False
        if last.value_type not in ("string", "") or one.value_type not in ("string", ""):
            return False
        observations[-1] = replace(last, value_type="string", value="", withheld="narrative")
        return True

    def reports(self, subject: Subject) -> list[ObservationsReported]:
        """The groups as events; results of devices are filed by their instant, not their order."""
        found: list[ObservationsReported] = []
        for order, observations in self.orders:
            measured = [o for o in observations if o.system == MDC]
            others = [o for o in observations if o.system != MDC] if measured else observations
            if others and (order.filler or order.placer):
                found.append(self._report(order, subject, others, standalone=False))
            else:
                measured = observations
            found += self._by_instant(order, subject, measured)
        return found

    def _by_instant(
        self, order: Order, subject: Subject, group: list[Observation]
    ) -> Iterator[ObservationsReported]:
        instants: dict[datetime | None, list[Observation]] = {}
        for observation in group:
            instants.setdefault(observation.effective_at, []).append(observation)
        for at, together in instants.items():
            report = self._report(order, subject, together, standalone=True)
            if at is not None:
                shared = tuple(replace(o, effective_at=None) for o in report.observations)
                report = replace(report, effective_at=at, observations=shared)
            yield report

    def _report(
        self, order: Order, subject: Subject, group: list[Observation], *, standalone: bool
    ) -> ObservationsReported:
        at = order.effective_at
        latest = max([o.effective_at or at for o in group])
        if latest - self._reading.sent_at > _AHEAD:
            detail = "A result is of a time more than 5 minutes ahead of its message."
            self._reading.note("clock_skew", detail)
        number = order.filler or order.placer
        return ObservationsReported(
            occurred_at=order.reported_at,
            order=number,
            placer=order.placer if order.placer is not number else None,
            standalone=standalone,
            source=subject.source,
            patient=subject.patient,
            encounter=subject.encounter,
            device=order.device,
            effective_at=at,
            observations=tuple(self._numbered(None if standalone else number, at, group)),
        )

    def _numbered(
        self, number: Identifier | None, at: datetime, group: list[Observation]
    ) -> Iterator[Observation]:
        """The results, each repeated code and sub-id of one order and instant told apart."""
        for one in group:
            key = (number, one.system, one.code, one.sub_id, one.effective_at or at)
            repeat = self._repeats.get(key, 0)
            self._repeats[key] = repeat + 1
            yield one if not repeat else replace(one, repeat=repeat)


def _plain(reading: Reading, field: str) -> str:
    """A field's text, at most 200 characters of it; nothing where it is cleared."""
    return "" if field == CLEARED else reading.message.text(field).strip()[:200]


TRANSLATORS: dict[str, Translator] = {
    "ORU^R01": results_reported,
    "ORU^R30": results_reported,
    "ORU^R31": results_reported,
    "ORU^R32": results_reported,
}

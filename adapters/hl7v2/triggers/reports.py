"""The OBX segments of a message, gathered under their orders and reported as events."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapters.hl7v2.codes import RESULT_STATUSES, STATUS_ONLY
from adapters.hl7v2.codings import MDC, PRODUCER_SYSTEM, Coding
from adapters.hl7v2.conventions import remembered
from adapters.hl7v2.fields import CLEARED, Reading, Segment
from adapters.hl7v2.timestamps import within_unit
from adapters.hl7v2.triggers.orders import Order, Subject
from adapters.hl7v2.triggers.values import NO_VALUE, QUANTITY, TEXTS, Value, finite, read_value
from twin_core.events import Observation, ObservationsReported, OrderedService
from twin_core.identifiers import Identifier

_AHEAD = timedelta(minutes=5)
_NO_OBR = [""] * 64
_FIELDS = 19
_LONGEST = 200


class Groups:
    """The results of one patient, gathered OBX by OBX under their orders."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._vocabulary = reading.vocabulary()
        self._known: dict[tuple[str, ...], Observation] = (
            reading.sender.results if reading.message.is_standard else {}
        )
        self.orc: str | None = None
        self.orders: list[tuple[Order, list[Observation]]] = []
        self._order: Order | None = None
        self._observations: list[Observation] = []
        self._latest = reading.sent_at
        self._repeats: dict[tuple[object, ...], int] = {}
        self._scopes: dict[tuple[Identifier | None, tuple[str, ...]], int] = {}
        self._containers: dict[str, Identifier] = {}
        self._holders: dict[str, Identifier | None] = {}
        self._measured = self._number = 0
        self._producer = ""

    def measured_only(self) -> bool:
        """Whether devices measured all of it (MDC codes)."""
        if not self._measured:
            return False
        return self._measured == sum(len(observations) for _, observations in self.orders)

    def order(self, obr: Segment) -> Order:
        """An OBR opens a group."""
        self._containers.clear()
        self._holders.clear()
        sequence = len(self.orders) + 1
        order = Order(self._reading, self._vocabulary, obr, self.orc, sequence)
        self._latest = max(self._latest, order.effective_at)
        self._order, self._observations = order, []
        self.orders.append((order, self._observations))
        self.orc = None
        return order

    def participant(self, prt: Segment) -> None:
        """PRT-10: the device that took part in what stands before the PRT (2.7 and later)."""
        order, observations = self._order, self._observations
        if order is None:
            return
        order.participations.append(prt)
        device = self._vocabulary.device(prt[10]) if prt[10] else None
        if device is None:
            return
        if not observations:
            order.device = order.device or device
        elif observations[-1].device is None:
            observations[-1] = replace(observations[-1], device=device)

    def result(self, obx: Segment) -> None:
        """One OBX. What it says besides value and time, most say again and again."""
        self._number += 1
        if len(obx) < _FIELDS:
            obx += [""] * (_FIELDS - len(obx))
        order = self._order or self.order(_NO_OBR)
        if obx[15]:
            self._producer = self._told_again(obx[15]) or self._producer
        if not (obx[2] or obx[5]) and self._is_container(obx):
            return
        key = (obx[3], obx[4], obx[6], obx[7], obx[8], obx[11] or order.default_status, obx[18])
        said = self._known.get(key) or self._described(key)
        if said is None:
            detail = "An OBX has no observation identifier (OBX-3) and is left out."
            self._reading.note("missing_identifier", detail)
            return
        device = said.device
        if said.system == MDC:
            device = device or self._container(obx[4])
            self._measured += 1
        observation = self._observation(order, obx, said, device)
        if obx[2] in TEXTS and self._continues(observation):
            self._measured -= said.system == MDC
            return
        self._observations.append(observation)

    def _told_again(self, field: str) -> str:
        """Who told a result first, where another twin tells it (OBX-15); else nothing."""
        message = self._reading.message
        source, _, system = message.components(message.first_repetition(field))[:3]
        return message.text(source) if system == PRODUCER_SYSTEM else ""

    def _is_container(self, obx: Segment) -> bool:
        """Whether an OBX without type and value names a device, or a part, that holds metrics."""
        coding = self._vocabulary.coding(obx[3])
        if coding is None or coding.system != MDC:
            return False
        device = self._vocabulary.device(obx[18]) if obx[18] else None
        if device is not None:
            self._containers[obx[4]] = device
            self._holders.clear()
        return True

    def _described(self, key: tuple[str, ...]) -> Observation | None:
        """A result without value and time, remembered; None where nothing says of what it is."""
        said, is_odd = self._reading.unnoted(lambda: self._read(*key))
        if said is not None and not is_odd and self._reading.is_remembered("".join(key)):
            remembered(self._known, key, said)
        return said

    def _read(
        self, code: str, sub_id: str, unit: str, usual: str, flags: str, status: str, device: str
    ) -> Observation | None:
        """OBX-3, 4, 6, 7, 8, 11 (else OBR-25) and 18."""
        coding = self._vocabulary.coding(code)
        if coding is None:
            return None
        measure = self._vocabulary.unit(unit)
        if measure.unknown:
            detail = "OBX-6 holds a unit that is not UCUM; kept as sent."
            self._reading.note("unknown_unit", detail)
        return Observation(
            system=coding.system,
            code=coding.code,
            display=coding.display,
            also=coding.also,
            sub_id=self._plain(sub_id),
            status=RESULT_STATUSES.get(status) or self._status(status),
            unit=measure.unit,
            unit_system=measure.system,
            reference_range=self._plain(usual),
            interpretation=self._flags(flags),
            device=self._vocabulary.device(device) if device else None,
        )

    def _observation(
        self, order: Order, obx: Segment, said: Observation, device: Identifier | None
    ) -> Observation:
        """The result with its value (OBX-5, by OBX-2) and its time (OBX-14)."""
        at = self._effective_at(obx[14], order) if obx[14] else None
        number = finite(obx[5]) if obx[2] == "NM" else None
        if number is not None:
            return replace(
                said,
                effective_at=at,
                value_type=QUANTITY,
                value=obx[5],
                value_number=number,
                device=device,
            )
        value = self._value(obx[2], obx[5])
        return replace(
            said,
            effective_at=at,
            value_type=value.value_type,
            value=value.value,
            value_number=value.value_number,
            comparator=value.comparator,
            value_system=value.value_system,
            value_code=value.value_code,
            withheld=value.withheld,
            status_only=not value.value_type and obx[11] in STATUS_ONLY,
            device=device,
        )

    def _value(self, kind: str, sent: str) -> Value:
        if not sent:
            return NO_VALUE
        return read_value(self._reading, self._vocabulary, kind, sent)

    def _status(self, code: str) -> str:
        status = RESULT_STATUSES.get(code.strip().upper())
        if status is None:
            status = "unknown"
            detail = "OBX-11 is no code of table 0085."
            if not code or code == CLEARED:
                detail = "Neither OBX-11 nor OBR-25 says what the status of a result is."
            self._reading.note("unknown_code", detail)
        return status

    def _effective_at(self, field: str, order: Order) -> datetime | None:
        if field == order.obr[7]:
            return None
        moment = self._reading.moment(field, f"OBX^{self._number}^14")
        if moment is None:
            return None
        at = within_unit(moment, self._reading.recorded_at)
        if at > self._latest:
            self._latest = at
        return None if at == order.effective_at else at

    def _plain(self, field: str) -> str:
        """A field's text, at most 200 characters of it; nothing where it is cleared."""
        if field == CLEARED:
            return ""
        message = self._reading.message
        if message.delimiters.escape in field:
            field = message.text(field)
        return field.strip()[:_LONGEST]

    def _flags(self, field: str) -> str:
        """OBX-8: the codes of all repetitions, a blank between them."""
        if not field or field == CLEARED:
            return ""
        message = self._reading.message
        codes = (message.code(one) for one in field.split(message.delimiters.repetition))
        return " ".join(code for code in codes if code)[:_LONGEST]

    def _container(self, path: str) -> Identifier | None:
        """The device that holds a metric: its channel, its module, or the whole (MDS.VMD.CHAN)."""
        if not self._containers:
            return None
        channel = path.rpartition(".")[0]
        if channel not in self._holders:
            parts = path.split(".")
            above = (".".join([*parts[:n], *"0000"[n:]][:4]) for n in (3, 2, 1))
            found = (self._containers[one] for one in above if one in self._containers)
            self._holders[channel] = next(found, None)
        return self._holders[channel]

    def _continues(self, one: Observation) -> bool:
        """Whether an OBX only goes on with the text of the one before; then both are narrative."""
        if not self._observations:
            return False
        last = self._observations[-1]
        if (last.code, last.sub_id, last.system) != (one.code, one.sub_id, one.system):
            return False
        if last.also != one.also or one.effective_at not in (None, last.effective_at):
            return False
        if last.value_type not in ("string", "") or one.value_type not in ("string", ""):
            return False
        self._observations[-1] = replace(
            last, value_type="string", value="", withheld="narrative", status_only=False
        )
        return True

    def reports(self, subject: Subject) -> list[ObservationsReported]:
        """The groups as events; what devices measured stands alone, whatever its order."""
        if self._latest - self._reading.sent_at > _AHEAD:
            detail = "A result is of a time more than 5 minutes ahead of its message."
            self._reading.note("clock_skew", detail)
        found: list[ObservationsReported] = []
        for order, observations in self.orders:
            if not (order.filler or order.placer):
                found += self._by_instant(order, subject, observations)
                continue
            others = observations
            if self._measured:
                alone = [one for one in observations if one.system == MDC]
                others = [one for one in observations if one.system != MDC]
                found += self._by_instant(order, subject, alone)
            if others:
                found.append(self._report(order, subject, others, standalone=False))
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
        number = order.filler or order.placer
        return ObservationsReported(
            occurred_at=order.reported_at,
            order=number,
            placer=order.placer if order.placer is not number else None,
            standalone=standalone,
            source=self._producer or subject.source,
            patient=subject.patient,
            encounter=subject.encounter,
            device=order.device,
            effective_at=order.effective_at,
            panel=() if standalone else order.panel,
            ordered=() if standalone and order.ordered == _ordered(group[0]) else order.ordered,
            observations=tuple(self._numbered(order, group, None if standalone else number)),
        )

    def _numbered(
        self, order: Order, group: list[Observation], number: Identifier | None
    ) -> list[Observation]:
        """The results, each repeated code and sub-id of one OBR and instant told apart."""
        repeats = self._repeats
        of = (number, order.panel if number else ())
        scope = self._scopes.setdefault(of, len(self._scopes))
        for place, one in enumerate(group):
            at = one.effective_at or order.effective_at
            key = (scope, one.system, one.code, one.also, one.sub_id, at)
            if key in repeats:
                repeats[key] += 1
                group[place] = replace(one, repeat=repeats[key])
            else:
                repeats[key] = 0
        return group


def _ordered(one: Observation) -> tuple[OrderedService, ...]:
    """What a result is of, as its order would say it: an OBR-4 that repeats it says nothing."""
    return Coding(one.system, one.code, one.display, one.also).ordered

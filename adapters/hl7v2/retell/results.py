"""Results told again as ORU^R01: PID and PV1 of whom, an OBR for every report, its OBX beneath it.

A result whose value was not kept (narrative, documents, waveforms) cannot be told anew; its message
is refused with the reason, so that nobody takes a result without its text for all of it.
"""

import re
from collections.abc import Iterator, Sequence

from adapters.hl7v2.codes import RESULT_STATUSES
from adapters.hl7v2.codings import CODE_SYSTEMS, EUI_64, PRODUCER_SYSTEM, URI, sender_system
from adapters.hl7v2.encode import Segment, escape
from adapters.hl7v2.retell import segments
from adapters.hl7v2.retell.fields import cx, dtm, hd, when
from adapters.hl7v2.retell.tables import UNKNOWN_CLASS
from adapters.hl7v2.retell.words import Dialect, Said, Untellable
from adapters.hl7v2.triggers.orders import PLACER
from adapters.hl7v2.triggers.values import finite
from twin_core.events import Event, Observation, ObservationsReported, PatientDescribed
from twin_core.identifiers import Identifier

STRUCTURE = "ORU_R01"
_STATUSES = {meant: code for code, meant in reversed(RESULT_STATUSES.items())}
"""FHIR Observation.status -> table 0085."""
_STATUSES_ALONE = {"entered-in-error": "D", "final": "U"}
"""Statuses that are sent without the value they are about."""
_SYSTEMS = {system: name for name, system in reversed(CODE_SYSTEMS.items())}
_PARTS = re.compile(r"([<>=]*)([+-]?[\d.]+(?:[eE][+-]?\d+)?)([-:/])(.+)", re.ASCII)
_ALTERNATE = "99ALT"
"""Coding system of a second code of an order, whose own is not known."""
_CWE_FROM, _DTM_FROM = "2.5", "2.6"


def told(said: Said, dialect: Dialect, control_id: str) -> list[Segment]:
    """The ORU^R01 message of reported results."""
    facility = segments.sending_facility(said, dialect)
    writer = _Writer(dialect, facility or dialect.application)
    header = segments.header(said, dialect, "ORU^R01", STRUCTURE, control_id)
    return [header, *writer.body(said.events)]


def tells(said: Said) -> bool:
    """Whether a message reports results."""
    return any(isinstance(event, ObservationsReported) for event in said.events)


class _Writer:
    """Writes the results of one message; `sender` is whose own codes need no other name."""

    def __init__(self, dialect: Dialect, sender: str) -> None:
        self._dialect, self._sender = dialect, sender
        self._orders = self._patients = 0

    def body(self, events: Sequence[Event]) -> Iterator[Segment]:
        """PID and PV1 whenever the subject changes, and every report."""
        who: PatientDescribed | None = None
        subject: tuple[object, ...] | None = None
        for event in events:
            if isinstance(event, PatientDescribed):
                who, subject = event, None
            elif isinstance(event, ObservationsReported):
                of = (event.patient, event.encounter)
                if of != subject:
                    yield from self._of(who, event)
                    who, subject = None, of
                yield from self._report(event)
            else:
                raise Untellable("No ORU message of ours says this: something besides results.")

    def _of(self, who: PatientDescribed | None, report: ObservationsReported) -> Iterator[Segment]:
        """PID and PV1, as far as the patient and the visit are known."""
        self._patients += 1
        if who is None and report.patient:
            who = PatientDescribed(occurred_at=report.occurred_at, patient=report.patient)
        if who is not None:
            yield segments.patient(who, self._dialect, self._patients)
        if report.encounter is not None:
            pv1 = Segment("PV1").put(1, str(self._patients)).put(2, UNKNOWN_CLASS)
            yield pv1.put(19, cx(report.encounter, self._dialect))

    def _report(self, report: ObservationsReported) -> Iterator[Segment]:
        self._orders += 1
        obr = self._order(report).put(7, dtm(report.effective_at, self._dialect.zone))
        obr.put(22, dtm(report.occurred_at, self._dialect.zone))
        written = [
            self._result(number, one, report) for number, one in enumerate(report.observations, 1)
        ]
        statuses = {_status(one) for one in report.observations}
        yield obr.put(25, statuses.pop() if len(statuses) == 1 else "")
        yield from written

    def _order(self, report: ObservationsReported) -> Segment:
        """OBR with the numbers of the order and what was ordered."""
        obr = Segment("OBR").put(1, str(self._orders))
        for number in (report.order, report.placer):
            if number is not None:
                obr.put(2 if number.type == PLACER else 3, self._entity(number))
        if not report.panel:
            return obr.put(4, self._ordered(report)) if report.standalone else obr.put(1, "")
        if report.panel[0].startswith("#"):
            return obr.put(1, escape(report.panel[0][1:]))
        codes, parent = _of_parent(report.panel)
        obr.put(4, self._ordered(report) if report.ordered else _panel(codes))
        return obr.put(26, parent)

    def _ordered(self, report: ObservationsReported) -> str:
        """OBR-4: what was ordered. It is required: where nobody said, the first result does."""
        if not report.ordered:
            return self._coded(report.observations[0])
        parts = []
        for one in report.ordered:
            parts += [escape(one.code), escape(one.display), self._system(one.system)]
        return "^".join(parts)

    def _result(self, number: int, one: Observation, report: ObservationsReported) -> Segment:
        kind, value = self._value(one)
        obx = Segment("OBX").put(1, str(number)).put(2, kind).put(3, self._coded(one))
        obx.text(4, one.sub_id).put(5, value).put(6, self._unit(one))
        obx.text(7, one.reference_range)
        obx.put(8, "~".join(map(escape, one.interpretation.split(" "))))
        obx.put(11, _status(one)).put(14, when(one.effective_at, self._dialect))
        device = one.device or report.device
        if device is None and report.order is None:
            # Without an order and a device, only who told a result tells it from another's.
            obx.put(15, f"{escape(report.source)}^^{PRODUCER_SYSTEM}")
        return obx.put(18, self._device(device) if device is not None else "")

    def _value(self, one: Observation) -> tuple[str, str]:
        """OBX-2 and OBX-5."""
        if one.withheld:
            raise Untellable(f"The value of a result was not kept: {one.withheld}.")
        if not one.value_type:
            return "NM", ""
        if one.value_type == "CodeableConcept":
            return self._concept(one)
        if one.value_type == "dateTime":
            return ("DTM" if self._dialect.has(_DTM_FROM) else "TS"), escape(one.value)
        return _VALUES[one.value_type](one)

    def _concept(self, one: Observation) -> tuple[str, str]:
        if not one.value_system:
            return "IS", escape(one.value_code)
        text = one.value
        parts = (escape(one.value_code), escape(text), self._system(one.value_system))
        return ("CWE" if self._dialect.has(_CWE_FROM) else "CE"), "^".join(parts)

    def _coded(self, one: Observation) -> str:
        """OBX-3: the code, and the sender's other one."""
        parts = [escape(one.code), escape(one.display), self._system(one.system)]
        for system, code in one.also:
            parts += [escape(code), "", self._system(system)]
        return "^".join(parts)

    def _unit(self, one: Observation) -> str:
        if not one.unit:
            return ""
        system = self._system(one.unit_system) if one.unit_system else ""
        return f"{escape(one.unit)}^^{system}".rstrip("^")

    def _system(self, system: str) -> str:
        """The name of a coding system: the receiver's, table 0396's, the sender's, else its URI."""
        named = self._dialect.authorities.get(system) or _SYSTEMS.get(system)
        return escape(named or system.removeprefix(sender_system(self._sender)))

    def _entity(self, number: Identifier) -> str:
        return f"{escape(number.value)}^{hd(number.system, self._dialect).replace('&', '^')}"

    def _device(self, device: Identifier) -> str:
        if device.system == EUI_64:
            number = device.value.replace("-", "")
            return f"{number}^^{number}^EUI-64"
        return escape(device.value) if device.system == URI else self._entity(device)


def _status(one: Observation) -> str:
    return (_STATUSES_ALONE if one.status_only else _STATUSES)[one.status]


def _of_parent(panel: Sequence[str]) -> tuple[list[str], str]:
    """The codes of OBR-4, and OBR-26 where they are about another result (`code/parent.sub`)."""
    split = [one.rpartition("/") for one in panel]
    parents = {parent for own, _, parent in split if own}
    parent = parents.pop() if len(parents) == 1 else ""
    if "." not in parent:
        return list(panel), ""
    code, _, sub_id = parent.rpartition(".")
    return [own for own, _, _ in split], f"{escape(code)}^{escape(sub_id)}"


def _panel(codes: Sequence[str]) -> str:
    """OBR-4 by codes whose systems are not known."""
    first, *others = map(escape, codes)
    return f"{first}^^^{others[0]}^^{_ALTERNATE}" if others else first


def _quantity(one: Observation) -> tuple[str, str]:
    """A number (NM), or a number with a comparator (SN)."""
    limit = one.value.removeprefix(one.comparator)
    if one.comparator and finite(limit) is not None:
        return "SN", f"{escape(one.comparator)}^{limit}"
    if one.value_number is None:
        return "NM", "~".join(map(escape, one.value.split("; ")))
    if one.value.startswith("=") and not one.comparator:
        return "SN", f"=^{escape(one.value[1:])}"
    return "NM", escape(one.value)


def _structured(one: Observation) -> tuple[str, str]:
    """Two numbers with what stands between them (SN), else the ends of a range (NR)."""
    found = _PARTS.fullmatch(one.value)
    if found is not None:
        return "SN", "^".join(map(escape, found.groups()))
    low, _, high = one.value.partition("-")
    return "NR", f"{escape(low)}^{escape(high)}"


def _text(one: Observation) -> tuple[str, str]:
    return "ST", escape(one.value)


def _time(one: Observation) -> tuple[str, str]:
    return "TM", escape(one.value)


_VALUES = {
    "Quantity": _quantity,
    "Range": _structured,
    "Ratio": _structured,
    "string": _text,
    "time": _time,
}
"""value[x] type -> OBX-2 and OBX-5."""

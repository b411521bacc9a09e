"""Alarms and other events of devices (R40 to R42), as IHE's devices profiles write them.

A report is one OBR. Its OBX segments hold the event itself (a code of the MDC partition 3, in OBX-3
or as the value), its attributes (phase, state, priority, ...), the containers of the device, and
perhaps measurements, which become observations.
"""

from datetime import datetime

from adapters.hl7v2.codings import MDC, Coding
from adapters.hl7v2.fields import CLEARED, Reading
from adapters.hl7v2.triggers.orders import FILLER, Order, Subject
from adapters.hl7v2.triggers.reading import Events, Translator
from adapters.hl7v2.triggers.results import patients_with_results
from twin_core.events import DeviceEventReported, Event, Observation
from twin_core.identifiers import Identifier, Place

ATTRIBUTES: dict[str, str] = {
    # IEEE 11073-10101 names and codes of an event's attributes.
    "MDC_ATTR_ALERT_SOURCE": "source",
    "MDC_ATTR_EVENT_PHASE": "phase",
    "MDC_ATTR_ALARM_STATE": "state",
    "MDC_ATTR_ALARM_INACTIVATION_STATE": "inactivation",
    "MDC_ATTR_ALARM_PRIORITY": "priority",
    "MDC_ATTR_ALERT_TYPE": "alarm_type",
    "68480": "source",
    "68481": "phase",
    "68482": "state",
    "68483": "inactivation",
    "68484": "priority",
    "68485": "alarm_type",
}
PRIORITIES = {"PH": "high", "PM": "medium", "PL": "low", "PN": "none"}
ALARM_TYPES = {"SP": "physiological", "ST": "technical", "SA": "advisory"}
_EVENTS = range(3 * 65536, 4 * 65536)
_GENERIC = frozenset({"196616", "MDC_EVT_ALARM", "68487", "MDC_ATTR_EVT_COND"})


def alarm_reported(reading: Reading) -> Events:
    """R40: a device raised, repeated or ended an alarm (PCD-04)."""
    return _device_events(reading, "alarm")


def alarm_status_reported(reading: Reading) -> Events:
    """R41: what became of telling someone of an alarm (PCD-05)."""
    return _device_events(reading, "alarm-status")


def device_event_reported(reading: Reading) -> Events:
    """R42: something happened at a device, such as a pump's start (PCD-10)."""
    return _device_events(reading, "event")


def _device_events(reading: Reading, kind: str) -> Events:
    events: list[Event] = []
    pv1 = reading.pv1()
    place = reading.conventions.place(reading.message, pv1[3] if pv1 else "")
    for subject, groups in patients_with_results(reading):
        for order, observations in groups.orders:
            events.append(_device_event(reading, kind, subject, order, observations, place))
            observations[:] = [one for one in observations if not _belongs_to_event(one)]
        events += groups.reports(subject)
    return tuple(events)


def _device_event(
    reading: Reading,
    kind: str,
    subject: Subject,
    order: Order,
    observations: list[Observation],
    place: Place,
) -> DeviceEventReported:
    attributes: dict[str, Observation] = {}
    for one in observations:
        name = _attribute(one)
        if name:
            attributes.setdefault(name, one)
    said = next((one for one in observations if _is_event(one)), None)
    coding = _event_code(reading, order, said)
    flags = _flags(observations, said)
    alarm, report = _numbers(reading, order, subject, coding)
    return DeviceEventReported(
        occurred_at=_occurred_at(order, said),
        kind=kind,
        alarm=alarm,
        report=report,
        source=subject.source,
        device=next((o.device for o in observations if o.device), order.device),
        patient=subject.patient,
        encounter=subject.encounter,
        place=place,
        system=coding.system,
        code=coding.code,
        display=coding.display,
        priority=_meant(PRIORITIES, [_said(attributes, "priority"), *flags]),
        alarm_type=_meant(ALARM_TYPES, [_said(attributes, "alarm_type"), *flags]),
        phase=_said(attributes, "phase").lower(),
        state=_said(attributes, "state").lower() or _participation(reading, order),
        inactivation=_said(attributes, "inactivation").lower(),
    )


def _flags(observations: list[Observation], said: Observation | None) -> list[str]:
    """OBX-8 of the event, else of the first facet of it that has flags (PCD-04, OBX-8)."""
    told = (one for one in ((said,) if said else ()) + tuple(observations) if one.interpretation)
    first = next(told, None)
    return first.interpretation.split() if first else []


def _attribute(one: Observation) -> str:
    return ATTRIBUTES.get(one.code) or ATTRIBUTES.get(one.display) or ""


def _is_event(one: Observation) -> bool:
    return _is_event_code(one.code, one.display) or one.code in _GENERIC or one.display in _GENERIC


def _is_event_code(code: str, name: str) -> bool:
    if name.startswith("MDC_EVT_") or code.startswith("MDC_EVT_"):
        return True
    return code.isdecimal() and len(code) == 6 and int(code) in _EVENTS


def _belongs_to_event(one: Observation) -> bool:
    if _is_event(one) or _attribute(one):
        return True
    # Attributes of a report that the twin has no column for, and whole devices, are no results.
    return one.system == MDC and one.display.startswith(("MDC_ATTR_", "MDC_DEV_"))


def _event_code(reading: Reading, order: Order, said: Observation | None) -> Coding:
    """The event: the value where OBX-3 only says that there is one, else OBX-3, else OBR-4."""
    if said is not None:
        if said.value_code and (
            _is_event_code(said.value_code, said.value) or said.code in _GENERIC
        ):
            return Coding(said.value_system, said.value_code, said.value)
        return Coding(said.system, said.code, said.display)
    found = reading.vocabulary().coding(order.obr[4])
    return found or Coding("", "", "")


def _numbers(
    reading: Reading, order: Order, subject: Subject, coding: Coding
) -> tuple[Identifier, str]:
    """What the reports of one alarm have in common (OBR-29, else OBR-3), and this report's number.

    Without a number every report stands alone, told by who sent it, its code and its instant.
    """
    message = reading.message
    own = order.filler or order.placer
    _, parent = message.components(order.obr[29])[:2]
    first = reading.vocabulary().number(
        parent.replace(message.delimiters.subcomponent, message.delimiters.component), FILLER
    )
    if own is None:
        told = f"{subject.source}|{coding.system}|{coding.code}|{order.effective_at.isoformat()}"
        own = Identifier("urn:wardtwin:device-event", told, "")
    return first or own, own.value


def _occurred_at(order: Order, said: Observation | None) -> datetime:
    return (said.effective_at if said else None) or order.effective_at


def _said(attributes: dict[str, Observation], name: str) -> str:
    one = attributes.get(name)
    return "" if one is None else (one.value_code or one.value)[:60]


def _meant(table: dict[str, str], codes: list[str]) -> str:
    for code in codes:
        if code.upper() in table:
            return table[code.upper()]
    return ""


def _participation(reading: Reading, order: Order) -> str:
    """PRT-3 of a status report: delivered, read, accepted, rejected, ..."""
    for prt in order.participations:
        said = "" if prt[3] == CLEARED else reading.message.code(prt[3])
        if said:
            return said.lower()[:60]
    return ""


TRANSLATORS: dict[str, Translator] = {
    "ORU^R40": alarm_reported,
    "ORU^R41": alarm_status_reported,
    "ORA^R41": alarm_status_reported,
    "ORU^R42": device_event_reported,
}

"""Results: what was observed of a patient, by a laboratory, a nurse or a device (ORU).

A message reports groups of results, one per OBR. It identifies the patient and the visit; it never
moves anyone, and what its PID says of a person besides identifiers is left to ADT, since a
laboratory repeats what it was told when the order was placed.
"""

from collections.abc import Iterator

from adapters.hl7v2.fields import Reading, Segment
from adapters.hl7v2.triggers.orders import Subject
from adapters.hl7v2.triggers.reading import Events, Translator
from adapters.hl7v2.triggers.reports import Groups
from twin_core.events import Event


def results_reported(reading: Reading) -> Events:
    """R01, R30, R31, R32: results were reported, of an order, a device or a test at the bedside."""
    events: list[Event] = []
    for subject, groups in patients_with_results(reading):
        found = groups.reports(subject)
        # A device reports every few seconds: who its patient is, others have said.
        if subject.identification is not None and not (found and groups.measured_only()):
            events.append(subject.identification)
        events += found
    return tuple(events)


def patients_with_results(reading: Reading) -> Iterator[tuple[Subject, Groups]]:
    """Every patient of the message (there may be several PID) with the results of each."""
    message, separator = reading.message, reading.message.delimiters.field
    pid: Segment | None = None
    pv1: Segment | None = None
    groups = Groups(reading)
    for name, line in zip(message.shape.names, message.lines, strict=True):
        if name == "OBX":
            groups.result(line.split(separator))
        elif name == "OBR":
            groups.order(message.fields(line))
        elif name == "ORC":
            groups.orc = line
        elif name == "PRT":
            groups.participant(message.fields(line))
        elif name == "PV1":
            pv1 = pv1 or _leading(line, separator)
        elif name == "PID":
            if groups.orders:
                yield Subject(reading, pid, pv1), groups
                groups, pv1 = Groups(reading), None
            pid = _leading(line, separator)
    yield Subject(reading, pid, pv1), groups


_SPARE = [""] * 21


def _leading(line: str, separator: str) -> Segment:
    """The fields up to the twentieth: what follows says nothing of who and which visit."""
    fields = line.split(separator, 20)
    if len(fields) < 21:
        fields += _SPARE
    return fields


TRANSLATORS: dict[str, Translator] = {
    "ORU^R01": results_reported,
    "ORU^R30": results_reported,
    "ORU^R31": results_reported,
    "ORU^R32": results_reported,
}

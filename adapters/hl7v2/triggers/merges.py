"""Merges of patient records."""

from adapters.hl7v2.fields import Person, Reading, Segment, patient_identifiers, person
from adapters.hl7v2.refusal import REQUIRED_FIELD, SEGMENT_SEQUENCE, TABLE_VALUE, content_fault
from adapters.hl7v2.triggers.reading import Events, Translator, described, pairs
from twin_core.events import Event, PatientsMerged
from twin_core.identifiers import Identifier


def patients_merged(reading: Reading) -> Events:
    """A40: MRG-1 of every set was merged into the PID-3 before it."""
    descriptions: list[Event] = []
    merges: list[Event] = []
    for sequence, (pid, mrg) in enumerate(pairs(reading, "MRG"), start=1):
        if mrg is None:
            reason = "Every PID of a merge must be followed by its MRG."
            raise content_fault(f"MRG^{sequence}", SEGMENT_SEQUENCE, reason)
        who = person(reading, pid, sequence)
        descriptions.append(described(reading, who))
        merges += _merges(reading, who, mrg, sequence)
    if not merges:
        raise content_fault("PID^1", SEGMENT_SEQUENCE, "The merge has no PID; send PID and MRG.")
    return (*descriptions, *merges)


def _merges(reading: Reading, who: Person, mrg: Segment, sequence: int) -> list[Event]:
    where = f"MRG^{sequence}^1"
    sources, _ = patient_identifiers(reading, mrg[1])
    if not sources:
        reason = "The patient to be merged is not identified; send MRG-1."
        raise content_fault(where, REQUIRED_FIELD, reason)
    known = {identifier.key for identifier in who.identifiers}
    others = [source for source in sources if source.key not in known]
    if not others:
        reason = "MRG-1 and PID-3 name the same patient; a record is not merged into itself."
        raise content_fault(where, TABLE_VALUE, reason)
    return [
        PatientsMerged(
            occurred_at=reading.event_at or reading.recorded_at,
            source=source,
            target=_counterpart(source, who.identifiers),
        )
        for source in others
    ]


def _counterpart(source: Identifier, targets: tuple[Identifier, ...]) -> Identifier:
    """The surviving identifier of the same kind: same issuer and type, else type, else primary."""
    for target in targets:
        if (target.system, target.type) == (source.system, source.type):
            return target
    return next((target for target in targets if target.type == source.type), targets[0])


TRANSLATORS: dict[str, Translator] = {
    "ADT^A40": patients_merged,
}

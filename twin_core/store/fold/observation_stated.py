"""Results of FHIR Observations: what each source last stated of each, beside what was reported."""

from collections.abc import Sequence

from twin_core.events import ObservationStated
from twin_core.identifiers import content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Resolver, finding_row, text, unresolved
from twin_core.store.fold.stated import latest_statements


def fold_stated_results(facts: Sequence[Fact], resolver: Resolver) -> list[EntityRow]:
    """The results that the latest version of each Observation states, and what it leaves open."""
    if not any(isinstance(fact.event, ObservationStated) for fact in facts):
        return []
    rows: list[EntityRow] = []
    for fact in latest_statements(facts):
        if isinstance(fact.event, ObservationStated):
            rows += _rows(fact, fact.event, resolver)
    return rows


def _rows(fact: Fact, event: ObservationStated, resolver: Resolver) -> list[EntityRow]:
    patient_id = encounter_id = device_id = None
    notes = []
    ids: list[str] = []
    if event.patient:
        patient_id, known = resolver.patient(event.patient)
        if not known:
            notes.append(unresolved(fact, "Patient", patient_id))
    if event.encounter is not None:
        encounter_id, known = resolver.encounter(event.encounter)
        if not known:
            notes.append(unresolved(fact, "Encounter", encounter_id))
    if event.device is not None:
        device_id = resolver.device(event.device)
        if not resolver.device_known(event.device):
            notes.append(unresolved(fact, "Device", device_id))
    rows: list[EntityRow] = []
    for one in event.observations:
        observation_id = content_id("o", *event.subject.key, one.sub_id)
        ids.append(observation_id)
        row = (
            *(observation_id, patient_id, encounter_id, device_id),
            *(text(one.system), text(one.code), text(one.display), text(one.sub_id), one.status),
            event.effective_at or event.issued_at or event.occurred_at,
            event.issued_at or event.occurred_at,
            *(text(one.value_type), text(one.value), one.value_number, text(one.comparator)),
            *(text(one.value_system), text(one.value_code), text(one.unit)),
            *(text(one.unit_system), text(one.withheld), text(one.reference_range)),
            *(text(one.interpretation), text(one.body_site), None, None),
        )
        rows.append(("observation", row))
    return rows + [finding_row(note, ids[0], fact.recorded_at) for note in notes]

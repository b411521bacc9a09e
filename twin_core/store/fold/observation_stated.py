"""Results of FHIR Observations: what each source last stated of each, beside what was reported."""

from collections.abc import Sequence

from twin_core.events import ObservationStated
from twin_core.identifiers import content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import EntityRow, Resolver, finding_row, unresolved
from twin_core.store.fold.stated import latest_statements


def fold_stated_results(facts: Sequence[Fact], resolver: Resolver) -> list[EntityRow]:
    """The results that the latest version of each Observation states, and what it leaves open."""
    rows: list[EntityRow] = []
    for fact in latest_statements(facts):
        if isinstance(fact.event, ObservationStated):
            rows += _rows(fact, fact.event, resolver)
    return rows


def _rows(fact: Fact, event: ObservationStated, resolver: Resolver) -> list[EntityRow]:
    patient_id = encounter_id = device_id = None
    notes = []
    ids: list[str] = []
    issued_at = event.issued_at or event.occurred_at
    effective_at = event.effective_at or issued_at
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
            *(one.system or None, one.code or None, one.display or None, one.sub_id or None),
            *(one.status, effective_at, issued_at),
            *(one.value_type or None, one.value or None, one.value_number, one.comparator or None),
            *(one.value_system or None, one.value_code or None, one.unit or None),
            *(one.unit_system or None, one.withheld or None, one.reference_range or None),
            *(one.interpretation or None, one.body_site or None, None, None),
        )
        rows.append(("observation", row))
    return rows + [finding_row(note, ids[0], fact.recorded_at) for note in notes]

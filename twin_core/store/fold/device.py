"""Devices and the directory: one row per resource as last stated."""

from collections.abc import Sequence

from twin_core.events import CensusReported, DeviceStated, DirectoryStated
from twin_core.identifiers import REFERENCE, Identifier, content_id
from twin_core.store.facts import Fact
from twin_core.store.fold.rows import (
    EntityRow,
    Resolver,
    canonical,
    finding_row,
    text,
    unresolved,
)
from twin_core.store.fold.stated import latest_statements


def fold_device(
    facts: Sequence[Fact], identifiers: Sequence[Identifier], resolver: Resolver
) -> list[EntityRow]:
    """One device, known by its identifiers, as the latest statement of any source has it.

    A device that only its own reports name has a row without description.
    """
    statements = latest_statements(facts)
    device_id = device_id_of(identifiers)
    if not statements:
        if facts or all(i.type == REFERENCE for i in identifiers):
            return []
        return [("device", (device_id, *(None,) * 8)), *_known_as(device_id, identifiers)]
    event = statements[-1].event
    assert isinstance(event, DeviceStated)  # noqa: S101  (narrows the type)
    rows: list[EntityRow] = []
    location_id = patient_id = None
    if event.location is not None:
        location_id, known = resolver.location(event.location)
        if not known:
            note = unresolved(statements[-1], "Location", location_id)
            rows.append(finding_row(note, device_id, facts[-1].recorded_at))
    if event.patient is not None:
        patient_id, known = resolver.patient((event.patient,))
        if not known:
            note = unresolved(statements[-1], "Patient", patient_id)
            rows.append(finding_row(note, device_id, facts[-1].recorded_at))
    said = (event.kind, event.name, event.manufacturer, event.model, event.serial_number)
    texts = tuple(text(part) for part in (*said, event.status))
    rows.append(("device", (device_id, *texts, location_id, patient_id)))
    rows += _known_as(device_id, identifiers)
    return list(dict.fromkeys(rows))


def device_id_of(identifiers: Sequence[Identifier]) -> str:
    """The id of the device that is known by these identifiers."""
    named = canonical(identifiers)
    return content_id("d", named.system, named.value)


def _known_as(device_id: str, identifiers: Sequence[Identifier]) -> list[EntityRow]:
    listed = sorted(identifiers, key=lambda i: (i.system, i.value))
    return [("device_identifier", (device_id, i.system, i.value, text(i.type))) for i in listed]


def fold_directory(facts: Sequence[Fact]) -> list[EntityRow]:
    """Organizations and practitioners by every identifier they are known by."""
    rows: list[EntityRow] = []
    for fact in latest_statements(facts):
        event = fact.event
        if isinstance(event, DirectoryStated):
            said = (text(event.name), event.active)
            for i in (event.subject, *event.identifiers):
                rows.append(("directory", (event.resource_type, i.system, i.value, *said)))
    return list(dict.fromkeys(rows))


def fold_census(facts: Sequence[Fact]) -> list[EntityRow]:
    """Reported counts; of two reports for one unit and instant the later received one counts."""
    latest: dict[tuple[str, str, str, object], int] = {}
    for fact in facts:
        event = fact.event
        if isinstance(event, CensusReported):
            latest[event.source, event.facility, event.unit, event.occurred_at] = event.census
    return [("source_census", (*key, census)) for key, census in latest.items()]

"""The hospital's map: what is around a place is on it, whoever named the place first."""

from datetime import UTC, datetime
from pathlib import Path

from twin_core import Twin
from twin_core.events import Admitted, Envelope, Event, LocationStated, Translation
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
BED = Place("H", "ICU", "1", "A")
STATED = LocationStated(
    occurred_at=EIGHT,
    source="ehr",
    subject=Identifier("ehr", "Location/1", "reference"),
    kind="bd",
    status="active",
    place=BED,
)
ADMITTED = Admitted(
    occurred_at=EIGHT, entered_at=EIGHT, encounter=(Identifier("urn:visit", "V1"),), place=BED
)


def receipt(event: Event, format_: str) -> Receipt:
    envelope = Envelope(
        feed="f",
        sender="s",
        control_id=format_,
        trigger_event=format_,
        sent_at=EIGHT,
        digest=format_.encode(),
    )
    outcome = Translation(envelope=envelope, events=(event,))
    return Receipt(format=format_, feed="f", raw=b"", outcome=outcome, origin="test")


def places_after(path: Path, *receipts: Receipt) -> list[str]:
    for one in receipts:
        with Twin.open(path) as twin:  # opened again each time, so that nothing is remembered
            twin.receive([one])
            twin.wait_applied()
    with Twin.open(path) as twin:
        return sorted(map(repr, twin.query("FROM twin.location")))


def test_room_and_unit_of_a_bed_are_there_in_either_order(tmp_path: Path) -> None:
    resource, message = receipt(STATED, "fhir"), receipt(ADMITTED, "hl7v2")
    first = places_after(tmp_path / "one.duckdb", resource, message)
    assert first == places_after(tmp_path / "two.duckdb", message, resource)
    assert len(first) == 3

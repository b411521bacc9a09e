"""What two sources say differently of one person."""

from datetime import UTC, datetime

from twin_core.events import Demographics, PatientStated
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact, order_of
from twin_core.store.fold.patient import fold_people

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
NUMBER = Identifier("urn:mrn", "7", "MR")


def stated(source: str, sex: str, message_id: int) -> Fact:
    subject = Identifier(f"urn:wardtwin:source:{source}", "Patient/1", "reference")
    event = PatientStated(
        occurred_at=AT,
        subject=subject,
        source=source,
        identifiers=(NUMBER,),
        demographics=Demographics(sex=sex),
    )
    order = order_of(
        event, sent_at=AT, sequence=0, control="Patient/1/_history/1", digest=b"1", ordinal=0
    )
    return Fact(order, event, message_id, AT, "fhir", source)


def test_two_servers_that_state_the_same_version_of_one_id_clash_by_what_they_say() -> None:
    facts = [stated("one", "male", 1), stated("two", "female", 2)]
    names = [*dict.fromkeys(f.event.subject for f in facts), NUMBER]
    found = [
        [row for row in fold_people(several, names).rows if row[0] == "fold_finding"]
        for several in (facts, facts[::-1])
    ]
    assert [row[1][1] for row in found[0]] == ["demographics_clash"]
    assert found[0] == found[1]

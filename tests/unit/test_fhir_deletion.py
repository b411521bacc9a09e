"""A deletion is understood in every form in which FHIR servers tell of one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.fhir import Deletion, Release, Scope, retranslate, take_body, take_deletion
from twin_core.events import Rejection, Translation, Withdrawn, encode_events
from twin_core.settings import FhirSettings, LimitSettings

PAIRS = Path(__file__).parents[2] / "fixtures" / "fhir" / "deletions"
EXCHANGES = Path(__file__).parents[3] / "shared" / "corpus" / "fhir" / "server-exchanges"
RECEIVED = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
LIMITS = LimitSettings()


def scope(**changed):
    return Scope(
        source="east-wing",
        release=changed.pop("release", Release.R4),
        settings=FhirSettings(),
        received_at=RECEIVED,
        **changed,
    )


def entry(method="DELETE", url="Encounter/e1", **changed):
    return {"request": {"method": method, "url": url}, **changed}


def taken(*entries, kind="history", **changed):
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries), **changed}
    return list(take_body(json.dumps(bundle).encode(), scope(), LIMITS))


def withdrawn(*entries, **changed):
    outcome = taken(*entries, **changed)[0].outcome
    assert isinstance(outcome, Translation), outcome
    (event,) = outcome.events
    assert isinstance(event, Withdrawn)
    return event


@pytest.mark.parametrize("pair", sorted(PAIRS.glob("*.events.json")), ids=lambda path: path.name)
def test_a_bundle_says_what_its_pair_says(pair):
    bundle = (PAIRS / pair.name.replace(".events.", ".")).read_bytes()
    told = [one.outcome for one in take_body(bundle, scope(), LIMITS)]
    assert all(isinstance(outcome, Translation) for outcome in told)
    events = [json.loads(encode_events(outcome.events)) for outcome in told]
    assert events == json.loads(pair.read_bytes())


def test_what_a_receipt_keeps_of_a_deletion_is_the_entry_as_sent():
    (one,) = taken(entry(response={"status": "204"}))
    assert json.loads(one.entry.raw) == entry(response={"status": "204"})
    assert one.subject == "Encounter/e1"


def test_a_deletion_dated_to_the_second_is_later_than_what_came_before_in_it():
    told = {"status": "204", "lastModified": "2026-03-04T08:15:30Z"}
    event = withdrawn(entry(response=told))
    assert event.occurred_at == datetime(2026, 3, 4, 8, 15, 30, 999_999, tzinfo=UTC)
    assert event.dated


def test_a_deletion_that_nobody_dated_is_dated_by_its_receipt_and_says_so():
    event = withdrawn(entry(), kind="batch")
    assert (event.occurred_at, event.dated, event.version) == (RECEIVED, False, "")


@pytest.mark.parametrize("url", ["Encounter?identifier=a|b", "Encounter", "Nonsense/1", "", "/"])
def test_a_delete_that_names_no_resource_is_refused(url):
    outcome = taken(entry(url=url), kind="transaction")[0].outcome
    assert isinstance(outcome, Rejection)
    assert outcome.faults[0].where == "Bundle.entry[0].request.url"


def test_an_entry_of_a_history_that_only_lacks_its_resource_is_no_deletion():
    for told in ({"status": "200"}, {"status": "404"}):
        outcome = taken(entry("PUT", response=told))[0].outcome
        assert isinstance(outcome, Rejection)
        assert outcome.faults[0].reason == "The entry has no resource."


def test_the_same_deletion_told_twice_is_one_message():
    by_version = {"etag": 'W/"4"', "status": "204"}
    first = taken(entry(response={**by_version, "lastModified": "2026-03-04T08:15:30Z"}))[0]
    again = taken(entry(response=by_version))[0]
    assert first.outcome.envelope.control_id == again.outcome.envelope.control_id
    assert first.outcome.envelope.digest == again.outcome.envelope.digest
    other = taken(entry(response={"etag": 'W/"6"'}))[0]
    assert first.outcome.envelope.digest != other.outcome.envelope.digest


def test_a_deletion_by_itself():
    at = RECEIVED - timedelta(days=1)
    one = take_deletion(Deletion("Encounter", "e1", "4", at), scope())
    assert isinstance(one.outcome, Translation)
    assert one.outcome.events == (withdrawn(json.loads(one.entry.raw)),)
    assert one.outcome.envelope.sent_at == at
    unversioned = take_deletion(Deletion("Encounter", "e1"), scope()).outcome
    assert unversioned.envelope.unversioned
    assert unversioned.envelope.control_id == "Encounter/e1"


@pytest.mark.parametrize(
    "deletion",
    [
        Deletion("Encounter", "a b"),
        Deletion("Encounter", "e1", "v 1"),
        Deletion("Ward", "1"),
        Deletion("DeviceDispense", "1"),
    ],
)
def test_a_deletion_of_what_cannot_be_is_a_reject(deletion):
    assert isinstance(take_deletion(deletion, scope()).outcome, Rejection)


def test_a_quarantined_bundle_with_deletions_is_read_again_as_one():
    bundle = (PAIRS / "transaction.json").read_bytes()
    outcome = retranslate(bundle, scope(), LIMITS)
    assert isinstance(outcome, Translation)
    assert [event.subject.value for event in outcome.events] == ["Encounter/e1", "Organization/o1"]


@pytest.mark.skipif(not EXCHANGES.is_dir(), reason="the recorded exchanges are not here")
def test_a_recorded_history_of_a_deleted_encounter():
    recorded = json.loads((EXCHANGES / "37_history_after_delete.json").read_bytes())
    body = json.dumps(recorded["response"]["body"]).encode()
    events = [one.outcome.events[0] for one in take_body(body, scope(), LIMITS)]
    assert isinstance(events[0], Withdrawn)
    assert events[0].dated
    assert {event.subject for event in events} == {events[0].subject}
    assert events[0].occurred_at > max(event.occurred_at for event in events[1:])

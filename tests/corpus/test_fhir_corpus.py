"""Public FHIR resources: each becomes events, is journalled, or is refused with a reason, and the
fast path agrees with fhir.resources about what is valid and what it says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.fhir import TRANSLATORS, Release, Scope, judge, translate_resource
from adapters.fhir.judge import model_of
from twin_core.events import Rejection, Translation, decode_events, encode_events
from twin_core.settings import FhirSettings, LimitSettings

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "fhir"
RELEASES = {
    "examples-r4": Release.R4,
    "examples-r4b": Release.R4B,
    "synthea-37": Release.R4,
}
LIMITS = LimitSettings()
RECEIVED = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the public corpus is not here")


class Sample(NamedTuple):
    """One line of the corpus."""

    name: str
    release: Release
    text: bytes


def samples(kinds=None):
    for folder, release in RELEASES.items():
        for file in sorted((CORPUS / folder).glob("*.ndjson")):
            if kinds is None or file.stem in kinds:
                for number, line in enumerate(file.read_bytes().splitlines(), 1):
                    yield Sample(f"{folder}/{file.name}:{number}", release, line)


def translated(sample, text=None, strictness="standard"):
    scope = Scope(
        source="corpus",
        release=sample.release,
        settings=FhirSettings(strictness=strictness),
        received_at=RECEIVED,
    )
    return translate_resource(text or sample.text, scope, limits=LIMITS)


def test_every_resource_is_answered_for():
    counts = {"events": 0, "journalled": 0, "rejected": 0}
    for sample in samples():
        outcome = translated(sample)
        if isinstance(outcome, Rejection):
            assert outcome.faults, sample.name
            counts["rejected"] += 1
            continue
        assert decode_events(encode_events(outcome.events)) == outcome.events
        # A Location of mode `kind` is no place, so nothing is stated of it.
        applied = outcome.envelope.trigger_event.removeprefix("FHIR ") in TRANSLATORS
        is_kind = json.loads(sample.text).get("mode") == "kind"
        assert bool(outcome.events) == (applied and not is_kind), sample.name
        counts["events" if outcome.events else "journalled"] += 1
    assert counts["rejected"] == 0
    assert counts["events"] > 3_200
    assert counts["journalled"] > 200


def test_the_fast_path_accepts_what_the_judge_accepts():
    for sample in samples(TRANSLATORS):
        faults = judge(json.loads(sample.text), sample.release)
        rejected = isinstance(translated(sample), Rejection)
        assert rejected == bool(faults), (sample.name, faults)


FAST_PATH_ONLY = {
    "status": "the judge knows no value sets",
    "gender": "the judge knows no value sets",
    "reversed": "the judge compares no dates",
}
JUDGE_ONLY = {
    "unknown": "the fast path passes over elements that it does not read",
    "elsewhere": "the fast path passes over the inside of elements that it does not read",
}


def spoiled(resource):
    """The same resource broken in one way after another, and how."""
    yield "unknown", {**resource, "ward": "W1"}
    yield "elsewhere", {**resource, "language": 7}
    yield "id", {**resource, "id": "a b"}
    yield "identifier", {**resource, "identifier": [{"value": 7}]}
    yield "meta", {**resource, "meta": {"lastUpdated": "yesterday"}}
    if "status" in resource:
        yield "status", {**resource, "status": "nonsense"}
    if "gender" in resource:
        yield "gender", {**resource, "gender": "nonsense"}
    if resource["resourceType"] == "Patient":
        yield "birthDate", {**resource, "birthDate": "01.02.1944"}
    if resource["resourceType"] == "Encounter":
        yield "required", {k: v for k, v in resource.items() if k != "status"}
        yield "class", {k: v for k, v in resource.items() if k != "class"}
        yield "period", {**resource, "period": {"start": "2026-03-01T10:00:00"}}
        reversed_period = {"start": "2026-03-02", "end": "2026-03-01"}
        yield "reversed", {**resource, "period": reversed_period}
        yield "location", {**resource, "location": [{"status": "active"}]}


def test_the_fast_path_and_the_judge_differ_only_for_named_reasons():
    seen = set()
    for sample in samples(TRANSLATORS):
        if sample.name.startswith("synthea") and not sample.name.endswith(("1", "2")):
            continue
        for how, resource in spoiled(json.loads(sample.text)):
            rejected = isinstance(translated(sample, json.dumps(resource).encode()), Rejection)
            judged = bool(judge(resource, sample.release))
            expected = (how not in JUDGE_ONLY, how not in FAST_PATH_ONLY)
            assert (rejected, judged) == expected, (sample.name, how)
            seen.add(how)
    assert seen >= set(FAST_PATH_ONLY) | set(JUDGE_ONLY)


def test_strict_refuses_what_either_refuses():
    for sample in samples(TRANSLATORS):
        if sample.name.startswith("synthea"):
            continue
        for how, resource in spoiled(json.loads(sample.text)):
            text = json.dumps(resource).encode()
            assert isinstance(translated(sample, text, "strict"), Rejection), (sample.name, how)


def test_the_fast_path_reads_what_fhir_resources_reads():
    for sample in samples(TRANSLATORS):
        resource = json.loads(sample.text)
        kind = resource["resourceType"]
        model = model_of(kind, sample.release).model_validate(resource)
        outcome = translated(sample)
        assert isinstance(outcome, Translation), sample.name
        for event in outcome.events[:1]:
            assert event.subject.value == f"{kind}/{model.id}"
            given = [one.value for one in model.identifier or () if _connects(kind, one)]
            assert [one.value for one in event.identifiers] == given, sample.name
            _same_content(kind, model, event)


def _connects(kind, identifier):
    # Bare numbers are recorded for people and places, and connect no encounters and devices.
    bare = not identifier.system and kind in ("Encounter", "Device")
    return bool(identifier.value) and not bare


def _same_content(kind, model, event):
    if kind == "Encounter":
        assert event.status == model.status
        assert event.visit.class_ == model.class_fhir.code
        if model.period is not None:
            _same_instant(model.period.start, event.visit.admitted_at)
            if isinstance(model.period.end, datetime):
                _same_instant(model.period.end, event.visit.discharged_at)
        stated = [one.status for one in model.statusHistory or ()]
        assert [one.value for one in event.statuses] == stated
        starts = [one.period.start for one in model.statusHistory or ()]
        for start, status in zip(starts, event.statuses, strict=True):
            _same_instant(start, status.start)
    elif kind == "Location":
        assert event.status == (model.status or "")
        assert event.name == (model.name or "")
        parent = model.partOf.reference if model.partOf else None
        assert (event.part_of.value if event.part_of else None) == parent
    elif kind == "Patient":
        assert (event.demographics.sex or None) == model.gender
        born = event.demographics.birth_date
        assert born == model.birthDate.isoformat() if model.birthDate else not born
    elif kind in ("Organization", "Device"):
        assert (event.name or "") == (getattr(model, "name", None) or event.name)


def _same_instant(told, read):
    if isinstance(told, datetime):
        assert read == told.astimezone(UTC)
    elif told is not None:
        assert (read.year, read.month, read.day) == (told.year, told.month, told.day)

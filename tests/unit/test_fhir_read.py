"""Hostile and broken JSON is refused before anything trusts it; odd but valid JSON is read."""

import json
import time

import pytest

from adapters.fhir import Refused, Resource, Scope, read_bundle, read_resource, take_body
from adapters.fhir.read import has_repeated_names
from adapters.fhir.release import Release
from twin_core.events import Rejection
from twin_core.settings import FhirSettings, LimitSettings

LIMITS = LimitSettings()


def read(text):
    return read_resource(text, LIMITS)


def refused(text):
    outcome = read(text)
    assert isinstance(outcome, Refused), outcome
    return outcome.fault.reason


def patient(members):
    return b'{"resourceType":"Patient",' + members + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"   ",
        b"[]",
        b'"Patient"',
        b"7",
        b"null",
        b"{",
        b"{}",
        b'{"resourceType":7}',
        b'{"resourceType":""}',
        b"<Patient/>",
        b'{"resourceType":"Patient"} {}',
        b"{'resourceType':'Patient'}",
        b'{"resourceType":"Patient",}',
        '{"resourceType":"Patient"}'.encode("utf-16"),
        patient(b'"a":NaN'),
        patient(b'"a":-Infinity'),
        patient(b'"a":1e400'),
        patient(b'"a":' + b"9" * 5000),
        patient(b'"a":"\\ud800"'),
        patient(b'"a":"\\ud800\\u0041"'),
        patient(b'"a":"\xed\xa0\x80"'),
        patient(b'"a":"\xff"'),
        patient(b'"a":"\x00"'),
        patient(b'"a":"\\u0000"'),
        patient(b'"a":"\\\\\\u0000"'),
        patient(b'"a\\u0000":1'),
        patient(b'"a":"\n"'),
    ],
)
def test_what_is_no_fhir_json_is_refused_with_a_reason(text):
    assert refused(text)


@pytest.mark.parametrize(
    "members",
    [
        b'"a":"\\\\u0000"',
        b'"a":"\\\\ud800"',
        b'"a":"\\ud83d\\ude00"',
        b'"a":"\xf0\x9f\x98\x80"',
        b'"a" : 1, "b"\n:\t2',
        b'"a":"{[:,]}\\"", "b":":"',
        b'"a":"x\\u003ay"',
        b'"a":{"a":{"a":1}}',
        b'"meta":{"lastUpdated":"2026-03-01T10:00:00Z"}',
        b'"meta":{"lastUpdated":"a:b\\":c","versionId":"1"}',
        b'"meta":{"lastUpdated":{"x":1}}',
        b'"meta":{}',
        b'"a":123456789012345678901234567890',
    ],
)
def test_odd_but_valid_json_is_read(members):
    assert isinstance(read(patient(members)), Resource)


def test_a_byte_order_mark_is_passed_over():
    assert isinstance(read(b"\xef\xbb\xbf" + patient(b'"id":"a"')), Resource)


@pytest.mark.parametrize(
    "members",
    [
        b'"gender":"male","gender":"female"',
        b'"gender" :"male","gender":"female"',
        b'"gender":"male","gender" : "female"',
        b'"gender":"male","\\u0067ender":"female"',
        b'"a":[{"b":{"c":1,"c":1}}]',
        b'"a":"\\u003a","gender":"male","gender":"female"',
        b'"a":"\\u003a\\u003a","gender":"male","gender":"fe"',
        b'"meta":{"lastUpdated":"x","lastUpdated":"y"}',
        b'"meta":{"lastUpdated":"x"},"meta":{"lastUpdated":"y"}',
        b'"resourceType":"Encounter"',
    ],
)
def test_an_element_named_twice_is_refused(members):
    assert "twice" in refused(patient(members))


def test_a_name_may_occur_again_elsewhere():
    assert not has_repeated_names(b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}')


@pytest.mark.parametrize("brackets", [b"[", b'{"a":', b'[{"a":'])
def test_a_hundred_thousand_levels_are_answered_at_once(brackets):
    text = patient(b'"a":' + brackets * 100_000)
    started = time.monotonic()
    assert "nested" in refused(text)
    assert "nested" in read_bundle(text, LIMITS).fault.reason
    assert time.monotonic() - started < 1


def test_nesting_is_counted_outside_strings_and_up_to_the_limit():
    deepest = LIMITS.json_depth - 1
    assert isinstance(read(patient(b'"a":' + b"[" * deepest + b"]" * deepest)), Resource)
    assert refused(patient(b'"a":' + b"[" * (deepest + 1) + b"]" * (deepest + 1)))
    assert isinstance(read(patient(b'"a":"' + b"[" * 500 + b'\\"[[["')), Resource)
    assert isinstance(read(patient(b'"a":[' + b"[],{}," * 500 + b"1]")), Resource)


def test_an_endless_string_of_quotes_is_answered_at_once():
    text = patient(b'"a":[' + b"[" * 100 + b'"' + b'\\"' * 1_000_000)
    started = time.monotonic()
    assert refused(text)
    assert refused(patient(b'"a":"' + b"\\" * 2_000_001 + b"u0000"))
    assert time.monotonic() - started < 1


def test_a_resource_may_weigh_as_much_as_a_message():
    heavy = patient(b'"a":"' + b"x" * LIMITS.frame_bytes + b'"')
    outcome = read(heavy)
    assert isinstance(outcome, Refused)
    assert outcome.status == 413


def bundle_of(entries, kind="collection"):
    body = {"resourceType": "Bundle", "type": kind, "entry": entries}
    return json.dumps(body).encode()


def test_entries_keep_the_bytes_that_were_sent():
    resource = b'{ "resourceType" : "Patient",  "id":"a", "note":"\\u00e9: {[" }'
    text = b'{"resourceType":"Bundle","type":"collection","entry":[ {"resource": %s } ]}' % resource
    assert [entry.raw for entry in read_bundle(text, LIMITS).entries] == [resource]


@pytest.mark.parametrize(
    "text",
    [
        b'{"resourceType":"Bundle","type":"batch","type":"transaction"}',
        b'{"resourceType":"Bundle","type":"batch","entry":[],"entry":[]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":"a","fullUrl":"b"}]}',
        b'{"resourceType":"Bundle","type":"batch","entry":'
        b'[{"request":{"method":"PUT","method":"POST"}}]}',
    ],
)
def test_a_bundle_that_names_an_element_twice_is_refused(text):
    assert "twice" in read_bundle(text, LIMITS).fault.reason


@pytest.mark.parametrize(
    "text",
    [
        b'{"resourceType":"Bundle"}',
        b'{"resourceType":"Bundle","type":"subscription-notification"}',
        b'{"resourceType":"Bundle","type":7}',
        b'{"resourceType":"Bundle","type":"batch","entry":{}}',
        b'{"resourceType":"Bundle","type":"batch","entry":[7]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{"request":7}]}',
        b'{"resourceType":"Patient"}',
        b"[]",
        b"{",
    ],
)
def test_what_is_no_bundle_is_refused(text):
    assert isinstance(read_bundle(text, LIMITS), Refused)


def test_entries_are_counted_before_they_are_read():
    few = LIMITS.model_copy(update={"bundle_entries": 3})
    assert not isinstance(read_bundle(bundle_of([{}] * 3), few), Refused)
    assert read_bundle(bundle_of([{}] * 4), few).status == 413
    commas = [{"resource": {"resourceType": "Patient", "a": [1, 2, 3, 4], "b": "],,,,["}}]
    assert not isinstance(read_bundle(bundle_of(commas * 3), few), Refused)
    started = time.monotonic()
    assert read_bundle(bundle_of([{}] * 1_000_000), LIMITS).status == 413
    assert time.monotonic() - started < 5


def test_a_file_is_a_resource_or_a_bundle_or_a_reject_that_keeps_its_bytes():
    scope = Scope(
        source="files", release=Release.R4, settings=FhirSettings(), received_at=None, told=True
    )
    for text in (b"{", b'{"resourceType":"Bundle","type":"?"}', b'"Bundle"'):
        (only,) = take_body(text, scope, LIMITS)
        assert isinstance(only.outcome, Rejection)
        assert only.entry.raw == text

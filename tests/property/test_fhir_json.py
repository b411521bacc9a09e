"""Whatever JSON arrives becomes events or a reject with a reason, and never an exception."""

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.fhir import TRANSLATORS, Refused, Release, Scope, read_resource, take_body
from adapters.fhir.read import has_repeated_names
from twin_core.events import Rejection, Translation, decode_events, encode_events
from twin_core.settings import FhirSettings, LimitSettings

LIMITS = LimitSettings()
ELEMENTS = """
resourceType id meta versionId lastUpdated identifier system value type coding code status period
start end class statusHistory classHistory location reference subject participant individual actor
hospitalization admission partOf serviceProvider contained link other name given gender birthDate
deceasedBoolean deceasedDateTime address operationalStatus physicalType form serviceType entry
resource request method url fullUrl
""".split()
WORDS = [
    *TRANSLATORS,
    *"Bundle Observation transaction batch collection finished in-progress IMP male #a".split(),
    *"Patient/1 urn:uuid:1 2026-03-01 2026-03-01T10:00:00Z 9999-12-31 0001-01-01 POST".split(),
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS


def objects(below):
    return st.dictionaries(st.sampled_from(ELEMENTS) | st.text(max_size=4), below, max_size=6)


TREES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | objects(below))
RESOURCES = st.builds(
    lambda kind, tree: {**tree, "resourceType": kind},
    st.sampled_from([*TRANSLATORS, "Bundle", "Observation"]),
    objects(TREES),
)


def taken(body, strictness, release):
    scope = Scope(
        source="any",
        release=release,
        settings=FhirSettings(strictness=strictness, bed_system="urn:b"),
        received_at=datetime(2026, 3, 1, tzinfo=UTC),
        told=True,
    )
    return list(take_body(body, scope, LIMITS))


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(RESOURCES, TREES),
    st.sampled_from(["lenient", "standard", "strict"]),
    st.sampled_from(list(Release)),
)
def test_any_json_is_answered(tree, strictness, release):
    for one in taken(json.dumps(tree).encode(), strictness, release):
        if isinstance(one.outcome, Rejection):
            assert all(fault.code and fault.reason for fault in one.outcome.faults)
            assert one.outcome.faults
        else:
            assert isinstance(one.outcome, Translation)
            assert decode_events(encode_events(one.outcome.events)) == one.outcome.events


@given(st.binary(max_size=200), st.sampled_from(list(Release)))
def test_any_bytes_are_answered(body, release):
    for one in taken(body, "standard", release):
        assert isinstance(one.outcome, Rejection | Translation)


PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b", "a:", ':"']), TEXTS), max_size=4)


@given(PAIRS, st.booleans(), st.sampled_from(["", " ", "\n"]))
def test_the_quick_count_of_names_agrees_with_the_slow_reader(pairs, ascii_only, space):
    members = [("resourceType", "Patient"), *pairs]
    written = ",".join(
        json.dumps(name, ensure_ascii=ascii_only)
        + f"{space}:"
        + json.dumps(member, ensure_ascii=ascii_only)
        for name, member in members
    )
    text = ("{" + written + "}").encode()
    read = read_resource(text, LIMITS)
    if isinstance(read, Refused):
        if "twice" in read.fault.reason:
            assert has_repeated_names(text)
    else:
        assert not has_repeated_names(text)

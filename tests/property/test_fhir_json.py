"""Whatever JSON arrives becomes events or a reject with a reason, and never an exception."""

import json
from datetime import UTC, datetime
from pathlib import Path

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


@settings(max_examples=250, deadline=None)
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


PAIRS_FOLDER = Path(__file__).parents[2] / "fixtures" / "fhir"
VALID = [
    json.loads(path.read_bytes())
    for path in sorted(PAIRS_FOLDER.glob("*.json"))
    if not path.name.endswith(".events.json")
]
TIMES = ["9999-12-31T23:59:60Z", "0001-01-01T00:00:00+14:00", "2026-03-01T10:00:00"]
TREES_OF_JUNK = [[], {}, [[]], [{}], {"reference": "#"}, {"value": "x"}, ["a", None]]
JUNK = st.sampled_from([None, True, 0, -1.5, "", "#", "#x", "/", *TIMES, *TREES_OF_JUNK])


def places_in(tree, at=()):
    """Every path in a JSON tree."""
    found = [at] if at else []
    steps = tree if isinstance(tree, dict) else range(len(tree) if isinstance(tree, list) else 0)
    for step in steps:
        found += places_in(tree[step], (*at, step))
    return found


@st.composite
def spoiled(draw):
    """A valid resource with a few of its parts replaced by something that does not belong."""
    tree = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places_in(tree)))
        around = tree
        for step in path:
            around = around[step]
        around[last] = json.loads(json.dumps(draw(JUNK)))
    return tree


@settings(max_examples=250, deadline=None)
@given(spoiled(), st.sampled_from(["lenient", "standard", "strict"]))
def test_a_spoiled_resource_is_answered(tree, strictness):
    for one in taken(json.dumps(tree).encode(), strictness, Release.R4):
        if isinstance(one.outcome, Translation):
            assert decode_events(encode_events(one.outcome.events)) == one.outcome.events
        else:
            assert one.outcome.faults


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

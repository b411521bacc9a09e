"""Resources and messages, de-identified: golden pairs, and rules that hold for whatever is sent."""

import io
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st

from adapters.fhir import deidentify as fhir
from adapters.hl7v2 import deidentify as hl7
from adapters.hl7v2.unit_codes import valid_ucum
from api.cli import main
from api.deidentifying import FileDeidentifier
from twin_core.deid import Codebook, Keys
from twin_core.deid.nomenclatures import SYSTEMS, is_code
from twin_core.errors import UsageError
from twin_core.settings import DeidSettings, LimitSettings, Settings

PAIRS = Path(__file__).parents[2] / "fixtures/deid"
KEYS = Keys(bytes.fromhex("ab" * 32), bytes.fromhex("cd" * 32))
BOOK = Codebook(KEYS, shift_weeks=26)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
SECRETS = (
    "quisenberry ada marie bronte bob addie dove jane joe house gregory joy doe smith mary boston"
    " main munich suffolk 4711 999-12-3456 dl12345 555 02138 80331 03601 uxvpc2 1934 v123 acc77"
    " old1 new2 42.37 -71.11 note_ nickname nurse1 d1 pa-77 vip st-mary bcbs wife husband"
).split()
"""What the inputs of the pairs say of people, in lower case."""


OBSERVATION = get_fhir_model_class("Observation")


def deidentified(settings, source, target, profile="shifted"):
    return FileDeidentifier(settings, KEYS, profile, NOW).run(source, target)


# --- golden pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in (PAIRS / "input").iterdir()))
def test_a_file_becomes_its_pair(name, tmp_path):
    deidentified(Settings(), PAIRS / "input" / name, tmp_path / name)
    assert (tmp_path / name).read_bytes() == (PAIRS / "output" / name).read_bytes()


@pytest.mark.parametrize("profile", ["limited", "shifted", "safe_harbor"])
@pytest.mark.parametrize("name", sorted(path.name for path in (PAIRS / "input").iterdir()))
def test_nothing_that_names_somebody_passes(name, profile, tmp_path):
    deidentified(Settings(), PAIRS / "input" / name, tmp_path / name, profile)
    written = (tmp_path / name).read_text().lower()
    # Words of the standards, and digits that chance put into a pseudonym.
    bare = re.sub(r"[0-9a-f-]{8,}|deidentified\.invalid", " ", written)
    assert [word for word in SECRETS if re.search(rf"(?<![a-z0-9]){re.escape(word)}", bare)] == []


@pytest.mark.parametrize("profile", ["limited", "shifted", "safe_harbor"])
@pytest.mark.parametrize("name", ["bundle.json", "stream.ndjson"])
def test_what_passes_is_valid_and_labelled(name, profile, tmp_path):
    deidentified(Settings(), PAIRS / "input" / name, tmp_path / name, profile)
    text = (tmp_path / name).read_text()
    resources = [json.loads(text)] if name.endswith(".json") else map(json.loads, text.splitlines())
    label = "ANONYED" if profile == "safe_harbor" else "PSEUDED"
    for resource in resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        for one in [resource, *(e["resource"] for e in resource.get("entry", ()))]:
            assert label in {c["code"] for c in one["meta"]["security"]}


# --- resources -----------------------------------------------------------------------------------


def site(profile="shifted", **more):
    return fhir.Site(BOOK, profile, NOW, is_unit=valid_ucum, **more)


def passed(resource, profile="shifted", **more):
    return fhir.Deidentifier(site(profile, **more)).resource(resource)


def observation(**more):
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": code,
        "subject": {"reference": "Patient/p"},
        **more,
    }


TIMES = (
    st.integers(-20 * 365 * 86_400, 60 * 365 * 86_400)
    .map(lambda seconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    .flatmap(
        lambda at: st.sampled_from(
            [
                at.strftime("%Y-%m-%d"),
                at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                at.strftime("%Y-%m-%dT%H:%M:%S.%f-05:00"),
                at.strftime("%Y-%m-%dT%H:%M:%S.123+09:30"),
            ]
        )
    )
)


@given(st.text("abc123-.", min_size=1, max_size=8), TIMES)
def test_an_instant_moves_by_the_weeks_of_its_patient_in_whole_hours_of_utc(patient, told):
    resource = observation(effectiveDateTime=told)
    resource["subject"] = {"reference": f"Patient/{patient}"}
    moved = passed(resource)["effectiveDateTime"]
    assert re.sub(r"\d", "0", moved) == re.sub(r"\d", "0", told), "as precise as it was"
    weeks = timedelta(weeks=BOOK.weeks(patient))
    if "T" not in told:
        assert date.fromisoformat(told) - date.fromisoformat(moved) == weeks
        return
    said, heard_ = datetime.fromisoformat(told).astimezone(UTC), datetime.fromisoformat(moved)
    assert heard_ + weeks == said.replace(minute=0, second=0, microsecond=0)
    assert moved[-6:] == told[-6:] or told.endswith("Z")


@given(TIMES.filter(lambda told: "T" in told), TIMES.filter(lambda told: "T" in told))
def test_a_period_never_ends_before_it_starts(one, other):
    start, end = sorted((one, other), key=datetime.fromisoformat)
    told = passed(observation(effectivePeriod={"start": start, "end": end}))["effectivePeriod"]
    assert datetime.fromisoformat(told["start"]) <= datetime.fromisoformat(told["end"])


@pytest.mark.parametrize("told", ["2026", "2026-03", "1999-12"])
def test_a_year_or_a_month_alone_cannot_move_by_weeks_and_does_not_pass_where_others_do(told):
    assert "effectiveDateTime" not in passed(observation(effectiveDateTime=told))
    assert passed(observation(effectiveDateTime=told), "limited")["effectiveDateTime"] == told
    found = passed(observation(effectiveDateTime=told), "safe_harbor")["effectiveDateTime"]
    assert found == told[:4]
    period = {"start": told, "end": "2026-03-02"}
    assert passed(observation(effectivePeriod=period))["effectivePeriod"].keys() == {"end"}
    timing = passed(observation(effectiveTiming={"event": [told, "2026-03-02"]}))
    assert len(timing["effectiveTiming"]["event"]) == 1
    dose = {"resourceType": "MedicationAdministration", "id": "m", "status": "completed"}
    dose |= {"subject": {"reference": "Patient/p"}, "medicationCodeableConcept": {"text": "x"}}
    found = passed(dose | {"effectiveDateTime": told})
    assert found["_effectiveDateTime"]["extension"][0]["valueCode"] == "masked"


DATED = {
    "effectiveDateTime": st.one_of(TIMES, st.just("")),
    "effectivePeriod": TIMES.map(lambda at: {"start": at, "end": "2090-01-01"}),
    "effectiveTiming": TIMES.map(lambda at: {"event": [at, "1999"], "repeat": {"count": 1}}),
    "effectiveInstant": TIMES,
    "valueDateTime": TIMES,
    "valueTime": st.sampled_from(["10:15", "23:59:59.5", "24:00:00", "10:61", "08:00:00"]),
    "issued": TIMES,
}
CUT = st.sampled_from([4, 7, 10, 13, 16, 19, 99])
WRONG = {"": "", "T08": "T28", ":3": ":7", "-05:00": "-15:00", "Z": "", "-0": "-1", "-2": "-3"}


def cut(value, length, wrong):
    if isinstance(value, dict):
        return {name: cut(one, length, wrong) for name, one in value.items()}
    if isinstance(value, list):
        return [cut(one, length, wrong) for one in value]
    return value[:length].replace(wrong, WRONG[wrong]) if isinstance(value, str) else value


@given(
    st.sampled_from(sorted(DATED)).flatmap(lambda name: st.tuples(st.just(name), DATED[name])),
    st.sampled_from(["limited", "shifted", "safe_harbor"]),
    CUT,
    st.sampled_from(sorted(WRONG)),
    st.sampled_from(["8867-4", "21112-8"]),
)
def test_whatever_a_date_was_what_passes_is_one_of_fhir(dated, profile, length, wrong, code):
    name, value = dated
    stated = observation(**{name: cut(value, length, wrong)}) | {"code": coded(code)}
    found = passed(stated, profile)
    OBSERVATION.model_validate(found)
    text = json.dumps({k: v for k, v in found.items() if k.startswith(("eff", "val", "iss"))})
    for at in re.findall(r"\d{4}-\d\d-\d\dT[^\"]*", text):
        assert re.fullmatch(r".{10}T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", at)
    if name in ("effectiveInstant", "issued"):
        assert len(found.get(name, "T" * 20)) >= 20
    if profile == "shifted" and code == "21112-8":
        assert not re.search(r'"effective', text)


@pytest.mark.parametrize(
    "told",
    ["Ada's birthday", "2026-13-40", "2026-03-02 Ada", "2026-02-30", "99999-01-01", 20260302],
)
def test_what_is_no_date_is_dropped(told):
    assert "effectiveDateTime" not in passed(observation(effectiveDateTime=told))


def test_a_resource_of_nobody_tells_no_instants():
    resource = observation(effectiveDateTime="2026-03-02")
    del resource["subject"]
    assert "effectiveDateTime" not in passed(resource)
    assert passed(resource, "limited")["effectiveDateTime"] == "2026-03-02"


def test_one_patient_has_one_shift_by_whatever_reference():
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {
                "fullUrl": "urn:uuid:0a0a0a0a-0000-4000-8000-000000000001",
                "resource": {
                    "resourceType": "Patient",
                    "id": "p",
                    "deceasedDateTime": "2026-03-02",
                },
            },
            *(
                {"resource": observation(effectiveDateTime="2026-03-02", subject={"reference": r})}
                for r in (
                    "Patient/p",
                    "Patient/p/_history/7",
                    "https://ehr.example/base/Patient/p",
                    "urn:uuid:0a0a0a0a-0000-4000-8000-000000000001",
                )
            ),
        ],
    }
    entries = [entry["resource"] for entry in passed(bundle)["entry"]]
    told = {entry.get("effectiveDateTime", entry.get("deceasedDateTime")) for entry in entries}
    assert len(told) == 1
    references = {entry["subject"]["reference"] for entry in entries[1:]}
    assert len(references) == 2
    assert f"Patient/{entries[0]['id']}" in references


def test_references_in_a_bundle_still_lead_somewhere(tmp_path):
    deidentified(Settings(), PAIRS / "input/bundle.json", tmp_path / "b.json")
    told = json.loads((tmp_path / "b.json").read_text())
    urls = {entry["fullUrl"] for entry in told["entry"]}
    ids = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in told["entry"]}
    subjects = {
        entry["resource"]["subject"]["reference"]
        for entry in told["entry"]
        if "subject" in entry["resource"]
    }
    assert len(subjects) == 2
    assert subjects <= urls | ids


@pytest.mark.parametrize(
    "where",
    [
        {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]},
        {"implicitRules": "http://st-mary.example/rules"},
        {"component": [{"code": {}, "modifierExtension": [{"url": "urn:x"}]}]},
    ],
)
def test_a_modifier_that_nobody_knows_refuses_its_resource(where):
    deidentifier = fhir.Deidentifier(site())
    assert deidentifier.resource(observation(**where)) is None
    assert sum(deidentifier.refused.values()) == 1
    assert "st-mary" not in str(deidentifier.refused)


@pytest.mark.parametrize(
    ("coding", "passes"),
    [
        ({"system": "http://loinc.org", "code": "8867-4"}, True),
        ({"system": "http://loinc.org", "code": "8867-5"}, False),
        ({"system": "http://loinc.org", "code": "ADA"}, False),
        ({"system": "http://snomed.info/sct", "code": "22298006"}, True),
        ({"system": "http://snomed.info/sct", "code": "22298007"}, False),
        ({"system": "http://st-mary.example/codes", "code": "HR"}, False),
        ({"system": "urn:local", "code": "HR"}, True),
        ({"system": "urn:local", "code": "Ada Quisenberry"}, False),
        ({"code": "8867-4"}, False),
        ({"system": "http://hl7.org/fhir/ADA", "code": "final"}, False),
        ({"system": "http://unitsofmeasure.org", "code": "{Ada}"}, False),
        ({"system": "http://unitsofmeasure.org", "code": "mmol/L"}, True),
    ],
)
def test_only_codes_of_known_systems_in_their_form_pass(coding, passes):
    stated = observation(valueCodeableConcept={"coding": [{**coding, "display": "Ada"}]})
    found = passed(stated, code_systems=frozenset({"urn:local"}))
    expected = {"coding": [coding]} if passes else None
    assert found.get("valueCodeableConcept") == expected


THO = "http://terminology.hl7.org/CodeSystem/"
HOSTILE = (
    "SMITH smith Smith smith-jones SMITH-JONES LEE lee Lee ANA ana MAY_LEE BARRETT Jo J0HN"
    " M1CHAEL A1BERTO ADA-1 555-1234 5551234567 15551234567 617-555-1234 999-12-3456 999123456"
    " 4711471 47114711 192.168.1.1 1960-05-05 19600505 02138-1234 QW12345678 jane.doe@x.example"
).split()
"""What somebody may type into a coded field by mistake: names, telephones, numbers, dates."""


@pytest.mark.parametrize("system", sorted(SYSTEMS.known))
def test_what_a_name_or_a_number_of_somebody_looks_like_is_a_code_of_no_system(system):
    found = {code for code in HOSTILE if is_code(system, code)}
    # A number of four to seven digits, or a ZIP with four more, may be a code by chance; no more.
    assert found <= {"4711471", "555-1234"}
    assert not {"4711471"} & found or system.endswith(("11073:10101", "umls/rxnorm"))
    assert all(is_code(system, code) for code in SYSTEMS.known[system].codes)
    assert SYSTEMS.known[system].because.strip()


@pytest.mark.parametrize(
    ("system", "passing", "failing"),
    [
        ("http://loinc.org", "8867-4 718-7 LA33-6 104932-9", "8867-5 08867-4 88674 1234567-1"),
        (
            "http://snomed.info/sct",
            "22298006 428191000124101 11000172109 10509002",
            "22298007 22298113 5551234567 428191000124102",
        ),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "1191 2670000", "0191 4711471 47114711"),
        (
            "http://hl7.org/fhir/sid/icd-10-cm",
            "I10 E84.0 S06.0XXA U07.1 C7A.0 Z3A.08 O36.8121 M35.0A C84.Z9",
            "I1 JOHN M1CHAEL I21.SMITH",
        ),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "0DTJ4ZZ GZFZZZZ", "BARRETT GARRETT"),
        (
            "http://hl7.org/fhir/sid/ndc",
            "0777-3105-02 50090-0481-0 00777310502",
            "5551234567 999123456 15551234567 617-555-1234",
        ),
        ("http://hl7.org/fhir/sid/cvx", "08 207", "2070 LEE"),
        ("urn:iso:std:iso:11073:10101", "150456 147842 8410608", "67108865 4711 12"),
        ("urn:oid:2.16.840.1.113883.6.238", "2106-3 2054-5", "2106-4 9106-3 555-1234"),
        ("http://dicom.nema.org/resources/ontology/DCM", "CT 110153", "LEE 555123"),
        (f"{THO}v3-MaritalStatus", "M S T", "MARRIED smith LEE"),
        (f"{THO}v3-ActCode", "AMB IMP EMER", "LEE smith"),
        (f"{THO}condition-clinical", "active", "ada"),
        (f"{THO}no-such-system", "", "active M 1"),
        (f"{THO}v3-Ada", "", "M"),
        ("http://hl7.org/fhir/administrative-gender", "female", "ada"),
        ("http://hl7.org/fhir/ada", "", "ada final"),
        ("urn:iso:std:iso:3166", "US DEU", "ADA LEE"),
        ("urn:ietf:bcp:47", "en en-US fil", "lee ada ana-LEE"),
    ],
)
def test_a_code_is_in_the_list_or_in_the_strict_form_of_its_system(system, passing, failing):
    assert [code for code in passing.split() if not is_code(system, code)] == []
    assert [code for code in failing.split() if is_code(system, code)] == []


def codings(value):
    """Every Coding within a resource, and every word of a language, a profile or an event."""
    if isinstance(value, dict):
        if "code" in value and "system" in value:
            yield value
        for inner in value.values():
            yield from codings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from codings(inner)


@pytest.mark.parametrize("profile", ["limited", "shifted", "safe_harbor"])
def test_no_coded_field_of_a_resource_tells_a_name(profile):
    bundle = json.loads((PAIRS / "input/bundle.json").read_text())
    patient = bundle["entry"][0]["resource"]
    patient.update(maritalStatus={"coding": [{"system": f"{THO}v3-MaritalStatus", "code": "M"}]})
    told = json.dumps(passed(bundle, profile))
    assert told.count('"v3-MaritalStatus"'.strip('"')) == 1, "the true one passes"
    places = [one for entry in bundle["entry"] for one in codings(entry["resource"])]
    assert len(places) >= 19
    for name in ("smith", "LEE", "Ada", "5551234567"):
        for place in places:
            place["code"] = name
        found = passed(bundle, profile)
        said = {one["code"] for one in codings(found)} - {"PSEUDED", "ANONYED"}
        assert name not in said, said


@pytest.mark.parametrize(
    ("element", "kept"),
    [
        ({"multipleBirthInteger": 2}, True),
        ({"multipleBirthInteger": 4711}, False),
        ({"multipleBirthInteger": 5}, False),
        ({"maritalStatus": {"coding": [{"system": f"{THO}v3-MaritalStatus", "code": "T"}]}}, True),
        (
            {
                "maritalStatus": {
                    "coding": [{"system": "http://snomed.info/sct", "code": "87915002"}]
                }
            },
            False,
        ),
        ({"meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/Ada-Smith"]}}, False),
        ({"meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}}, True),
        ({"language": "en-US"}, True),
        ({"language": "ada-LEE"}, False),
        ({"language": "lee"}, False),
    ],
)
def test_an_element_takes_codes_of_what_it_is_bound_to(element, kept):
    [(name, stated)] = element.items()
    found = passed({"resourceType": "Patient", "id": "p", **element})
    if name == "meta":
        assert ("profile" in found["meta"]) == kept
    else:
        assert found.get(name) == (stated if kept else None)


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (f"{THO}v3-ActReason", "SMITH"),
        (f"{THO}v3-Confidentiality", "LEE"),
        (f"{THO}v3-ObservationValue", "ADA"),
        ("http://snomed.info/sct", "22298006"),
        ("http://loinc.org", "8867-4"),
        ("urn:local", "vip"),
    ],
)
def test_a_security_label_is_one_of_hl7_and_nothing_else(system, code):
    labels = [{"system": system, "code": code}, {"system": f"{THO}v3-Confidentiality", "code": "R"}]
    for profile, own in (("shifted", "PSEUDED"), ("safe_harbor", "ANONYED")):
        deidentifier = fhir.Deidentifier(site(profile, code_systems=frozenset({"urn:local"})))
        found = deidentifier.resource(observation(meta={"security": labels}))
        assert [one["code"] for one in found["meta"]["security"]] == ["R", own]
        assert (
            sum(n for path, n in deidentifier.dropped.items() if " code of a system" in path) == 1
        )


@pytest.mark.parametrize("unit", ["m471", "10*471", "m12.g34.s5", "{Ada}", "4711.m", "m555.m1234"])
def test_a_unit_spells_no_number_and_no_name(unit):
    found = passed(observation(valueQuantity={"value": 1, "unit": unit, "code": unit}))
    assert found["valueQuantity"] == {"value": 1}
    text, _ = heard(f"{HEAD}\rPID|||1^^^GEN^MR\rOBX|1|NM|8867-4^x^LN||1|{unit}|||||F\r")
    assert unit not in text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"when": ["ACM", "MORN.early", "SMITH", "LEE.ada"]}, {"when": ["ACM", "MORN.early"]}),
        ({"count": 3, "frequency": 4711471}, {"count": 3}),
    ],
)
def test_a_timing_says_nothing_of_somebody_s_own(value, told):
    found = passed(observation(effectiveTiming={"repeat": value}))
    assert found["effectiveTiming"]["repeat"] == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"value": 89, "unit": "years", "code": "a"}, 89),
        ({"value": 90, "unit": "years"}, 90),
        ({"value": 97, "unit": "yr"}, 90),
        ({"value": 104, "system": "http://unitsofmeasure.org", "code": "a"}, 90),
        ({"value": 1140, "system": "http://unitsofmeasure.org", "code": "mo"}, 1080),
        ({"value": 97, "system": "http://unitsofmeasure.org", "code": "kg"}, 97),
    ],
)
def test_ages_over_89_are_90(value, told):
    assert passed(observation(valueQuantity=value))["valueQuantity"]["value"] == told
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p"}}
    assert passed({**condition, "onsetAge": value})["onsetAge"]["value"] == told
    ages = observation(valueInteger=97)
    ages["code"] = {"coding": [{"system": "http://loinc.org", "code": "30525-0"}]}
    assert passed(ages)["valueInteger"] == 90
    assert passed(observation(valueInteger=97))["valueInteger"] == 97


@pytest.mark.parametrize(
    ("born", "told"), [("1937-01-01", "1937"), ("1936-12-31", None), ("1999", "1999")]
)
def test_a_birth_date_is_a_year_and_none_over_89(born, told):
    assert (
        passed({"resourceType": "Patient", "id": "p", "birthDate": born}).get("birthDate") == told
    )


def coded(code, text=None):
    return {
        "coding": [{"system": "http://loinc.org", "code": code}],
        **({"text": text} if text else {}),
    }


BIRTHS = (coded("21112-8"), coded("54124-3"), coded("8867-4", "Date of birth"), {"text": "DOB"})


@pytest.mark.parametrize("profile", ["limited", "shifted", "safe_harbor"])
@pytest.mark.parametrize("code", BIRTHS)
def test_a_birth_date_as_a_value_is_told_as_that_of_a_patient(code, profile):
    whole = {"valueDateTime": "1960-05-05", "effectivePeriod": {"start": "1960-05-05T07:12:00Z"}}
    found = passed(observation(**whole) | {"code": code}, profile)
    # Where instants move, a year that does not would tell by how much.
    effective = None if profile == "shifted" else {"start": "1960"}
    assert found["valueDateTime"] == "1960"
    assert found.get("effectivePeriod") == effective
    inner = observation(component=[{"code": {"text": "x"}}, {"code": code, **whole}], **whole)
    found = passed(inner, profile)
    assert found["component"][-1]["valueDateTime"] == "1960"
    assert found.get("effectivePeriod") == effective
    old = json.loads(json.dumps(whole).replace("1960", "1920"))
    told = json.dumps(passed(observation(**old) | {"code": code}, profile))
    assert not re.search(r"19[12]\d", told)
    numbers = [passed(observation(valueInteger=n) | {"code": code}, profile) for n in (1960, 1920)]
    assert [found.get("valueInteger") for found in numbers] == [1960, None]


@pytest.mark.parametrize("profile", ["shifted", "safe_harbor"])
def test_no_year_is_told_that_makes_a_patient_older_than_89(profile):
    for told in ("1936", "1936-12-31", "1920-05-05T10:00:00Z"):
        assert "effectiveDateTime" not in passed(observation(effectiveDateTime=told), profile)
        assert "effectivePeriod" not in passed(
            observation(effectivePeriod={"start": told}), profile
        )
    assert "effectiveDateTime" in passed(observation(effectiveDateTime="1937-01-01"), profile)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"valueQuantity": {"value": 97}}, {"valueQuantity": {"value": 90}}),
        (
            {"valueQuantity": {"value": 97, "comparator": ">"}},
            {"valueQuantity": {"value": 90, "comparator": ">"}},
        ),
        ({"valueQuantity": {"value": 97, "comparator": "<"}}, {}),
        (
            {"valueRange": {"low": {"value": 92}, "high": {"value": 97, "unit": "years"}}},
            {"valueRange": {"low": {"value": 90}, "high": {"value": 90, "unit": "years"}}},
        ),
        ({"valueInteger": 97}, {"valueInteger": 90}),
        ({"valueInteger": 42}, {"valueInteger": 42}),
        ({"valueQuantity": {"value": 97, "unit": "hours"}}, None),
    ],
)
def test_an_age_by_code_ends_at_90_in_every_form(value, told):
    found = passed(observation(**value) | {"code": coded("30525-0")})
    told = value if told is None else told
    assert {name: one for name, one in found.items() if name.startswith("value")} == told
    inner = observation(component=[{"valueString": "x"}, {"code": coded("30525-0"), **value}])
    [component] = passed(inner)["component"]
    assert {name: one for name, one in component.items() if name.startswith("value")} == told


@pytest.mark.parametrize(
    "value",
    [
        {"valueInteger": 6175551234},
        {"valueInteger": -1000000},
        {"valueQuantity": {"value": 123456789}},
        {"valueQuantity": {"value": 1234567.5, "unit": "mg"}},
        {"valueRange": {"low": {"value": 4711471}}},
        {"valueSampledData": {"data": "1 6175551234"}},
    ],
)
def test_a_number_of_seven_digits_passes_nowhere(value):
    for profile in ("limited", "shifted", "safe_harbor"):
        found = passed(observation(**value), profile)
        assert not [name for name in found if name.startswith("value")]
    kept = passed(observation(valueQuantity={"value": 999999.12345678}))["valueQuantity"]
    assert kept == {"value": 999999.123457}


@pytest.mark.parametrize("code", ["45396-9", "46106-1", "76435-7"])
def test_a_number_by_which_somebody_is_known_passes_in_no_length(code):
    assert "valueInteger" not in passed(observation(valueInteger=471112) | {"code": coded(code)})
    text, _ = heard(f"{HEAD}\rPID|||1^^^GEN^MR\rOBX|1|NM|{code}^x^LN||471112||||||F\r")
    assert "471112" not in text


def test_the_length_of_a_visit_is_whole_hours_where_instants_move():
    visit = {
        "resourceType": "Encounter",
        "subject": {"reference": "Patient/p"},
        "length": {"value": 137, "unit": "min"},
    }
    assert passed(visit)["length"]["value"] == 2
    assert passed(visit)["length"]["code"] == "h"
    assert "length" not in passed(visit, "safe_harbor")
    assert passed(visit, "limited")["length"]["value"] == 137


NAMES = "id code subject component meta contained valueQuantity entry extension link status".split()
SCRAPS: tuple[object, ...] = (
    None,
    True,
    7,
    "",
    "x",
    [],
    [None],
    {},
    [{}],
    {"coding": [1, {}]},
    {"coding": "x"},
    {"reference": 7, "use": [], "type": {}},
    [{"resourceType": {}, "id": "x"}],
    {"reference": "#"},
    {"reference": "Patient/"},
    [{"resourceType": "Patient"}],
    [{"resource": {"resourceType": []}}, 7],
    [{"url": 7}, {"other": []}],
    {"value": "x", "unit": 7, "code": []},
    {"system": [], "code": {}},
)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(SCRAPS)),
    st.sampled_from(["Observation", "Patient", "Bundle", "Encounter", "Nothing", None, 7]),
)
def test_nonsense_is_never_an_error(scraps, kind):
    resource = {**scraps, "resourceType": kind}
    passed(resource)
    passed({"resourceType": "Bundle", "entry": [{"resource": resource, "request": 7}, 7, None]})
    list(fhir.survivors({"resourceType": "Bundle", "entry": [{"resource": resource}]}))


# --- messages ------------------------------------------------------------------------------------


def heard(raw, profile="shifted", **more):
    deidentifier = hl7.Deidentifier(hl7.Site(BOOK, profile, NOW, **more), LimitSettings())
    told = deidentifier.message(raw.encode())
    return (told.decode() if told is not None else None), deidentifier


HEAD = r"MSH|^~\&|PAS|GEN|X|Y|20260302081530+0100||ADT^A01|C1|P|2.5"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("OBX|1|{}|8867-4^x^LN||1", ["NM", "CWE", "ST", "ID"]),
        ("EVN|{}|20260302", ["A01", "Z99"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||{}^A01|C1|P|2.5", ["ADT", "ORU"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^{}|C1|P|2.5", ["A01", "Z01"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^A01^{}|C1|P|2.5", ["ADT_A01"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^A01|C1|{}|2.5", ["P", "T"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^A01|C1|P|{}", ["2.3.1", "2.5.1", "2.9"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^A01|C1|P|2.5|||{}", ["AL", "NE"]),
        ("MSH|^~\\&|PAS|GEN|X|Y|20260302||ADT^A01|C1|P|2.5|||||{}", ["USA", "DE"]),
        ("MSA|{}|C1", ["AA", "CR"]),
        ("ZBE|1|20260302||INSERT|Y|{}", ["A01"]),
        ("PID|||1^^^GEN^MR||||||||||||||||||||||{}", ["1", "3"]),
        ("OBX|1|NM|8867-4^x^LN|{}|1", ["1", "1.2.1.3"]),
        ("PV1||{}", ["I", "E"]),
    ],
)
def test_a_coded_field_of_a_message_says_what_its_table_has(line, kept):
    def told(word):
        lines = [line.format(word), "PID|||1^^^GEN^MR"]
        text, _ = heard("\r".join(lines if line[:3] == "MSH" else [HEAD, *lines, ""]), "limited")
        found = [one for one in (text or "").split("\r") if one[:3] == line[:3]]
        return re.split(r"[|^]", found[0] if found else "")

    names = ["LEE", "ANA", "Jo", "SMI_J01", "SMITH", "192.168.1.1", "4711471", "617"]
    assert [word for word in kept if word not in told(word)] == []
    assert [word for word in names if word in told(word)] == []


def test_a_patient_keeps_one_shift_through_a_merge(tmp_path):
    deidentified(Settings(), PAIRS / "input/merge.hl7", tmp_path / "m.hl7")
    told = re.findall(r"EVN\|A\d\d\|(\d{8})", (tmp_path / "m.hl7").read_text())
    days = [datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in told]
    assert [(day - days[0]).days for day in days] == [0, 1, 2]


@given(
    st.permutations([["a", "b"], ["b", "c"], ["d", "e"], ["f"]]),
)
def test_who_is_one_person_does_not_depend_on_the_order(groups):
    found = hl7.same_people(iter(groups))
    assert [found[key] for key in "abcdef"] == ["a", "a", "a", "d", "d", "f"]


@pytest.mark.parametrize(
    ("told", "of_day"),
    [
        ("20260302", ""),
        ("2026030208", "08"),
        ("202603020815", "0800"),
        ("20260302081530", "080000"),
        ("20260302081530.1234", "080000.0000"),
        ("20260302081530.1+0100", "080000.0+0100"),
        ("20260302081530+0530", "073000+0530"),
        ("20260302081530-0330", "073000-0330"),
        ("20260303001530+0530", "233000+0530"),
        ("20260302-0500", "-0500"),
    ],
)
def test_a_timestamp_keeps_its_precision_and_its_offset_in_whole_hours(told, of_day):
    text, _ = heard(f"{HEAD}\rEVN|A01|{told}\rPID|||4711^^^GEN^MR\r")
    moved = text.split("EVN|A01|")[1].partition("\r")[0]
    assert len(moved) == len(told)
    assert moved[8:] == of_day
    gap = date(2026, 3, 2) - date.fromisoformat(moved[:8])
    assert gap == timedelta(weeks=BOOK.weeks("GEN|4711"))
    assert heard(f"{HEAD}\rEVN|A01|{told}\rPID|||4711^^^GEN^MR\r", "limited")[0].count(told)


@pytest.mark.parametrize(
    ("told", "limited", "year"),
    [
        ("2026", "2026", "2026"),
        ("202603", "202603", "2026"),
        ("202603+0100", "202603+0100", "2026"),
        ("202613", "", ""),
        ("20260231", "", ""),
        ("2026030225", "", ""),
        ("202603021061", "", ""),
        ("20260302+2500", "", ""),
    ],
)
def test_a_timestamp_that_cannot_be_moved_or_is_none_does_not_pass(told, limited, year):
    raw = f"{HEAD}\rEVN|A01|{told}|X\rPID|||4711^^^GEN^MR\r"
    found = {
        profile: heard(raw, profile)[0].split("EVN|A01|")[-1].partition("\r")[0].partition("|")[0]
        if "EVN|A01|" in heard(raw, profile)[0]
        else ""
        for profile in ("limited", "shifted", "safe_harbor")
    }
    assert found == {"limited": limited, "shifted": "", "safe_harbor": year}


@pytest.mark.parametrize("profile", ["limited", "shifted", "safe_harbor"])
@pytest.mark.parametrize(
    ("observed", "told"),
    [
        ("DT|21112-8^Birth date^LN||19200505", ""),
        ("DT|21112-8^Birth date^LN||19600505", "1960"),
        ("DTM|X^Date of Birth^L||196005050712", "1960"),
        ("DT|X^Y^L||19600505", "1960"),
        ("NM|DOB^^L||1920", ""),
        ("SN|30525-0^Age^LN||>^97|a", ">^90"),
        ("SN|30525-0^Age^LN||<^97|a", ""),
        ("SN|30525-0^Age^LN||^92^-^97", "^90^-^90"),
        ("SN|X^Y^L||>^1200|mo", ">^1080"),
        ("SN|X^Y^L||>^97|kg", ">^97"),
        ("NM|X^Patient Age^L||97|Jahre", "90"),
        ("NM|30525-0^Age^LN||97|h", "97"),
    ],
)
def test_ages_and_birth_dates_of_an_observation_are_told_as_a_patient_s(observed, told, profile):
    raw = f"{HEAD}\rPID|||1^^^GEN^MR||||19600505\rOBX|1|{observed}\r"
    text, _ = heard(raw, profile)
    assert text.split("OBX|")[1].rstrip("\r").split("|")[4:5] in ([told], [] if not told else None)


@pytest.mark.parametrize(
    ("profile", "told"), [("limited", "1960"), ("shifted", ""), ("safe_harbor", "1960")]
)
def test_when_a_birth_date_was_observed_is_told_in_years_or_not_beside_what_moves(profile, told):
    fields = f"OBX|1|DT|21112-8^Birth date^LN||19600505|{'|' * 8}196005050712|{'|' * 4}19600505"
    text, _ = heard(f"{HEAD}\rPID|||1^^^GEN^MR\r{fields}\r", profile)
    found = [*text.split("OBX")[1].rstrip("\r").split("|"), *[""] * 20]
    assert (found[5], found[14], found[19]) == ("1960", told, told)


@pytest.mark.parametrize("profile", ["shifted", "safe_harbor"])
def test_a_message_tells_no_year_that_makes_a_patient_older_than_89(profile):
    raw = f"{HEAD}\rEVN|A01|19361231\rPID|||1^^^GEN^MR\rDG1|1||I10^x^I10||19371231\r"
    text, _ = heard(raw, profile)
    assert not re.search(r"\|1936|\|1935", text.split("DG1")[0])
    assert re.search(r"\|193[67]", text.split("DG1")[1])


def test_messages_of_nobody_or_of_two_are_refused_where_instants_move():
    nobody = f"{HEAD}\rEVN|A20|20260302\rNPU|ICU^1^A|U\r"
    two = f"{HEAD}\rPID|||1^^^GEN^MR\rPV1||I\rPID|||2^^^GEN^MR\rPV1||I\r"
    assert BOOK.weeks("GEN|1") != BOOK.weeks("GEN|2")
    for raw in (nobody, two):
        text, deidentifier = heard(raw)
        assert text is None
        assert sum(deidentifier.refused.values()) == 1
        assert heard(raw, "limited")[0]


def test_units_and_facilities_that_the_site_names_pass():
    raw = f"{HEAD}\rPID|||1^^^GEN^MR\rPV1||I|ICU^1^A^GEN\r"
    text, _ = heard(raw, known=frozenset({"ICU"}), facilities=frozenset({"GEN"}))
    assert "|ICU^" in text
    assert text.split("|")[3] == "GEN"
    assert "|ICU^" not in heard(raw)[0]


def test_one_number_has_one_pseudonym_in_every_segment_and_repetition():
    raw = (
        f"{HEAD}\rPID||4711^^^GEN|4711^^^GEN^MR~88^^^GOV^SS|4711\rMRG|4711^^^GEN^MR\rPV1||I|||88\r"
    )
    text, _ = heard(raw)
    assert text.count(BOOK.code("identifier", "4711")[:16].upper()) == 4
    assert text.count(BOOK.code("identifier", "88")[:16].upper()) == 2


def test_text_of_an_observation_never_passes():
    lines = [
        f"OBX|{n}|{kind}|X^Text^L||{text}||||||F"
        for n, (kind, text) in enumerate(
            [
                ("TX", "Ada"),
                ("ST", "Ada 617-555-1234"),
                ("FT", "Ada"),
                ("ED", "^^^Base64^QWRh"),
                ("XPN", "Ada^Q"),
                ("CX", "4711"),
                ("NM", "6175551234"),
                ("", "Ada"),
                ("NM", "Ada"),
            ]
        )
    ]
    text, deidentifier = heard("\r".join([HEAD, "PID|||1^^^GEN^MR", *lines, ""]))
    assert deidentifier.dropped["OBX-5"] == len(lines)
    assert not any(word in text for word in ("Ada", "555", "QWRh", "4711"))


CANARIES = st.integers(0, 10**6).map(lambda n: f"Canary{n:07d}x")


@given(st.sampled_from(sorted(hl7.rules())), st.integers(1, 52), st.integers(0, 6), CANARIES)
def test_a_word_of_nobody_knows_what_passes_nowhere(segment, field, component, canary):
    """In any field, component and repetition of any segment."""
    if segment == "MSH" and field < 3:
        return
    stated = [segment, *[""] * 60]
    stated[field - (segment == "MSH")] = f"A~{'^' * component}{canary}~{canary}&{canary}"
    lines = {"MSH": HEAD, "PID": "PID|||1^^^GEN^MR"}
    if segment == "MSH":
        header = [*HEAD.split("|"), *[""] * 60]
        header[field - 1] = f"{'^' * component}{canary}"
        lines["MSH"] = "|".join(header)
    else:
        lines[segment if segment != "PID" else "PID2"] = "|".join(stated)
    text, deidentifier = heard("\r".join([*lines.values(), ""]), "limited")
    assert canary.lower() not in (text or "").lower()
    assert canary not in str(deidentifier.dropped) + str(deidentifier.refused)


# --- files and the command -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    (source / "QUISENBERRY_ADA").mkdir(parents=True)
    for path in (PAIRS / "input").iterdir():
        (source / "QUISENBERRY_ADA" / f"ada_{path.name}").write_bytes(path.read_bytes())
    (source / "Patient.ndjson").write_text('{"resourceType":"Patient","id":"zoe"}\n{broken\n')
    return source


def test_a_folder_is_rewritten_under_names_of_nobody(folder, tmp_path):
    told = deidentified(Settings(), folder, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert told.files == len(names) - 1 == 6
    assert "Patient.ndjson" in names
    assert not any("ada" in name.lower() for name in names)
    assert sum(told.refused.values()) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").iterdir())


def test_old_and_new_keys_never_meet_in_a_folder(folder, tmp_path):
    target = tmp_path / "out"
    deidentified(Settings(), folder, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    (folder / "Patient.ndjson").unlink()
    keys = KEYS._replace(pseudonym=b"n" * 32)
    FileDeidentifier(Settings(), keys, "shifted", NOW).run(folder, target)
    after = {path.name: path.read_bytes() for path in target.iterdir()}
    assert "Patient.ndjson" not in after
    assert not set(before.values()) & set(after.values())
    (target / "letter.txt").write_text("mine")
    with pytest.raises(UsageError):
        deidentified(Settings(), folder, target)
    assert (target / "letter.txt").exists()


def test_source_and_target_never_overlap(folder, tmp_path):
    for target in (folder, folder / "out", tmp_path):
        with pytest.raises(UsageError):
            deidentified(Settings(), folder, target)


def test_the_command_says_what_it_left_out(folder, tmp_path):
    out = io.StringIO()
    words = ["deid", "run", str(folder), str(tmp_path / "out"), "--json"]
    assert main(words, environ={}, out=out) == 1, "one resource has an unknown modifier"
    told = json.loads(out.getvalue())
    assert told["profile"] == "shifted"
    assert Counter(told["dropped"])["NTE"] == 2
    assert not any(word in out.getvalue().lower() for word in ("quisenberry", "ada"))
    out = io.StringIO()
    assert (
        main(
            ["deid", "run", str(PAIRS / "input/merge.hl7"), str(tmp_path / "m.hl7")],
            environ={},
            out=out,
            err=out,
        )
        == 0
    )
    assert "thrown away" in out.getvalue()


def test_the_settings_of_a_site_say_which_codes_are_its_own(tmp_path):
    settings = Settings(deid=DeidSettings(known=("ICU",), sending_facilities=("GEN",)))
    source = tmp_path / "a.hl7"
    source.write_text(f"{HEAD}\rPID|||1^^^GEN^MR\rPV1||I|ICU^1^A^GEN\r", newline="")
    deidentified(settings, source, tmp_path / "b.hl7")
    assert "|ICU^" in (tmp_path / "b.hl7").read_text()

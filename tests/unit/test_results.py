"""Results and alarms in the twin: whose they are, what corrects them, what they never do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.events import (
    DeviceEventReported,
    DeviceStated,
    Envelope,
    ObservationsReported,
    Rejection,
    Translation,
)
from twin_core.identifiers import Identifier
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
FEED = FeedSettings(time_zone="UTC")
EUI = "ACDE48234567ABCD^^ACDE48234567ABCD^EUI-64"
PULSE = "147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|80|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R"
SODIUM = "OBX|1|NM|2951-2^Sodium^LN||{value}|mmol/L|135-145||||{status}"


def heard(
    kind: str,
    sent: str,
    *segments: str,
    limits: LimitSettings | None = None,
    control_id: str = "",
) -> Any:
    named = control_id or f"{kind}-{sent}"
    header = f"MSH|^~\\&|LAB|H|||202611010{sent}00||{kind}|{named}|P|2.6"
    return translate(
        "\r".join([header, *segments]).encode(),
        feed="lab",
        settings=FEED,
        limits=limits or LimitSettings(),
        received_at=NOON,
    )


def results(*lines: str) -> tuple[Any, ...]:
    outcome = heard("ORU^R01", "800", "PID|||1^^^H^MR", "OBR|1||F1|||||20261101070000", *lines)
    assert isinstance(outcome, Translation), outcome
    [report] = [e for e in outcome.events if isinstance(e, ObservationsReported)]
    return report.observations


def sodium(sent: str, value: object, status: str, patient: str = "1", visit: str = "") -> Any:
    pv1 = (f"PV1|1|I|ICU^1^A{'|' * 16}{visit}",) if visit else ()
    line = SODIUM.format(value=value, status=status)
    identified = (f"PID|||{patient}^^^H^MR", *pv1, "OBR|1||F1^LAB||||20261101070000")
    return heard("ORU^R01", sent, *identified, line)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    with Twin.open(tmp_path / "twin.duckdb") as opened:
        yield opened


def tell(twin: Twin, *outcomes: Any, format_: str = "hl7v2") -> None:
    for outcome in outcomes:
        assert isinstance(outcome, Translation), outcome
        receipt = Receipt(format=format_, feed="lab", raw=b"", outcome=outcome, origin="test")
        twin.receive([receipt])
        twin.wait_applied()


def one(twin: Twin, sql: str) -> tuple[Any, ...]:
    [row] = twin.query(sql)
    return tuple(row.values())


# --- what a result is ------------------------------------------------------------------------


def test_a_corrected_result_is_the_same_observation(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F"))
    first = one(twin, "SELECT observation_id, value_number, status FROM twin.observation")
    tell(twin, sodium("900", 141, "C"))
    assert first[1:] == (139.0, "final")
    corrected = one(twin, "SELECT observation_id, value_number, status FROM twin.observation")
    assert corrected == (first[0], 141.0, "corrected")
    before = twin.query("SELECT value FROM core.observation_version WHERE known_to < 'infinity'")
    assert [row["value"] for row in before] == ["139"]


def test_a_deleted_result_keeps_its_value_and_is_entered_in_error(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F"), sodium("900", "", "D"))
    found = one(twin, "SELECT value_number, unit, status FROM twin.observation")
    assert found == (139.0, "mmol/L", "entered-in-error")


def test_a_preliminary_result_that_is_sent_again_late_does_not_undo_the_final_one(
    twin: Twin,
) -> None:
    tell(twin, sodium("800", 139, "F"), sodium("900", 120, "P"))
    assert one(twin, "SELECT value_number, status FROM twin.observation") == (139.0, "final")


def test_a_message_sent_twice_changes_nothing(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F"), sodium("800", 139, "F"))
    assert one(twin, "SELECT count(*) FROM core.observation_version") == (1,)


def test_a_result_never_moves_anyone_and_makes_no_visit(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F", visit="V1"))
    for table in ("encounter", "stay", "location"):
        assert twin.query(f"FROM twin.{table}") == []
    assert one(twin, "SELECT count(encounter_id) FROM twin.observation") == (1,)


def test_a_result_leaves_what_is_known_of_a_person_alone(twin: Twin) -> None:
    person = "PID|||1^^^H^MR||Newname^Ada||19500101|F"
    stale = "PID|||1^^^H^MR||Oldname^Ada||19500101|F"
    tell(twin, heard("ADT^A31", "700", "EVN|A31|20261101070000", person))
    tell(twin, heard("ORU^R01", "800", stale, SODIUM.format(value=1, status="F")))
    assert one(twin, "SELECT family_name FROM twin.patient") == ("Newname",)


def lab(sent: str, *lines: str) -> Any:
    return heard("ORU^R01", sent, "PID|||1^^^H^MR", *lines)


def obr(code: str, placer: str = "", filler: str = "", parent: str = "") -> str:
    timed = f"OBR|1|{placer}|{filler}|{code}|||20261101070000"
    return f"{timed}{'|' * 19}{parent}" if parent else timed


def obx(code: str, value: str, status: str, at: str = "") -> str:
    return f"OBX|1|ST|{code}||{value}||||||{status}" + (f"|||202611010{at}00" if at else "")


def values(twin: Twin) -> list[tuple[Any, ...]]:
    rows = twin.query("SELECT value, status FROM twin.observation ORDER BY 1, 2")
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (obr("SUSC1^^L", filler="F1"), obr("SUSC2^^L", filler="F1")),
        (
            obr("18769-0^^LN", filler="F1", parent="600-7&&LN^1"),
            obr("18769-0^^LN", filler="F1", parent="600-7&&LN^2"),
        ),
        ("OBR|1||F1|", "OBR|2||F1|"),
    ],
)
def test_a_correction_of_one_obr_of_an_order_leaves_the_others_alone(
    twin: Twin, first: str, second: str
) -> None:
    reported = lab("800", first, obx("AMP^^L", "S", "F"), second, obx("AMP^^L", "R", "F"))
    tell(twin, reported, lab("900", second, obx("AMP^^L", "I", "C")))
    expected = [("I", "corrected"), ("S", "final")]
    assert values(twin) == expected


@pytest.mark.parametrize(
    "codes", [("CBC^^L", ""), ("", "CBC^^L"), ("CBC^^L", "CBC^^L^58410-2^^LN")]
)
def test_an_obr_without_a_code_or_with_a_further_one_is_the_one_known(
    twin: Twin, codes: tuple[str, str]
) -> None:
    first, second = (obr(code, filler="F1") for code in codes)
    tell(twin, lab("800", first, obx("WBC^^L", "5", "P")))
    tell(twin, lab("900", second, obx("WBC^^L", "6", "F")))
    assert values(twin) == [("6", "final")]


@pytest.mark.parametrize(
    ("first", "second"), [(("PL1", ""), ("PL1", "FL1")), (("PL1", "FL1"), ("PL1", ""))]
)
def test_placer_and_filler_numbers_are_one_order(
    twin: Twin, first: tuple[str, str], second: tuple[str, str]
) -> None:
    before = lab("800", obr("CBC", *first), obx("WBC^^L", "5", "P"))
    after = lab("900", obr("CBC", *second), obx("WBC^^L", "6", "F"))
    for order in ([before, after], [after, before]):
        tell(twin, *order)
        found = one(twin, "SELECT value, status, filler_order, placer_order FROM twin.observation")
        assert found == ("6", "final", "FL1", "PL1")


def test_orders_of_one_placer_number_with_fillers_of_their_own_stay_apart(twin: Twin) -> None:
    tell(twin, lab("800", obr("K", "PL1", "FL1"), obx("K^^L", "4", "F")))
    tell(twin, lab("810", obr("K", "PL1", "FL2"), obx("K^^L", "5", "F")))
    tell(twin, lab("820", obr("K", "PL1", "FL1"), obx("K^^L", "6", "C")))
    assert values(twin) == [("5", "final"), ("6", "corrected")]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_placer_number_that_never_changes_ties_no_more_orders_than_it_can_tell_apart(
    twin: Twin, backwards: bool
) -> None:
    said = [lab(f"8{n}", obr("K", "0", f"FL{n}"), obx("K^^L", str(n), "F")) for n in range(10, 50)]
    said.append(lab("900", obr("K", "0"), obx("K^^L", "99", "C")))
    said.append(lab("910", obr("K", "", "FL45"), obx("K^^L", "46", "C")))
    tell(twin, *(said[::-1] if backwards else said))
    apart = [(str(n), "final") for n in range(10, 50) if n != 45]
    assert sorted(values(twin)) == sorted([*apart, ("46", "corrected"), ("99", "corrected")])
    [family] = twin.query(
        "SELECT max(n) AS most FROM (SELECT count(*) AS n FROM core.family GROUP BY family)"
    )
    assert family["most"] <= 18


def test_any_shared_code_is_the_same_result(twin: Twin) -> None:
    tell(twin, lab("800", obr("K", filler="F1"), obx("K^Pot^L", "4", "P")))
    tell(twin, lab("900", obr("K", filler="F1"), obx("K^Pot^L^2823-3^K^LN", "5", "F")))
    tell(twin, lab("910", obr("K", filler="F1"), obx("2823-3^K^LN", "6", "C")))
    assert values(twin) == [("6", "corrected")]


def test_two_codes_of_a_sender_under_one_of_a_standard_are_two_results(twin: Twin) -> None:
    fasting, later = "GLU1^^L^2345-7^^LN", "GLU2^^L^2345-7^^LN"
    tell(twin, lab("800", obr("G", filler="F1"), obx(fasting, "90", "F"), obx(later, "150", "F")))
    tell(twin, lab("900", obr("G", filler="F1"), obx(later, "155", "C")))
    assert values(twin) == [("155", "corrected"), ("90", "final")]


@pytest.mark.parametrize(
    ("said", "expected", "noted"),
    [
        ("4", [("4", "entered-in-error"), ("5", "final")], 0),
        ("", [("4", "final"), ("5", "entered-in-error")], 1),
    ],
)
def test_a_deletion_without_a_time_is_of_the_result_with_its_value(
    twin: Twin, said: str, expected: list[tuple[str, str]], noted: int
) -> None:
    both = obx("K^^L", "4", "F", "710"), obx("K^^L", "5", "F", "730")
    tell(twin, lab("800", obr("K", filler="F1"), *both))
    tell(twin, lab("900", obr("K", filler="F1"), obx("K^^L", said, "D")))
    assert values(twin) == expected
    findings = twin.query("SELECT kind FROM twin.finding WHERE kind = 'ambiguous_correction'")
    assert len(findings) == noted


# --- whose it is -----------------------------------------------------------------------------


def test_a_result_follows_its_patient_through_a_merge(twin: Twin) -> None:
    merge = heard("ADT^A40", "900", "PID|||2^^^H^MR", "MRG|1^^^H^MR")
    tell(twin, sodium("800", 139, "P", patient="1"), merge, sodium("910", 140, "F", patient="2"))
    owner = "SELECT p.patient_id FROM twin.patient p WHERE merged_into IS NULL"
    found = "SELECT patient_id, value_number, status FROM twin.observation"
    assert one(twin, found) == (*one(twin, owner), 140.0, "final")


def test_a_merge_alone_moves_what_was_reported_before(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F", patient="1"))
    tell(twin, heard("ADT^A40", "900", "PID|||2^^^H^MR", "MRG|1^^^H^MR"))
    owner = one(twin, "SELECT patient_id FROM twin.patient WHERE merged_into IS NULL")
    assert one(twin, "SELECT patient_id FROM twin.observation") == owner


def test_equal_results_of_two_patients_under_one_order_number_stay_apart(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F", patient="1"), sodium("810", 150, "C", patient="2"))
    rows = twin.query("SELECT value_number FROM twin.observation ORDER BY 1")
    assert [row["value_number"] for row in rows] == [139.0, 150.0]


def test_a_visit_named_before_anyone_described_it_is_the_one_described_later(twin: Twin) -> None:
    tell(twin, sodium("800", 139, "F", visit="V1^^^H^VN"))
    pv1 = f"PV1|1|I|ICU^1^A{'|' * 16}V1^^^H^VN{'|' * 25}20261101060000"
    tell(twin, heard("ADT^A01", "600", "EVN|A01|20261101060000", "PID|||1^^^H^MR", pv1))
    visit = one(twin, "SELECT encounter_id, patient_id FROM twin.encounter")
    assert one(twin, "SELECT encounter_id, patient_id FROM twin.observation") == visit


def test_a_device_of_reports_is_the_device_that_a_resource_describes(twin: Twin) -> None:
    tell(twin, heard("ORU^R01", "800", "OBR|1", f"OBX|1|NM|{PULSE}|||||||{EUI}"))
    assert one(twin, "SELECT name FROM twin.device") == (None,)
    stated = DeviceStated(
        occurred_at=NOON,
        source="ehr",
        subject=Identifier("ehr", "Device/1", "reference"),
        identifiers=(
            # Sorts before the number that the device reports, so that the id changes.
            Identifier("urn:asset", "M-17"),
            Identifier("urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "AC-DE-48-23-45-67-AB-CD"),
        ),
        name="Monitor 17",
    )
    envelope = Envelope(
        feed="ehr",
        sender="ehr",
        control_id="1",
        trigger_event="FHIR Device",
        sent_at=NOON,
        digest=b"1" * 16,
    )
    tell(twin, Translation(envelope=envelope, events=(stated,)), format_="fhir")
    device = one(twin, "SELECT device_id FROM twin.device WHERE name = 'Monitor 17'")
    assert one(twin, "SELECT device_id, patient_id FROM twin.observation") == (*device, None)


def test_an_alarm_has_one_id_from_its_start_to_its_end(twin: Twin) -> None:
    def alarm(sent: str, number: str, phase: str) -> Any:
        obr = f"OBR|1||{number}^M|196616^MDC_EVT_ALARM^MDC|||202611010{sent}00{'|' * 22}^A1&M"
        event = "OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.0.0.1|196670^MDC_EVT_LO^MDC||||||F"
        said = f"OBX|2|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|1.0.0.2|{phase}||||||F"
        return heard("ORU^R40", sent, obr, event, said)

    tell(twin, alarm("810", "A2", "end"), alarm("800", "A1", "start"))
    rows = twin.query("SELECT alarm_id, phase, code, kind FROM twin.device_event ORDER BY phase")
    assert [(r["phase"], r["code"], r["kind"]) for r in rows] == [
        ("end", "196670", "alarm"),
        ("start", "196670", "alarm"),
    ]
    assert len({r["alarm_id"] for r in rows}) == 1


# --- what may come ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "number", "comparator", "kind"),
    [
        ("5", 5.0, "", "Quantity"),
        ("-0.5", -0.5, "", "Quantity"),
        (".5", 0.5, "", "Quantity"),
        ("5.", 5.0, "", "Quantity"),
        (" 5 ", 5.0, "", "Quantity"),
        ("+1.5E2", 150.0, "", "Quantity"),
        ("<5", 5.0, "<", "Quantity"),
        (">= 200", 200.0, ">=", "Quantity"),
        ("1,2", None, "", "string"),
        ("NaN", None, "", "string"),
        ("inf", None, "", "string"),
        ("1e999", None, "", "string"),
        ("1_000", None, "", "string"),
        ("0x10", None, "", "string"),
        ("٣", None, "", "string"),
        ("9" * 60, None, "", "string"),
        (".", None, "", "string"),
        ("--", None, "", "string"),
        ("see comment", None, "", "string"),
        ("9" * 400_000, None, "", "string"),
    ],
)
def test_a_number_is_a_number_or_kept_as_text(
    sent: str, number: float | None, comparator: str, kind: str
) -> None:
    [found] = results(f"OBX|1|NM|X^^L||{sent}||||||F")
    assert (found.value_number, found.comparator, found.value_type) == (number, comparator, kind)
    if len(sent) <= 200:
        assert found.value == sent.strip()
    else:
        assert (found.value, found.withheld) == ("", "narrative")


@pytest.mark.parametrize(
    ("kind", "sent", "value", "withheld"),
    [
        ("TX", "a" * 201, "", "narrative"),
        ("ST", "part one~part two", "", "narrative"),
        ("FT", "short", "", "narrative"),
        ("PN", "Doe^Jane", "", "person"),
        ("NA", "1^2^3", "", "waveform"),
        ("RP", "pointer^app^pdf", "", "attachment"),
        ("CWE", "A^Alpha^L~B^Beta^L", "Alpha; Beta", ""),
        ("SN", "^100^-^200", "100-200", ""),
        ("SN", "^1^:^128", "1:128", ""),
        ("NM", "1~2", "1; 2", ""),
        ("ID", "Y", "Y", ""),
        ("TM", "0815", "0815", ""),
        ("??", "odd", "odd", ""),
        ("", "untyped", "untyped", ""),
        ("ST", '""', "", ""),
    ],
)
def test_values_are_kept_as_text_or_said_to_be_withheld(
    kind: str, sent: str, value: str, withheld: str
) -> None:
    [found] = results(f"OBX|1|{kind}|X^^L||{sent}||||||F")
    assert (found.value, found.withheld) == (value, withheld)


def test_a_message_of_five_thousand_results_is_read(twin: Twin) -> None:
    lines = [f"OBX|{n}|NM|C{n % 7}^^L|{n % 3}|{n}|mmol/L|||||F" for n in range(4_990)]
    outcome = heard("ORU^R01", "800", "PID|||1^^^H^MR", "OBR|1||F1", *lines)
    tell(twin, outcome)
    found = one(twin, "SELECT count(*), count(DISTINCT observation_id) FROM twin.observation")
    assert found == (4_990, 4_990)


def test_too_many_segments_are_refused_before_they_are_split() -> None:
    lines = ["OBX|1|NM|X^^L||1||||||F"] * 6_000
    refused = heard("ORU^R01", "800", *lines)
    assert isinstance(refused, Rejection)
    assert refused.faults[0].code == "104"


def test_a_result_of_the_future_is_noted() -> None:
    outcome = heard("ORU^R01", "800", "OBR|1||F1||||20991231000000", "OBX|1|NM|X^^L||1||||||F")
    assert {finding.kind for finding in outcome.findings} == {"clock_skew", "future_time"}


def test_several_patients_of_one_message_keep_their_results() -> None:
    first = ("PID|||1^^^H^MR", "OBR|1||F1", "OBX|1|NM|X^^L||1||||||F")
    second = ("PID|||2^^^H^MR", "OBR|1||F2", "OBX|1|NM|X^^L||2||||||F")
    outcome = heard("ORU^R01", "800", *first, *second)
    reports = [e for e in outcome.events if isinstance(e, ObservationsReported)]
    assert [(r.patient[0].value, r.observations[0].value) for r in reports] == [
        ("1", "1"),
        ("2", "2"),
    ]


def test_a_result_without_patient_order_or_time_is_kept(twin: Twin) -> None:
    tell(twin, heard("ORU^R01", "800", "OBX|1|NM|X^^L||1"))
    found = one(twin, "SELECT patient_id, filler_order, status, value FROM twin.observation")
    assert found == (None, None, "unknown", "1")


@pytest.mark.parametrize(
    ("kind", "sent", "value_type"),
    [
        ("DT", "20260228", "dateTime"),
        ("TS", "202602281200-0500", "dateTime"),
        ("DT", "20260230", "string"),
        ("TS", "202602301200", "string"),
        ("DTM", "tomorrow", "string"),
        ("TM", "2360", "string"),
        ("TM", "235959.5+0100", "time"),
    ],
)
def test_what_is_called_a_time_and_is_none_is_text_and_noted(
    kind: str, sent: str, value_type: str
) -> None:
    outcome = heard("ORU^R01", "800", "OBR|1||F1", f"OBX|1|{kind}|X^^L||{sent}||||||F")
    [found] = outcome.events[-1].observations
    assert (found.value_type, found.value) == (value_type, sent)
    noted = ["invalid_time"] if value_type == "string" else []
    assert [finding.kind for finding in outcome.findings] == noted


@pytest.mark.parametrize(("obr", "obx", "noted"), [("F", "", 0), ("", "F", 0), ("", "", 1)])
def test_a_result_whose_status_nobody_says_is_noted(obr: str, obx: str, noted: int) -> None:
    order = f"OBR|1||F1{'|' * 22}{obr}"
    outcome = heard("ORU^R01", "800", order, f"OBX|1|ST|X^^L||a||||||{obx}")
    assert [finding.kind for finding in outcome.findings] == ["unknown_code"] * noted
    assert outcome.events[-1].observations[0].status == ("unknown" if noted else "final")


def test_flags_of_an_alarm_may_stand_in_any_facet_of_it() -> None:
    event = "OBX|1|CWE|196670^MDC_EVT_LO^MDC|1.1.1.1|150456^MDC_PULS_OXIM_SAT_O2^MDC||||||F"
    value = "OBX|2|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.1.1.2|85||90-100|L~PH~SP|||F"
    outcome = heard("ORU^R40", "800", "OBR|1||A1^M", event, value)
    said = next(one for one in outcome.events if isinstance(one, DeviceEventReported))
    assert (said.priority, said.alarm_type) == ("high", "physiological")


@pytest.mark.parametrize(
    ("times", "same"),
    [
        ("OBR|1||||||20261101070000@OBX|1|ST|X^^L||a||||||F", True),
        ("OBR|1@OBX|1|ST|X^^L||a||||||F|||20261101070000", True),
        (f"OBR|1{'|' * 21}20261101070000@OBX|1|ST|X^^L||a||||||F", True),
        ("OBR|1@OBX|1|ST|X^^L||a||||||F", False),
        ('OBR|1||||||""@OBX|1|ST|X^^L||a||||||F|||""', False),
    ],
)
def test_the_same_results_sent_at_another_time_are_new_where_only_msh_7_says_when(
    times: str, same: bool
) -> None:
    first, second = (
        heard("ORU^R01", at, *times.split("@"), control_id="1") for at in ("800", "810")
    )
    assert (first.envelope.digest == second.envelope.digest) is same

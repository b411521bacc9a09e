"""What a site may configure of a feed: beds, systems, triggers, kept fields, strictness."""

import pickle
from datetime import UTC, datetime
from pathlib import Path

import hl7apy
import pytest

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.errors import ConfigurationError
from twin_core.events import EncounterUpdated, PatientDescribed, Rejection, Transferred, Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings, Settings, load

RECEIVED_AT = datetime(2026, 11, 1, 8, 5, tzinfo=UTC)
HEAD = "MSH|^~\\&|ADT1|HOSP|TWIN|LAB|20261101080500||ADT^{}|{}|P|2.5.1\rEVN|{}|20261101080400\r"
PID = "PID|1||900001^^^^MR||TESTER^ADA\r"
VISIT = "PV1|1|I|{}|||{}|||||||||||||V1\r"


def message(trigger="A08", place="ICU^101^A", origin="", rest="", control_id="1", pid=PID):
    head = HEAD.format(trigger, control_id, trigger.partition("^")[0])
    return (head + pid + VISIT.format(place, origin) + rest).encode()


def translated(raw, **feed):
    settings = FeedSettings.model_validate(feed)
    return translate(
        raw, feed="main", settings=settings, limits=LimitSettings(), received_at=RECEIVED_AT
    )


def kinds(outcome):
    return sorted(f.kind for f in outcome.findings if f.kind != "no_time_zone")


# --- beds and systems ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        ("4W^412^1", ("GEN", "MED", "412", "A")),
        ("4W^412^2", ("HOSP", "MED", "412", "B")),
        ("4W^412^2^SOUTH", ("SOUTH", "SUR", "1", "C")),
        ("4W^412^3", ("HOSP", "MEDICINE", "412", "3")),
        ("HALL", ("HOSP", "ED", "", "")),
    ],
)
def test_beds_are_named_as_the_store_names_them(sent, place):
    outcome = translated(
        message("A02", sent),
        units={"4W": "MEDICINE"},
        beds={
            "4W^412^1": "GEN/MED/412/A",
            "4W^412^2": "MED/412/B",
            "4W^412^2^SOUTH": "SUR/1/C",
            "HALL": "ED//",
        },
    )
    found = outcome.events[-1].place
    assert (found.facility, found.unit, found.room, found.bed) == place


def test_identifiers_without_an_authority_have_the_system_of_their_type():
    outcome = translated(
        message(pid="PID|1||900001^^^^MR~77^^^^PI~5^^^REG^MR||TESTER^ADA\r"),
        systems={"MR": "urn:oid:1.2.3", "VN": "urn:oid:1.2.4"},
    )
    described, updated = outcome.events
    assert [(i.system, i.value) for i in described.patient] == [
        ("urn:oid:1.2.3", "900001"),
        ("urn:wardtwin:sender:HOSP:PI", "77"),
        ("urn:wardtwin:authority:REG", "5"),
    ]
    assert updated.encounter[0].system == "urn:oid:1.2.4"


# --- triggers --------------------------------------------------------------------------------

MOVED = message(place="ICU^2", origin="ICU^1")
STAYED = message(place="ICU^2", origin="ICU^2")
UNPLACED = message(place='""', origin="ICU^2")
SHORTER = message(place="ICU^2^A^HOSP&1.2.3&ISO", origin="ICU^2^^HOSP")


@pytest.mark.parametrize(
    ("triggers", "raw", "kind", "found"),
    [
        ({"A08": "A02"}, MOVED, Transferred, ["site_trigger"]),
        ({"ADT^A08": "ADT^A02"}, MOVED, Transferred, ["site_trigger"]),
        ({"A08 PV1-6!=PV1-3": "A02"}, MOVED, Transferred, ["site_trigger"]),
        ({"A08 PV1-6!=PV1-3": "A02"}, STAYED, EncounterUpdated, []),
        ({"A08 PV1-6!=PV1-3": "A02"}, message(place="ICU^2"), EncounterUpdated, []),
        ({"A08 PV1-6!=PV1-3": "A02"}, UNPLACED, EncounterUpdated, []),
        ({"A08 PV1-6!=PV1-3": "A02"}, SHORTER, EncounterUpdated, []),
        ({"A08 PV1-6=PV1-3": "A02"}, SHORTER, Transferred, ["site_trigger"]),
        ({"A08 PV1-6=PV1-3": "A02"}, UNPLACED, EncounterUpdated, []),
        ({"A08 PV1-6.2=1": "A02"}, MOVED, Transferred, ["site_trigger"]),
        ({"A08 PV1-6.2 = 1": "A02"}, STAYED, EncounterUpdated, []),
        ({"A08 PV1-6": "A02"}, message(), EncounterUpdated, []),
        ({"A08 PV1-6=": "ignore", "A08": "A02"}, MOVED, Transferred, ["site_trigger"]),
        ({"A08 PV1-6=": "ignore", "A08": "A02"}, message(), None, ["ignored_trigger"]),
        ({"A99": "A08"}, message("A99"), EncounterUpdated, ["site_trigger"]),
        ({"A01": "A02"}, MOVED, EncounterUpdated, []),
    ],
)
def test_trigger_events_mean_what_the_site_says(triggers, raw, kind, found):
    outcome = translated(raw, triggers=triggers)
    assert kinds(outcome) == found
    assert [type(event) for event in outcome.events[1:]] == ([kind] if kind else [])
    if kind is None:
        assert outcome.events == ()
    assert outcome.envelope.trigger_event in ("ADT^A08", "ADT^A99")  # as sent


def test_an_ignored_message_is_journalled_with_the_reason(tmp_path: Path) -> None:
    outcome = translated(message(), triggers={"A08": "ignore"})
    with Twin.open(tmp_path / "x.duckdb") as twin:
        receipt = Receipt(
            format="hl7v2", feed="main", raw=message(), outcome=outcome, origin="test"
        )
        [answer] = twin.receive([receipt])
        twin.wait_applied()
        [row] = twin.query("SELECT status, code, reason FROM twin.message")
    assert answer.code == "AA"
    reason = "ADT^A08 is ignored, as this feed is set (triggers)."
    assert row == {"status": "journalled", "code": "AA", "reason": reason}


@pytest.mark.parametrize(
    "feed",
    [
        {"triggers": {"A8": "A02"}},
        {"triggers": {"A08": "move"}},
        {"triggers": {"A08 PV1=1": "A02"}},
        {"triggers": {"A08 PV1-": "A02"}},
        {"keep": ["ZPV-0"]},
        {"keep": ["zpv-1"]},
        {"beds": {"A^B^C": "A-B-C"}},
        {"profile": "x"},
    ],
)
def test_what_is_unusable_is_refused_at_once(feed):
    with pytest.raises(ConfigurationError, match=r"feeds\.main"):
        load(flags={f"feeds.main.{key}": setting for key, setting in feed.items()})


# --- kept fields -----------------------------------------------------------------------------

Z = 'ZPV|1||a^b~c\\T\\d|""|x\rZPV|2||e|\rZBE|1|||||||||^ICU\r'


def test_fields_to_keep_come_component_by_component():
    outcome = translated(message(rest=Z), keep=["ZPV-3", "ZPV-4", "ZBE-10.2", "MSH-12", "ZXX"])
    assert [tuple(kept) for kept in outcome.kept] == [
        ("MSH", 1, 12, 1, 1, "2.5.1"),
        ("ZPV", 1, 3, 1, 1, "a"),
        ("ZPV", 1, 3, 2, 1, "b"),
        ("ZPV", 1, 3, 1, 2, "c&d"),
        ("ZPV", 1, 4, 1, 1, None),
        ("ZPV", 2, 3, 1, 1, "e"),
        ("ZBE", 1, 10, 2, 1, "ICU"),
    ]
    assert len(translated(message(rest=Z), keep=["ZPV", "ZPV-3"]).kept) == 8
    kept = translated(message(rest=Z)).kept
    assert {field.segment for field in kept} <= {"ZBE"}
    movement = "ZBE|M1^PAS|20261101071500+0000||INSERT|N||^^^^^^^^^W7|Nurses 7|HMS\r"
    assert translated(message(rest=movement)).kept == (
        ("ZBE", 1, 7, 10, 1, "W7"),
        ("ZBE", 1, 8, 1, 1, "Nurses 7"),
        ("ZBE", 1, 9, 1, 1, "HMS"),
    )


def test_kept_fields_are_a_table_that_outlives_a_crash_and_a_rebuild(tmp_path: Path) -> None:
    raw = message(rest=Z)
    outcome = translated(raw, keep=["ZPV-3.1"])
    path = tmp_path / "x.duckdb"
    asked = "FROM twin.message_field ORDER BY sequence, repetition"
    with Twin.open(path) as twin:
        twin.receive([Receipt(format="hl7v2", feed="m", raw=raw, outcome=outcome, origin="t")])
        twin.wait_applied()
        before = twin.query(asked)
    assert [row["value"] for row in before] == ["a", "c&d", "e"]
    with Twin.open(path) as twin:
        twin.rebuild()
        assert twin.query(asked) == before


# --- strictness ------------------------------------------------------------------------------

GOOD = message("A01^ADT_A01")
WRONG = {
    # what is wrong: (message, findings of a lenient feed)
    "no control id": (message(control_id=""), []),
    "an impossible time": (
        GOOD.replace(b"EVN|A01|20261101080400", b"EVN|A01|20261301080400"),
        ["invalid_time"],
    ),
    "an impossible birth date": (message(pid=PID[:-1] + "||19441399\r"), ["invalid_time"]),
    "a line that is no segment": (message(rest="and so on\r"), ["unreadable_line"]),
    "an unknown trigger event": (message("A99"), ["unsupported_event"]),
    "an unknown message type": (message().replace(b"ADT^A08", b"XYZ^A08"), ["unsupported_event"]),
    "a version that HL7 v2 never had": (
        message().replace(b"|2.5.1", b"|2.99"),
        ["unsupported_version"],
    ),
    "an unknown character set": (
        message().replace(b"|2.5.1", b"|2.5.1||||||EBCDIC"),
        ["guessed_charset"],
    ),
    "bytes that are no text": (
        message().replace(b"|2.5.1", b"|2.5.1||||||UNICODE UTF-8").replace(b"TESTER", b"T\xffSTER"),
        ["guessed_charset"],
    ),
    "a merge without MRG": (message("A40"), ["not_understood"]),
    "a patient without identifiers": (message(pid="PID|1||||TESTER^ADA\r"), ["not_understood"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_lenient_takes_what_standard_refuses(name):
    raw, findings = WRONG[name]
    assert isinstance(translated(raw, strictness="standard"), Rejection)
    assert isinstance(translated(raw, strictness="strict"), Rejection)
    lenient = translated(raw, strictness="lenient")
    assert isinstance(lenient, Translation), lenient
    assert kinds(lenient) == findings


@pytest.mark.parametrize("strictness", ["standard", "strict"])
@pytest.mark.parametrize("version", [b"2.99", b"3.0", b"V2.5", b"60014711", b"2.10^DEU"])
def test_an_unknown_version_is_answered_with_its_own_code(version, strictness):
    refused = translated(GOOD.replace(b"|2.5.1", b"|" + version), strictness=strictness)
    assert (refused.code, [(fault.where, fault.code) for fault in refused.faults]) == (
        "AR",
        [("MSH^1^12", "203")],
    )


@pytest.mark.parametrize("version", [b"", b"2.1", b"2.3.1", b"2.5^DEU", b"2.8.2", b"2.9"])
def test_every_version_of_hl7_v2_is_taken(version):
    outcome = translated(GOOD.replace(b"|2.5.1", b"|" + version), strictness="standard")
    assert isinstance(outcome, Translation)
    assert "unsupported_version" not in kinds(outcome)


@pytest.mark.parametrize("strictness", ["lenient", "standard"])
@pytest.mark.parametrize("kind", [b"ACK", b"ACK^A01", b"ACK^A01^ACK", b"MCF"])
def test_an_acknowledgement_says_nothing_and_is_no_reject(kind, strictness):
    raw = b"MSH|^~\\&|LAB|G|PAS|G|20261101080000+0000||" + kind + b"|A1|P|2.5.1\rMSA|AA|1001\r"
    outcome = translated(raw, strictness=strictness)
    assert isinstance(outcome, Translation)
    assert (outcome.events, kinds(outcome)) == ((), [])


def test_lenient_keeps_who_a_message_is_about():
    outcome = translated(WRONG["a merge without MRG"][0], strictness="lenient")
    [described] = outcome.events
    assert isinstance(described, PatientDescribed)


def test_a_message_without_a_control_id_is_known_again():
    first = translated(WRONG["no control id"][0], strictness="lenient")
    again = translated(
        WRONG["no control id"][0].replace(b"20261101080500", b"20261101080900", 1),
        strictness="lenient",
    )
    assert first.envelope.control_id == again.envelope.control_id != ""


@pytest.mark.parametrize("strictness", ["lenient", "standard", "strict"])
def test_what_cannot_be_a_message_is_refused_by_all(strictness):
    for raw in (b"", b"nothing", b"MSH|^~\\&|", GOOD.replace(b"|P|", b"|T|"), GOOD + GOOD):
        assert isinstance(translated(raw, strictness=strictness), Rejection)


def test_strict_goes_by_the_standard():
    assert isinstance(translated(GOOD, strictness="strict"), Translation)
    without_evn = GOOD.replace(b"EVN|A01|20261101080400\r", b"")
    assert isinstance(translated(without_evn, strictness="standard"), Translation)
    assert isinstance(translated(without_evn, strictness="strict"), Rejection)


def profile_requiring(tmp_path: Path, segment: str) -> Path:
    kind, children = hl7apy.load_reference("ADT_A01", "Message", "2.5.1")
    profiled = tuple(
        (name, content, (1, 1) if name == segment else count, what)
        for name, content, count, what in children
    )
    path = tmp_path / "profile"
    path.write_bytes(pickle.dumps({"ADT_A01": (kind, profiled)}, protocol=2))
    return path


def test_strict_goes_by_the_profile_where_there_is_one(tmp_path):
    feed = {"strictness": "strict", "profile": profile_requiring(tmp_path, "PV2")}
    [fault] = translated(GOOD, **feed).faults
    assert "PV2" in fault.reason
    assert isinstance(translated(GOOD + b"PV2|1\r", **feed), Translation)
    [fault] = translated(message("A03^ADT_A03"), **feed).faults
    assert fault.code == "200"


class Harmful:
    def __reduce__(self):
        return (print, ("a profile ran a program",))


@pytest.mark.parametrize("content", [pickle.dumps(Harmful()), b"", b"<xml/>"])
def test_a_profile_is_read_as_plain_values_only(tmp_path, content, capsys):
    path = tmp_path / "profile"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="profile"):
        translated(GOOD, strictness="strict", profile=path)
    assert capsys.readouterr().out == ""


def test_the_settings_of_a_feed_survive_the_way_to_the_listening_process():
    feed = {"triggers": {"A08 PV1-6!=PV1-3": "A02"}, "keep": ["ZPV-3"], "beds": {"A": "A//"}}
    settings = Settings.model_validate({"feeds": {"main": feed}})
    told = settings.model_dump(mode="json", by_alias=True, exclude={"secrets"})
    again = Settings.model_validate(told)
    assert again.feed("main") == settings.feed("main")
    assert again.feed("main").trigger_rules == settings.feed("main").trigger_rules

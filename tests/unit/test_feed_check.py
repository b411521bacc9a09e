"""`wardtwin feed check`: what a sample would do, held against a report written by hand."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from adapters.files import find_files
from api.checking import Report, check
from api.cli import main
from api.commands.feed_check import show
from api.terminal import Terminal
from twin_core import Twin
from twin_core.settings import Settings, load

PAIR = Path(__file__).parents[2] / "fixtures" / "feed_check"
SAMPLE = PAIR / "sample.hl7"
CORPUS = Path(__file__).parents[2] / "../shared/corpus/hl7v2/messages.jsonl"
ADVERSARIAL = Path(__file__).parents[2] / "../shared/adversarial/hl7"
RECEIVED_AT = datetime(2025, 11, 1, 12, 0, tzinfo=UTC)
PHI = ("TESTER", "TÄSTER", "SECRET", "900001", "19700101")
PLAIN = (
    b"MSH|^~\\&|PAS|GEN|TWIN|GEN|20200101080000+0000||ADT^A01|1|P|2.5.1\r"
    b"EVN||20200101080000+0000\rPID|1||900001^^^GEN^MR||TESTER^ADA\r"
    b"PV1|1|I|W1^1^A^GEN||||||||||||||||V1^^^GEN^VN\r"
)


def checked(*paths: Path, settings: Settings | None = None, feed: str = "pas", **how: object):
    return check(
        tuple(find_files([str(path) for path in paths])),
        feed=feed,
        settings=settings or load(PAIR / "site.toml").settings,
        received_at=RECEIVED_AT,
        **how,
    )


def as_text(report: Report) -> str:
    out = io.StringIO()
    show(Terminal(out, out, environ={}), report)
    return out.getvalue()


def ran(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return main(words, environ={}, out=out, err=err), out.getvalue(), err.getvalue()


def test_the_report_is_the_one_written_by_hand():
    report = checked(SAMPLE)
    assert msgspec.to_builtins(report) == json.loads((PAIR / "report.json").read_text("utf-8"))


def test_a_person_is_told_the_same():
    assert as_text(checked(SAMPLE)) == (PAIR / "report.txt").read_text("utf-8")


def test_every_example_is_where_its_message_begins():
    report, content = checked(SAMPLE), SAMPLE.read_bytes()
    for listed in (report.rejects, report.findings, report.journalled_because, report.unmapped):
        for counted in listed:
            name, _, offset = counted.example.partition("@")
            assert name == "sample.hl7"
            assert content[int(offset) :].startswith((b"MSH|", b"BTS|"))


def test_what_is_suggested_can_be_pasted_and_helps(tmp_path: Path) -> None:
    before = checked(SAMPLE, settings=Settings())
    config = tmp_path / "site.toml"
    config.write_text("[feeds.pas]\n" + "\n".join(before.suggestions) + "\n")
    after = checked(SAMPLE, settings=load(config).settings)
    assert before.rejected == 3
    assert after.rejected == 0
    kinds = {finding.code for finding in after.findings}
    assert not kinds & {"no_time_zone", "guessed_charset", "unknown_code"}
    dropped = [field for segment in after.site_segments for field in segment.dropped]
    assert dropped == []


def test_a_message_known_already_is_no_finding(tmp_path: Path) -> None:
    sample = tmp_path / "a.hl7"
    sample.write_bytes(PLAIN + PLAIN.replace(b"20200101080000", b"20200101080500", 1))
    report = checked(sample, settings=load(flags={"feeds.pas.time_zone": "UTC"}).settings)
    assert (report.messages, report.applied, report.duplicates) == (2, 1, 1)
    assert report.is_clean


def test_exit_codes(tmp_path: Path) -> None:
    clean = tmp_path / "clean.hl7"
    clean.write_bytes(PLAIN)
    config = tmp_path / "site.toml"
    config.write_text('[feeds.adt]\ntime_zone = "UTC"\n')
    status, out, _ = ran("feed", "check", str(clean), "--config", str(config))
    assert (status, "1 would be applied" in out) == (0, True)
    status, out, _ = ran("feed", "check", str(SAMPLE), "--json")
    assert (status, json.loads(out)["rejected"]) == (1, 3)
    (tmp_path / "blank.hl7").write_bytes(b"\r\n")
    assert ran("feed", "check", str(tmp_path / "blank.hl7"))[0] == 1
    assert ran("feed", "check")[0] == 2
    assert ran("feed")[0] == 2
    assert ran("feed", "check", str(tmp_path / "nowhere"))[0] == 4
    assert not (tmp_path / "wardtwin.duckdb").exists()


def test_places_are_held_against_a_store(tmp_path: Path) -> None:
    known, unknown = tmp_path / "known.hl7", tmp_path / "unknown.hl7"
    known.write_bytes(PLAIN)
    unknown.write_bytes(PLAIN.replace(b"W1^1^A", b"W9^1^A").replace(b"|1|P|", b"|2|P|"))
    config, store = tmp_path / "site.toml", tmp_path / "x.duckdb"
    config.write_text('[feeds.adt]\ntime_zone = "UTC"\n')
    named = ["--config", str(config), "--db", str(store)]
    assert ran("ingest", str(known), *named)[0] == 0
    status, out, _ = ran("feed", "check", str(known), str(unknown), *named, "--json")
    assert status == 1
    assert [place["what"] for place in json.loads(out)["unknown_places"]] == ["GEN/W9/1/A"]
    with Twin.open(store) as twin:
        assert len(twin.query("FROM twin.message")) == 1


def test_names_among_codes_are_suggested_only_on_demand(tmp_path: Path) -> None:
    sample = tmp_path / "slipped.hl7"
    who = PLAIN.replace(b"|I|W1^1^A", b"|Musterfrau|Erika^1^A").replace(b"GEN^MR", b"^Meier")
    sample.write_bytes(who)
    config = tmp_path / "site.toml"
    config.write_text('[feeds.adt]\nunits = { "W2" = "W3" }\n')
    call = ("feed", "check", str(sample), "--config", str(config))
    for switches in ((), ("--json",)):
        out = ran(*call, *switches)[1]
        assert not [name for name in ("Musterfrau", "Erika", "Meier") if name in out]
        assert "--show-phi" in out
        shown = ran(*call, "--show-phi", *switches)[1]
        assert not [name for name in ("Musterfrau", "Erika", "Meier") if name not in shown]


def test_the_reports_say_nothing_of_patients() -> None:
    report = checked(SAMPLE)
    said = as_text(report) + msgspec.json.encode(report).decode()
    assert not [word for word in PHI if word in said]


@pytest.mark.skipif(not ADVERSARIAL.exists(), reason="the hostile inputs are not here")
@pytest.mark.parametrize("strictness", ["lenient", "standard"])
def test_hostile_samples_are_reported_and_not_repeated(strictness: str) -> None:
    settings = load(flags={"feeds.pas.strictness": strictness}).settings
    for path in sorted(ADVERSARIAL.iterdir()):
        report = checked(path, settings=settings)
        said = as_text(report) + msgspec.json.encode(report).decode()
        assert not [word for word in ("CANARY", "TESTER", "900001") if word in said], path.name


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_every_message_of_the_corpus_is_counted_once(tmp_path: Path) -> None:
    lines = CORPUS.read_text("utf-8").splitlines()[:400]
    texts = [json.loads(line) for line in lines]
    key = next(name for name in texts[0] if "MSH" in str(texts[0][name])[:8])
    for number, one in enumerate(texts):
        (tmp_path / f"{number}.hl7").write_text(one[key], "utf-8", newline="")
    report = checked(tmp_path, settings=Settings())
    became = report.applied + report.journalled + report.rejected + report.duplicates
    assert became == report.messages >= len(texts)
    assert sum(trigger.messages for trigger in report.triggers) == report.messages

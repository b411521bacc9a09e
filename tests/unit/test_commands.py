"""The commands on a store that nobody holds: files in, answers and findings out."""

import io
import json

import duckdb
import pytest

from api.cli import main

HEADER = "MSH|^~\\&|PAS|GENERAL|||20261101080000+0000||ADT^A01|{0}|{1}|2.5.1"


def message(number: int, processing: str = "P") -> str:
    return "\r".join(
        (
            HEADER.format(number, processing),
            "EVN|A01|20261101080000+0000",
            f"PID|1||P{number}^^^GENERAL^MR||Test^Case||19700101|F",
            f"PV1|1|I|W1^1^B{number}^GENERAL{'|' * 16}V{number}^^^GENERAL^VN{'|' * 25}"
            "20261101080000+0000",
        )
    )


def patient(number: int) -> dict[str, object]:
    return {"resourceType": "Patient", "id": f"p{number}", "gender": "female"}


@pytest.fixture
def wardtwin(tmp_path):
    """Runs a command on a store in a folder of its own; gives status, answer and notes."""

    def run(*words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        store = ("--db", str(tmp_path / "hospital.duckdb"))
        return main([*words, *store], environ={}, out=out, err=err), out.getvalue(), err.getvalue()

    return run


def ingested(wardtwin, path) -> dict[str, float]:
    _, out, err = wardtwin("ingest", str(path), "--json")
    assert out, err
    return json.loads(out)


def counts(summary: dict[str, float]) -> tuple[float, ...]:
    return tuple(summary[name] for name in ("messages", "accepted", "duplicates", "rejected"))


def test_reading_again_counts_duplicates_and_changes_nothing(wardtwin, tmp_path):
    folder = tmp_path / "feed"
    folder.mkdir()
    (folder / "a.hl7").write_text("\r".join(message(number) for number in range(30)))
    (folder / "b.ndjson").write_text("\n".join(json.dumps(patient(n)) for n in range(5)))
    assert counts(ingested(wardtwin, folder)) == (35, 35, 0, 0)
    before = wardtwin("sql", "SELECT * FROM twin.stay ORDER BY ALL")[1]
    assert counts(ingested(wardtwin, folder)) == (35, 0, 35, 0)
    assert wardtwin("sql", "SELECT * FROM twin.stay ORDER BY ALL")[1] == before
    assert "(30 rows)" in before


def test_a_store_that_can_apply_nothing_is_not_waited_for_without_end(
    wardtwin, tmp_path, monkeypatch
):
    def full(*_):
        raise duckdb.IOException("Could not write file: No space left on device")

    monkeypatch.setattr("api.desk.FULL_DISK_S", 0.2)
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    path = tmp_path / "m.hl7"
    path.write_text(message(1))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("twin_core.store.projection.Projection.write", full)
        status, _, said = wardtwin("ingest", str(path))
    assert status == 5
    assert "No space left on device" in said
    assert "Make room on the disk of the store and run the command again" in said
    assert counts(ingested(wardtwin, path)) == (1, 1, 0, 0)


def test_a_large_folder_is_read_in_another_process(wardtwin, tmp_path):
    folder = tmp_path / "feed"
    folder.mkdir()
    notes = "NTE|1||" + "x" * 4_000
    for name in ("a.hl7", "b.hl7"):
        content = "\r".join(f"{message(n)}\r{notes}" for n in range(600))
        (folder / name).write_text(content.replace("|PAS|", f"|PAS-{name[0]}|"))
    assert counts(ingested(wardtwin, folder)) == (1_200, 1_200, 0, 0)


def test_every_resource_of_a_bundle_counts(wardtwin, tmp_path):
    entries = [{"resource": patient(number)} for number in range(4)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle, indent=1))
    assert counts(ingested(wardtwin, tmp_path / "bundle.json")) == (4, 4, 0, 0)


def test_what_is_rejected_is_kept_explained_and_can_be_replayed(wardtwin, tmp_path):
    file = tmp_path / "feed.hl7"
    file.write_text(f"{message(1)}\r{message(2, processing='T')}\r")
    status, out, err = wardtwin("ingest", str(file))
    assert status == 1
    assert "1 accepted" in out
    assert "1 rejected" in out
    assert "wardtwin quarantine list" in err

    [kept] = json.loads(wardtwin("quarantine", "list", "--json")[1])
    assert (kept["code"], kept["trigger_event"]) == ("AR", "ADT^A01")
    assert "T" in kept["reason"] or "MSH" in kept["reason"]
    number = str(kept["message_id"])
    shown = wardtwin("quarantine", "show", number)[1]
    assert "  PID|1||P2^^^GENERAL^MR" in shown
    assert wardtwin("quarantine", "replay", number)[0] == 1

    site = tmp_path / "site.toml"
    site.write_text('[feeds.adt]\nprocessing_ids = ["P", "T"]\n')
    status, out, _ = wardtwin("quarantine", "replay", number, "--config", str(site))
    assert status == 0
    assert "accepted" in out
    assert json.loads(wardtwin("quarantine", "list", "--json")[1]) == []
    beds = json.loads(wardtwin("sql", "SELECT bed FROM twin.stay ORDER BY bed", "--json")[1])
    assert beds == [{"bed": "B1"}, {"bed": "B2"}]


def test_a_file_of_something_else_is_rejected_not_dropped(wardtwin, tmp_path):
    (tmp_path / "letter.hl7").write_text("Dear colleague,\r\nthis is no message.\r\n")
    assert counts(ingested(wardtwin, tmp_path / "letter.hl7")) == (1, 0, 0, 1)


def test_state_is_a_table_of_units(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text("\r".join(message(number) for number in range(3)))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    out = wardtwin("state", "--at", "2026-11-01T12:00Z")[1]
    assert "3 patients" in out
    [row] = [line for line in out.splitlines() if line.startswith("GENERAL")]
    assert row.split() == ["GENERAL", "W1", "3", "3", "3", "0", "0", "0"]


def test_a_corrupt_store_is_a_store_error(wardtwin, tmp_path):
    (tmp_path / "hospital.duckdb").write_bytes(b"this is no database" * 1000)
    status, out, err = wardtwin("sql", "SELECT 1")
    assert (status, out) == (5, "")
    assert err.startswith("error: ")


def test_one_half_of_a_store_is_refused(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text(message(1))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    (tmp_path / "hospital.duckdb.inbox").unlink()
    status, _, err = wardtwin("state")
    assert status == 5
    assert "backup" in err


def test_a_backup_is_a_store(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text(message(1))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    assert wardtwin("backup", str(tmp_path / "copy"))[0] == 0
    out = io.StringIO()
    words = ["sql", "SELECT bed FROM twin.stay", "--json"]
    copy = ["--db", str(tmp_path / "copy/hospital.duckdb")]
    assert main([*words, *copy], environ={}, out=out, err=io.StringIO()) == 0
    assert json.loads(out.getvalue()) == [{"bed": "B1"}]
    ledger = ["audit", "verify", "--ledger", str(tmp_path / "copy/hospital.duckdb.audit.copy")]
    key = wardtwin("audit", "key")[1].strip()
    assert wardtwin(*ledger, "--public-key", key)[0] == 0


def test_a_rebuild_reads_messages_by_the_settings_of_now(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text("\r".join(message(number) for number in range(3)))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    before = wardtwin("sql", "SELECT * FROM twin.stay ORDER BY ALL")[1]
    status, out, err = wardtwin("rebuild")
    assert (status, "6 events" in out) == (0, True), err
    assert wardtwin("sql", "SELECT * FROM twin.stay ORDER BY ALL")[1] == before

    site = tmp_path / "site.toml"
    site.write_text('[feeds.adt.units]\nW1 = "NORTH"\n')
    wardtwin("rebuild", "--config", str(site))
    units = json.loads(wardtwin("sql", "SELECT DISTINCT unit FROM twin.stay", "--json")[1])
    assert units == [{"unit": "NORTH"}]


def test_the_catalogue_of_kpis_has_titles(wardtwin):
    rows = json.loads(wardtwin("kpi", "--json")[1])
    assert {"occ_midnight", "adc", "ed_census"} <= {row["id"] for row in rows}
    assert all(row["title"] and row["question"] for row in rows)


def test_a_kpi_without_its_inputs_says_what_supplies_them(wardtwin, tmp_path):
    (tmp_path / "a.hl7").write_text(message(1))
    ingested(wardtwin, tmp_path / "a.hl7")
    window = ("--from", "2026-11-01", "--to", "2026-11-03")
    said = "No figure is known. Supplied by:"
    assert f"{said} A roster import" in "".join(wardtwin("kpi", "hppd", *window)[1:])
    assert f"{said} FHIR Locations of beds" in "".join(wardtwin("kpi", "occ_hourly", *window)[1:])
    assert said not in "".join(wardtwin("kpi", "adc", *window)[1:])
    assert "supplied by  A roster import" in wardtwin("kpi", "hppd", *window, "--explain")[1]


def test_a_message_cannot_move_the_cursor_of_a_terminal(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text(message(1).replace("W1^1^B1", "W1^1^\x1b[31mB"))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    for words in (("sql", "SELECT bed FROM twin.stay"), ("quarantine", "list")):
        assert "\x1b" not in wardtwin(*words)[1]


def test_a_chart_is_a_table_of_points_with_their_limits(wardtwin, tmp_path):
    (tmp_path / "a.hl7").write_text(message(1))
    ingested(wardtwin, tmp_path / "a.hl7")
    asked = ("kpi", "adc", "--from", "2026-11-01", "--to", "2026-11-04", "--chart")
    status, out, _ = wardtwin(*asked)
    assert status == 0
    assert "GENERAL W1: mean, XmR chart, " in out
    assert "12 are needed" in out
    assert out.count("2026-11-0") == 3
    [chart] = json.loads(wardtwin(*asked, "--json")[1])
    assert [point["period_start"][:10] for point in chart["points"]] == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
    ]


def test_figures_go_into_files_for_other_tools(wardtwin, tmp_path):
    (tmp_path / "a.hl7").write_text(message(1))
    ingested(wardtwin, tmp_path / "a.hl7")
    asked = ("kpi", "adc", "--from", "2026-11-01", "--to", "2026-11-03", "--compare", "previous")
    rows = json.loads(wardtwin(*asked, "--json")[1])
    assert {"value_before", "change"} <= set(rows[0])
    told = wardtwin(*asked, "--format", "csv")[1]
    assert told.splitlines()[0].endswith("coverage,value_before,change")
    assert "GENERAL,W1,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z," in told
    file = tmp_path / "adc.parquet"
    status, out, err = wardtwin(*asked, "--format", "parquet", "--out", str(file))
    assert (status, out, file.read_bytes()[:4]) == (0, "", b"PAR1")
    assert err.endswith(f"adc.parquet: {len(rows)} rows.\n")
    assert "value_before" in wardtwin(*asked)[1].splitlines()[0]


def test_bytes_are_not_shown_where_only_text_can_be(wardtwin, tmp_path):
    (tmp_path / "a.hl7").write_text(message(1))
    ingested(wardtwin, tmp_path / "a.hl7")
    status, _, err = wardtwin("kpi", "adc", "--format", "arrow")
    assert (status, "--out" in err) == (2, True)
    assert wardtwin("kpi", "adc", "--format", "csv", "--out", str(tmp_path))[0] == 2
    assert "--format" in wardtwin("kpi", "adc", "--out", "x.csv")[2]


def test_a_figure_is_explained_down_to_its_messages(wardtwin, tmp_path):
    (tmp_path / "feed.hl7").write_text("\r".join(message(number) for number in range(3)))
    wardtwin("ingest", str(tmp_path / "feed.hl7"))
    asked = ("kpi", "occ_hourly", "--from", "2026-11-01", "--to", "2026-11-02", "--explain")
    status, out, err = wardtwin(*asked, "--unit", "W1")
    assert status == 0, err
    assert "How full were the beds" in out
    assert "FROM kpi_part.bed_time" in out
    assert len([line for line in out.splitlines() if "  encounter e" in line]) == 3
    told = json.loads(wardtwin(*asked, "--json", "--limit", "2")[1])
    assert told["more"]
    assert [row["numerator"] for row in told["rows"]] == [16.0, 16.0]
    [event, *_] = told["rows"][0]["events"]
    said = f"SELECT trigger_event FROM twin.message WHERE message_id = {event['message_id']}"
    assert json.loads(wardtwin("sql", said, "--json")[1]) == [{"trigger_event": "ADT^A01"}]


def test_an_explanation_needs_a_kpi_and_a_choice_needs_an_explanation(wardtwin):
    assert wardtwin("kpi", "--explain")[0] == 2
    assert wardtwin("kpi", "alos", "--unit", "W1")[0] == 2

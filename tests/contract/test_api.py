"""The API as its callers see it, in front of a real store that heard a few messages."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.ipc
import pyarrow.parquet
import pytest

from api.app import create_app
from twin_core.settings import Settings
from twin_core.twin import Twin

NAME = "QUISENBERRY"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


# --- state and units -------------------------------------------------------------------------


def test_the_state_shows_who_is_where_now(api: Any) -> None:
    units = {u["unit"]: u for u in api.get("/v1/state").json()["units"]}
    assert units["ICU"]["census"] == 1
    assert units["MED"]["census"] == 0
    assert [bed["status"] for bed in units["MED"]["beds"]] == ["free", "free"]


def test_the_state_at_an_earlier_instant(api: Any) -> None:
    shown = api.get("/v1/state", params={"at": "2026-03-02T09:30:00Z"}).json()
    units = {unit["unit"]: unit["census"] for unit in shown["units"]}
    assert units["MED"] == 2
    assert units.get("ICU", 0) == 0


def test_an_offset_whose_plus_was_not_encoded_is_understood(api: Any) -> None:
    answer = api.request("GET", "/v1/state?at=2026-03-02T10:30:00+01:00")
    assert answer.json()["at"] == "2026-03-02T09:30:00Z"


@pytest.mark.parametrize("at", ["yesterday", "2026-03-02T09:30:00", "0001-01-01T00:00:00Z"])
def test_an_instant_that_is_none_is_refused(api: Any, at: str) -> None:
    answer = api.get("/v1/state", params={"at": at})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_units_are_listed_and_addressed(api: Any) -> None:
    listed = {unit["unit"]: unit for unit in api.get("/v1/units").json()}
    assert listed["ICU"]["counts"]["occupied"] == 1
    assert listed["MED"]["counts"]["free"] == 2
    one = api.get("/v1/units/GEN/ICU").json()
    assert one["beds"][0]["occupants"][0]["class"] == "IMP"
    assert api.get("/v1/units/GEN/NOWHERE").status_code == 404


# --- encounters ------------------------------------------------------------------------------


def test_encounters_come_newest_first_in_pages_without_gaps(api: Any) -> None:
    seen, after = [], None
    while True:
        params = {"limit": 1} | ({"after": after} if after else {})
        page = api.get("/v1/encounters", params=params).json()
        seen += [one["admitted_at"] for one in page["encounters"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["2026-03-02T11:15:00Z", "2026-03-02T09:00:00Z", "2026-03-02T08:00:00Z"]


def test_encounters_by_status_class_and_unit(api: Any) -> None:
    def count(**asked: str) -> int:
        return len(api.get("/v1/encounters", params=asked).json()["encounters"])

    assert count(status="finished") == 1
    assert count(**{"class": "EMER"}) == 1
    assert count(unit="ICU") == 1
    assert count(unit="MED") == 0


def test_a_cursor_that_is_none_is_refused(api: Any) -> None:
    assert api.get("/v1/encounters", params={"after": "?"}).status_code == 400


def test_an_encounter_has_its_stays_histories_and_messages(api: Any) -> None:
    [listed] = api.get("/v1/encounters", params={"unit": "ICU"}).json()["encounters"]
    shown = api.get(f"/v1/encounters/{listed['encounter_id']}").json()
    assert [(s["unit"], s["from_at"][11:16]) for s in shown["stays"]] == [
        ("MED", "09:00"),
        ("ICU", "10:00"),
    ]
    assert [m["trigger_event"] for m in shown["messages"]] == ["ADT^A01", "ADT^A02"]
    assert [s["value"] for s in shown["statuses"]] == ["in-progress"]
    assert [i["value"] for i in shown["identifiers"]] == ["V2"]
    assert api.get("/v1/encounters/e0").status_code == 404


# --- kpis ------------------------------------------------------------------------------------


def test_the_catalogue_and_a_figure(api: Any) -> None:
    assert "occ_midnight" in [kpi["id"] for kpi in api.get("/v1/kpis").json()]
    asked = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T12:00:00Z"}
    shown = api.get("/v1/kpis/alos", params={**asked, "grain": "all", "by": "hospital"}).json()
    [mean] = [r for r in shown["rows"] if r["statistic"] == "mean" and not r["stratum"]]
    assert mean["denominator"] == 0  # the only discharge is a day case, shown apart
    [apart] = [r for r in shown["rows"] if r["statistic"] == "mean" and r["stratum"]]
    assert apart["value"] == pytest.approx(3 / 24)


def test_the_rows_behind_a_figure_lead_to_the_messages_that_said_so(api: Any) -> None:
    asked = {"start": "2026-03-02", "end": "2026-03-03", "statistic": "mean"}
    [row] = api.get("/v1/kpis/alos/rows", params=asked).json()["rows"]
    assert (row["unit"], row["stratum"], row["numerator"]) == ("MED", "day_case", 3 / 24)
    assert [event["kind"] for event in row["events"]] == ["Admitted", "Discharged"]
    for event in row["events"]:
        told = api.get(f"/v1/messages/{event['message_id']}").json()
        assert told["message"]["trigger_event"] in {"ADT^A01", "ADT^A03"}
    assert api.get(f"/v1/encounters/{row['subject_id']}").status_code == 200
    elsewhere = api.get("/v1/kpis/alos/rows", params={**asked, "unit": "ICU"}).json()
    assert (elsewhere["rows"], elsewhere["next"]) == ([], None)


def test_the_rows_behind_figures_come_in_pages(api: Any) -> None:
    asked = {"start": "2026-03-02", "end": "2026-03-03", "grain": "all", "by": "hospital"}
    whole = api.get("/v1/kpis/occ_hourly/rows", params=asked).json()
    assert whole["next"] is None
    parts, after = [], 0
    while after is not None:
        page = api.get("/v1/kpis/occ_hourly/rows", params={**asked, "limit": 1, "after": after})
        parts += page.json()["rows"]
        after = page.json()["next"]
    assert parts == whole["rows"]
    assert len(parts) > 1


def test_a_kpi_without_inputs_tells_no_rows(api: Any) -> None:
    assert api.get("/v1/kpis/hppd/rows").status_code == 400
    assert api.get("/v1/kpis/happiness/rows").status_code == 404


def test_an_unknown_kpi_is_not_found_and_an_empty_window_is_refused(api: Any) -> None:
    assert api.get("/v1/kpis/happiness").status_code == 404
    backwards = {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
    assert api.get("/v1/kpis/alos", params=backwards).status_code == 400
    assert api.get("/v1/kpis/alos", params={"grain": "fortnight"}).status_code == 422


def test_a_day_of_a_window_begins_at_the_hospitals_midnight(api: Any) -> None:
    asked = {"start": "2026-03-02", "end": "2026-03-04", "grain": "all"}
    shown = api.get("/v1/kpis/adc", params=asked).json()
    assert (shown["start"], shown["end"]) == ("2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z")
    assert api.get("/v1/kpis/adc", params={"start": "2026-03-02T06:00:00"}).status_code == 422


@pytest.mark.parametrize("address", ["/v1/kpis/adc?from=2026-03-02", "/v1/state?when=now"])
def test_a_parameter_that_does_not_exist_is_refused_and_those_that_do_are_named(
    api: Any, address: str
) -> None:
    answer = api.get(address)
    assert answer.status_code == 400
    assert "known_at" in answer.json()["detail"]


def test_a_chart_says_what_its_limits_are_or_why_there_are_none(api: Any) -> None:
    asked = {"start": "2026-02-20", "end": "2026-03-03", "by": "hospital"}
    shown = api.get("/v1/kpis/adc/chart", params=asked).json()
    assert shown["rules"]["shift"].startswith("eight points in a row")
    [chart] = shown["charts"]
    assert (chart["kind"], chart["centre"]) == ("XmR", None)
    assert "12 are needed" in chart["why_not"]
    assert [point["complete"] for point in chart["points"]] == [True] * 10 + [False]
    assert api.get("/v1/kpis/happiness/chart").status_code == 404
    assert api.get("/v1/kpis/adc/chart?statistic=median").status_code == 400
    assert api.get("/v1/kpis/adc/chart?grain=all").status_code == 400
    assert api.get("/v1/kpis/adc/chart?baseline_start=2026-03-01").status_code == 400
    assert api.get("/v1/kpis/adc/chart?baseline=3").status_code == 422


WEEK = {"start": "2026-03-01", "end": "2026-03-03", "by": "unit"}


@pytest.mark.parametrize("asked_by", ["format", "accept"])
def test_figures_come_as_csv_arrow_and_parquet_too(api: Any, asked_by: str) -> None:
    def ask(form: str, media_type: str) -> Any:
        if asked_by == "format":
            return api.get("/v1/kpis/adc", params={**WEEK, "format": form})
        return api.get("/v1/kpis/adc", params=WEEK, headers={"accept": media_type})

    rows = api.get("/v1/kpis/adc", params=WEEK).json()["rows"]
    told = ask("csv", "text/csv")
    assert told.headers["content-type"].startswith("text/csv")
    assert told.headers["content-disposition"] == 'attachment; filename="adc.csv"'
    cells = list(csv.DictReader(io.StringIO(told.text)))
    assert [c["period_start"] for c in cells] == [r["period_start"] for r in rows]
    known = [None if c["value"] == "" else float(c["value"]) for c in cells]
    assert known == [r["value"] for r in rows]
    arrow = ask("arrow", "application/vnd.apache.arrow.stream")
    assert "Accept" in arrow.headers["vary"].split(", ")
    table = pyarrow.ipc.open_stream(arrow.content).read_all()
    assert table["value"].to_pylist() == known
    parquet = ask("parquet", "application/vnd.apache.parquet").content
    assert pyarrow.parquet.read_table(io.BytesIO(parquet)).equals(table)


def test_a_format_that_there_is_none_of_is_refused(api: Any) -> None:
    assert api.get("/v1/kpis/adc", params={"format": "xlsx"}).status_code == 422
    answer = api.get("/v1/kpis/adc", headers={"accept": "application/pdf"})
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["detail"]


def test_a_figure_stands_beside_the_one_before(api: Any) -> None:
    asked = {"start": "2026-03-02", "end": "2026-03-03", "by": "hospital"}
    [row] = api.get("/v1/kpis/adc", params={**asked, "compare": "previous"}).json()["rows"]
    before = {**asked, "start": "2026-03-01", "end": "2026-03-02"}
    [earlier] = api.get("/v1/kpis/adc", params=before).json()["rows"]
    assert row["value_before"] == earlier["value"]
    assert row["change"] == row["value"] - earlier["value"]
    [plain] = api.get("/v1/kpis/adc", params=asked).json()["rows"]
    assert "change" not in plain
    told = api.get("/v1/kpis/adc", params={**asked, "compare": "year", "format": "csv"}).text
    assert told.splitlines()[0].endswith("value_before,change")
    assert api.get("/v1/kpis/adc?compare=decade").status_code == 422


# --- messages and quarantine -----------------------------------------------------------------


def test_messages_newest_first_in_pages(api: Any) -> None:
    first = api.get("/v1/messages", params={"limit": 4}).json()
    rest = api.get("/v1/messages", params={"limit": 4, "before": first["next"]}).json()
    shown = [m["control_id"] for m in first["messages"] + rest["messages"]]
    assert shown == ["6", "5", "4", "3", "2", "1"]
    assert rest["next"] is None


def test_a_message_says_what_happened_but_never_who(api: Any) -> None:
    [admission] = [m for m in api.get("/v1/messages").json()["messages"] if m["control_id"] == "1"]
    answer = api.get(f"/v1/messages/{admission['message_id']}")
    assert [e["kind"] for e in answer.json()["events"]] == ["PatientDescribed", "Admitted"]
    assert NAME not in answer.text
    assert api.get("/v1/messages/999").status_code == 404


def test_quarantine_gives_the_reason_and_a_replay_says_what_became_of_it(api: Any) -> None:
    [waiting] = api.get("/v1/quarantine").json()["messages"]
    assert waiting["reason"]
    detail = api.get(f"/v1/messages/{waiting['message_id']}").json()
    assert detail["faults"][0]["where"]
    again = api.post(f"/v1/quarantine/{waiting['message_id']}/replay")
    assert again.json()["status"] == "rejected"


def test_only_what_is_in_quarantine_can_be_replayed(api: Any) -> None:
    assert api.post("/v1/quarantine/1/replay").status_code == 409
    assert api.post("/v1/quarantine/999/replay").status_code == 404


# --- intake ----------------------------------------------------------------------------------


def test_a_message_is_answered_aa_once_it_is_stored_and_twice_the_same(
    fresh: Any, heard: tuple[bytes, ...]
) -> None:
    first = fresh.post("/v1/hl7v2", content=heard[0])
    again = fresh.post("/v1/hl7v2", content=heard[0])
    for answer in (first, again):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/hl7-v2")
        assert b"MSA|AA|1" in answer.content
    assert again.headers["x-wardtwin-outcome"] == "duplicate"


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_a_message_that_cannot_be_applied_is_answered_and_kept(
    fresh: Any, twin: Twin, broken: bytes, code: str
) -> None:
    raw = broken if code == "AE" else b"not HL7 at all"
    answer = fresh.post("/v1/hl7v2", content=raw)
    assert answer.status_code == {"AE": 422, "AR": 400}[code]
    assert f"MSA|{code}".encode() in answer.content
    assert NAME.encode() not in answer.content
    twin.wait_applied()
    assert len(fresh.get("/v1/quarantine").json()["messages"]) == 1


@pytest.mark.parametrize(
    ("conditions", "good", "bad"),
    [
        ("", (200, b"AA"), (422, b"AE")),
        ("|||AL|AL", (200, b"AA"), (422, b"CE")),
        ("|||AL|NE", (200, b"CA"), (422, b"CE")),
        ("|||NE|AL", (200, b"AA"), (422, b"AE")),
        ("|||NE|NE", (204, b""), (422, b"")),
        ("|||ER|NE", (204, b""), (422, b"CE")),
        ("|||SU|ER", (200, b"CA"), (422, b"AE")),
        ("||||ER", (204, b""), (422, b"AE")),
    ],
)
def test_over_http_too_the_sender_says_which_answer_it_wants(
    fresh: Any, heard: tuple[bytes, ...], broken: bytes, conditions: str, good: Any, bad: Any
) -> None:
    for raw, (status, code) in ((heard[0], good), (broken, bad)):
        asked = raw.replace(b"|2.5.1", b"|2.5.1" + conditions.encode())
        answer = fresh.post("/v1/hl7v2", content=asked)
        assert answer.status_code == status
        assert (b"\rMSA|" + code + b"|" in answer.content) if code else not answer.content


def test_an_acknowledgement_that_is_posted_is_not_answered_and_not_kept(fresh: Any) -> None:
    raw = b"MSH|^~\\&|PAS|GEN|TWIN|GEN|20260302||ACK^A01|9|P|2.5.1\rMSA|AA|1\r"
    answer = fresh.post("/v1/hl7v2", content=raw)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-wardtwin-outcome"] == "acknowledgement"
    assert fresh.get("/v1/quarantine").json()["messages"] == []


def test_a_message_over_the_limit_is_refused_before_it_is_read_whole(fresh: Any) -> None:
    async def endless():
        while True:
            yield b"x" * 1000

    answer = fresh.post("/v1/hl7v2", content=endless())
    assert answer.status_code == 413
    assert fresh.post("/v1/hl7v2", content=b"x" * 20_001).status_code == 413


def test_a_feed_without_a_proper_name_is_refused(fresh: Any, heard: tuple[bytes, ...]) -> None:
    assert fresh.post("/v1/hl7v2?feed=a%20b", content=heard[0]).status_code == 422


def test_counts_are_taken_in_once(fresh: Any, twin: Twin) -> None:
    counts = [
        {"source": "beds", "facility": "GEN", "unit": "MED", "at": NOON.isoformat(), "census": 4}
    ]
    assert fresh.post("/v1/census", json=counts).json() == {"accepted": 1, "duplicates": 0}
    assert fresh.post("/v1/census", json=counts).json() == {"accepted": 0, "duplicates": 1}
    twin.wait_applied()
    [row] = twin.query("SELECT unit, census FROM history.source_census(NULL)")
    assert row == {"unit": "MED", "census": 4}


@pytest.mark.parametrize(
    "wrong",
    [{"census": -1}, {"census": "four"}, {"at": "2026-03-02T00:00:00"}, {"ward": "MED"}],
)
def test_counts_that_are_not_usable_are_refused_whole(fresh: Any, wrong: dict) -> None:
    count = {"source": "beds", "unit": "MED", "at": NOON.isoformat(), "census": 4}
    answer = fresh.post("/v1/census", json=[count, {**count, **wrong}])
    assert answer.status_code == 422
    assert fresh.get("/v1/messages").json()["messages"] == []


# --- health ----------------------------------------------------------------------------------


def test_health(api: Any) -> None:
    assert api.get("/health/live").json()["ok"] is True
    ready = api.get("/health/ready")
    assert ready.status_code == 200
    assert [check["name"] for check in ready.json()["checks"]] == ["store", "projection", "disk"]


def test_not_ready_when_messages_wait_too_long(
    fresh: Any, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin, "lag_seconds", lambda: 3600.0)
    assert fresh.get("/health/ready").status_code == 503


def test_metrics_are_in_the_prometheus_format(api: Any) -> None:
    lines = api.get("/metrics").text.splitlines()
    assert 'wardtwin_messages_total{feed="adt",outcome="accepted"} 5' in lines
    assert "# TYPE wardtwin_messages_total counter" in lines
    assert "wardtwin_quarantined_messages 1" in lines
    samples = [line for line in lines if not line.startswith("#")]
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.7:8080"])
def test_other_hosts_than_loopback_are_refused(api: Any, host: str) -> None:
    assert api.get("/v1/units", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "127.8.9.1:1"])
def test_loopback_hosts_are_served(api: Any, host: str) -> None:
    assert api.get("/health/live", headers={"Host": host}).status_code == 200


def test_a_configured_host_is_served(twin: Twin, serve: Any) -> None:
    caller = serve(create_app(twin, hosts=["twin.hospital.example"]))
    headers = {"Host": "twin.hospital.example"}
    assert caller.get("/health/live", headers=headers).status_code == 200


def test_another_site_may_not_change_anything(api: Any, heard: tuple[bytes, ...]) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = api.post("/v1/hl7v2", content=heard[0], headers=headers)
        assert answer.status_code == 403
    same = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert api.post("/v1/hl7v2", content=heard[0], headers=same).status_code == 200


def test_no_cross_origin_headers_are_ever_sent(api: Any) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for answer in (
        api.request("OPTIONS", "/fhir/R4/Patient", headers=asked),
        api.get("/v1/units", headers=asked),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/v1/state", "/nowhere"])
def test_trace_is_not_allowed(api: Any, path: str) -> None:
    assert api.request("TRACE", path).status_code == 405


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fetc/passwd", "/static/%2e%2e/rendering.py", "/static/"]
)
def test_no_path_leads_out_of_the_static_files(api: Any, path: str) -> None:
    assert api.get(path).status_code == 404


def test_headers_have_a_limit(api: Any) -> None:
    assert api.get("/", headers={"X": "A" * 70_000}).status_code == 431


@pytest.mark.parametrize("path", ["/", "/v1/units", "/static/board.css", "/nowhere", "/metrics"])
def test_every_answer_carries_the_security_headers(api: Any, path: str) -> None:
    headers = api.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_an_unforeseen_failure_shows_nothing_of_its_inside(
    fresh: Any,
    twin: Twin,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError(f"could not place {NAME}")

    monkeypatch.setattr(twin, "state", failing)
    answer = fresh.get("/v1/units")
    assert answer.status_code == 500
    assert answer.json()["title"] == "Internal Server Error"
    assert NAME not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    page = fresh.get("/past?lang=de", headers={"Accept": "text/html"})
    assert page.status_code == 500
    assert '<a href="/">Zurück zur Übersicht</a>' in page.text
    assert NAME not in page.text


def test_a_closed_store_is_answered_503(tmp_path: Path, serve: Any) -> None:
    twin = Twin.open(tmp_path / "closed.duckdb", settings=Settings())
    caller = serve(create_app(twin))
    twin.close()
    answer = caller.get("/v1/units")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


# --- description -----------------------------------------------------------------------------


def test_every_reference_of_the_openapi_document_resolves(api: Any) -> None:
    document = api.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(schemas)
    assert {"HospitalState", "EncounterPage", "KpiFigures", "Problem"} <= named


def test_every_operation_of_ours_has_a_summary_and_says_what_it_answers(api: Any) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    ours = {p: m for p, m in paths.items() if p.startswith(("/v1", "/health"))}
    assert {"/v1/state", "/v1/deltas", "/v1/hl7v2", "/v1/kpis/{kpi_id}"} <= set(ours)
    for path, methods in ours.items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["responses"], path


def test_a_batch_is_answered_by_a_batch_of_acknowledgements(
    fresh: Any, twin: Twin, heard: tuple[bytes, ...], broken: bytes
) -> None:
    batch = (
        b"FHS|^~\\&|A|H\rBHS|^~\\&|A|H|||||||B1\r"
        + heard[0]
        + b"\r"
        + heard[1]
        + b"\rBTS|2\rFTS|1\r"
    )
    answer = fresh.post("/v1/hl7v2", content=batch)
    assert answer.status_code == 200
    assert answer.headers["x-wardtwin-outcome"] == "2 accepted"
    segments = [line[:6] for line in answer.text.split("\r")]
    assert [s[:3] for s in segments] == [*"FHS BHS MSH MSA MSH MSA BTS FTS".split(), ""]
    assert segments[3] == segments[5] == "MSA|AA"
    assert "|B1\r" in answer.text
    again = fresh.post("/v1/hl7v2", content=batch)
    assert (again.status_code, again.headers["x-wardtwin-outcome"]) == (200, "2 duplicate")


def test_a_batch_with_a_wrong_count_is_taken_and_told_so(
    fresh: Any, twin: Twin, heard: tuple[bytes, ...], broken: bytes
) -> None:
    batch = b"BHS|^~\\&|A|H\r" + heard[0] + b"\r" + broken + b"\rBTS|3\r"
    answer = fresh.post("/v1/hl7v2", content=batch)
    assert answer.status_code == 422
    assert answer.headers["x-wardtwin-outcome"] == "1 accepted, 2 rejected"
    assert "BTS|2|BTS\\S\\1\\S\\1: The count is 3, but 2 messages were found.\r" in answer.text
    assert NAME not in answer.text
    twin.wait_applied()
    assert len(fresh.get("/v1/quarantine").json()["messages"]) == 2


def test_the_count_of_a_batch_without_its_header_is_verified_too(
    fresh: Any, heard: tuple[bytes, ...]
) -> None:
    answer = fresh.post("/v1/hl7v2", content=heard[0].rstrip() + b"\rBTS|3\r")
    assert (answer.status_code, answer.headers["x-wardtwin-outcome"]) == (
        422,
        "1 accepted, 1 rejected",
    )
    assert "The count is 3, but 1 message was found." in answer.text


def test_a_compressed_body_is_refused_before_it_is_kept(fresh: Any) -> None:
    packed = {"Content-Encoding": "gzip"}
    for path in ("hl7v2", "census"):
        answer = fresh.post(f"/v1/{path}", content=b"\x1f\x8b\x08", headers=packed)
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert fresh.get("/v1/quarantine").json()["messages"] == []


def test_a_batch_may_weigh_what_a_body_may(fresh: Any, heard: tuple[bytes, ...]) -> None:
    batch = b"BHS|^~\\&|A|H\r" + heard[0] + b"\r\n" * 20_000 + b"BTS|1\r"
    assert fresh.post("/v1/hl7v2", content=batch).status_code == 200


def test_a_batch_is_answered_as_each_message_asks(fresh: Any, heard: tuple[bytes, ...]) -> None:
    silent = heard[0].replace(b"|P|2.5.1", b"|P|2.5.1|||NE|NE", 1)
    commit = heard[1].replace(b"|P|2.5.1", b"|P|2.5.1|||AL|NE", 1)
    acknowledgement = b"MSH|^~\\&|B|H|A|H|20260302||ACK|9|P|2.5.1\rMSA|AA|77"
    parts = (b"BHS|^~\\&|A|H", silent, commit, acknowledgement, b"BTS|3", b"")
    answer = fresh.post("/v1/hl7v2", content=b"\r".join(parts))
    assert (answer.status_code, answer.headers["x-wardtwin-outcome"]) == (200, "2 accepted")
    assert [line[:6] for line in answer.text.split("\r") if line.startswith("MSA")] == ["MSA|CA"]
    assert "\rBTS|1\r" in answer.text


def test_an_encounter_shows_what_is_planned_and_where_the_patient_is(
    fresh: Any, twin: Twin, heard: tuple[bytes, ...]
) -> None:
    def adt(trigger: str, minute: int, further: str) -> bytes:
        at = f"202603020905{minute:02}+0000"
        return (
            f"MSH|^~\\&|PAS|GEN|TWIN|GEN|{at}||ADT^{trigger}|C{minute}|P|2.5.1\rEVN|{trigger}|{at}\r"
            f"PID|1||PV2^^^GEN^MR\rPV1||I|MED^1^2^GEN||||||||{further}"
        ).encode()

    visit = "||||||||V2^^^GEN^VN" + "|" * 23
    transfer, departure = adt("A15", 1, visit + "ICU^1^1^GEN"), adt("A09", 2, "OR^3" + visit)
    for raw in (heard[1], transfer, departure):
        assert fresh.post("/v1/hl7v2", content=raw).status_code == 200
    twin.wait_applied()
    [listed] = fresh.get("/v1/encounters").json()["encounters"]
    shown = fresh.get(f"/v1/encounters/{listed['encounter_id']}").json()
    [plan], [tracked] = shown["plans"], shown["tracking"]
    assert (plan["kind"], plan["status"], plan["unit"]) == ("transfer", "active", "ICU")
    assert (tracked["status"], tracked["temporary"]) == ("departed", True)
    assert (tracked["unit"], tracked["room"], tracked["to_at"]) == ("OR", "3", None)

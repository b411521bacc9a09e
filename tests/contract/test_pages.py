"""The pages as a browser without scripts gets them."""

import re
from html import unescape
from typing import Any

import pytest

from twin_core.twin import Twin

HOSTILE = "<script>alert(1)</script>"
PAGES = (
    "/",
    "/past",
    "/feeds",
    "/alerts",
    "/units/GEN/MED",
    "/kpis",
    "/kpis/alos",
    "/messages",
    "/quarantine",
    "/next",
    "/sql",
    "/audit",
    "/settings",
    "/docs",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_stands_without_scripts_styles_or_other_servers(api: Any, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)", answer.text)
    assert not re.search(r"\sstyle=|\son\w+=|<style", answer.text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_names_a_patient(api: Any, path: str) -> None:
    assert "QUISENBERRY" not in api.get(path).text


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_landmarks_a_heading_and_a_way_past_the_navigation(
    api: Any, path: str
) -> None:
    text = api.get(path).text
    assert '<html lang="en"' in text
    assert text.count("<main") == text.count("<h1") == text.count("<nav aria-label") == 1
    assert 'href="#main"' in text


def test_the_board_is_complete_before_any_script_runs(api: Any) -> None:
    text = api.get("/").text
    icu = text.split('data-unit="GEN/ICU"')[1].split("</section>")[0]
    assert re.search(r'class="bed occupied"[^>]*title="1-1: occupied', icu)
    assert "1 patient" in icu
    med = text.split('data-unit="GEN/MED"')[1].split("</section>")[0]
    assert med.count('class="bed free"') == 2
    assert "1 here, 1 waiting" in text
    assert re.search(r'id="quarantined"[^>]*>1<', text)


def test_a_kpi_leads_to_longer_windows_that_end_where_its_own_does(api: Any) -> None:
    asked = {"start": "2026-03-01", "end": "2026-03-03", "by": "unit"}
    text = unescape(api.get("/kpis/alos", params=asked).text)
    spans = re.findall(
        r'href="/kpis/alos\?start=([\d-]+)&end=([\d-]+)&grain=day&by=unit">([^<]+)<', text
    )
    assert spans == [
        ("2026-02-24", "2026-03-03", "7 days"),
        ("2026-02-03", "2026-03-03", "28 days"),
        ("2025-12-02", "2026-03-03", "91 days"),
    ]


def test_a_figure_leads_to_the_rows_behind_it_and_to_their_messages(api: Any) -> None:
    asked = {"start": "2026-03-02", "end": "2026-03-03", "by": "unit"}
    text = api.get("/kpis/alos", params=asked).text
    links = re.findall(r'href="(/kpis/alos/rows[^"]*stratum=day_case[^"]*statistic=mean)"', text)
    [link] = {unescape(link) for link in links}
    rows = api.get(link).text
    assert rows.count("<h1") == 1
    for message_id in (1, 4):
        assert f'<a href="/messages/{message_id}">' in rows


def test_a_bed_leads_to_the_visit_and_the_visit_to_its_messages(api: Any) -> None:
    [visit] = re.findall(r'href="(/visits/\w+)"', api.get("/units/GEN/ICU").text)
    text = api.get(visit).text
    assert re.findall(r'<a href="/messages/(\d+)">', text) == ["2", "3"]
    course = text.split('id="course"')[1].split("</table>")[0]
    assert re.findall(r'<th scope="row">([^<]+)</th>', course) == ["GEN MED 1-2", "GEN ICU 1-1"]
    assert "still there" in course
    assert api.get("/visits/e000000000000000000000000").status_code == 404


def test_the_settings_are_shown_with_their_origins_and_without_secrets(api: Any) -> None:
    text = api.get("/settings").text
    rows = re.findall(r"<code>(\w+)</code></th><td class=\"value\">(.*?)</td><td>(.*?)</td>", text)
    assert ("frame_bytes", "20000", "default") in rows
    assert "[feeds.adt]" in text


def test_an_empty_store_says_how_to_fill_it(fresh: Any) -> None:
    text = fresh.get("/").text
    assert re.search(r'id="no-units">', text)
    assert "No unit is known yet" in text
    assert "Nobody is in the ED" in text
    assert fresh.get("/kpis/occ_midnight").status_code == 200


def test_a_unit_page_lists_its_beds_and_can_show_the_past(api: Any) -> None:
    now = api.get("/units/GEN/MED").text
    then = api.get("/units/GEN/MED", params={"at": "2026-03-02T09:30:00Z"}).text
    assert now.count("<td>inpatient</td>") == 0
    assert then.count("<td>inpatient</td>") == 2
    assert "2026-03-02 09:30" in then


def occupied(text: str) -> set[str]:
    """The units that have an occupied bed on a page."""
    tiles = re.findall(r'data-unit="([^"]+)".*?</section>', text, re.DOTALL)
    parts = re.split(r'data-unit="[^"]+"', text)[1:]
    return {key for key, part in zip(tiles, parts, strict=True) if 'class="bed occupied"' in part}


def test_the_past_shows_the_hospital_as_it_was_and_as_it_was_known(api: Any) -> None:
    then = api.get("/past", params={"at": "2026-03-02T09:30"}).text
    assert occupied(then) == {"GEN/MED"}
    assert "2 patients" in then
    assert "/units/GEN/MED?at=2026-03-02T09%3A30%3A00%2B00%3A00" in then
    unknown = api.get("/past", params={"at": "2026-03-02T09:30Z", "known_at": "2020-01-01T00:00Z"})
    assert occupied(unknown.text) == set()
    assert "Nothing was known of any unit" in unknown.text


def test_the_page_of_feeds_says_what_came_and_what_was_refused(api: Any) -> None:
    text = api.get("/feeds").text
    [row] = re.findall(
        r'<tr>\s*<th scope="row"><a href="/messages\?feed=adt">.*?</tr>', text, re.DOTALL
    )
    cells = re.findall(r"<td[^>]*>\s*([^<]*?)\s*</td>", row)
    # Taken, duplicates, refused, in quarantine: five messages were applied, one was not.
    assert cells[4:8] == ["5", "0", "1", "1"]


def test_two_instants_are_compared_unit_by_unit(api: Any) -> None:
    asked = {"at": "2026-03-02T09:30Z", "against": "2026-03-02T11:30Z"}
    text = api.get("/past", params=asked).text
    [table] = re.findall(r'aria-label="Two instants compared">(.*?)</table>', text, re.DOTALL)
    rows = [re.findall(r">([^<>\n]+)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    # Unit, patients then and at the other, came, went; V2 went from MED to ICU, V1 went home.
    assert {row[0]: row[1:5] for row in rows} == {
        "ICU": ["0", "1", "1", "0"],
        "MED": ["2", "0", "0", "2"],
    }


def test_a_time_that_is_none_is_refused_in_words(api: Any) -> None:
    answer = api.get("/past", params={"at": "yesterday"}, headers={"Accept": "text/html"})
    assert answer.status_code == 400
    assert "2026-11-01T14:30" in answer.text


def test_a_missing_page_is_a_page_for_people_and_a_problem_for_programs(api: Any) -> None:
    person = api.get("/units/GEN/NOWHERE", headers={"Accept": "text/html"})
    assert person.status_code == 404
    assert "Back to the board" in person.text
    program = api.get("/v1/units/GEN/NOWHERE", headers={"Accept": "text/html"})
    assert program.headers["content-type"] == "application/problem+json"


def test_a_kpi_page_has_the_figures_and_how_they_are_counted(api: Any) -> None:
    text = api.get("/kpis/occ_midnight?start=2026-03-01&end=2026-03-03&by=facility").text
    assert "How it is counted" in text
    assert "NHS England" in text
    assert api.get("/kpis/happiness").status_code == 404
    assert api.get("/kpis/alos?start=2026-02-31").status_code == 400


def test_a_kpi_without_its_inputs_says_what_supplies_them(api: Any) -> None:
    window = "start=2026-03-02&end=2026-03-03&by=hospital"
    said = "They are supplied by:"
    assert said in (empty := api.get(f"/kpis/hppd?{window}").text)
    assert "A roster import" in empty
    # Rows of which nothing is known are no figures either; where one is, nothing is missing.
    assert said in api.get(f"/kpis/occ_midnight?{window}").text
    assert said not in api.get(f"/kpis/adc?{window}").text
    measure = api.get("/fhir/R4/Measure/hppd").json()
    assert "Supplied by: A roster import" in measure["guidance"]


def test_a_kpi_page_shows_limits_and_signals_as_a_table_or_says_why_there_are_none(
    api: Any,
) -> None:
    asked = "/kpis/adc?start=2026-02-01&end=2026-03-03&by=hospital"
    assert re.search(r"No control limits:.*The baseline does not vary.", api.get(asked).text)
    few = "/kpis/adc?start=2026-03-01&end=2026-03-03&by=hospital"
    assert "are too few for limits" in api.get(few).text
    assert "<svg" not in api.get(few + "&grain=all").text
    assert "<style" not in api.get(few).text


def test_a_kpi_page_leads_to_its_figures_as_files(api: Any) -> None:
    text = api.get("/kpis/adc?start=2026-03-01&end=2026-03-03&by=unit&grain=shift").text
    found = re.findall(r'href="(/v1/kpis/adc[^"]*)">(\w+)<', text)
    assert [form for _, form in found] == ["json", "csv", "arrow", "parquet"]
    told = api.get(unescape(dict(map(reversed, found))["csv"]))
    assert told.headers["content-type"].startswith("text/csv")
    assert "MED,2026-03-01T23:00:00Z,2026-03-02T07:00:00Z" in told.text


def test_a_kpi_page_draws_the_limits_and_names_the_signals(
    fresh: Any, twin: Twin, heard: tuple[bytes, ...]
) -> None:
    for day in range(1, 15):  # one patient more on every day: the census only rises
        raw = heard[0].replace(b"20260302", b"202602%02d" % day).replace(b"V1^", b"D%d^" % day)
        raw = raw.replace(b"|1|P|", b"|C%d|P|" % day).replace(b"MED^1^1", b"MED^1^%d" % day)
        fresh.post("/v1/hl7v2", content=raw)
    fresh.post("/v1/hl7v2", content=heard[0])
    twin.wait_applied()
    text = fresh.get("/kpis/adc?start=2026-02-01&end=2026-02-16&by=hospital").text
    assert "XmR chart, limits from 15 periods, 15 periods part of a signal" in text
    assert text.count('class="limit"') == 2
    assert text.count('class="signal"') == 15
    assert "<td>one point beyond a control limit (3 sigma); " in text
    assert "each higher than the one before" in text


def test_messages_can_be_filtered(api: Any) -> None:
    assert api.get("/messages").text.count("ADT^A0") == 6
    assert api.get("/messages?status=quarantined").text.count("ADT^A0") == 1
    assert "No message is like that" in api.get("/messages?feed=other").text


def test_what_a_sender_wrote_is_shown_and_never_executed(fresh: Any, twin: Twin) -> None:
    raw = "\r".join(
        (
            rf"MSH|^~\&|{HOSTILE}|GEN|TWIN|GEN|20260302080000+0000||ADT^A01|{HOSTILE}|P|2.5.1",
            "EVN|A01|20260302080000+0000",
            "PID|1||P1^^^GEN^MR",
            f"PV1|1|I|{HOSTILE}^{HOSTILE}^{HOSTILE}^GEN" + "|" * 16 + "V1^^^GEN^VN",
        )
    )
    assert fresh.post("/v1/hl7v2", content=raw.encode()).status_code == 200
    twin.wait_applied()
    for path in ("/", "/messages", "/messages/1"):
        text = fresh.get(path).text
        assert HOSTILE not in text
    assert "&lt;script&gt;" in fresh.get("/").text


def test_a_message_can_be_tried_again_from_its_page(fresh: Any, twin: Twin, broken: bytes) -> None:
    fresh.post("/v1/hl7v2", content=broken)
    twin.wait_applied()
    assert "Try again" in fresh.get("/quarantine").text
    answer = fresh.post("/quarantine/1/replay")
    assert (answer.status_code, answer.headers["location"]) == (303, "/messages/1")


def test_an_empty_list_of_messages_says_whether_any_was_received(fresh: Any) -> None:
    assert "Nothing was received yet." in fresh.get("/messages").text
    assert "No message is like that." in fresh.get("/messages?status=quarantined").text

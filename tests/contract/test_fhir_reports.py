"""KPIs as Measures and MeasureReports, over HTTP in front of a real store."""

import json
from typing import Any

import pytest

from adapters.fhir import Release, judge
from tests.contract.conftest import Caller

JSON = {"Content-Type": "application/fhir+json"}
STRICT = {"Prefer": "handling=strict"}
DAY = "periodStart=2026-03-02&periodEnd=2026-03-02"


def ask(api: Caller, path: str, status: int = 200, **headers: str) -> Any:
    answer = api.get(f"/fhir/R4/{path}", headers=headers)
    assert answer.status_code == status, answer.text
    assert judge(answer.json(), Release.R4) == []
    return answer.json()


def scores(report: Any) -> dict[tuple[str, ...], Any]:
    """What the first group tells of the whole, under `()`, and of each stratum by its parts."""
    (group,) = report["group"][:1]
    found = {(): group} if "measureScore" in group else {}
    for one in (each for told in group.get("stratifier", ()) for each in told["stratum"]):
        found[tuple(part["value"]["text"] for part in one["component"])] = one
    return found


def test_every_kpi_is_a_valid_measure(api: Caller) -> None:
    bundle = ask(api, "Measure")
    measures = [entry["resource"] for entry in bundle["entry"]]
    kpis = api.get("/v1/kpis").json()
    assert bundle["total"] == len(measures) == len(kpis)
    for told, kpi in zip(measures, kpis, strict=True):
        assert judge(told, Release.R4B) == []
        assert ask(api, f"Measure/{told['id']}") == told
        assert (told["name"], told["title"]) == (kpi["id"], kpi["title"])
        statistics = [group["code"]["coding"][0]["code"] for group in told["group"]]
        assert statistics == list(kpi["statistics"])
    assert bundle["link"][0]["url"] == "http://localhost/fhir/R4/Measure"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("_id=occ-midnight", ["occ_midnight"]),
        ("_id=occ_midnight", []),
        ("url=urn:wardtwin:kpi:alos", ["alos"]),
        ("identifier=urn:wardtwin:kpi|alos", ["alos"]),
        ("name=occ_m,alos", ["alos", "occ_midnight"]),
        ("title=average length", ["alos"]),
        ("status=draft", []),
    ],
)
def test_measures_are_found(api: Caller, asked: str, found: list[str]) -> None:
    bundle = ask(api, f"Measure?{asked}", **STRICT)
    assert [entry["resource"]["name"] for entry in bundle.get("entry", ())] == found


def test_a_measure_is_evaluated_over_a_period(api: Caller) -> None:
    # V1 came at 08:00 and left at 11:00: an eighth of a day, as a day case.
    report = ask(api, f"Measure/alos/$evaluate-measure?{DAY}")
    assert report["period"] == {"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
    assert report["measure"] == "urn:wardtwin:kpi:alos"
    assert scores(report)["GEN", "MED", "day_case"]["measureScore"]["value"] == 0.125
    assert ask(api, f"MeasureReport/{report['id']}") == report
    whole = scores(ask(api, f"Measure/alos/$evaluate-measure?{DAY}&by=hospital&grain=all"))
    assert set(whole) == {(), ("day_case",)}
    # Nobody else left: the mean of nobody is unknown, not zero.
    assert "value" not in whole[()]["measureScore"]
    numerator, denominator = whole["day_case",]["population"]
    assert numerator["extension"][0]["valueDecimal"] == 0.125
    assert "count" not in numerator
    assert denominator["count"] == 1
    by_name = ask(api, f"Measure/$evaluate-measure?measure=Measure/alos&{DAY}")
    assert by_name == report


def test_parameters_ask_the_same(api: Caller) -> None:
    told = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "periodStart", "valueDate": "2026-03-02"},
            {"name": "periodEnd", "valueDate": "2026-03-02"},
            {"name": "by", "valueCode": "hospital"},
        ],
    }
    path = "/fhir/R4/Measure/alos/$evaluate-measure"
    sent = api.post(path, content=json.dumps(told), headers=JSON)
    assert sent.json() == ask(api, f"Measure/alos/$evaluate-measure?{DAY}&by=hospital")
    for body in (b"[]", b"{", b'{"parameter": [{"name": "by", "valueInteger": 1}]}'):
        assert api.post(path, content=body, headers=JSON).status_code == 400


def test_reports_of_yesterday_can_be_asked_for_as_they_were(api: Caller) -> None:
    before = ask(
        api, f"Measure/alos/$evaluate-measure?{DAY}&by=hospital&knownAt=2026-03-01T00:00:00Z"
    )
    assert "group" not in before
    assert ask(api, f"MeasureReport/{before['id']}") == before


def test_a_search_gives_a_report_for_each_period(api: Caller) -> None:
    bundle = ask(
        api,
        "MeasureReport?measure=Measure/occ-hourly&period=2026-03-02&grain=hour&by=hospital",
        **STRICT,
    )
    reports = [entry["resource"] for entry in bundle["entry"]]
    assert bundle["total"] == len(reports) == 24
    starts = [report["period"]["start"] for report in reports]
    assert starts == sorted(starts)
    assert len({report["id"] for report in reports}) == 24


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("Measure/nothing", 404),
        ("Measure/occ_midnight", 404),
        ("MeasureReport/nothing", 404),
        ("MeasureReport/alos.all.unit.0", 404),
        ("MeasureReport/alos.century.unit.0.86400", 400),
        ("MeasureReport/alos.all.unit.86400.0", 400),
        ("Measure/alos/_history", 404),
        ("Measure/alos/$evaluate-measure", 400),
        ("Measure/alos/$evaluate-measure?periodStart=2026-03-02", 400),
        ("Measure/alos/$evaluate-measure?periodStart=2026-03-02&periodEnd=2026-03-01", 400),
        ("Measure/alos/$evaluate-measure?periodStart=then&periodEnd=2026-03-01", 400),
        (f"Measure/alos/$evaluate-measure?{DAY}&grain=century", 400),
        (f"Measure/alos/$evaluate-measure?{DAY}&by=bed", 400),
        (f"Measure/alos/$evaluate-measure?{DAY}&subject=Patient/1", 400),
        (f"Measure/alos/$evaluate-measure?{DAY}&reportType=individual", 400),
        (f"Measure/nothing/$evaluate-measure?{DAY}", 404),
        (f"Measure/$evaluate-measure?{DAY}", 400),
        ("Measure/alos/$evaluate-measure?periodStart=2010-01-01&periodEnd=2026-01-01", 400),
        ("MeasureReport", 400),
        ("MeasureReport?measure=nothing", 404),
        ("MeasureReport?measure=alos&period=sa2026", 400),
        ("MeasureReport?measure=alos&occupation=1", 400),
        ("Measure?title:contains=x", 400),
    ],
)
def test_what_cannot_be_measured_is_said_in_fhir(api: Caller, asked: str, status: int) -> None:
    assert ask(api, asked, status, **STRICT)["resourceType"] == "OperationOutcome"

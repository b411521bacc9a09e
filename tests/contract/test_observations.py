"""Observations as callers of the API see them."""

from typing import Any

import pytest

HEADER = r"MSH|^~\&|LAB|GEN|TWIN|GEN|20260302{at}00+0000||ORU^R01|R{at}|P|2.5.1"
LINES = (
    "PID|1||P{patient}^^^GEN^MR",
    "PV1|1|I|MED^1^1^GEN||||||||||||||||V{patient}^^^GEN^VN",
    "OBR|1||F{at}||||20260302{at}00+0000",
    "OBX|1|NM|8867-4^Heart rate^LN||{pulse}|/min|60-100|N|||F",
    "OBX|2|ST|COL^Colour^L||pale||||||P",
)


def heard(api: Any, patient: int, at: str, pulse: int) -> None:
    said = {"patient": patient, "at": at, "pulse": pulse}
    lines = [line.format(**said) for line in (HEADER, *LINES)]
    answer = api.post("/v1/hl7v2", content="\r".join(lines).encode())
    assert answer.status_code == 200, answer.text


@pytest.fixture
def api(fresh: Any, twin: Any) -> Any:
    heard(fresh, 1, "0800", 70)
    heard(fresh, 1, "0900", 80)
    heard(fresh, 2, "1000", 90)
    twin.wait_applied()
    return fresh


def values(api: Any, **asked: Any) -> list[str]:
    page = api.get("/v1/observations", params=asked).json()
    return [one["value"] for one in page["observations"]]


def test_observations_come_newest_first_with_their_units_and_flags(api: Any) -> None:
    assert values(api, code="8867-4") == ["90", "80", "70"]
    [newest] = api.get("/v1/observations", params={"code": "8867-4", "limit": 1}).json()[
        "observations"
    ]
    shown = {name: newest[name] for name in ("value_number", "unit", "interpretation", "status")}
    assert shown == {
        "value_number": 90.0,
        "unit": "/min",
        "interpretation": "N",
        "status": "final",
    }
    assert newest["code_system"] == "http://loinc.org"
    assert newest["effective_at"] == "2026-03-02T10:00:00Z"


def test_observations_of_a_patient_a_visit_and_a_while(api: Any) -> None:
    first = api.get("/v1/observations", params={"code": "8867-4"}).json()["observations"][-1]
    assert values(api, patient_id=first["patient_id"], code="8867-4") == ["80", "70"]
    assert values(api, encounter_id=first["encounter_id"], code="COL") == ["pale", "pale"]
    window = {"from": "2026-03-02T09:00:00Z", "to": "2026-03-02T10:00:00Z"}
    assert values(api, code="8867-4", **window) == ["80"]
    assert values(api, patient_id="p0") == []


def test_a_page_that_is_cut_says_so(api: Any) -> None:
    def more(limit: int) -> bool:
        return bool(api.get("/v1/observations", params={"limit": limit}).json()["more"])

    assert (more(5), more(6)) == (True, False)


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 5000}, {"from": "noon"}])
def test_a_question_that_is_none_is_refused(api: Any, asked: dict[str, Any]) -> None:
    answer = api.get("/v1/observations", params=asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"

"""Messages explained over HTTP: as JSON and as pages, without a patient unless asked for."""

import json
import re
from typing import Any

import pytest

from twin_core.twin import Twin

WHO = {
    "number": "MRN84711",
    "family": "Vanderquist",
    "given": "Philippa",
    "born": "19371123",
    "street": "Elderberry Lane",
    "postal": "78459",
    "phone": "5550147",
    "ssn": "078051120",
    "visit": "VIS99213",
    "doctor": "DOC5521",
    "relative": "Ambrosius",
    "note": "Frightened of lifts",
    "value": "Pemphigus",
}
SHOWN_OTHERWISE = ("1937-11-23",)
PAGES = ("/messages", "/quarantine", "/messages/{0}", "/quarantine/{0}")
ANSWERS = ("/v1/messages", "/v1/messages/{0}", "/v1/messages/{0}/explain")


def message(trigger: str, control: str, place: str = "MED^1^1^GEN") -> bytes:
    pv1 = [""] * 46
    pv1[0], pv1[2], pv1[3], pv1[7] = "PV1", "I", place, f"{WHO['doctor']}^{WHO['relative']}"
    pv1[19], pv1[44] = f"{WHO['visit']}^^^GEN^VN", "20260302080000+0000"
    who = (
        f"PID|1||{WHO['number']}^^^GEN^MR~{WHO['ssn']}^^^USA^SS||{WHO['family']}^{WHO['given']}"
        f"||{WHO['born']}|F|||{WHO['street']}^^Town^^{WHO['postal']}||{WHO['phone']}"
    )
    segments = (
        rf"MSH|^~\&|PAS|GEN|TWIN|GEN|20260302080500+0000||ADT^{trigger}|{control}|P|2.5.1",
        f"EVN|{trigger}|20260302080400+0000",
        who,
        f"NK1|1|{WHO['family']}^{WHO['relative']}",
        "|".join(pv1),
        f"OBX|1|TX|X^Finding||{WHO['value']}",
        f"NTE|1||{WHO['note']}",
        f"ZPI|{WHO['ssn']}|{WHO['relative']}",
    )
    return "\r".join(segments).encode()


@pytest.fixture
def told(fresh: Any, twin: Twin) -> Any:
    """An API whose store holds an applied message (1), a move (2) and a rejected one (3)."""
    fresh.post("/v1/hl7v2", content=message("A01", "T-1"))
    twin.wait_applied()
    fresh.post("/v1/hl7v2", content=message("A02", "T-2", "ICU^2^B^GEN"))
    fresh.post("/v1/hl7v2", content=message("A01", "T-3").replace(b"20260302080000", b"20260230"))
    twin.wait_applied()
    return fresh


def seen(text: str) -> list[str]:
    return [value for value in (*WHO.values(), *SHOWN_OTHERWISE) if value in text]


def test_no_answer_says_who_the_patient_is(told: Any) -> None:
    for path in PAGES + ANSWERS:
        for message_id in (1, 2, 3):
            answer = told.get(path.format(message_id))
            assert answer.status_code == 200
            assert seen(answer.text) == [], path


def test_values_about_patients_are_shown_on_demand_only(told: Any) -> None:
    for path in ("/messages/1", "/quarantine/3", "/v1/messages/1/explain"):
        shown = told.get(path, params={"phi": "show"})
        assert set(seen(shown.text)) >= set(WHO.values())
        assert told.get(path, params={"phi": "yes"}).status_code == 422
        assert shown.headers["cache-control"] == "no-store"


def test_a_message_is_explained_as_json(told: Any) -> None:
    explained = told.get("/v1/messages/2/explain").json()
    assert explained["message"]["status"] == "applied"
    assert (explained["verdict"], explained["phi"]) == (None, False)
    pv1 = next(s for s in explained["content"]["segments"] if s["segment"] == "PV1")
    [place] = [field for field in pv1["fields"] if field["number"] == 3]
    assert (place["name"], place["value"]) == ("Assigned patient location", "ICU^2^B^GEN")
    assert [event["kind"] for event in explained["events"]] == ["PatientDescribed", "Transferred"]
    [left] = [r for r in explained["changes"] if (r["table"], r["what"]) == ("stay", "changed")]
    assert left["columns"] == [{"column": "to_at", "after": "2026-03-02T08:04:00Z"}]


def test_a_rejected_message_is_marked_where_it_is_wrong(told: Any) -> None:
    explained = told.get("/v1/messages/3/explain").json()
    assert explained["verdict"]["status"] == "rejected"
    assert explained["events"] == []
    marked = {
        (segment["segment"], field["number"]): [mark["code"] for mark in field["marks"]]
        for segment in explained["content"]["segments"]
        for field in segment["fields"]
        if field.get("marks")
    }
    assert marked == {("PV1", 44): ["102"]}
    page = told.get("/quarantine/3").text
    row = page.split('class="marked fault"')[1].split("</tr>")[0]
    assert ">44<" in row
    assert "20260230+0000" in row
    assert 'aria-current="page">Quarantine' in page
    assert "it would be rejected (AE)" in page


def test_a_missing_message_is_not_found(told: Any) -> None:
    for path in ("/messages/99", "/quarantine/99", "/v1/messages/99/explain"):
        assert told.get(path).status_code == 404
    assert told.get("/messages/0").status_code == 422


def test_pages_need_no_scripts_and_keep_what_a_sender_wrote_apart(told: Any, twin: Twin) -> None:
    hostile = "<script>alert(1)</script>"
    raw = message("A08", "T-4").replace(b"OBX|1|TX|X^Finding", f"OBX|1|TX|{hostile}".encode())
    told.post("/v1/hl7v2", content=raw.replace(b"NTE|1||", f"NTE|1||{hostile}".encode()))
    twin.wait_applied()
    for path in ("/messages/4", "/messages/4?phi=show", "/messages"):
        text = told.get(path).text
        assert hostile not in text
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=\"/static/)", text)
    assert "&lt;script&gt;" in told.get("/messages/4?phi=show").text


def test_a_resource_is_explained_by_its_events(told: Any, twin: Twin) -> None:
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": WHO["family"], "given": [WHO["given"]]}],
        "birthDate": "1937-11-23",
    }
    sent = {"content": json.dumps(patient), "headers": {"Content-Type": "application/fhir+json"}}
    assert told.post("/fhir/R4/Patient", **sent).status_code == 201
    twin.wait_applied()
    for path in ("/messages/4", "/v1/messages/4/explain"):
        text = told.get(path).text
        assert "PatientStated" in text
        assert seen(text) == []
    assert WHO["family"] in told.get("/messages/4?phi=show").text


def test_messages_are_found_by_trigger_and_control_id(told: Any) -> None:
    found = told.get("/v1/messages", params={"control_id": "T-2"}).json()["messages"]
    assert [message["message_id"] for message in found] == [2]
    page = told.get("/messages", params={"trigger_event": "adt^a02", "control_id": " T-2 "}).text
    assert 'href="/messages/2"' in page
    assert 'href="/messages/1"' not in page
    assert "No message is like that" in told.get("/messages?control_id=T-9").text
    assert 'href="/quarantine/3"' in told.get("/quarantine").text

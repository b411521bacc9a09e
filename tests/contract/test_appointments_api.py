"""The schedule over HTTP: order, pages, filters, and what it never tells."""

from typing import Any

import pytest

from twin_core.twin import Twin


def siu(trigger: str, number: int, sent: str, start: str, *lines: str, status: str = "") -> bytes:
    """An SIU message of 2 March 2026 about appointment `number`."""
    times = f"^^^20260302{start}00+0000^" if start else ""
    sch = f"SCH|P{number}|F{number}|||||HIP|||" + f"|{times}" + "|" * 14 + status
    header = rf"MSH|^~\&|SCHED|GEN|T|GEN|20260302{sent}00+0000||SIU^{trigger}|{sent}-{number}|P|2.5"
    pid = f"PID|1||P{number}^^^GEN^MR||QUISENBERRY^ADA||19700101|F"
    return "\r".join((header, sch, pid, *lines, "")).encode()


HEARD = (
    siu("S12", 1, "0700", "1000", "RGS|1", "AIL|1||ORTHO^1^^GEN", "AIP|1||77^SURGEON^SUE"),
    siu("S12", 2, "0701", "0900", "RGS|1", "AIL|1||CARD^^^GEN", status="Pending"),
    siu("S12", 3, "0702", ""),
    siu("S12", 4, "0703", "0930"),
    siu("S17", 4, "0704", ""),
)


@pytest.fixture
def schedule(fresh: Any, twin: Twin) -> Any:
    for raw in HEARD:
        assert fresh.post("/v1/hl7v2", content=raw).status_code == 200
    twin.wait_applied()
    return fresh


def test_the_schedule_comes_in_order_in_pages_and_by_filter(schedule: Any) -> None:
    def starts(**asked: str) -> list[str | None]:
        page = schedule.get("/v1/appointments", params=asked).json()
        return [one["starts_at"] and one["starts_at"][11:16] for one in page["appointments"]]

    assert starts() == ["09:00", "10:00", None]
    assert starts(unit="ORTHO") == ["10:00"]
    assert starts(status="pending") == ["09:00"]
    assert starts(status="entered-in-error") == ["09:30"]
    assert starts(**{"from": "2026-03-02T09:30:00Z"}) == ["10:00"]
    assert starts(to="2026-03-02T10:00:00Z") == ["09:00"]
    [listed] = schedule.get("/v1/appointments", params={"unit": "CARD"}).json()["appointments"]
    assert starts(patient_id=listed["patient_id"]) == ["09:00"]
    seen, after = [], None
    while True:
        params = {"limit": 1} | ({"after": after} if after else {})
        page = schedule.get("/v1/appointments", params=params).json()
        seen += [one["starts_at"] and one["starts_at"][11:16] for one in page["appointments"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["09:00", "10:00", None]


def test_an_appointment_says_what_it_takes_but_never_who(schedule: Any) -> None:
    [listed] = schedule.get("/v1/appointments", params={"unit": "ORTHO"}).json()["appointments"]
    answer = schedule.get(f"/v1/appointments/{listed['appointment_id']}")
    shown = answer.json()
    assert {(one["kind"], one["code"]) for one in shown["resources"]} == {
        ("location", "ORTHO-1"),
        ("personnel", "77"),
    }
    assert [one["value"] for one in shown["identifiers"]] == ["F1", "P1"]
    assert shown["reason"] == "HIP"
    assert [one["patient_id"] for one in shown["patients"]] == [listed["patient_id"]]
    assert "QUISENBERRY" not in answer.text
    assert "SURGEON" not in answer.text


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v1/appointments/a0", {}, 404),
        ("/v1/appointments", {"after": "?"}, 400),
        ("/v1/appointments", {"status": "open"}, 422),
        ("/v1/appointments", {"from": "tomorrow"}, 422),
        ("/v1/appointments", {"ward": "ORTHO"}, 400),
    ],
)
def test_what_cannot_be_asked_is_refused(
    fresh: Any, path: str, params: dict[str, str], status: int
) -> None:
    answer = fresh.get(path, params=params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"

"""A small hospital whose every number is known, sent as HL7 v2 to a listener of a real store."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters.hl7v2 import MllpListener, MllpSender
from adapters.hl7v2.encode import Sender, encode
from twin_core import Twin
from twin_core.identifiers import Place
from twin_core.settings import (
    FacilitySettings,
    FeedSettings,
    MllpSettings,
    Settings,
)
from twin_core.simulation import Run, flow_from, simulate
from twin_core.simulation import facts as f

CODE, ZONE = "KNOWN", "Europe/Berlin"
STARTS = datetime(2026, 1, 4, 23, tzinfo=UTC)
"""A Monday, 00:00 in Berlin; no clock changes in the days that follow."""
DAYS, WARM_UP_DAYS = 35, 14
CLEANED = 1.0
"""Hours."""
AFTER_ALL = 0.5
"""Patients leave so many hours after the time that was announced when their stay was over."""
LEAVING = [0.0] * 9 + [2, 6, 8, 6, 4, 4, 3, 2, 1] + [0.0] * 6
BY_HOUR = [1.0] * 7 + [4.0] * 12 + [1.0] * 5
MODEL = {
    "facility": CODE,
    "time_zone": ZONE,
    "swaps": "at_once",
    "units": [
        {
            "code": "ED", "kind": "emergency", "beds": 7,
            "bed_names": [f"BAY{n}-A" for n in range(7)],
            "stay": {"median": 150, "sigma": 0.5, "unit": "minutes"},
            "then": {"home": 0.72, "MED": 0.22, "ICU": 0.06},
        },
        {
            "code": "MED", "beds": 30, "bed_names": [f"{n}-A" for n in range(30)],
            "stay": {"median": 62, "sigma": 0.7},
            "then": {"home": 0.8, "care_home": 0.12, "ICU": 0.03, "died": 0.05},
            "discharge": {"by_hour": LEAVING},
            "cleaning": {"exactly": CLEANED},
        },
        {
            "code": "ICU", "beds": 4, "bed_names": [f"{n}-A" for n in range(4)],
            "stay": {"family": "weibull", "shape": 1.4, "scale": 55},
            "then": {"MED": 0.85, "died": 0.15},
            "cleaning": {"exactly": CLEANED},
        },
    ],
    "classes": [{"code": "emergency", "priority": 2}, {"code": "direct", "priority": 2}],
    "arrivals": [
        {
            "class": "emergency", "unit": "ED", "per_day": 17, "by_hour": BY_HOUR,
            "by_weekday": {
                "monday": 1.5, "tuesday": 1, "wednesday": 1, "thursday": 1, "friday": 1,
                "saturday": 0.75, "sunday": 0.75,
            },
        },
        {"class": "direct", "unit": "MED", "per_day": 1.6},
    ],
}  # fmt: skip
DISPOSITIONS = {"home": "01", "care_home": "03", "died": "20"}


def lived(seed: int) -> list[f.Fact]:
    """What is recorded of the hospital's days once it runs as it usually does."""
    hours = 24.0 * (DAYS + WARM_UP_DAYS)
    run = Run(hours=hours, replications=1, seed=seed, stays=True)
    rows = simulate(flow_from(MODEL, "known"), run).stays().to_pylist()
    told: list[f.Fact] = []
    visits: dict[str, list[dict]] = {}
    for row in rows:
        visits.setdefault(row["encounter_id"], []).append(row)
    for number, stays in enumerate(visits.values()):
        said = _told(number, stays)
        # Of the time before, the feed knows only those who were still there.
        if said[-1].occurred_at >= STARTS:
            told += said
    return sorted(told, key=lambda fact: fact.occurred_at)


def _told(number: int, stays: list[dict]) -> list[f.Fact]:
    person = f.Person(
        record_number=f"P{number}", family_name="Field", given_name="Stone",
        birth_date=date(1960, 1, 1), sex="female", street="", postal_code="",
    )  # fmt: skip
    emergency = stays[0]["class"] == "emergency"
    # Who waits for a bed of a ward is not admitted yet.
    came = _at(stays[0]["from_hours"] - (stays[0]["wait_hours"] if emergency else 0))
    told: list[f.Fact] = []

    def say(kind: type[f.Fact], at: datetime, place: Place, **fields: object) -> None:
        still = emergency and place.unit == "ED"
        state = f.VisitState(
            number=f"V{number}", class_="EMER" if still else "IMP", place=place, service="",
            attending="", admit_source="7", admitted_at=came, **fields.pop("left", {}),
        )  # fmt: skip
        how = {"occurred_at": at, "recorded_at": at, "sent_at": at, "person": person}
        told.append(kind(**how, visit=state, **fields))

    before = Place(CODE, "ED", "WAIT")
    if emergency:
        say(f.Registered, came, before)
    for at, stay in enumerate(stays):
        place = Place(CODE, stay["unit"], stay["room"], stay["bed"])
        begun = _at(stay["from_hours"])
        if emergency or at:
            kind = f.ClassChanged if before.unit == "ED" != place.unit else f.Transferred
            say(kind, begun, place, origin=before)
        else:
            say(f.Admitted, begun, place)
        before = place
        if stay["to_hours"] is None:
            return told
        ended = _at(stay["to_hours"])
        over = _at(stay["to_hours"] - stay["blocked_hours"])
        if stay["next"] in ("home", "care_home") and over < ended and place.unit == "MED":
            say(f.DischargeExpected, over, place, expected_at=ended - timedelta(hours=AFTER_ALL))
        if stay["unit"] != "ED":
            for status, hours in (("H", 0.0), ("U", CLEANED)):
                at_ = ended + timedelta(hours=hours)
                told.append(
                    f.BedStatusChanged(
                        occurred_at=at_, recorded_at=at_, sent_at=at_, place=place, status=status
                    )
                )
    how = DISPOSITIONS[stays[-1]["next"]]
    say(f.Discharged, ended, before, left={"discharged_at": ended, "disposition": how})
    return told


def _at(hours: float) -> datetime:
    return STARTS + timedelta(seconds=round(3600 * (hours - 24 * WARM_UP_DAYS)))


class Watch:
    """A hospital clock that is set by hand."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


ENDS = STARTS + timedelta(days=DAYS)
SETTINGS = Settings(
    mllp=MllpSettings(port=0),
    feeds={"adt": FeedSettings(time_zone=ZONE)},
    facilities={CODE: FacilitySettings(time_zone=ZONE, name="Known")},
)


def sent(path: Path, seed: int) -> Twin:
    """A store that heard of the hospital over a socket; the caller closes it."""
    twin = Twin.open(path, settings=SETTINGS, clock=Watch(ENDS))
    sender = Sender(
        application="KNOWN", facility=CODE, zone=ZoneInfo(ZONE), patient_authority="P",
        visit_authority="V",
    )  # fmt: skip
    messages = [
        encode(fact, sender=sender, control_id=str(n))
        for n, fact in enumerate(lived(seed))
        if fact.occurred_at < ENDS
    ]
    asyncio.run(_send(twin, messages))
    twin.wait_applied(timeout=280)
    return twin


async def _send(twin: Twin, messages: list[bytes]) -> None:
    listener = MllpListener(twin, "adt")
    await listener.start()
    try:
        sender = await MllpSender.connect("127.0.0.1", listener.port)
        for first in range(0, len(messages), 500):
            answers = await asyncio.gather(*map(sender.send, messages[first : first + 500]))
            assert all(b"MSA|AA" in answer for answer in answers)
        await sender.close()
    finally:
        await listener.close()

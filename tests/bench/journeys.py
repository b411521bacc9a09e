"""Messages of many hospital journeys, for benchmarks: arrivals, moves, updates, discharges."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from pathlib import Path
from random import Random

START = datetime(2026, 1, 1, tzinfo=UTC)
UNITS = tuple(f"W{number:02}" for number in range(1, 25))
BEDS_PER_UNIT = 30
NAMES = ("Abel", "Brandt", "Conrad", "Dietz", "Ebert", "Falk", "Graf", "Heller", "Imhof", "Jansen")


def messages(count: int, seed: int = 1) -> Iterator[bytes]:
    """`count` ADT messages in order of time: about 900 patients in the house at any moment."""
    chance = Random(seed)
    waiting = [(START + timedelta(minutes=chance.uniform(0, 6_000)), n, 0) for n in range(900)]
    heapify(waiting)
    newest = len(waiting)
    places: dict[int, str] = {}
    admitted: dict[int, str] = {}
    for number in range(count):
        at, visit, step = heappop(waiting)
        admitted.setdefault(visit, stamp(at))
        yield _message(chance, number, at, visit, step, places, admitted[visit])
        if step < _steps(visit):
            heappush(
                waiting, (at + timedelta(minutes=chance.expovariate(1 / 400)), visit, step + 1)
            )
        else:
            del places[visit], admitted[visit]
            heappush(waiting, (at + timedelta(minutes=chance.expovariate(1 / 60)), newest, 0))
            newest += 1


def write(folder: Path, count: int, per_file: int = 50_000, seed: int = 1) -> int:
    """Write the messages into files of a folder; return how many bytes they have."""
    folder.mkdir(parents=True, exist_ok=True)
    made = messages(count, seed)
    total = 0
    for number in range(-(-count // per_file)):
        with (folder / f"{number:04}.hl7").open("wb") as file:
            for _ in range(min(per_file, count - number * per_file)):
                total += file.write(next(made) + b"\r")
    return total


def stamp(at: datetime) -> str:
    """An instant as HL7 v2 writes it."""
    return f"{at:%Y%m%d%H%M%S}+0000"


def _steps(visit: int) -> int:
    return 2 + visit % 7


def _message(
    chance: Random,
    number: int,
    at: datetime,
    visit: int,
    step: int,
    places: dict[int, str],
    admitted: str,
) -> bytes:
    if step == 0:
        trigger = "A04" if visit % 3 == 0 else "A01"
        places[visit] = "ED^^" if trigger == "A04" else _place(chance)
    elif step == _steps(visit):
        trigger = "A03"
    else:
        trigger = chance.choice(("A08", "A02", "A08"))
    before = places[visit]
    if trigger == "A02":
        places[visit] = _place(chance)
    return _encoded(number, at, visit, trigger, places[visit], before, admitted)


def _place(chance: Random) -> str:
    return (
        f"{chance.choice(UNITS)}^{chance.randrange(BEDS_PER_UNIT // 3) + 1}^{chance.choice('ABC')}"
    )


def _encoded(
    number: int, at: datetime, visit: int, trigger: str, place: str, before: str, admitted: str
) -> bytes:
    sent = stamp(at)
    patient = visit % 60_000
    kind = "E" if place.startswith("ED") else "I"
    left = sent if trigger == "A03" else ""
    segments = (
        f"MSH|^~\\&|PAS|GENERAL|TWIN|GENERAL|{sent}||ADT^{trigger}|M{number:09}|P|2.5.1",
        f"EVN|{trigger}|{sent}",
        f"PID|1||{patient:08}^^^GENERAL^MR||{NAMES[patient % 10]}^{NAMES[patient // 10 % 10]}||"
        f"19{patient % 100:02}0{patient % 9 + 1}15|{'FM'[patient % 2]}|||1 Long Street^^Town^^"
        f"{10_000 + patient % 90_000}||555-{patient:06}",
        f"PV1|1|{kind}|{place}^GENERAL|{'E' if kind == 'E' else 'R'}||"
        f"{before + '^GENERAL' if trigger == 'A02' else ''}|D{visit % 200}^Doctor|||MED||||7|||||"
        f"V{visit:08}^^^GENERAL^VN|||||||||||||||||{'01' if left else ''}||||||||{admitted}|{left}",
    )
    return "\r".join(segments).encode()

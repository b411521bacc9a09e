"""Results in any order of arrival, with corrections, deletions, merges and duplicates.

Messages are drawn as plain records, written as HL7 v2 and received in any order. A reading of the
same records in plain Python, in order of reporting, says what the twin must show.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.events import ObservationsReported, Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings
from twin_core.store.facts import Fact
from twin_core.store.fold.observation import fold_results
from twin_core.store.fold.rows import ResolvedPlace, Resolver
from twin_core.store.subjects import subject_of
from twin_core.store.tables import BY_NAME

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
FEED, LIMITS = FeedSettings(time_zone="UTC"), LimitSettings()
MEANS = {
    "P": "preliminary",
    "F": "final",
    "C": "corrected",
    "X": "cancelled",
    "D": "entered-in-error",
    "W": "entered-in-error",
    "U": "final",
}
STANDARD = {"GLU": "2345-7", "NA": "2951-2"}
OWN = {standard: own for own, standard in STANDARD.items()}
VIEWS = ("observation", "device_event", "device", "device_identifier", "patient_identifier")


class Line(NamedTuple):
    """An OBX: its code, its letter of table 0085, its value, and its time in minutes."""

    code: str
    letter: str
    value: int
    minute: int
    standard: bool
    """Whether the code of a standard stands beside the laboratory's own."""


class Report(NamedTuple):
    """A message: results of an order, or of none."""

    patient: int
    order: str
    numbers: str
    """Which numbers of the order it names: the filler's (F), the placer's (P), or both."""
    panel: str
    """OBR-4."""
    lines: tuple[Line, ...]


class Merge(NamedTuple):
    """An A40."""

    source: int
    target: int


line = st.builds(
    Line,
    st.sampled_from(["GLU", "NA"]),
    st.sampled_from(["P", "F", "F", "C", "D", "W", "X", "U"]),
    st.integers(1, 4),
    st.sampled_from([0, 0, 0, 30, 40]),
    st.booleans(),
)
report = st.builds(
    Report,
    st.integers(1, 2),
    st.sampled_from(["O1", "O1", "O2", ""]),
    st.sampled_from(["F", "FP", "P"]),
    st.sampled_from(["T", "T", "S"]),
    st.lists(line, min_size=1, max_size=3, unique_by=lambda one: (one.code, one.minute)).map(tuple),
)
merge = st.sampled_from([Merge(1, 2), Merge(2, 1)])
histories = st.lists(st.one_of(report, report, report, report, merge), min_size=2, max_size=9)


def stamp(minutes: float) -> str:
    return f"{START + timedelta(minutes=minutes):%Y%m%d%H%M%S}"


def text(number: int, said: Report | Merge) -> str:
    """The message, sent in the minute of its number."""
    kind = "ADT^A40" if isinstance(said, Merge) else "ORU^R01"
    header = f"MSH|^~\\&|LAB|H|||{stamp(100 + number)}||{kind}|M{number}|P|2.5"
    if isinstance(said, Merge):
        return f"{header}\rPID|1||{said.target}^^^H^MR\rMRG|{said.source}^^^H^MR\r"
    filler = said.order if "F" in said.numbers else ""
    placer = f"P{said.order}" if said.order and "P" in said.numbers else ""
    order = f"OBR|1|{placer}|{filler}|{said.panel}^^L|||{stamp(0)}"
    lines = [header, f"PID|1||{said.patient}^^^H^MR", order]
    for at, one in enumerate(said.lines, 1):
        value = "" if one.letter in "DWU" else one.value
        code = f"{one.code}^^L" + (f"^{STANDARD[one.code]}^^LN" if one.standard else "")
        coded = f"OBX|{at}|NM|{code}||{value}|mmol/L|||||{one.letter}"
        lines.append(f"{coded}|||{stamp(one.minute)}")
    return "\r".join(lines) + "\r"


def receipts(history: list[Report | Merge]) -> list[Receipt]:
    made = []
    for number, said in enumerate(history):
        raw = text(number, said).encode()
        outcome = translate(
            raw, feed="f", settings=FEED, limits=LIMITS, received_at=START + timedelta(days=1)
        )
        assert isinstance(outcome, Translation), outcome
        made.append(Receipt(format="hl7v2", feed="f", raw=raw, outcome=outcome, origin="test"))
    return made


Shown = tuple[str, str, object, object, object]


def expected(history: list[Report | Merge]) -> list[Shown]:
    """What a person would write down, reading the reports one after another in order of sending."""
    survivor = surviving(history)
    notebook: list[dict[str, Any]] = []
    both = {s.order for s in history if isinstance(s, Report) and s.numbers == "FP"}
    for said in history:
        if isinstance(said, Merge):
            continue
        # Two numbers are one order's once any message, early or late, has named both.
        known_as = said.order if said.order in both else f"{said.numbers}{said.order}"
        for one in said.lines:
            page = {
                "who": survivor[said.patient],
                # Without an order a result can only be found again under the name it was sent.
                "sent_as": 0 if said.order else said.patient,
                "order": known_as if said.order else "",
                "panel": said.panel if said.order else "",
                "code": one.code,
            }
            mine = [entry for entry in notebook if all(entry[k] == page[k] for k in page)]
            entry = the_one_meant(mine, one, said.order)
            empty = one.letter in "DWU"
            if entry is None:
                value = None if empty else one.value
                fresh: dict[str, Any] = {"first": one.minute, "minute": one.minute, "value": value}
                fresh["numbers"] = set(said.numbers) if said.order else set()
                notebook.append({**page, **fresh, "letter": one.letter, "called": said.order})
                continue
            if said.order:
                entry["numbers"] |= set(said.numbers)
            if one.letter == "P" and MEANS[str(entry["letter"])] in ("final", "corrected"):
                continue
            entry["letter"] = one.letter
            if not empty:
                entry["value"], entry["minute"] = one.value, one.minute
    return sorted(shown(entry) for entry in notebook)


def the_one_meant(mine: list[dict[str, Any]], one: Line, order: str) -> dict[str, Any] | None:
    same_time = [entry for entry in mine if one.minute in (entry["minute"], entry["first"])]
    if same_time:
        return same_time[-1]
    if not order or not mine:
        return None
    equal = [entry for entry in mine if one.letter in "CX" and entry["value"] == one.value]
    if len(equal) == 1:
        return equal[0]
    may_change = one.letter in "CDWXU" or mine[-1]["letter"] == "P"
    return mine[-1] if may_change else None


def surviving(history: list[Report | Merge]) -> dict[int, int]:
    merges = [said for said in history if isinstance(said, Merge)]
    if not merges:
        return {1: 1, 2: 2}
    return {1: merges[-1].target, 2: merges[-1].target}


def shown(entry: dict[str, Any]) -> Shown:
    value = None if entry["value"] is None else str(entry["value"])
    at = START + timedelta(minutes=int(str(entry["minute"])))
    who = f"{entry['who']}"
    called, numbers = entry["called"], entry["numbers"]
    filler = called if "F" in numbers else ""
    placer = f"P{called}" if "P" in numbers else ""
    return (who, f"{filler}/{placer}/{entry['code']}", MEANS[str(entry["letter"])], value or "", at)


def received(path: Path, messages: list[Receipt], chance: random.Random) -> dict[str, list[str]]:
    left = list(messages)
    while left:
        with Twin.open(path) as twin:
            for _ in range(chance.randint(1, 3)):
                group, left = left[: (count := chance.randint(1, 5))], left[count:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
    with Twin.open(path) as twin:
        tables = {view: sorted(map(repr, twin.query(f"FROM twin.{view}"))) for view in VIEWS}
        tables["shown"] = twin.query(
            "SELECT i.value AS who, o.filler_order, o.placer_order, o.code, o.status, o.value,"
            " o.effective_at"
            " FROM twin.observation o JOIN twin.patient_identifier i USING (patient_id)"
        )
        return tables


def folded(history: list[Report | Merge]) -> list[Shown]:
    """The same by the fold alone, unit by unit, without a store."""
    survivor = surviving(history)
    resolver = Resolver(
        place=lambda place: ResolvedPlace("", "", "", "", ""),
        patient=lambda identifiers: (str(survivor[int(identifiers[0].value)]), True),
        encounter=lambda identifier: ("", True),
        location=lambda identifier: ("", True),
        device=lambda identifier: "",
    )
    units: dict[object, list[Fact]] = {}
    for number, receipt in enumerate(receipts(history)):
        assert isinstance(receipt.outcome, Translation)
        for ordinal, event in enumerate(receipt.outcome.events):
            if isinstance(event, ObservationsReported):
                order = (event.occurred_at, 8, event.occurred_at, 0, "", b"", ordinal)
                fact = Fact(order, event, number, START, "hl7v2")
                # The fold gets at most one order's facts, whether its numbers are connected or not.
                named = subject_of(event).united[0].value.removeprefix("P")
                units.setdefault(named, []).append(fact)
    told = [told for facts in units.values() for told in fold_results(facts, resolver)]
    assert len(set(told)) == len(told)
    rows = [row for entity, row in told if entity == "observation"]
    names = [column.name for column in BY_NAME["observation"].columns]
    ids = [row[0] for row in rows]
    assert len(set(ids)) == len(ids)
    return sorted(columns(dict(zip(names, row, strict=True))) for row in rows)


def columns(row: dict[str, object]) -> Shown:
    code = OWN.get(str(row["code"]), row["code"])
    told = f"{row['filler_order'] or ''}/{row['placer_order'] or ''}/{code}"
    return (str(row["patient_id"]), told, row["status"], row["value"] or "", row["effective_at"])


@settings(max_examples=200, deadline=None)
@given(histories)
def test_corrections_deletions_and_updates_are_what_a_person_would_note(
    history: list[Report | Merge],
) -> None:
    assert folded(history) == expected(history)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories, st.integers(0, 10_000))
def test_results_in_any_order_give_the_same_twin(
    tmp_path_factory: pytest.TempPathFactory, history: list[Report | Merge], seed: int
) -> None:
    folder, chance = tmp_path_factory.mktemp("results"), random.Random(seed)
    messages = receipts(history)
    in_order = received(folder / "one.duckdb", messages, random.Random(seed + 1))
    shuffled = messages + chance.sample(messages, k=len(messages) // 2)
    chance.shuffle(shuffled)
    any_order = received(folder / "two.duckdb", shuffled, chance)
    rows = in_order.pop("shown")
    any_order.pop("shown")
    assert sorted(columns({**row, "patient_id": row["who"]}) for row in rows) == expected(history)
    assert any_order == in_order

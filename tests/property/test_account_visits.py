"""Visits of accounts, known as they are drawn, against what the twin makes of their messages.

A drawing says who was in the hospital when, under which account and number, and whose visit went on
under another number. Messages are written from it, results and some discharges name an account
only, and everything arrives in any order. The oracle looks at the drawing, never at a message.
"""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.events import Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings

START = datetime(2026, 11, 1, tzinfo=UTC)
FEED = FeedSettings(time_zone="UTC")
PATIENTS, ACCOUNTS = ("P1", "P2"), ("A1", "A2")
LAST = 40


class Came(NamedTuple):
    """Somebody who came at an hour, perhaps went on under another account, perhaps left."""

    number: int
    patient: str
    account: str
    came: int
    left: int | None
    went_on: int | None
    by_account: bool = False
    """Whether nothing but the account names who leaves."""


class Told(NamedTuple):
    """A visit as it should be shown: its numbers, accounts and when it was."""

    numbers: tuple[str, ...]
    patient: str
    accounts: dict[str, float | None]
    """Accounts, each with the hour until which the visit was under it."""
    came: float
    left: int | None


@st.composite
def stays(draw: st.DrawFn) -> list[Came]:
    """Visits of two patients under two accounts; whoever goes on does so while there."""
    drawn = []
    for number in range(draw(st.integers(1, 5))):
        came = 2 * draw(st.integers(0, 15))
        left = draw(st.none() | st.integers(2, 8).map(lambda n, came=came: came + 2 * n))
        went_on = draw(st.none() | st.just(came + 2))
        where = draw(st.sampled_from(PATIENTS)), draw(st.sampled_from(ACCOUNTS))
        drawn.append(Came(number, *where, came, left, went_on, draw(st.booleans())))
    return [one._replace(by_account=one.by_account and is_told(one, drawn)) for one in drawn]


def is_told(one: Came, drawn: list[Came]) -> bool:
    """Whether an account alone says who leaves: nobody else of it was there meanwhile."""
    until = LAST if one.left is None else one.left
    return all(
        o is one
        or (o.patient, o.account) != (one.patient, one.account)
        or o.came > until
        or (o.left is not None and o.left < one.came)
        for o in drawn
    )


@st.composite
def reports(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    """Results of a patient and an account at odd hours, when nobody comes or leaves."""
    accounts = st.sampled_from((*ACCOUNTS, *(f"B{n}" for n in range(5))))
    one = st.tuples(
        st.sampled_from(PATIENTS), accounts, st.integers(0, LAST // 2).map(lambda n: 2 * n + 1)
    )
    return draw(st.lists(one, min_size=1, max_size=6))


def expected(drawn: list[Came]) -> list[Told]:
    """The visits of a drawing. Whose account had several visits open went on as another one."""
    found = []
    going_on = who_goes_on(drawn)
    for one in drawn:
        first, then = (f"V{one.number}",), (f"W{one.number}",)
        own, after = {one.account: one.left}, {f"B{one.number}": one.left}
        if one.went_on is None:
            found.append(Told(first, one.patient, own, one.came, one.left))
        elif one.number in going_on:
            both = {one.account: one.went_on + 0.5, **after}
            found.append(Told(first + then, one.patient, both, one.came, one.left))
        else:
            # Nobody says under the first number when he left.
            found.append(Told(first, one.patient, {one.account: None}, one.came, None))
            found.append(Told(then, one.patient, after, one.went_on + 0.5, one.left))
    return found


def who_goes_on(drawn: list[Came]) -> set[int]:
    """Whoever was the only one there under patient and account when he got another number."""
    until: dict[int, float | None] = {
        one.number: one.left if one.went_on is None else None for one in drawn
    }
    found = set()
    for one in sorted(drawn, key=lambda one: one.went_on or 0):
        if one.went_on is None:
            continue
        at = one.went_on + 0.5
        alone = all(
            other is one
            or (other.patient, other.account) != (one.patient, one.account)
            or other.came > at
            or ((left := until[other.number]) is not None and left < at)
            for other in drawn
        )
        if alone:
            until[one.number] = at
            found.add(one.number)
    return found


def meant(visits: list[Told], patient: str, account: str, hour: int) -> tuple[str, ...] | None:
    """The visit that a result is of: the only one, else the one open then."""
    own = [v for v in visits if v.patient == patient and account in v.accounts]
    until = [(v, v.accounts[account]) for v in own if v.came <= hour]
    open_then = [v for v, left in until if left is None or hour <= left]
    chosen = own if len(own) == 1 else open_then
    return chosen[0].numbers if len(chosen) == 1 else None


def messages(drawn: list[Came], said: list[tuple[str, str, int]]) -> list[bytes]:
    """What senders say of a drawing."""
    numbers = itertools.count(1)

    def written(event: str, hour: float, one: Came, visit: str, account: str, *more: str) -> bytes:
        at = f"{START + timedelta(hours=hour):%Y%m%d%H%M%S}"
        msh = f"MSH|^~\\&|X|H|TWIN||{at}||{event}|{next(numbers)}|P|2.6"
        pid = f"PID|1||{one.patient}{'|' * 15}{account}"
        pv1 = f"PV1|1|I|W^1^{one.number}{'|' * 16}{visit}"
        return "\r".join((msh, f"EVN||{at}", pid, *more, pv1, "")).encode()

    raws = []
    for one in drawn:
        visit, account = f"V{one.number}", one.account
        raws.append(written("ADT^A01", one.came, one, visit, account))
        if one.went_on is not None:
            mrg = f"MRG|||{account}"
            visit, account = f"W{one.number}", f"B{one.number}"
            raws.append(written("ADT^A06", one.went_on + 0.5, one, visit, account, mrg))
        if one.left is not None:
            raws.append(written("ADT^A03", one.left, one, "" if one.by_account else visit, account))
    for number, (patient, account, hour) in enumerate(said):
        at = f"{START + timedelta(hours=hour):%Y%m%d%H%M%S}"
        msh = f"MSH|^~\\&|LAB|H|TWIN||{at}||ORU^R01|R{number}|P|2.6"
        obr = f"OBR|1||R{number}|X^^L|||{at}"
        obx = "OBX|1|NM|2951-2^Na^LN||1||||||F"
        pid = f"PID|1||{patient}{'|' * 15}{account}"
        raws.append("\r".join((msh, pid, obr, obx, "")).encode())
    return raws


def receipt(raw: bytes) -> Receipt:
    outcome = translate(
        raw,
        feed="f",
        settings=FEED,
        limits=LimitSettings(),
        received_at=START + timedelta(days=9),
    )
    assert isinstance(outcome, Translation), outcome
    return Receipt(format="hl7v2", feed="f", raw=raw, outcome=outcome, origin="test")


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(stays(), reports(), st.integers(0, 10_000))
@example(
    # A result is told of before the second visit of its account, when the first one has gone on.
    [Came(2, "P2", "A1", 12, None, 14), Came(3, "P2", "A1", 2, None, 4)],
    [("P2", "A1", 33)],
    8,
)
def test_results_that_name_an_account_are_of_the_visit_that_was_there(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[Came],
    said: list[tuple[str, str, int]],
    seed: int,
) -> None:
    chance = random.Random(seed)
    sent = [receipt(raw) for raw in messages(drawn, said)]
    sent += chance.sample(sent, k=len(sent) // 4)
    chance.shuffle(sent)
    note("\n".join(receipt.raw.decode().replace("\r", "\n  ") for receipt in sent))
    path = tmp_path_factory.mktemp("accounts") / "one.duckdb"
    while sent:
        with Twin.open(path) as twin:  # between openings nothing is remembered
            for _ in range(chance.randint(2, 6)):
                group, sent = sent[: (count := chance.randint(1, 5))], sent[count:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
    with Twin.open(path) as twin:
        _compare(twin, expected(drawn), said)


def _compare(twin: Twin, visits: list[Told], said: list[tuple[str, str, int]]) -> None:
    numbers: dict[object, tuple[str, ...]] = {}
    for row in twin.query("FROM twin.encounter_identifier ORDER BY value"):
        held = numbers.get(row["encounter_id"], ())
        numbers[row["encounter_id"]] = (*held, str(row["value"]))
    shown = {
        numbers[row["encounter_id"]]: (row["account"], row["admitted_at"], row["discharged_at"])
        for row in twin.query("FROM twin.encounter")
    }
    assert shown == {
        visit.numbers: (
            list(visit.accounts)[-1],
            START + timedelta(hours=visit.came),
            None if visit.left is None else START + timedelta(hours=visit.left),
        )
        for visit in visits
    }
    found = {
        row["filler_order"]: numbers.get(row["encounter_id"])
        for row in twin.query("FROM twin.observation")
    }
    assert found == {f"R{n}": meant(visits, *one) for n, one in enumerate(said)}

"""Results, alarms and appointments that name a visit by its account only, drawn by hand.

`kind` is the message (an ADT trigger event, ORU, ALARM or SIU), `at` when it was sent and, of
results, measured, and of appointments is to be, `id` PID-3, `account` PID-18, `was` MRG-3, `visit`
PV1-19. Every drawing is received in several orders, each by a hospital of its own.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from drawn import Row, table

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.events import Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings, Settings

FEED = FeedSettings(time_zone="UTC")
_SITES = (f"S{number:03}" for number in itertools.count())
Told = Callable[[str, str], None]


class Site:
    """A hospital that hears drawn messages."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.name = twin, next(_SITES)

    def hears(self, rows: Sequence[Row], order: Sequence[int], at_once: bool) -> None:
        receipts = [self._receipt(n, rows[n]) for n in order]
        for group in [receipts] if at_once else [[one] for one in receipts]:
            self.twin.receive(group)
            self.twin.wait_applied()

    def _receipt(self, number: int, row: Row) -> Receipt:
        raw = "\r".join((*self._lines(number, row), "")).encode()
        outcome = translate(
            raw,
            feed="f",
            settings=FEED,
            limits=LimitSettings(),
            received_at=self.twin.clock.now(),
        )
        assert isinstance(outcome, Translation), outcome
        return Receipt(format="hl7v2", feed="f", raw=raw, outcome=outcome, origin="test")

    def _lines(self, number: int, row: Row) -> list[str]:
        at, kind = f"{row['at']:%Y%m%d%H%M%S}", row["kind"]
        event = {"ORU": "ORU^R01", "ALARM": "ORU^R40", "SIU": "SIU^S12"}.get(kind, f"ADT^{kind}")
        msh = f"MSH|^~\\&|X|{self.name}|TWIN||{at}||{event}|{self.name}-{number}|P|2.6"
        pid = "|".join(["PID", "1", "", self._cx(row["id"]), *[""] * 14, self._cx(row["account"])])
        visit = self._cx(row.get("visit"))
        pv1 = "|".join(["PV1", "1", "I", f"W^1^{number}", *[""] * 15, visit])
        if kind == "SIU":
            return [msh, f"SCH|{self.name}{number}||||||||||^^^{at}", pid]
        if kind in ("ORU", "ALARM"):
            named = [pv1] if visit else []
            obr = f"OBR|1||{self.name}{number}|X^^L|||{at}"
            if kind == "ORU":
                return [msh, pid, *named, obr, "OBX|1|NM|2951-2^Na^LN||1||||||F"]
            alarm = "196670^MDC_EVT_LO^MDC"
            return [msh, pid, *named, obr, f"OBX|1|ST|{alarm}|1.0.0.0.1|||||||F|||{at}"]
        mrg = [f"MRG|||{self._cx(row['was'])}"] if row.get("was") else []
        return [msh, f"EVN||{at}", pid, *mrg, pv1]

    def _cx(self, number: str | None) -> str:
        return f"{self.name}{number}" if number else ""

    def found(self) -> list[list[str | None]]:
        """What results, alarms and appointments are of, each with its number in the drawing."""
        names = {
            row["encounter_id"]: str(row["numbers"]).replace(self.name, "")
            for row in self.twin.query(
                "SELECT encounter_id, string_agg(value, '+' ORDER BY value) AS numbers"
                " FROM twin.encounter_identifier WHERE starts_with(value, $site) GROUP BY 1",
                {"site": self.name},
            )
        }
        rows = self.twin.query(
            "SELECT filler_order AS number, encounter_id FROM twin.observation"
            " WHERE starts_with(filler_order, $site)"
            " UNION ALL SELECT value, encounter_id FROM twin.appointment"
            " JOIN twin.appointment_identifier USING (appointment_id)"
            " WHERE starts_with(value, $site)",
            {"site": self.name},
        )
        return sorted([str(r["number"])[4:], names.get(r["encounter_id"])] for r in rows)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    clock = HospitalClock(start=datetime(2026, 12, 1, tzinfo=UTC), monotonic=lambda: 0.0)
    path = tmp_path_factory.mktemp("accounts") / "accounts.duckdb"
    with Twin.open(path, settings=Settings(feeds={"f": FEED}), clock=clock) as opened:
        yield opened


@pytest.fixture
def told(twin: Twin) -> Told:
    """told(drawing, expected): of what the numbered reports and bookings are, in every order."""

    def check(drawing: str, expected: str) -> None:
        rows = table(drawing)
        wanted = [list(row.values()) for row in table(expected)]
        count = range(len(rows))
        orders = [list(count), list(count)[::-1], random.Random(7).sample(count, k=len(rows))]
        for order, at_once in itertools.product(orders, (False, True)):
            site = Site(twin)
            site.hears(rows, order, at_once)
            assert site.found() == wanted, (order, at_once)

    return check


@pytest.mark.parametrize("kind", ["ORU", "SIU"])
def test_it_reaches_the_only_visit_of_the_account_that_has_a_number(told: Told, kind: str) -> None:
    told(
        f"""
        kind   | at          | id | account | visit
        {kind} | 11-01 07:00 | P1 | A1      | -
        A01    | 11-01 08:00 | P1 | A1      | V1
        {kind} | 11-01 09:00 | P1 | A1      | -
        A03    | 11-01 10:00 | P1 | A1      | V1
        {kind} | 11-01 11:00 | P1 | A1      | -
        A01    | 11-01 12:00 | P2 | A1      | V2
        """,
        "number | visit\n 0 | V1\n 2 | V1\n 4 | V1",
    )


def test_of_several_visits_it_is_of_the_one_open_then(told: Told) -> None:
    told(
        """
        kind | at          | id | account | visit
        A01  | 11-01 08:00 | P1 | A1      | V1
        ORU  | 11-01 08:30 | P1 | A1      | -
        A03  | 11-01 09:00 | P1 | A1      | V1
        A01  | 11-01 10:00 | P1 | A1      | V2
        SIU  | 11-01 10:30 | P1 | A1      | -
        ORU  | 11-01 11:00 | P1 | A1      | -
        A11  | 11-01 12:00 | P1 | A1      | V3
        """,
        "number | visit\n 1 | V1\n 4 | V2\n 5 | V2",
    )


def test_a_visit_that_is_named_by_its_account_only_keeps_what_is_its(told: Told) -> None:
    told(
        """
        kind | at          | id | account | visit
        A01  | 11-01 08:00 | P1 | A1      | -
        ORU  | 11-01 08:30 | P1 | A1      | -
        SIU  | 11-01 09:30 | P1 | A1      | -
        """,
        "number | visit\n 1 | A1\n 2 | A1",
    )


def test_a_visit_that_goes_on_under_another_number_keeps_what_named_either(told: Told) -> None:
    told(
        """
        kind | at          | id | account | was | visit
        ORU  | 11-01 07:30 | P1 | -       | -   | V2
        A04  | 11-01 08:00 | P1 | A1      | -   | V1
        ORU  | 11-01 08:30 | P1 | A1      | -   | -
        A06  | 11-01 09:00 | P1 | A2      | A1  | V2
        ORU  | 11-01 09:30 | P1 | A1      | -   | -
        ORU  | 11-01 10:00 | P1 | A2      | -   | -
        SIU  | 11-01 10:30 | P1 | A2      | -   | -
        ORU  | 11-01 11:00 | P1 | -       | -   | V1
        """,
        "\n".join(["number | visit", *(f"{n} | V1+V2" for n in (0, 2, 4, 5, 6, 7))]),
    )


def test_a_visit_of_an_account_that_goes_on_under_a_number_is_of_the_new_account(
    told: Told,
) -> None:
    told(
        """
        kind | at          | id | account | was | visit
        A04  | 11-01 08:00 | P1 | A1      | -   | -
        ORU  | 11-01 08:30 | P1 | A1      | -   | -
        A06  | 11-01 09:00 | P1 | A2      | A1  | V2
        ORU  | 11-01 10:00 | P1 | A2      | -   | -
        SIU  | 11-01 10:30 | P1 | A2      | -   | -
        """,
        "\n".join(["number | visit", *(f"{n} | A1+V2" for n in (1, 3, 4))]),
    )


def test_two_open_visits_of_an_account_are_told_as_a_finding(twin: Twin) -> None:
    drawing = """
        kind | at          | id | account | visit
        A01  | 11-01 08:00 | P1 | A1      | V1
        A01  | 11-01 08:00 | P1 | A1      | V2
        ORU  | 11-01 09:00 | P1 | A1      | -
        SIU  | 11-01 09:30 | P1 | A1      | -
    """
    before = len(_ambiguous(twin))
    site = Site(twin)
    site.hears(table(drawing), [0, 2, 3, 1], at_once=False)
    assert site.found() == [["2", None], ["3", None]]
    assert len(_ambiguous(twin)) - before == 2


def _ambiguous(twin: Twin) -> list[Row]:
    return twin.query("FROM twin.finding WHERE kind = 'ambiguous_account'")


def test_an_alarm_is_of_the_numbered_visit_of_its_account(twin: Twin) -> None:
    drawing = """
        kind  | at          | id | account | visit
        ALARM | 11-01 09:00 | P1 | A1      | -
        A01   | 11-01 08:00 | P1 | A1      | V1
    """
    site = Site(twin)
    site.hears(table(drawing), [0, 1], at_once=False)
    rows = twin.query(
        "SELECT i.value FROM twin.device_event JOIN twin.encounter_identifier i"
        " USING (encounter_id) WHERE starts_with(i.value, $site)",
        {"site": site.name},
    )
    assert [row["value"] for row in rows] == [f"{site.name}V1"]

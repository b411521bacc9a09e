"""Who is who, which account is whose, which number is which visit: identity events drawn by hand.

Messages are real HL7 v2 through the real translator into a real store. Columns: `event`, `at` EVN-2
and MSH-7, `evn6` EVN-6, `id` PID-3, `was` MRG-1, `account` PID-18, `account was` MRG-3, `visit`
PV1-19, `visit was` MRG-5, `bed` PV1-3, `born` PID-7, `sex` PID-8; of A24 and A37 `other` is the
second PID-3.
Every drawing is received in several orders, each time by a hospital of its own: what comes of it
must be the same. `P1+P2` are two numbers of one record.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from drawn import Row, instant, table

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.events import Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, LimitSettings, Settings

FEED = FeedSettings(
    time_zone="UTC",
    authorities={"MRN": "urn:mrn", "VISIT": "urn:visit", "ACCT": "urn:account"},
)
_SITES = (f"S{number:03}" for number in itertools.count())
ORDERS: dict[str, Callable[[list[bytes]], list[list[bytes]]]] = {
    "at once": lambda said: [said],
    "one by one": lambda said: [[one] for one in said],
    "backwards": lambda said: [[one] for one in said[::-1]],
    "odd ones late": lambda said: [said[::2], said[1::2]],
}


class Site:
    """A hospital that hears drawn messages in some order."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.name = twin, next(_SITES)
        self._controls = itertools.count(1)

    def hears(self, rows: Sequence[Row], order: str) -> None:
        for group in ORDERS[order]([self.message(row) for row in rows]):
            self.receives(group)

    def receives(self, group: Sequence[bytes], feed: str = "adt") -> None:
        receipts = []
        for raw in group:
            outcome = translate(
                raw,
                feed=feed,
                settings=FEED,
                limits=LimitSettings(),
                received_at=self.twin.clock.now(),
            )
            assert isinstance(outcome, Translation), outcome
            receipts.append(
                Receipt(format="hl7v2", feed=feed, raw=raw, outcome=outcome, origin="test")
            )
        self.twin.receive(receipts)
        self.twin.wait_applied()

    def message(self, row: Row) -> bytes:
        at, control = row["at"].strftime("%Y%m%d%H%M%S+0000"), f"{self.name}-{next(self._controls)}"
        lines = [
            f"MSH|^~\\&|ADT|{self.name}|TWIN||{at}||ADT^{row['event']}|{control}|P|2.5.1",
            f"EVN|{row['event']}|{at}||||{_stamp(row.get('evn6'))}",
            self._pid(row, row.get("id")),
        ]
        if row.get("other"):
            lines.append(self._pid({}, row["other"]))
        was = [row.get("was"), "", row.get("account was"), "", row.get("visit was")]
        if any(was):
            systems = ("MRN", "", "ACCT", "", "VISIT")
            lines.append(
                "|".join(("MRG", *(self._cx(w, s) for w, s in zip(was, systems, strict=True))))
            )
        if row.get("visit") or row.get("bed"):
            unit = "^".join((row.get("bed") or "").split("-"))
            pv1 = ["PV1", "1", "I", unit, *[""] * 15, self._cx(row.get("visit"), "VISIT")]
            if row.get("admitted"):
                pv1 += [*[""] * 24, row["admitted"].strftime("%Y%m%d%H%M%S+0000")]
            lines.append("|".join(pv1))
        return "\r".join((*lines, "")).encode()

    def _pid(self, row: Row, patient: str | None) -> str:
        pid = ["PID", "1", "", self._cx(patient, "MRN"), *[""] * 14]
        pid[7], pid[8] = row.get("born") or "", row.get("sex") or ""
        return "|".join((*pid, self._cx(row.get("account"), "ACCT")))

    def _cx(self, numbers: str | None, system: str) -> str:
        if not numbers:
            return ""
        return "~".join(f"{self.name}{number}^^^{system}" for number in numbers.split("+"))

    # --- what came of it ---------------------------------------------------------------------

    def visits(self) -> list[Row]:
        """Every visit by its numbers, with the patient whose it is, its account and its beds."""
        names, people = self._names("encounter"), self._names("patient")
        rows = self.twin.query("SELECT * FROM twin.encounter")
        stays = self.twin.query("SELECT * FROM twin.stay ORDER BY from_at")
        return [
            {
                "visit": names[row["encounter_id"]],
                "patient": people.get(row["patient_id"]),
                "account": self._short(row["account"]),
                "since": at and f"{at.astimezone(UTC):%H:%M}",
                "beds": " ".join(
                    f"{s['unit']}-{s['bed']}"
                    for s in stays
                    if s["encounter_id"] == row["encounter_id"]
                ),
            }
            for row in rows
            for at in [row["admitted_at"]]
            if row["encounter_id"] in names
        ]

    def people(self) -> list[Row]:
        """Every record by its numbers, and the one that it was merged into."""
        people = self._names("patient")
        return [
            {"patient": people[row["patient_id"]], "into": people.get(row["merged_into"])}
            for row in self.twin.query("SELECT * FROM twin.patient")
            if row["patient_id"] in people
        ]

    def links(self) -> list[Row]:
        """Links, from the side of the smaller number."""
        people = self._names("patient")
        rows = [
            {
                "one": people[row["patient_id"]],
                "other": people[row["linked_patient_id"]],
                "from": row["from_at"],
                "to": row["to_at"],
            }
            for row in self.twin.query("SELECT * FROM twin.patient_link")
            if row["patient_id"] in people
        ]
        mirrored = [{**row, "one": row["other"], "other": row["one"]} for row in rows]
        assert sorted(rows, key=_shown) == sorted(mirrored, key=_shown)
        return [row for row in rows if row["one"] < row["other"]]

    def findings(self) -> list[str]:
        """Kinds of findings about the people of this hospital."""
        people = self._names("patient")
        rows = self.twin.query("SELECT kind, subject, detail FROM twin.finding")
        return sorted(f"{r['kind']}: {r['detail']}" for r in rows if r["subject"] in people)

    def _names(self, entity: str) -> dict[object, str]:
        rows = self.twin.query(
            f"SELECT {entity}_id AS id, string_agg(value, '+' ORDER BY value) AS numbers"
            f" FROM twin.{entity}_identifier WHERE starts_with(value, $site) GROUP BY 1",
            {"site": self.name},
        )
        return {row["id"]: str(row["numbers"]).replace(self.name, "") for row in rows}

    def _short(self, number: object) -> str | None:
        return str(number).removeprefix(self.name) if number else None


def _stamp(at: str | None) -> str:
    return f"{instant(at):%Y%m%d%H%M%S}+0000" if at else ""


def _shown(row: Row) -> list[str]:
    return [str(cell) for cell in row.values()]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    settings = Settings(feeds={"adt": FEED})
    clock = HospitalClock(start=datetime(2026, 12, 1, tzinfo=UTC), monotonic=lambda: 0.0)
    path = tmp_path_factory.mktemp("identity") / "identity.duckdb"
    with Twin.open(path, settings=settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def told(twin: Twin) -> Callable[..., None]:
    """told(drawing, visits=..., people=..., links=..., findings=...) in every order of arrival."""

    def check(drawing: str, findings: Sequence[str] | None = None, **wanted: str) -> None:
        for order in ORDERS:
            site = Site(twin)
            site.hears(table(drawing), order)
            for what, expected in wanted.items():
                rows = table(expected)
                names = list(rows[0]) if rows else []
                found = [{n: row[n] for n in names} for row in getattr(site, what)()]
                assert sorted(found, key=_shown) == sorted(rows, key=_shown), order
            if findings is not None:
                assert site.findings() == list(findings), order

    return check


# --- people ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["A18", "A30", "A34", "A36", "A39", "A40"])
def test_a_merge_takes_visits_along_and_whatever_still_names_the_source(told, event):
    told(
        f"""
        event   | at          | id | was | visit | bed
        A01     | 11-01 08:00 | P2 | -   | V1    | ICU-1-A
        {event} | 11-01 09:00 | P1 | P2  | -     | -
        A02     | 11-01 10:00 | P2 | -   | V1    | MED-7-1
        A01     | 11-01 11:00 | P2 | -   | V2    | MED-7-2
        """,
        visits="""
        visit | patient | beds
        V1    | P1      | ICU-A MED-1
        V2    | P1      | MED-2
        """,
        people="patient | into\n P1 | -\n P2 | P1",
    )


def test_a_chain_of_merges_ends_at_its_last_target_and_a_circle_at_the_newest(told):
    told(
        """
        event | at          | id | was | visit
        A01   | 11-01 08:00 | P1 | -   | V1
        A40   | 11-01 09:00 | P2 | P1  | -
        A40   | 11-01 10:00 | P3 | P2  | -
        A40   | 11-01 11:00 | P1 | P3  | -
        """,
        visits="visit | patient\n V1 | P1",
        people="patient | into\n P1 | -\n P2 | P1\n P3 | P1",
    )


def test_of_two_merges_of_what_turns_out_to_be_one_record_the_newest_stands(told):
    told(
        """
        event | at          | id    | was | visit
        A01   | 11-01 08:00 | P1    | -   | V1
        A40   | 11-01 09:00 | P4    | P2  | -
        A40   | 11-01 10:00 | P3    | P1  | -
        A08   | 11-01 11:00 | P1+P2 | -   | -
        """,
        visits="visit | patient\n V1 | P3",
        people="patient | into\n P1+P2 | P3\n P3 | -\n P4 | -",
    )


def test_an_observation_that_names_the_new_number_is_of_the_visit_known_later(twin):
    site = Site(twin)
    said = table("""
        event | at          | id | was | visit | visit was
        A50   | 11-01 09:00 | P1 | P1  | V2    | V1
        A01   | 11-01 08:00 | P1 | -   | V1    | -
    """)
    at = "20261101093000+0000"
    oru = "\r".join(
        (
            f"MSH|^~\\&|LAB|{site.name}|TWIN||{at}||ORU^R01|{site.name}-O|P|2.5.1",
            f"PID|1||{site.name}P1^^^MRN",
            f"PV1|1|I|||||||||||||||||{site.name}V2^^^VISIT",
            f"OBR|1|||8867-4^Heart rate^LN|||{at}",
            f"OBX|1|NM|8867-4^Heart rate^LN||72|/min|||||F|||{at}",
            "",
        )
    ).encode()
    site.receives([site.message(said[0]), oru])
    visits = (
        "SELECT v.value FROM twin.observation o JOIN twin.encounter e USING (encounter_id)"
        " JOIN twin.patient_identifier p ON p.patient_id = o.patient_id"
        " JOIN twin.encounter_identifier v ON v.encounter_id = e.encounter_id"
        " WHERE p.value = $patient ORDER BY 1"
    )
    patient = {"patient": site.name + "P1"}
    assert twin.query(visits, patient) == []
    site.receives([site.message(said[1])])
    assert [row["value"] for row in twin.query(visits, patient)] == [
        site.name + "V1",
        site.name + "V2",
    ]


def test_who_is_registered_again_after_a_merge_is_still_merged(told):
    told(
        """
        event | at          | id | was | visit
        A40   | 11-01 09:00 | P1 | P2  | -
        A28   | 11-01 10:00 | P2 | -   | -
        A01   | 11-01 11:00 | P2 | -   | V1
        """,
        visits="visit | patient\n V1 | P1",
        people="patient | into\n P1 | -\n P2 | P1",
    )


@pytest.mark.parametrize("event", ["A47"])
def test_a_changed_identifier_is_another_name_of_the_same_record(told, event):
    told(
        f"""
        event   | at          | id | was | visit
        A01     | 11-01 08:00 | P1 | -   | V1
        {event} | 11-01 09:00 | P2 | P1  | -
        A01     | 11-01 10:00 | P2 | -   | V2
        A01     | 11-01 11:00 | P1 | -   | V3
        """,
        visits="""
        visit | patient
        V1    | P1+P2
        V2    | P1+P2
        V3    | P1+P2
        """,
        people="patient | into\n P1+P2 | -",
    )


def test_a43_moves_one_identifier_of_two_and_what_was_filed_under_it(told):
    told(
        """
        event | at          | id    | was   | visit
        A28   | 11-01 07:00 | P1+M7 | -     | -
        A01   | 11-01 08:00 | P1    | -     | V1
        A01   | 11-01 08:30 | M7    | -     | V2
        A01   | 11-01 08:40 | P2    | -     | V3
        A43   | 11-01 09:00 | P2+M7 | P1+M7 | -
        """,
        visits="""
        visit | patient
        V1    | P1
        V2    | M7+P2
        V3    | M7+P2
        """,
        people="patient | into\n P1 | -\n M7+P2 | -",
        findings=[],
    )


def test_a43_without_a_common_number_moves_all_of_mrg_1(told):
    told(
        """
        event | at          | id | was | visit
        A01   | 11-01 08:00 | P2 | -   | V1
        A43   | 11-01 09:00 | P1 | P2  | -
        """,
        visits="visit | patient\n V1 | P1+P2",
    )


def test_a43_can_make_an_identifier_stand_alone(told):
    told(
        """
        event | at          | id    | was   | visit
        A01   | 11-01 08:00 | P1+M7 | -     | V1
        A01   | 11-01 08:30 | M7    | -     | V2
        A43   | 11-01 09:00 | M7    | P1+M7 | -
        """,
        visits="visit | patient\n V1 | P1\n V2 | M7",
    )


def test_a_stale_list_does_not_join_what_was_moved_apart(told):
    told(
        """
        event | at          | id    | was   | visit
        A01   | 11-01 08:00 | P1+M7 | -     | V1
        A43   | 11-01 09:00 | P2+M7 | P1+M7 | -
        A08   | 11-01 10:00 | P1+M7 | -     | V1
        """,
        visits="visit | patient\n V1 | P1",
        people="patient | into\n P1 | -\n M7+P2 | -",
        findings=["identifier_moved_before: lists an identifier with those it was moved away from"],
    )


def test_a_merged_record_follows_the_number_it_was_merged_into(told):
    told(
        """
        event | at          | id    | was   | visit
        A28   | 11-01 07:00 | P1+M7 | -     | -
        A01   | 11-01 08:00 | P3    | -     | V1
        A40   | 11-01 08:30 | M7    | P3    | -
        A43   | 11-01 09:00 | P2+M7 | P1+M7 | -
        """,
        visits="visit | patient\n V1 | M7+P2",
        people="patient | into\n P1 | -\n M7+P2 | -\n P3 | M7+P2",
    )


# --- links -------------------------------------------------------------------------------------


def test_a24_links_and_a37_unlinks_records_that_remain_two(told):
    told(
        """
        event | at          | id | other | visit
        A01   | 11-01 08:00 | P1 | -     | V1
        A24   | 11-01 09:00 | P1 | P2    | -
        A37   | 11-01 10:00 | P2 | P1    | -
        A24   | 11-01 11:00 | P1 | P2    | -
        A24   | 11-01 12:00 | P1 | P3    | -
        """,
        visits="visit | patient\n V1 | P1",
        people="patient | into\n P1 | -\n P2 | -\n P3 | -",
        links="""
        one | other | from        | to
        P1  | P2    | 11-01 09:00 | 11-01 10:00
        P1  | P2    | 11-01 11:00 | -
        P1  | P3    | 11-01 12:00 | -
        """,
    )


def test_a_link_follows_a_merge_and_ends_where_both_become_one(told):
    told(
        """
        event | at          | id | was | other
        A24   | 11-01 09:00 | P2 | -   | P3
        A24   | 11-01 10:00 | P1 | -   | P2
        A40   | 11-01 11:00 | P1 | P2  | -
        """,
        links="one | other | from | to\n P1 | P3 | 11-01 09:00 | -",
    )


@pytest.mark.parametrize("order", ORDERS)
def test_linked_patients_who_came_at_one_instant_have_a_visit_each(twin, order):
    site = Site(twin)
    rows = table("""
        event | at          | id | other | bed     | admitted
        A01   | 11-01 08:00 | P1 | -     | OBS-1-A | 11-01 08:00
        A01   | 11-01 08:05 | P2 | -     | NEO-1-A | 11-01 08:00
        A24   | 11-01 09:00 | P1 | P2    | -       | -
    """)
    site.hears(rows, order)
    people = site._names("patient")
    found = [people.get(row["patient_id"]) for row in twin.query("SELECT * FROM twin.encounter")]
    assert sorted(name for name in found if name) == ["P1", "P2"]


# --- accounts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["A35", "A41", "A36", "A18"])
def test_a_merge_of_accounts_takes_their_visits_along(told, event):
    told(
        f"""
        event   | at          | id | was | account | account was | visit
        A01     | 11-01 08:00 | P1 | -   | A1      | -           | V1
        A01     | 11-01 08:10 | P1 | -   | A2      | -           | V2
        A01     | 11-01 08:20 | P1 | -   | A2      | -           | V3
        {event} | 11-01 09:00 | P1 | P1  | A1      | A2          | -
        A08     | 11-01 10:00 | P1 | -   | A2      | -           | V4
        """,
        visits="""
        visit | patient | account
        V1    | P1      | A1
        V2    | P1      | A1
        V3    | P1      | A1
        V4    | P1      | A1
        """,
    )


def test_an_account_merged_into_that_of_another_patient_follows(told):
    told(
        """
        event | at          | id | was | account | account was | visit
        A01   | 11-01 08:00 | P1 | -   | A1      | -           | V1
        A01   | 11-01 08:10 | P2 | -   | A2      | -           | V2
        A41   | 11-01 09:00 | P1 | P2  | A1      | A2          | -
        """,
        visits="visit | patient | account\n V1 | P1 | A1\n V2 | P1 | A1",
        people="patient | into\n P1 | -\n P2 | -",
    )


def test_a44_moves_an_account_with_all_visits_it_has_then(told):
    told(
        """
        event | at          | id | was | account | account was | visit
        A01   | 11-01 08:00 | P2 | -   | A1      | -           | V1
        A01   | 11-01 08:10 | P2 | -   | A1      | -           | V2
        A01   | 11-01 08:20 | P2 | -   | A9      | -           | V3
        A44   | 11-01 09:00 | P1 | P2  | A1      | A1          | -
        A08   | 11-01 08:50 | P2 | -   | A1      | -           | V2
        A01   | 11-01 10:00 | P3 | -   | A1      | -           | V4
        """,
        visits="""
        visit | patient | account
        V1    | P1      | A1
        V2    | P1      | A1
        V3    | P2      | A9
        V4    | P3      | A1
        """,
        people="patient | into\n P1 | -\n P2 | -\n P3 | -",
    )


def test_a44_moves_what_had_become_one_account_and_nothing_that_becomes_so_later(told):
    told(
        """
        event | at          | id | was | account | account was | visit
        A01   | 11-01 08:00 | P2 | -   | A1      | -           | V1
        A01   | 11-01 08:10 | P2 | -   | A2      | -           | V2
        A01   | 11-01 08:20 | P2 | -   | A3      | -           | V3
        A41   | 11-01 08:30 | P2 | P2  | A1      | A2          | -
        A44   | 11-01 09:00 | P1 | P2  | A1      | A1          | -
        A41   | 11-01 10:00 | P2 | P2  | A1      | A3          | -
        """,
        visits="""
        visit | patient | account
        V1    | P1      | A1
        V2    | P1      | A1
        V3    | P2      | A1
        """,
    )


def test_a49_renumbers_an_account(told):
    told(
        """
        event | at          | id | was | account | account was | visit
        A01   | 11-01 08:00 | P1 | -   | A1      | -           | V1
        A49   | 11-01 09:00 | P1 | P1  | A2      | A1          | -
        A01   | 11-01 10:00 | P1 | -   | A1      | -           | V2
        A01   | 11-01 11:00 | P1 | -   | A2      | -           | V3
        """,
        visits="""
        visit | patient | account
        V1    | P1      | A2
        V2    | P1      | A2
        V3    | P1      | A2
        """,
    )


@pytest.mark.parametrize("event", ["A41", "A49"])
def test_where_only_accounts_name_visits_two_names_of_one_account_name_one_visit(told, event):
    told(
        f"""
        event   | at          | id | was | account | account was | bed
        A01     | 11-01 08:00 | P1 | -   | A1      | -           | ICU-1-A
        {event} | 11-01 09:00 | P1 | P1  | A2      | A1          | -
        A02     | 11-01 10:00 | P1 | -   | A2      | -           | MED-7-1
        """,
        visits="visit | patient | account | beds\n A1+A2 | P1 | A2 | ICU-A MED-1",
    )


# --- visits ------------------------------------------------------------------------------------


def test_a45_moves_a_visit_between_accounts_and_to_the_patient_whose_that_is(told):
    told(
        """
        event | at          | id | was | account | account was | visit | visit was
        A01   | 11-01 08:00 | P2 | -   | A2      | -           | V1    | -
        A01   | 11-01 08:10 | P2 | -   | A2      | -           | V2    | -
        A45   | 11-01 09:00 | P1 | P2  | A1      | A2          | V1    | V1
        A44   | 11-01 10:00 | P3 | P2  | A2      | A2          | -     | -
        """,
        visits="""
        visit | patient | account
        V1    | P1      | A1
        V2    | P3      | A2
        """,
    )


def test_a42_makes_two_visits_one(told):
    told(
        """
        event | at          | id | was | visit | visit was | bed
        A01   | 11-01 08:00 | P1 | -   | V1    | -         | ICU-1-A
        A01   | 11-01 08:05 | P1 | -   | V2    | -         | ICU-1-A
        A42   | 11-01 09:00 | P1 | P1  | V1    | V2        | -
        A02   | 11-01 10:00 | P1 | -   | V2    | -         | MED-7-1
        """,
        visits="visit | patient | beds\n V1+V2 | P1 | ICU-A MED-1",
    )


# --- visits that some messages name by their account only ---------------------------------------


def test_a_message_that_names_only_the_account_is_about_its_visit(told):
    told(
        """
        event | at          | id | account | visit | bed     | admitted
        A01   | 11-01 08:00 | P1 | A1      | -     | ICU-1-A | 11-01 08:00
        A02   | 11-01 09:00 | P1 | A1      | V1    | MED-7-1 | -
        A02   | 11-01 10:00 | P1 | A1      | -     | SUR-2-2 | -
        """,
        visits="visit | patient | account | beds\n V1 | P1 | A1 | ICU-A MED-1 SUR-2",
    )


def test_of_several_visits_of_an_account_the_one_open_then_is_meant(told):
    told(
        """
        event | at          | id | account | visit | bed     | admitted
        A01   | 11-01 08:00 | P1 | A1      | V1    | ICU-1-A | 11-01 08:00
        A03   | 11-01 09:00 | P1 | A1      | -     | ICU-1-A | -
        A01   | 11-01 10:00 | P1 | A1      | V2    | MED-7-1 | 11-01 10:00
        A02   | 11-01 11:00 | P1 | A1      | -     | SUR-2-2 | -
        """,
        visits="""
        visit | patient | account | beds
        V1    | P1      | A1      | ICU-A
        V2    | P1      | A1      | MED-1 SUR-2
        """,
    )


def test_what_was_over_before_a_numbered_visit_began_was_another_one(told):
    told(
        """
        event | at          | id | account | visit | bed     | admitted
        A01   | 11-01 08:00 | P1 | A1      | -     | ICU-1-A | 11-01 08:00
        A03   | 11-01 09:00 | P1 | A1      | -     | ICU-1-A | -
        A01   | 11-01 10:00 | P1 | A1      | V2    | MED-7-1 | 11-01 10:00
        A03   | 11-01 11:00 | P1 | A1      | V2    | MED-7-1 | -
        A01   | 11-01 12:00 | P1 | A1      | -     | SUR-2-2 | 11-01 12:00
        A02   | 11-01 13:00 | P1 | A1      | -     | SUR-2-3 | -
        """,
        visits="""
        visit | patient | account | beds
        A1    | P1      | A1      | ICU-A SUR-2 SUR-3
        V2    | P1      | A1      | MED-1
        """,
    )


def test_an_account_of_two_patients_brings_nothing_of_one_to_the_other(told):
    told(
        """
        event | at          | id | account | visit | bed     | admitted
        A01   | 11-01 08:00 | P1 | A1      | V1    | ICU-1-A | 11-01 08:00
        A01   | 11-01 08:00 | P2 | A1      | V2    | MED-7-1 | 11-01 08:00
        A02   | 11-01 09:00 | P1 | A1      | -     | ICU-1-B | -
        A02   | 11-01 09:30 | P2 | A1      | -     | MED-7-2 | -
        A02   | 11-01 10:00 | P3 | A1      | -     | SUR-2-2 | -
        """,
        visits="""
        visit | patient | account | beds
        V1    | P1      | A1      | ICU-A ICU-B
        V2    | P2      | A1      | MED-1 MED-2
        A1    | P3      | A1      | SUR-2
        """,
    )


@pytest.mark.parametrize(
    "identity",
    [
        "A40 | 11-01 12:00 | P1 | P2 | -  | -  | - | -",
        "A44 | 11-01 08:30 | P2 | P1 | A1 | A1 | - | -",
    ],
)
def test_a_message_that_names_only_the_account_follows_the_patient(told, identity):
    told(
        f"""
        event | at          | id | was | account | account was | visit | bed
        A01   | 11-01 08:00 | P1 | -   | A1      | -           | V1    | ICU-1-A
        {identity}
        A02   | 11-01 09:00 | P2 | -   | A1      | -           | -     | ICU-1-B
        """,
        visits="visit | beds\n V1 | ICU-A ICU-B",
    )


@pytest.mark.parametrize("event", ["A41", "A49"])
def test_a_message_that_names_only_another_number_of_the_account_is_about_its_visit(told, event):
    told(
        f"""
        event   | at          | id | was | account | account was | visit | bed
        A01     | 11-01 08:00 | P1 | -   | A1      | -           | V1    | ICU-1-A
        {event} | 11-01 08:30 | P1 | P1  | A2      | A1          | -     | -
        A02     | 11-01 09:00 | P1 | -   | A2      | -           | -     | ICU-1-B
        """,
        visits="visit | beds\n V1 | ICU-A ICU-B",
    )


@pytest.mark.parametrize("order", ORDERS)
def test_where_two_open_visits_of_an_account_may_be_meant_a_finding_says_so(twin, order):
    site = Site(twin)
    drawing = """
        event | at          | id | account | visit | bed
        A01   | 11-01 08:00 | P1 | A1      | V1    | ICU-1-A
        A01   | 11-01 08:05 | P1 | A1      | V2    | MED-7-1
        A02   | 11-01 09:00 | P1 | A1      | -     | ICU-1-B
    """
    site.hears(table(drawing), order)
    names = site._names("encounter")
    rows = twin.query("SELECT subject FROM twin.finding WHERE kind = 'ambiguous_account'")
    assert [names[r["subject"]] for r in rows if r["subject"] in names] == ["A1"]
    assert {v["visit"]: v["beds"] for v in site.visits()}["V1"] == "ICU-A"


@pytest.mark.parametrize(
    ("evn6", "one", "other"),
    [("-", "ICU-A", "MED-1 SUR-2"), ("11-01 09:00", "ICU-A SUR-2", "MED-1")],
)
def test_a_cancelled_discharge_that_names_the_account_is_of_the_visit_that_was_discharged(
    told, evn6, one, other
):
    told(
        f"""
        event | at          | evn6   | id | account | visit | bed     | admitted
        A01   | 11-01 08:00 | -      | P1 | A1      | V1    | ICU-1-A | 11-01 08:00
        A03   | 11-01 09:00 | -      | P1 | A1      | V1    | ICU-1-A | -
        A01   | 11-01 10:00 | -      | P1 | A1      | V2    | MED-7-1 | 11-01 10:00
        A03   | 11-01 11:00 | -      | P1 | A1      | V2    | MED-7-1 | -
        A01   | 11-01 12:00 | -      | P1 | A1      | V3    | SUR-2-9 | 11-01 12:00
        A13   | 11-01 13:00 | {evn6} | P1 | A1      | -     | SUR-2-2 | -
        """,
        visits=f"""
        visit | patient | account | beds
        V1    | P1      | A1      | {one}
        V2    | P1      | A1      | {other}
        V3    | P1      | A1      | SUR-9
        """,
    )


# --- a visit that goes on under another number ---------------------------------------------------


@pytest.mark.parametrize("event", ["A06", "A07"])
def test_a_change_of_class_with_another_account_and_number_goes_on_the_visit_before(told, event):
    told(
        f"""
        event   | at          | id | account | account was | visit | bed     | admitted
        A04     | 11-01 08:00 | P1 | A1      | -           | V1    | ED-1-1  | 11-01 08:00
        {event} | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
        A02     | 11-01 10:00 | P1 | A2      | -           | V2    | MED-7-1 | -
        A03     | 11-01 11:00 | P1 | A2      | -           | V2    | MED-7-1 | -
        """,
        visits="visit | account | since | beds\n V1+V2 | A2 | 08:00 | ED-1 ICU-A MED-1",
        findings=[],
    )


def test_a_visit_goes_on_more_than_once(told):
    told(
        """
        event | at          | id | account | account was | visit | bed     | admitted
        A04   | 11-01 08:00 | P1 | A1      | -           | V1    | ED-1-1  | 11-01 08:00
        A06   | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
        A02   | 11-01 10:00 | P1 | A2      | -           | -     | MED-7-1 | -
        A07   | 11-01 11:00 | P1 | A3      | A2          | V3    | DAY-1-1 | -
        A02   | 11-01 12:00 | P1 | A3      | -           | V3    | DAY-1-2 | -
        """,
        visits="visit | account | beds\n V1+V2+V3 | A3 | ED-1 ICU-A MED-1 DAY-1 DAY-2",
        findings=[],
    )


def test_a_visit_that_only_its_account_names_goes_on_under_a_number(told):
    told(
        """
        event | at          | id | account | account was | visit | bed     | admitted
        A04   | 11-01 08:00 | P1 | A1      | -           | -     | ED-1-1  | 11-01 08:00
        A06   | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
        A02   | 11-01 10:00 | P1 | A2      | -           | V2    | MED-7-1 | -
        """,
        visits="visit | patient | account | beds\n A1+V2 | P1 | A2 | ED-1 ICU-A MED-1",
    )


def test_of_several_visits_of_the_prior_account_the_open_one_goes_on(told):
    told(
        """
        event | at          | id | account | account was | visit | bed     | admitted
        A01   | 11-01 06:00 | P1 | A1      | -           | V0    | SUR-1-1 | 11-01 06:00
        A03   | 11-01 07:00 | P1 | A1      | -           | V0    | SUR-1-1 | -
        A04   | 11-01 08:00 | P1 | A1      | -           | V1    | ED-1-1  | 11-01 08:00
        A06   | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
        """,
        visits="""
        visit | patient | account | beds
        V0    | P1      | A1      | SUR-1
        V1+V2 | P1      | A2      | ED-1 ICU-A
        """,
    )


@pytest.mark.parametrize(
    ("why", "row", "row2"),
    [
        ("of another patient", "A04 | 11-01 08:00 | P9 | A1 | - | V1 | ED-1-1 | -", ""),
        (
            "over by then",
            "A04 | 11-01 07:00 | P1 | A1 | - | V1 | ED-1-1 | -",
            "A03 | 11-01 08:00 | P1 | A1 | - | V1 | ED-1-1 | -",
        ),
        (
            "begun by itself",
            "A04 | 11-01 08:00 | P1 | A1 | - | V1 | ED-1-1 | -",
            "A01 | 11-01 08:30 | P1 | A2 | - | V2 | ED-2-2 | 11-01 08:30",
        ),
    ],
)
def test_what_does_not_fit_the_prior_account_stays_a_visit_of_its_own(told, why, row, row2):
    told(
        f"""
        event | at          | id | account | account was | visit | bed     | admitted
        {row}
        {row2}
        A06   | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
        """,
        visits=f"""
        visit | patient                      | account
        V1    | {"P9" if "another" in why else "P1"} | A1
        V2    | P1                           | A2
        """,
    )


@pytest.mark.parametrize("order", ORDERS)
def test_a_prior_account_of_two_open_visits_is_a_finding(twin, order):
    site = Site(twin)
    drawing = """
        event | at          | id | account | account was | visit | bed     | admitted
        A04   | 11-01 08:00 | P1 | A1      | -           | V1    | ED-1-1  | 11-01 08:00
        A04   | 11-01 08:00 | P1 | A1      | -           | V3    | ED-1-2  | 11-01 08:00
        A06   | 11-01 09:00 | P1 | A2      | A1          | V2    | ICU-1-A | -
    """
    site.hears(table(drawing), order)
    names = site._names("encounter")
    assert sorted(names.values()) == ["V1", "V2", "V3"]
    rows = twin.query("SELECT subject FROM twin.finding WHERE kind = 'ambiguous_account'")
    assert [names[r["subject"]] for r in rows if r["subject"] in names] == ["V2"]


@pytest.mark.parametrize("kept", ["V1", "V2"])
def test_merged_visits_began_when_the_first_of_them_did(told, kept):
    told(
        f"""
        event | at          | id | was | visit  | visit was             | bed     | admitted
        A01   | 11-01 08:00 | P1 | -   | V1     | -                     | ICU-1-A | 11-01 08:00
        A01   | 11-01 08:30 | P1 | -   | V2     | -                     | MED-7-1 | 11-01 08:30
        A42   | 11-01 09:00 | P1 | P1  | {kept} | {"V2" if kept == "V1" else "V1"} | - | -
        A08   | 11-01 10:00 | P1 | -   | V2     | -                     | MED-7-1 | 11-01 08:30
        """,
        visits="visit | patient | since\n V1+V2 | P1 | 08:00",
    )


def test_a50_renumbers_a_visit_and_makes_none_known_by_itself(told):
    told(
        """
        event | at          | id | was | visit | visit was | bed
        A01   | 11-01 08:00 | P1 | -   | V1    | -         | ICU-1-A
        A50   | 11-01 09:00 | P1 | P1  | V2    | V1        | -
        A02   | 11-01 10:00 | P1 | -   | V2    | -         | MED-7-1
        A50   | 11-01 11:00 | P1 | P1  | V8    | V9        | -
        """,
        visits="visit | patient | beds\n V1+V2 | P1 | ICU-A MED-1",
    )


# --- what sources say of one person --------------------------------------------------------------


def test_merged_records_of_different_birth_dates_are_a_finding_that_names_the_field(told):
    told(
        """
        event | at          | id | was | born     | sex
        A28   | 11-01 08:00 | P1 | -   | 19500401 | F
        A28   | 11-01 08:10 | P2 | -   | 19500402 | F
        A40   | 11-01 09:00 | P1 | P2  | -        | -
        """,
        findings=["demographics_clash: sources or merged records state different birth dates"],
    )


def test_a_correction_and_a_partial_date_are_no_clash(told):
    told(
        """
        event | at          | id | was | born     | sex
        A28   | 11-01 08:00 | P1 | -   | 19500401 | M
        A31   | 11-01 08:05 | P1 | -   | 19500402 | F
        A28   | 11-01 08:10 | P2 | -   | 1950     | U
        A40   | 11-01 09:00 | P1 | P2  | -        | -
        """,
        findings=[],
    )


def test_two_feeds_that_state_another_sex_are_a_finding_until_they_agree(twin):
    site = Site(twin)
    said = table("""
        event | at          | id | sex
        A28   | 11-01 08:00 | P1 | F
        A28   | 11-01 09:00 | P1 | M
        A31   | 11-01 10:00 | P1 | M
    """)
    for row, feed in zip(said[:2], ("adt", "lab"), strict=True):
        site.receives([site.message(row)], feed)
    clash = "demographics_clash: sources or merged records state different administrative sexes"
    assert site.findings() == [clash]
    site.receives([site.message(said[2])], "adt")
    assert site.findings() == []


def test_before_an_identity_event_was_known_the_twin_knew_otherwise(twin):
    site = Site(twin)
    said = table("""
        event | at          | id | was | account | account was | visit
        A01   | 11-01 08:00 | P2 | -   | A1      | -           | V1
        A44   | 11-01 09:00 | P1 | P2  | A1      | A1          | -
    """)
    site.receives([site.message(said[0])])
    knew = twin.query("SELECT max(known_at) AS at FROM core.batch")[0]["at"]
    site.receives([site.message(said[1])])
    people = site._names("patient")
    rows = twin.query(
        "SELECT e.patient_id FROM history.encounter($known) e JOIN twin.encounter_identifier i"
        " USING (encounter_id) WHERE i.value = $visit",
        {"known": knew, "visit": site.name + "V1"},
    )
    assert [people[row["patient_id"]] for row in rows] == ["P2"]
    assert site.visits()[0]["patient"] == "P1"
    assert instant("11-01 09:00") < knew

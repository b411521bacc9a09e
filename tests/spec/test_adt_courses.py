"""What each ADT trigger event does to the twin: messages in, stays and visits out, drawn by hand.

Messages are real HL7 v2 through the real translator into a real store. Columns of the messages:
`event` trigger, `at` EVN-2 and MSH-7, `evn6`, `patient` PID-3, `visit` PV1-19, `bed` PV1-3 as
UNIT-ROOM-BED, `prior` PV1-6, `class` PV1-2, `admitted` PV1-44, `left` PV1-45; a column that is not
drawn is empty, and so is `-`. Every test has a facility of its own in one store.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from drawn import Row, instant, table

from adapters.fhir import Release, Scope, translate_resource
from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.events import Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, FhirSettings, LimitSettings, Settings

CLEARED = '""'
FEED = FeedSettings(
    time_zone="UTC", authorities={"MRN": "urn:mrn", "VISIT": "urn:visit", "ACCT": "urn:account"}
)
BEDS = "urn:beds"
SETTINGS = Settings(feeds={"adt": FEED}, fhir=FhirSettings(bed_system=BEDS, source="ehr"))


class Ward:
    """Sends drawn messages from one facility and shows what the twin makes of them."""

    def __init__(self, twin: Twin, facility: str) -> None:
        self.twin, self.facility = twin, facility
        self._controls = itertools.count(1)

    def hears(self, drawing: str) -> None:
        """Drawn messages, received in the order drawn."""
        self.receives([self.message(row) for row in table(drawing)])

    def receives(self, messages: Sequence[bytes]) -> None:
        receipts = []
        for raw in messages:
            outcome = translate(
                raw,
                feed="adt",
                settings=FEED,
                limits=LimitSettings(),
                received_at=self.twin.clock.now(),
            )
            assert isinstance(outcome, Translation), outcome
            receipts.append(
                Receipt(format="hl7v2", feed="adt", raw=raw, outcome=outcome, origin="test")
            )
        self.twin.receive(receipts)
        self.twin.wait_applied()

    def states(self, *resources: dict[str, object]) -> None:
        """FHIR resources of one server, in the order given."""
        scope = Scope(
            source=self.facility,
            release=Release.R4,
            settings=SETTINGS.fhir,
            received_at=self.twin.clock.now(),
        )
        receipts = []
        for resource in resources:
            raw = json.dumps(resource).encode()
            outcome = translate_resource(raw, scope, limits=LimitSettings())
            assert isinstance(outcome, Translation), outcome
            receipts.append(
                Receipt(format="fhir", feed="ehr", raw=raw, outcome=outcome, origin="test")
            )
        self.twin.receive(receipts)
        self.twin.wait_applied()

    def message(self, row: Row, *more: str) -> bytes:
        """One ER7 message for a drawn row, with further segments behind it."""
        control, at = f"{self.facility}-{next(self._controls)}", _ts(row["at"])
        event, evn6 = row["event"], row.get("evn6")
        msh = f"MSH|^~\\&|ADT|{self.facility}|TWIN||{at}||ADT^{event}|{control}|P|2.5.1"
        evn = f"EVN|{event}|{at}||||{_ts(instant(evn6)) if evn6 else ''}"
        return "\r".join((msh, evn, *self._patient_and_visit(row), *more, "")).encode()

    def _patient_and_visit(self, row: Row) -> list[str]:
        pid, pv1 = [""] * 31, [""] * 46
        pid[0], pv1[0] = "PID", "PV1"
        pid[3] = self.mrn(row.get("patient") or "P1")
        pid[7], pid[8] = row.get("born") or "", row.get("sex") or ""
        if row.get("account"):
            pid[18] = f"{self.facility}{row['account']}^^^ACCT^AN"
        pv1[2] = row.get("class") or ""
        pv1[3], pv1[6] = self.place(row.get("bed")), self.place(row.get("prior"))
        pv1[10], pv1[14] = row.get("service") or "", row.get("source") or ""
        if row.get("visit"):
            pv1[19] = f"{self.facility}{row['visit']}^^^VISIT^VN"
        pv1[44] = _ts(row["admitted"]) if row.get("admitted") else ""
        pv1[45] = _ts(instant(row["left"])) if row.get("left") else ""
        return ["|".join(pid).rstrip("|"), "|".join(pv1).rstrip("|")]

    def mrn(self, patient: str) -> str:
        return f"{self.facility}{patient}^^^MRN^MR"

    def place(self, spot: str | None) -> str:
        """`ICU-1-A` as PV1-3."""
        if not spot:
            return ""
        unit, room, bed = [*spot.split("-"), "", ""][:3]
        return f"{unit}^{room}^{bed}^{self.facility}"

    # --- what came of it ---------------------------------------------------------------------

    def stays(self, drawing: str, known_at: str | None = None) -> None:
        """visit | bed | from | to, and patient, all stays of the facility."""
        wanted = table(drawing)
        rows = self.twin.query(
            "SELECT i.value AS visit, s.* FROM history.stay($known) s"
            " LEFT JOIN history.encounter_identifier($known) i"
            " ON i.encounter_id = s.encounter_id AND i.system = 'urn:visit'"
            " WHERE s.facility = $facility",
            {"known": instant(known_at) if known_at else None, "facility": self.facility},
        )
        found = [
            {
                "visit": self._short(row["visit"]),
                "bed": "-".join(str(row[name]) for name in ("unit", "room", "bed") if row[name]),
                "from": row["from_at"],
                "to": row["to_at"],
                "patient": self.name_of(row["patient_id"]),
                "inferred": "yes" if row["start_inferred"] else None,
            }
            for row in rows
        ]
        self._same(found, wanted)

    def visits(self, drawing: str) -> None:
        """visit | status | class | admitted | discharged, and patient, service, source."""
        rows = self.twin.query(
            "SELECT i.value AS visit, e.* FROM twin.encounter e"
            " JOIN twin.encounter_identifier i USING (encounter_id)"
            " WHERE i.system = 'urn:visit' AND starts_with(i.value, $facility)",
            {"facility": self.facility},
        )
        found = [
            {
                **row,
                "visit": self._short(row["visit"]),
                "admitted": row["admitted_at"],
                "discharged": row["discharged_at"],
                "source": row["admit_source"],
                "patient": self.name_of(row["patient_id"]),
            }
            for row in rows
        ]
        self._same(found, table(drawing))

    def statuses(self, visit: str, drawing: str) -> None:
        """status | from | to, of one visit."""
        rows = self.twin.query(
            'SELECT status, from_at AS "from", to_at AS "to" FROM twin.encounter_status'
            " JOIN twin.encounter_identifier i USING (encounter_id) WHERE i.value = $visit",
            {"visit": self.facility + visit},
        )
        self._same(rows, table(drawing))

    def findings(self) -> list[str]:
        """Kinds of what is odd about the facility's visits, stays and beds."""
        rows = self.twin.query(
            "SELECT kind FROM twin.finding WHERE subject IN ("
            " SELECT encounter_id FROM twin.encounter WHERE facility = $facility"
            " UNION ALL SELECT stay_id FROM twin.stay WHERE facility = $facility) ORDER BY kind",
            {"facility": self.facility},
        )
        return [str(row["kind"]) for row in rows]

    def person(self, patient: str) -> Row:
        """The record of a patient."""
        (row,) = self.twin.query(
            "SELECT p.* FROM twin.patient p JOIN twin.patient_identifier i USING (patient_id)"
            " WHERE i.value = $mrn",
            {"mrn": self.facility + patient},
        )
        return row

    def name_of(self, patient_id: object) -> str:
        rows = self.twin.query(
            "SELECT min(value) AS name FROM twin.patient_identifier"
            " WHERE patient_id = $id AND system = 'urn:mrn'",
            {"id": patient_id},
        )
        return self._short(rows[0]["name"])

    def _short(self, number: object) -> str | None:
        return str(number).removeprefix(self.facility) if number else None

    @staticmethod
    def _same(found: Sequence[Row], wanted: Sequence[Row]) -> None:
        names = list(wanted[0]) if wanted else []
        shown = [{name: row[name] for name in names} for row in found]

        def key(row: Row) -> list[str]:
            return [str(row[name]) for name in names]

        assert sorted(shown, key=key) == sorted(wanted, key=key)


def _ts(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    with Twin.open(tmp_path_factory.mktemp("adt") / "adt.duckdb", settings=SETTINGS) as opened:
        yield opened


_FACILITIES = (f"F{number:03}" for number in itertools.count())


@pytest.fixture
def ward(twin: Twin) -> Ward:
    return Ward(twin, next(_FACILITIES))


# --- coming, moving, leaving -------------------------------------------------------------------


def test_a01_opens_a_stay_at_pv1_44_and_a03_ends_it(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted    | left
        A01   | 11-01 08:10 | V1    | ICU-1-A | I     | 11-01 08:00 | -
        A03   | 11-03 12:05 | V1    | ICU-1-A | I     | 11-01 08:00 | 11-03 12:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-03 12:00
    """)
    ward.visits("""
        visit | status   | class | admitted    | discharged
        V1    | finished | IMP   | 11-01 08:00 | 11-03 12:00
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-03 12:00
        finished    | 11-03 12:00 | -
    """,
    )
    assert ward.findings() == []


def test_a02_moves_at_evn_6_and_a12_reopens_the_stay_before(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | class | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | I     | 11-01 08:00
        A02   | 11-02 09:30 | 11-02 09:00 | V1    | MED-7-1 | ICU-1-A | I     | 11-01 08:00
        A02   | 11-02 15:00 | -           | V1    | MED-8-2 | MED-7-1 | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 09:00
        V1    | MED-7-1 | 11-02 09:00 | 11-02 15:00
        V1    | MED-8-2 | 11-02 15:00 | -
    """)
    ward.hears("""
        event | at          | evn6 | visit | bed     | prior   | class
        A12   | 11-02 16:00 | -    | V1    | MED-7-1 | MED-8-2 | I
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 09:00
        V1    | MED-7-1 | 11-02 09:00 | -
    """)


def test_a12_undoes_the_transfer_that_evn_6_names_and_not_the_latest(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:00 | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A02   | 11-01 12:00 | 11-01 12:00 | V1    | SUR-3-1 | MED-7-1 | -
        A12   | 11-01 13:00 | 11-01 10:00 | V1    | -       | -       | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | SUR-3-1 | 11-01 12:00 | -
    """)


def test_a_transfer_charted_anew_for_the_same_instant_outlives_the_cancel_of_the_first(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | prior   | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | -       | 11-01 08:00
        A02   | 11-01 10:05 | 11-01 10:00 | V1    | MED-7-1 | ICU-1-A | -
        A12   | 11-01 10:20 | 11-01 10:00 | V1    | ICU-1-A | MED-7-1 | -
        A02   | 11-01 10:25 | 11-01 10:00 | V1    | MED-7-2 | ICU-1-A | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | MED-7-2 | 11-01 10:00 | -
    """)


def test_a_cancel_repeated_under_another_control_id_undoes_nothing_more(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | 11-01 08:00
        A02   | 11-01 10:00 | 11-01 10:00 | V1    | MED-7-1 | -
        A02   | 11-01 12:00 | 11-01 12:00 | V1    | SUR-3-1 | -
        A12   | 11-01 13:00 | 11-01 12:00 | V1    | MED-7-1 | -
        A12   | 11-01 13:10 | 11-01 12:00 | V1    | MED-7-1 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | MED-7-1 | 11-01 10:00 | -
    """)


def test_a_late_charted_transfer_takes_its_place_in_the_past(ward):
    ward.hears("""
        event | at          | evn6        | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | -           | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-02 12:00 | -           | V1    | MED-7-1 | -           | 11-02 12:00
        A02   | 11-02 14:00 | 11-01 20:00 | V1    | MED-7-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 20:00
        V1    | MED-7-1 | 11-01 20:00 | 11-02 12:00
    """)
    assert ward.findings() == []


def test_a_transfer_after_the_discharge_moves_nobody_and_is_a_finding(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | ICU-1-A | -           | 11-02 12:00
        A02   | 11-02 13:00 | V1    | MED-7-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-02 12:00
    """)
    assert ward.findings() == ["movement_after_discharge"]


def test_of_two_discharges_the_later_counts_and_moves_between_them_stand(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00 | -
        A03   | 11-01 12:00 | V1    | ICU-1-A | -           | 11-01 12:00
        A02   | 11-01 13:00 | V1    | MED-7-1 | -           | -
        A03   | 11-01 15:00 | V1    | MED-7-1 | -           | 11-01 15:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | 11-01 13:00
        V1    | MED-7-1 | 11-01 13:00 | 11-01 15:00
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-01 15:00
        finished    | 11-01 15:00 | -
    """,
    )
    assert ward.findings() == ["repeated_discharge"]


# --- emergency, plans, classes -----------------------------------------------------------------


def test_a04_consumes_a_bed_only_where_it_names_one(ward):
    ward.hears("""
        event | at          | visit | bed   | class | admitted
        A04   | 11-01 08:00 | V1    | ED    | E     | 11-01 08:00
        A04   | 11-01 08:00 | V2    | ED-B-4| E     | 11-01 08:00
        A04   | 11-01 08:00 | V3    | -     | E     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed    | from        | to
        V2    | ED-B-4 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | class | admitted
        V1    | arrived     | EMER  | 11-01 08:00
        V2    | in-progress | EMER  | 11-01 08:00
        V3    | arrived     | EMER  | 11-01 08:00
    """)


def test_a04_then_a02_places_a_patient_who_was_not_admitted(ward):
    ward.hears("""
        event | at          | visit | bed    | class | admitted
        A04   | 11-01 08:00 | V1    | ED     | E     | 11-01 08:00
        A02   | 11-01 08:40 | V1    | ED-B-4 | E     | -
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-B-4 | 11-01 08:40 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        arrived     | 11-01 08:00 | 11-01 08:40
        in-progress | 11-01 08:40 | -
    """,
    )


def test_a06_turns_an_ed_visit_into_an_inpatient_one_with_its_bed(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A06   | 11-01 11:00 | V1    | MED-7-1 | I     | -
        A07   | 11-02 09:00 | V1    | MED-7-1 | O     | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ED-B-4  | 11-01 08:00 | 11-01 11:00
        V1    | MED-7-1 | 11-01 11:00 | -
    """)
    classes = ward.twin.query(
        "SELECT c.class, c.from_at, c.to_at FROM twin.encounter_class c"
        " JOIN twin.encounter_identifier i USING (encounter_id)"
        " WHERE i.value = $visit ORDER BY c.from_at",
        {"visit": ward.facility + "V1"},
    )
    assert [tuple(row.values()) for row in classes] == [
        ("EMER", instant("11-01 08:00"), instant("11-01 11:00")),
        ("IMP", instant("11-01 11:00"), instant("11-02 09:00")),
        ("AMB", instant("11-02 09:00"), None),
    ]


def test_a05_is_a_plan_without_occupancy_until_the_admission(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A05   | 11-01 08:00 | V1    | MED-7-1 | P     | -
        A05   | 11-01 08:00 | V2    | MED-7-1 | P     | -
        A01   | 11-02 10:00 | V2    | MED-7-1 | I     | 11-02 10:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V2    | MED-7-1 | 11-02 10:00 | -
    """)
    ward.visits("""
        visit | status      | admitted    | discharged
        V1    | planned     | -           | -
        V2    | in-progress | 11-02 10:00 | -
    """)
    assert ward.findings() == []


# --- cancels -----------------------------------------------------------------------------------


def test_a11_voids_the_admission_with_its_movements(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | 11-01 08:00
        A02   | 11-01 09:00 | V1    | MED-7-1 | I     | -
        A08   | 11-01 09:30 | V1    | MED-7-1 | I     | 11-01 08:00
        A11   | 11-01 10:00 | V1    | MED-7-1 | I     | -
    """)
    ward.stays("visit | bed | from | to")
    ward.visits("""
        visit | status    | class | discharged
        V1    | cancelled | IMP   | -
    """)


def test_an_admission_made_again_after_its_cancel_begins_anew(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | ICU-1-A | I     | 11-01 08:00
        A08   | 11-01 08:30 | V1    | ICU-1-A | I     | 11-01 08:00
        A11   | 11-01 09:00 | V1    | ICU-1-A | I     | -
        A01   | 11-01 10:00 | V1    | MED-7-1 | I     | 11-01 10:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 10:00 | -
    """)
    ward.visits("""
        visit | status      | admitted
        V1    | in-progress | 11-01 10:00
    """)


def test_a11_of_an_admission_from_the_ed_leaves_the_ed_visit(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A01   | 11-01 10:00 | V1    | MED-7-1 | I     | -
        A11   | 11-01 11:00 | V1    | ED-B-4  | E     | -
    """)
    ward.stays("""
        visit | bed    | from        | to
        V1    | ED-B-4 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | class | admitted
        V1    | in-progress | EMER  | 11-01 08:00
    """)


def test_a13_into_the_same_bed_is_one_uninterrupted_stay(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | MED-7-1 | -           | 11-02 12:00
        A13   | 11-02 12:30 | V1    | MED-7-1 | -           | -
        A01   | 11-01 08:00 | V2    | MED-7-2 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V2    | MED-7-2 | -           | 11-02 12:00
        A13   | 11-02 12:30 | V2    | MED     | -           | 11-02 12:00
    """)
    # V2: a sender that names only the unit, and repeats the time that it takes back.
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
        V2    | MED-7-2 | 11-01 08:00 | -
    """)
    ward.visits("""
        visit | status      | discharged
        V1    | in-progress | -
        V2    | in-progress | -
    """)


def test_a13_into_another_bed_moves_at_the_cancelled_discharge_without_a_gap(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted    | left
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00 | -
        A03   | 11-02 12:00 | V1    | MED-7-1 | -           | 11-02 12:00
        A13   | 11-02 14:00 | V1    | SUR-3-1 | -           | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | 11-02 12:00
        V1    | SUR-3-1 | 11-02 12:00 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | -
    """,
    )


# --- swaps, bed states, leave ------------------------------------------------------------------


def test_a17_swaps_two_patients_in_one_message(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
        A01   | 11-01 09:00 | P2      | V2    | ICU-1-B | 11-01 09:00
    """)
    one, other = table("""
        event | at          | patient | visit | bed     | prior
        A17   | 11-01 12:00 | P1      | V1    | ICU-1-B | ICU-1-A
        A17   | 11-01 12:00 | P2      | V2    | ICU-1-A | ICU-1-B
    """)
    ward.receives([ward.message(one, *ward._patient_and_visit(other))])
    ward.stays("""
        visit | patient | bed     | from        | to
        V1    | P1      | ICU-1-A | 11-01 08:00 | 11-01 12:00
        V1    | P1      | ICU-1-B | 11-01 12:00 | -
        V2    | P2      | ICU-1-B | 11-01 09:00 | 11-01 12:00
        V2    | P2      | ICU-1-A | 11-01 12:00 | -
    """)
    assert ward.findings() == []


def test_two_patients_in_one_bed_are_a_finding_and_both_stay(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
        A01   | 11-01 09:00 | P2      | V2    | ICU-1-A | 11-01 09:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ICU-1-A | 11-01 08:00 | -
        V2    | ICU-1-A | 11-01 09:00 | -
    """)
    assert ward.findings() == ["bed_conflict"]


def test_a20_changes_a_bed_and_no_patient(ward):
    raw = [
        f"MSH|^~\\&|ADT|{ward.facility}|TWIN||{at}||ADT^A20|{n}-{ward.facility}|P|2.5.1\r"
        f"EVN|A20|{at}\rNPU|{ward.place('ICU-1-A')}|{code}\r".encode()
        for n, (at, code) in enumerate(
            [("20261101080000+0000", "K"), ("20261101100000+0000", "U")], start=900
        )
    ]
    ward.receives(raw)
    rows = ward.twin.query(
        "SELECT s.operational_status, s.from_at, s.to_at FROM twin.location_status s"
        " JOIN twin.location l USING (location_id) WHERE l.facility = $facility AND l.bed = 'A'"
        " AND s.operational_status IS NOT NULL ORDER BY s.from_at",
        {"facility": ward.facility},
    )
    assert [tuple(row.values()) for row in rows] == [
        ("K", instant("11-01 08:00"), instant("11-01 10:00")),
        ("U", instant("11-01 10:00"), None),
    ]
    ward.stays("visit | bed | from | to")


def test_a21_and_a22_keep_the_bed_and_a_bed_change_meanwhile_ends_no_leave(ward):
    ward.hears("""
        event | at          | visit | bed     | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | 11-01 08:00
        A21   | 11-02 10:00 | V1    | MED-7-1 | -
        A02   | 11-02 15:00 | V1    | MED-7-2 | -
        A22   | 11-03 18:00 | V1    | MED-7-2 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | 11-02 15:00
        V1    | MED-7-2 | 11-02 15:00 | -
    """)
    ward.statuses(
        "V1",
        """
        status      | from        | to
        in-progress | 11-01 08:00 | 11-02 10:00
        onleave     | 11-02 10:00 | 11-03 18:00
        in-progress | 11-03 18:00 | -
    """,
    )


# --- attributes --------------------------------------------------------------------------------


def test_a08_changes_attributes_and_records_a_drift_but_moves_nobody(ward):
    ward.hears("""
        event | at          | visit | bed     | class | service | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | MED     | 11-01 08:00
        A08   | 11-01 09:00 | V1    | MED     | I     | CAR     | -
    """)
    assert ward.findings() == []  # the unit alone is no other place
    ward.hears("""
        event | at          | visit | bed     | class | service
        A08   | 11-01 10:00 | V1    | SUR-3-1 | I     | CAR
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    ward.visits("visit | service\n V1 | CAR")
    assert ward.findings() == ["drift"]


def test_empty_keeps_and_quotes_clear(ward):
    ward.hears("""
        event | at          | visit | bed     | service | source | sex | born     | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | MED     | 7      | F   | 19440229 | 11-01 08:00
        A08   | 11-01 09:00 | V1    | MED-7-1 | -       | ""     | -   | ""       | -
    """)
    ward.visits("""
        visit | service | source | admitted
        V1    | MED     | -      | 11-01 08:00
    """)
    person = ward.person("P1")
    assert (person["sex"], person["birth_date"]) == ("female", None)


def test_a28_and_a31_tell_of_a_person_and_never_of_a_bed(ward):
    ward.hears("""
        event | at          | patient | class | bed     | sex
        A28   | 11-01 07:00 | P1      | N     | -       | F
        A31   | 11-01 07:30 | P1      | N     | ICU-1-A | M
    """)
    ward.stays("visit | bed | from | to")
    ward.visits("visit | status")
    assert ward.person("P1")["sex"] == "male"
    ward.hears("""
        event | at          | patient | visit | class | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | I     | MED-7-1 | 11-01 08:00
        A31   | 11-01 09:00 | P1      | V1    | I     | SUR-3-1 | -
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    assert ward.findings() == []


# --- who ---------------------------------------------------------------------------------------


def merge(ward: Ward, at: str, source: str, target: str) -> bytes:
    """An A40 that merges the source patient into the target."""
    row = {"event": "A40", "at": instant(at), "patient": target}
    lines = ward.message(row).decode().split("\r")
    lines = [line for line in lines if line and not line.startswith("PV1")]
    return "\r".join([*lines, f"MRG|{ward.mrn(source)}", ""]).encode()


def test_a40_takes_all_visits_along_and_late_messages_still_name_the_source(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P2      | V1    | ICU-1-A | 11-01 08:00
    """)
    ward.receives([merge(ward, "11-01 09:00", "P2", "P1")])
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A02   | 11-01 10:00 | P2      | V1    | MED-7-1 | -
        A01   | 11-01 11:00 | P2      | V2    | MED-7-2 | 11-01 11:00
    """)
    ward.stays("""
        visit | patient | bed     | from        | to
        V1    | P1      | ICU-1-A | 11-01 08:00 | 11-01 10:00
        V1    | P1      | MED-7-1 | 11-01 10:00 | -
        V2    | P1      | MED-7-2 | 11-01 11:00 | -
    """)
    assert ward.person("P2")["merged_into"] == ward.person("P1")["patient_id"]
    assert ward.person("P1")["merged_into"] is None


def test_merges_in_a_circle_end_at_the_newest_target(ward):
    ward.hears("""
        event | at          | patient | visit | bed     | admitted
        A01   | 11-01 08:00 | P1      | V1    | ICU-1-A | 11-01 08:00
    """)
    circle = [("09:00", "P1", "P2"), ("10:00", "P2", "P3"), ("11:00", "P2", "P1")]
    ward.receives([merge(ward, f"11-01 {at}", one, other) for at, one, other in circle])
    assert ward.person("P1")["merged_into"] is None
    assert ward.person("P2")["merged_into"] == ward.person("P1")["patient_id"]
    ward.visits("visit | patient\n V1 | P1")


def test_without_pv1_19_the_account_names_the_visit(ward):
    ward.hears("""
        event | at          | account | bed     | admitted
        A01   | 11-01 08:00 | A7      | ICU-1-A | 11-01 08:00
        A02   | 11-01 10:00 | A7      | MED-7-1 | -
    """)
    ward.stays("""
        bed     | from        | to
        ICU-1-A | 11-01 08:00 | 11-01 10:00
        MED-7-1 | 11-01 10:00 | -
    """)


def test_without_any_number_patient_facility_and_pv1_44_name_it_also_across_a_merge(ward):
    ward.hears("""
        event | at          | patient | bed     | admitted
        A01   | 11-01 08:00 | P2      | ICU-1-A | 11-01 08:00
    """)
    ward.receives([merge(ward, "11-01 09:00", "P2", "P1")])
    ward.hears("""
        event | at          | patient | bed     | admitted
        A02   | 11-01 10:00 | P1      | MED-7-1 | 11-01 08:00
        A02   | 11-01 12:00 | P2      | MED-7-2 | 11-01 08:00
    """)
    ward.stays("""
        patient | bed     | from        | to
        P1      | ICU-1-A | 11-01 08:00 | 11-01 10:00
        P1      | MED-7-1 | 11-01 10:00 | 11-01 12:00
        P1      | MED-7-2 | 11-01 12:00 | -
    """)
    (row,) = ward.twin.query(
        "SELECT count(*) AS n FROM twin.encounter WHERE facility = $f", {"f": ward.facility}
    )
    assert row["n"] == 1


def test_without_any_number_or_start_only_the_person_is_recorded(ward):
    ward.hears("""
        event | at          | patient | bed     | sex
        A02   | 11-01 10:00 | P1      | MED-7-1 | F
    """)
    ward.stays("visit | bed | from | to")
    assert ward.person("P1")["sex"] == "female"


# --- first sight in the middle of a stay -------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "stays"),
    [
        ("A02 | MED-7-1 | ICU-1-A | -", "ICU-1-A 08:00 12:00 yes, MED-7-1 12:00 - -"),
        ("A03 | MED-7-1 | - | 11-01 12:00", "MED-7-1 08:00 12:00 yes"),
        ("A08 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A12 | MED-7-1 | SUR-3-1 | -", "MED-7-1 08:00 - yes"),
        ("A13 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A21 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
        ("A22 | MED-7-1 | - | -", "MED-7-1 08:00 - yes"),
    ],
    ids=lambda text: text[:3],
)
def test_first_sight_in_the_middle_of_a_stay_infers_its_start_from_pv1_44(ward, first, stays):
    event, bed, prior, left = first.split(" | ")
    ward.hears(f"""
        event   | at          | visit | bed   | prior   | class | left   | admitted
        {event} | 11-01 12:00 | V1    | {bed} | {prior} | I     | {left} | 11-01 08:00
    """)
    lines = ["visit | bed | from | to | inferred"]
    for stay in stays.split(", "):
        place, start, end, inferred = stay.split()
        until = "-" if end == "-" else f"11-01 {end}"
        lines.append(f"V1 | {place} | 11-01 {start} | {until} | {inferred}")
    ward.stays("\n".join(lines))


def test_what_was_inferred_gives_way_to_the_admission_that_arrives_late(ward):
    ward.hears("""
        event | at          | visit | bed     | prior   | class | admitted
        A02   | 11-01 12:00 | V1    | MED-7-1 | ICU-1-A | I     | 11-01 08:00
        A01   | 11-01 08:00 | V1    | ED-B-4  | -       | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to          | inferred
        V1    | ED-B-4  | 11-01 08:00 | 11-01 12:00 | -
        V1    | MED-7-1 | 11-01 12:00 | -           | -
    """)
    assert ward.findings() == ["drift"]  # PV1-6 says ICU


# --- HL7 and FHIR about one encounter ----------------------------------------------------------


def fhir_bed(ward: Ward, id_: str, spot: str) -> dict[str, object]:
    value = "/".join((ward.facility, *spot.split("-")))
    return {
        "resourceType": "Location",
        "id": id_,
        "status": "active",
        "physicalType": {"coding": [{"code": "bd"}]},
        "identifier": [{"system": BEDS, "value": value}],
    }


def fhir_encounter(
    ward: Ward, id_: str, visit: str, locations: str, **changed: object
) -> dict[str, object]:
    """An Encounter; `locations` drawn as `Location id | from | to`."""
    held = []
    for row in table("location | from | to\n" + locations):
        period = {"start": row["from"].isoformat()}
        if row["to"]:
            period["end"] = row["to"].isoformat()
        place = {"reference": f"Location/{row['location']}"}
        held.append({"location": place, "status": "active", "period": period})
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "in-progress",
        "class": {"code": "IMP"},
        "identifier": [{"system": "urn:visit", "value": ward.facility + visit}],
        "period": {"start": held[0]["period"]["start"]},
        "location": held,
        **changed,
    }


def test_hl7_and_fhir_tell_of_one_encounter_in_one_bed(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | 11-01 08:00
    """)
    encounter = fhir_encounter(ward, "e1", "V1", "b1 | 11-01 08:00 | -")
    ward.states(fhir_bed(ward, "b1", "MED-7-1"), encounter)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    (row,) = ward.twin.query(
        "SELECT count(DISTINCT e.encounter_id) AS visits, count(DISTINCT l.location_id) AS beds"
        " FROM twin.encounter e, twin.location l"
        " WHERE e.facility = $f AND l.facility = $f AND l.bed IS NOT NULL",
        {"f": ward.facility},
    )
    assert (row["visits"], row["beds"]) == (1, 1)
    assert ward.findings() == []


def test_hl7_movements_win_and_the_disagreement_is_a_finding(ward):
    ward.states(
        fhir_bed(ward, "b1", "MED-7-1"),
        fhir_bed(ward, "b2", "SUR-3-1"),
        fhir_encounter(ward, "e1", "V1", "b2 | 11-01 08:00 | -"),
    )
    ward.stays("""
        visit | bed     | from        | to
        V1    | SUR-3-1 | 11-01 08:00 | -
    """)
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A01   | 11-01 08:00 | V1    | MED-7-1 | I     | 11-01 08:00
    """)
    ward.stays("""
        visit | bed     | from        | to
        V1    | MED-7-1 | 11-01 08:00 | -
    """)
    assert ward.findings() == ["source_disagreement"]


def test_an_ed_encounter_and_its_admission_in_two_shapes_give_the_same_stays(ward):
    ward.hears("""
        event | at          | visit | bed     | class | admitted
        A04   | 11-01 08:00 | V1    | ED-B-4  | E     | 11-01 08:00
        A06   | 11-01 11:00 | V1    | MED-7-1 | I     | -
    """)
    ed = fhir_encounter(
        ward,
        "ed",
        "V2",
        "b1 | 11-01 08:00 | 11-01 11:00",
        status="finished",
        partOf={"reference": "Encounter/stay"},
    )
    ed["class"], ed["period"]["end"] = {"code": "EMER"}, "2026-11-01T11:00:00+00:00"
    inpatient = fhir_encounter(ward, "stay", "V3", "b2 | 11-01 11:00 | -")
    ward.states(fhir_bed(ward, "b1", "ED-B-5"), fhir_bed(ward, "b2", "MED-7-2"), ed, inpatient)
    ward.stays("""
        visit | bed     | from        | to
        V1    | ED-B-4  | 11-01 08:00 | 11-01 11:00
        V1    | MED-7-1 | 11-01 11:00 | -
        V2    | ED-B-5  | 11-01 08:00 | 11-01 11:00
        V3    | MED-7-2 | 11-01 11:00 | -
    """)
    ids = {
        row["value"]: row
        for row in ward.twin.query(
            "SELECT i.value, e.* FROM twin.encounter e JOIN twin.encounter_identifier i"
            " USING (encounter_id) WHERE i.system = 'urn:visit' AND starts_with(i.value, $f)",
            {"f": ward.facility},
        )
    }
    assert ids[ward.facility + "V2"]["part_of"] == ids[ward.facility + "V3"]["encounter_id"]
    assert ward.findings() == []


# --- what was known when -----------------------------------------------------------------------


def test_known_at_reproduces_what_was_believed_yesterday(tmp_path):
    clock = HospitalClock(instant("11-01 08:00"), lambda: 0.0)
    with Twin.open(tmp_path / "known.duckdb", settings=SETTINGS, clock=clock) as opened:
        ward = Ward(opened, "K")
        ward.hears("""
            event | at          | visit | bed     | admitted
            A01   | 11-01 08:00 | V1    | ICU-1-A | 11-01 08:00
        """)
        clock.advance_to(instant("11-02 09:00"))
        ward.hears("""
            event | at          | evn6        | visit | bed     | admitted
            A02   | 11-02 09:00 | 11-01 20:00 | V1    | MED-7-1 | -
        """)
        believed = """
            visit | bed     | from        | to
            V1    | ICU-1-A | 11-01 08:00 | -
        """
        ward.stays(believed, known_at="11-01 23:00")
        corrected = """
            visit | bed     | from        | to
            V1    | ICU-1-A | 11-01 08:00 | 11-01 20:00
            V1    | MED-7-1 | 11-01 20:00 | -
        """
        ward.stays(corrected)
        clock.advance_to(instant("11-03 09:00"))
        ward.hears("""
            event | at          | evn6        | visit | bed     | admitted
            A12   | 11-03 09:00 | 11-01 20:00 | V1    | ICU-1-A | -
        """)
        ward.stays(believed)
        ward.stays(corrected, known_at="11-02 12:00")
        ward.stays(believed, known_at="11-01 23:00")
        ward.stays("visit | bed | from | to", known_at="11-01 07:59")

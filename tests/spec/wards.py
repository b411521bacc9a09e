"""A ward that hears drawn ADT messages: real HL7 v2 through the real translator into a real store.

Columns of the messages: `event` trigger, `at` EVN-2 and MSH-7, `sent` MSH-7 where it is
another, `evn6`, `evn3`, `patient` PID-3,
`visit` PV1-19, `bed` PV1-3 as UNIT-ROOM-BED, `prior` PV1-6, `temporary` PV1-11, `pending` PV1-42,
`class` PV1-2, `attending` PV1-7, `consulting` PV1-9, `admitted` PV1-44, `left` PV1-45, `expected`
the PV2 field that is the event's own; `movement` ZBE-1, `action` ZBE-4, `moved` ZBE-2, `original`
ZBE-6. A column that is not drawn is empty, and so is `-`. Every ward is a facility of its own.
"""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from drawn import Row, instant, table

from adapters.fhir import Release, Scope, translate_resource
from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.events import Translation
from twin_core.inbox import Receipt
from twin_core.settings import FeedSettings, FhirSettings, LimitSettings, Settings

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
        sent = _ts(instant(row["sent"])) if row.get("sent") else at
        msh = f"MSH|^~\\&|ADT|{self.facility}|TWIN||{sent}||ADT^{event}|{control}|P|2.5.1"
        planned = _ts(instant(row["evn3"])) if row.get("evn3") else ""
        evn = f"EVN|{event}|{at}|{planned}|||{_ts(instant(evn6)) if evn6 else ''}"
        segments = (msh, evn, *self._patient_and_visit(row), *_expected(row), *_movement(row))
        return "\r".join((*segments, *more, "")).encode()

    def _patient_and_visit(self, row: Row) -> list[str]:
        pid, pv1 = [""] * 31, [""] * 46
        pid[0], pv1[0] = "PID", "PV1"
        pid[3] = self.mrn(row.get("patient") or "P1")
        pid[7], pid[8] = row.get("born") or "", row.get("sex") or ""
        if row.get("account"):
            pid[18] = f"{self.facility}{row['account']}^^^ACCT^AN"
        pv1[2] = row.get("class") or ""
        pv1[3], pv1[6] = self.place(row.get("bed")), self.place(row.get("prior"))
        pv1[7], pv1[9] = row.get("attending") or "", row.get("consulting") or ""
        pv1[11], pv1[42] = self.place(row.get("temporary")), self.place(row.get("pending"))
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

    def plans(self, drawing: str) -> None:
        """visit | kind | status | stated | expected | ended | bed, all plans of the facility."""
        rows = self._of_visits("encounter_plan")
        renamed = {"stated": "stated_at", "expected": "expected_at", "ended": "ended_at"}
        found = [{**row, **{name: row[own] for name, own in renamed.items()}} for row in rows]
        self._same(found, table(drawing))

    def tracking(self, drawing: str) -> None:
        """visit | status | temporary | bed | from | to, wherever patients were tracked."""
        rows = self._of_visits("encounter_tracking")
        yes_no = {True: "yes", False: "no"}
        found = [
            {
                **row,
                "from": row["from_at"],
                "to": row["to_at"],
                "temporary": yes_no[bool(row["temporary"])],
            }
            for row in rows
        ]
        self._same(found, table(drawing))

    def milestones(self, drawing: str) -> None:
        """visit | kind | at, of all visits of the facility."""
        self._same(self._of_visits("encounter_milestone"), table(drawing))

    def consultants(self, visit: str) -> list[object]:
        """The consulting doctors of a visit."""
        rows = self._of_visits("encounter_consultant")
        return sorted(str(row["practitioner"]) for row in rows if row["visit"] == visit)

    def _of_visits(self, view: str) -> list[Row]:
        rows = self.twin.query(
            f"SELECT i.value AS visit, v.* FROM twin.{view} v"
            " JOIN twin.encounter_identifier i USING (encounter_id)"
            " WHERE i.system = 'urn:visit' AND starts_with(i.value, $facility)",
            {"facility": self.facility},
        )
        for row in rows:
            row["visit"] = self._short(row["visit"])
            spot = [str(row[name]) for name in ("unit", "room", "bed") if row.get(name)]
            row["bed"] = "-".join(spot) or None
        return rows

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


_EXPECTED = {"A05": 8, "A14": 8, "A16": 9, "A21": 47}
"""Which field of PV2 says when what an event plans is expected."""


def _expected(row: Row) -> list[str]:
    if not row.get("expected"):
        return []
    pv2 = [""] * 48
    pv2[0], pv2[_EXPECTED[row["event"]]] = "PV2", _ts(row["expected"])
    return ["|".join(pv2)]


def _movement(row: Row) -> list[str]:
    if not row.get("movement"):
        return []
    moved = _ts(row["moved"]) if row.get("moved") else ""
    action, original = row.get("action") or "INSERT", row.get("original") or ""
    return [f"ZBE|{row['movement']}^PAS|{moved}||{action}|N|{original}"]


WARDS = (f"F{number:03}" for number in itertools.count())
"""Names for facilities, no two alike."""

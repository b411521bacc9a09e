"""A hospital drawn as small tables, and the KPI rows it should give drawn the same way.

A table is a header and rows with cells between bars; `-` is NULL. Instants are UTC unless they
carry an offset, `11-01 08:00` is in 2026. What a test does not draw is the plain case: facility H,
every encounter an inpatient from its first stay to its last, every bed one that a test draws.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from behind import assert_adds_up

from twin_core.kpi.catalogue import definition
from twin_core.kpi.measuring import KpiRow, measure
from twin_core.kpi.tracing import RowBehind, rows_behind
from twin_core.settings import KpiSettings
from twin_core.store.database import Database, set_rows

Row = dict[str, Any]
LONG_AGO, FOREVER = "2000-01-01 00:00:00+00", "infinity"
INSTANTS = {
    "from",
    "to",
    "at",
    "admitted",
    "discharged",
    "received",
    "known_from",
    "known_to",
    "period_start",
    "period_end",
    "died",
    "peak",
    "stated",
    "ended",
    "booked",
    "starts",
    "ends",
    "cancelled",
    "expected",
    "moved",
}


def table(drawing: str) -> list[Row]:
    """The rows of a drawn table."""
    lines = [line.strip() for line in drawing.strip().splitlines()]
    lines = [line for line in lines if line and not set(line) <= set("-+ |")]
    names = [cell.strip() for cell in lines[0].split("|")]
    rows = []
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.split("|")]
        assert len(cells) == len(names), f"{line!r} has another number of cells than {names}"
        rows.append({n: _read(n, c) for n, c in zip(names, cells, strict=True)})
    return rows


def instant(text: str) -> datetime:
    """`11-01 08:00`, `2026-11-01`, or ISO text with an offset, as an aware UTC instant."""
    dated = text if text[:4].isdigit() else f"2026-{text}"
    read = datetime.fromisoformat(dated)
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def _read(name: str, cell: str) -> Any:
    if cell == "-":
        return None
    return instant(cell) if name in INSTANTS else cell


class Hospital:
    """An empty store to draw into, in one time zone, known up to an instant."""

    def __init__(self, database: Database, zone: str = "UTC", known: str = "2027-01-01") -> None:
        self.database, self.encounters_drawn = database, dict[str, Row]()
        self.connection = database.connection
        self.connection.begin()
        for (name,) in self.connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'core'"
        ).fetchall():
            if name != "meta":
                self.connection.execute(f"DELETE FROM core.{name}")
        self.connection.commit()
        self.facility("H", zone)
        self.set(KpiSettings())
        if known:
            self.batch(known)

    def facility(self, code: str, zone: str) -> None:
        """One more facility with its time zone."""
        self.connection.execute("INSERT INTO core.facility VALUES (?, ?, '')", [code, zone])

    def set(self, settings: KpiSettings) -> None:
        """What the site has set for its KPIs."""
        set_rows(self.connection, "kpi_setting", settings.rows())

    def batch(self, known_at: str) -> None:
        """Messages were applied up to this instant."""
        self.connection.execute("INSERT INTO core.batch VALUES (1, 1, ?, 1)", [instant(known_at)])

    def stays(self, drawing: str) -> None:
        """encounter | unit | bed | from | to, and patient, facility, known_from, known_to."""
        drawn = table(drawing)
        for n, row in enumerate(drawn):
            place = (row.get("facility", "H"), row["unit"], row["bed"])
            self._version(
                "stay",
                row,
                stay_id=f"S{n:03}-{row['encounter']}-{row['from']}",
                encounter_id=row["encounter"],
                patient_id=row.get("patient", f"P{row['encounter']}"),
                facility=place[0],
                unit=place[1],
                bed=place[2],
                location_id=bed_id(*place) if place[2] else None,
                from_at=row["from"],
                to_at=row["to"],
            )
        for encounter in dict.fromkeys(row["encounter"] for row in drawn):
            if encounter not in self.encounters_drawn:
                self._plain_encounter([row for row in drawn if row["encounter"] == encounter])

    def encounters(self, drawing: str) -> None:
        """encounter | class | admitted | discharged, and status, patient, disposition, part_of,
        service, admit_source.

        Drawn before the stays. Status and class history follow unless `status` is cancelled or
        they are drawn on their own (`statuses`, `classes`) with `history` no.
        """
        for row in table(drawing):
            self._encounter(row)

    def statuses(self, drawing: str) -> None:
        """encounter | status | from | to."""
        for row in table(drawing):
            self._history("encounter_status", row, status=row["status"])

    def classes(self, drawing: str) -> None:
        """encounter | class | from | to."""
        for row in table(drawing):
            self._history("encounter_class", row, **{"class": row["class"]})

    def plans(self, drawing: str) -> None:
        """encounter | kind | status | stated | ended | unit | bed."""
        for n, row in enumerate(table(drawing)):
            place = (row.get("facility", "H"), row["unit"], row["bed"])
            self._version(
                "encounter_plan",
                row,
                plan_id=f"L{n:03}-{row['encounter']}-{row['stated']}",
                encounter_id=row["encounter"],
                kind=row["kind"],
                status=row["status"],
                stated_at=row["stated"],
                ended_at=row["ended"],
                facility=place[0],
                unit=place[1],
                bed=place[2],
                location_id=bed_id(*place) if place[1] and place[2] else None,
            )

    def appointments(self, drawing: str) -> None:
        """appointment | status | starts | booked, and cancelled, unit, room, patient, encounter."""
        for row in table(drawing):
            self._version(
                "appointment",
                row,
                appointment_id=row["appointment"],
                patient_id=row.get("patient"),
                encounter_id=row.get("encounter"),
                status=row["status"],
                starts_at=row["starts"],
                booked_at=row["booked"],
                cancelled_at=row.get("cancelled"),
                facility=row.get("facility", "H"),
                unit=row.get("unit"),
                room=row.get("room"),
            )

    def schedules(self, drawing: str) -> None:
        """schedule | performer | unit, and code, facility."""
        for row in table(drawing):
            facility = row.get("facility", "H")
            self._version(
                "schedule",
                row,
                schedule_id=row["schedule"],
                status="active",
                performer=row["performer"],
                code=row.get("code"),
                location_id=f"of {row['schedule']}",
            )
            self._version(
                "location",
                row,
                location_id=f"of {row['schedule']}",
                kind="wa",
                facility=facility,
                unit=row["unit"],
            )

    def slots(self, drawing: str) -> None:
        """slot | schedule | status | starts, and code, known_from, known_to."""
        for row in table(drawing):
            self._version(
                "slot",
                row,
                slot_id=row["slot"],
                schedule_id=row["schedule"],
                status=row["status"],
                code=row.get("code"),
                starts_at=row["starts"],
                ends_at=row["starts"],
            )

    def tracked(self, drawing: str) -> None:
        """encounter | unit | room | from | to: arrived there, besides the assigned bed."""
        for row in table(drawing):
            self._version(
                "encounter_tracking",
                row,
                encounter_id=row["encounter"],
                status=row.get("status", "arrived"),
                temporary=True,
                facility="H",
                unit=row["unit"],
                room=row["room"],
                from_at=row["from"],
                to_at=row["to"],
            )

    def observations(self, drawing: str) -> None:
        """encounter | code | value | at, and status."""
        for n, row in enumerate(table(drawing)):
            self._version(
                "observation",
                row,
                observation_id=f"O{n:03}",
                encounter_id=row["encounter"],
                code=row["code"],
                value=row["value"],
                effective_at=row["at"],
                status=row.get("status", "final"),
            )

    def milestones(self, drawing: str) -> None:
        """encounter | kind | at."""
        for row in table(drawing):
            self._version(
                "encounter_milestone",
                row,
                encounter_id=row["encounter"],
                kind=row["kind"],
                at=row["at"],
            )

    def beds(self, drawing: str) -> None:
        """unit | bed | staffed | status | from | to, and kind (default bd), facility."""
        known = set()
        for row in table(drawing):
            place = (row.get("facility", "H"), row["unit"], row["bed"])
            staffed = {"yes": True, "no": False, None: None}[row["staffed"]]
            if place not in known:
                known.add(place)
                self._version(
                    "location",
                    row,
                    location_id=bed_id(*place),
                    kind=row.get("kind", "bd"),
                    facility=place[0],
                    unit=place[1],
                    bed=place[2],
                    staffed=staffed,
                )
            self._version(
                "location_status",
                row,
                location_id=bed_id(*place),
                operational_status=row.get("status"),
                staffed=staffed,
                from_at=row["from"],
                to_at=row["to"],
            )

    def patients(self, drawing: str) -> None:
        """patient | birth_date, and died."""
        for row in table(drawing):
            self._version(
                "patient",
                row,
                patient_id=row["patient"],
                birth_date=row["birth_date"],
                birth_date_precision="day",
                deceased_at=row.get("died"),
                deceased=row.get("died") is not None,
            )

    def counts(self, drawing: str) -> None:
        """source | unit | at | census."""
        for row in table(drawing):
            self._version(
                "source_census",
                row,
                source=row["source"],
                facility=row.get("facility", "H"),
                unit=row["unit"],
                at=row["at"],
                census=int(row["census"]),
            )

    def messages(self, feed: str, received: Sequence[datetime]) -> None:
        """Messages of a feed, by the instants they were received."""
        self.connection.execute(
            "INSERT INTO core.message (feed, received_at, status)"
            " SELECT ?, unnest(?::TIMESTAMPTZ[]), 'applied'",
            [feed, list(received)],
        )

    def kpi(self, kpi_id: str, start: str, end: str, **how: Any) -> list[KpiRow]:
        """The KPI's rows over a window."""
        if how.get("known_at"):
            how["known_at"] = instant(how["known_at"])
        return measure(self.database.query, kpi_id, instant(start), instant(end), **how)

    def rows(self, kpi_id: str, start: str, end: str, **how: Any) -> list[RowBehind]:
        """The rows behind the KPI's figures over a window."""
        if how.get("known_at"):
            how["known_at"] = instant(how["known_at"])
        how = {"limit": 100_000, **how}
        return rows_behind(self.database.query, kpi_id, instant(start), instant(end), **how)

    def adds_up(self, kpi_id: str, start: str, end: str, **how: Any) -> None:
        """The KPI's figures are what the rows behind them make."""
        kpi = definition(kpi_id)
        if kpi.behind:
            figures = self.kpi(kpi_id, start, end, **how)
            assert_adds_up(kpi_id, figures, self.rows(kpi_id, start, end, **how), self.target(kpi))

    def target(self, kpi: Any) -> float | None:
        """What a KPI's amounts must not exceed."""
        if kpi.target == "NULL":
            return None
        if not kpi.target.islower():
            return float(kpi.target)
        asked = "SELECT value FROM core.kpi_setting WHERE name = ?"
        return float(self.database.query(asked, [kpi.target])[0]["value"])

    def shows(self, kpi_id: str, start: str, end: str, drawing: str, **how: Any) -> None:
        """The KPI gives these rows and no others, in the columns drawn; rows behind them add up.

        `only` keeps the rows of one statistic (a tuple for more).
        """
        only = how.pop("only", None)
        self.adds_up(kpi_id, start, end, **how)
        rows = [
            row
            for row in self.kpi(kpi_id, start, end, **how)
            if only is None or row.statistic in ((only,) if isinstance(only, str) else only)
        ]
        wanted = table(drawing)
        names = list(wanted[0])
        found = [{name: getattr(row, name) for name in names} for row in rows]
        expected = [{name: _figure(name, row[name]) for name in names} for row in wanted]
        assert _sorted(found, names) == _sorted(expected, names), (found, expected)

    def _plain_encounter(self, stays: list[Row]) -> None:
        first = min(stays, key=lambda row: row["from"])
        ends = [row["to"] for row in stays]
        self._encounter(
            {
                "encounter": first["encounter"],
                "class": "IMP",
                "admitted": first["from"],
                "discharged": None if None in ends else max(ends),
                **{k: first[k] for k in ("patient", "facility", "known_from") if k in first},
            }
        )

    def _encounter(self, row: Row) -> None:
        self.encounters_drawn[row["encounter"]] = row
        ended = row["discharged"] is not None
        status = row.get("status") or ("finished" if ended else "in-progress")
        self._version(
            "encounter",
            row,
            encounter_id=row["encounter"],
            patient_id=row.get("patient", f"P{row['encounter']}"),
            facility=row.get("facility", "H"),
            status=status,
            admitted_at=row["admitted"],
            discharged_at=row["discharged"],
            disposition=row.get("disposition"),
            admit_source=row.get("admit_source"),
            part_of=row.get("part_of"),
            service=row.get("service"),
            **{"class": row["class"]},
        )
        if row.get("history") == "no" or status == "cancelled":
            return
        period = {
            "encounter": row["encounter"],
            "from": row["admitted"],
            "to": row["discharged"],
            **{key: row[key] for key in ("known_from", "known_to") if key in row},
        }
        self._history("encounter_class", period, **{"class": row["class"]})
        self._history(
            "encounter_status", period, status="in-progress" if status == "finished" else status
        )
        if ended:
            after = {**period, "from": row["discharged"], "to": None}
            self._history("encounter_status", after, status="finished")

    def _history(self, entity: str, row: Row, **columns: Any) -> None:
        self._version(
            entity,
            row,
            encounter_id=row["encounter"],
            from_at=row["from"],
            to_at=row["to"],
            **columns,
        )

    def _version(self, entity: str, row: Row, **columns: Any) -> None:
        known = {
            "known_from": row.get("known_from") or LONG_AGO,
            "known_to": row.get("known_to") or FOREVER,
        }
        self._insert(f"core.{entity}_version", {**columns, **known})

    def _insert(self, into: str, columns: Row) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" for _ in columns)
        self.connection.execute(
            f"INSERT INTO {into} ({names}) VALUES ({marks})", list(columns.values())
        )


def bed_id(facility: str, unit: str, bed: str) -> str:
    """The location id of a drawn bed."""
    return f"{facility}/{unit}/{bed}"


def _figure(name: str, cell: Any) -> Any:
    """A drawn figure; `1/3` is a fraction, so that no test needs digits copied from output."""
    if name not in {"numerator", "denominator", "value", "coverage"} or cell is None:
        return cell
    return float(Fraction(cell.replace(" ", "")))


def _rounded(row: Row) -> Row:
    return {k: round(v, 9) if isinstance(v, float) else v for k, v in row.items()}


def _sorted(rows: list[Row], names: list[str]) -> list[Row]:
    return sorted(map(_rounded, rows), key=lambda row: [str(row[name]) for name in names])

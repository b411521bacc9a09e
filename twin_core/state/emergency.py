"""The emergency department at an instant: who waits for whom, and who waits for a bed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from twin_core.state.plans import Ahead
from twin_core.state.words import EdPatient, Rows

MINUTE = timedelta(minutes=1)


def ed_patients(rows: Rows, stays: Rows, planned: Ahead, at: datetime) -> tuple[EdPatient, ...]:
    """Everyone in the ED, who came first first."""
    places = {stay["encounter_id"]: stay for stay in stays}
    patients = [_ed_patient(row, places.get(row["encounter_id"], {}), planned, at) for row in rows]
    patients.sort(key=lambda p: (p.arrived_at or at, p.encounter_id))
    return tuple(patients)


def _ed_patient(
    row: Mapping[str, Any], stay: Mapping[str, Any], planned: Ahead, at: datetime
) -> EdPatient:
    arrived_at: datetime | None = row["arrived_at"]
    bay = "-".join(filter(None, (stay.get("room"), stay["bed"]))) if stay.get("bed") else ""
    return EdPatient(
        encounter_id=row["encounter_id"],
        patient_id=row["patient_id"],
        facility=stay.get("facility") or row["facility"] or "",
        unit=stay.get("unit") or "",
        bay=bay,
        class_=row["class"],
        status=row["status"],
        arrived_at=arrived_at,
        waited_minutes=_minutes(arrived_at, at),
        triaged_at=row["triaged_at"],
        seen_at=row["seen_at"],
        boards_from=row["boards_from"],
        boarding_minutes=_minutes(row["boards_from"], at),
        leaving=planned.leaving.get(row["encounter_id"]),
    )


def _minutes(since: datetime | None, at: datetime) -> int | None:
    return None if since is None else max(0, (at - since) // MINUTE)

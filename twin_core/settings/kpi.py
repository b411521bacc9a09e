"""What the KPIs must know of a site that no message says."""

import re
from pathlib import Path

from pydantic import field_validator

from twin_core.settings.section import Section


class KpiSettings(Section):
    """What the KPIs must know of a site that no message says."""

    folder: Path | None = None
    """Where the site keeps KPIs of its own, one SQL file each; none where not given."""
    died: tuple[str, ...] = ("20", "40", "41", "42", "exp")
    """Discharge dispositions (PV1-36, dischargeDisposition) of patients who died."""
    transferred_out: tuple[str, ...] = ("02", "05", "other-hcf")
    """Dispositions of patients who went on to another hospital."""
    left_unseen: tuple[str, ...] = ("LWBS", "LWOBS", "LWOT")
    """Dispositions of patients who left an ED before a provider had seen them."""
    left_against_advice: tuple[str, ...] = ("07", "AMA", "aadvice")
    """Dispositions of patients who left against advice."""
    psychiatric_services: tuple[str, ...] = ("PSY", "PSYCH")
    """Hospital services (PV1-10) whose patients are shown apart in ED times."""
    specialties: dict[str, tuple[str, ...]] = {}
    """Unit -> the hospital services it treats; a unit that is not listed treats all."""
    buildings: dict[str, tuple[str, ...]] = {}
    """Building -> its units, for figures by building; a unit is in one building at most."""
    theatres: tuple[str, ...] = ()
    """Units that are operating theatres; their rooms are the theatres' rooms."""
    theatre_hours: tuple[str, str] = ("08:00", "17:00")
    """When theatres open and close, in local time, from Monday to Friday."""
    first_case_grace_minutes: float = 0.0
    """A first case that starts no later than this is on time."""
    turnover_cap_minutes: float = 90.0
    """A longer gap between two operations was not turnover."""
    bed_request_target_minutes: float = 240.0
    """How long a patient may wait from the bed request to the bed."""
    shifts: tuple[str, ...] = ("07:00", "15:00", "23:00")
    """When shifts begin, in local time; each lasts until the next."""
    reside_code: str = ""
    """Code of the observation (OBX-3) that says whether a patient meets the criteria to reside."""
    not_residing_values: tuple[str, ...] = ("N", "no", "false", "NCTR")
    """Its values that mean the patient no longer does."""

    @field_validator("shifts")
    @classmethod
    def _times_of_a_day(cls, shifts: tuple[str, ...]) -> tuple[str, ...]:
        well_formed = all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", shift) for shift in shifts)
        if not shifts or not well_formed or list(shifts) != sorted(set(shifts)):
            raise ValueError("shifts are times of a day like 07:00, from early to late")
        return shifts

    @field_validator("buildings")
    @classmethod
    def _one_building(cls, buildings: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        units = [unit for listed in buildings.values() for unit in listed]
        for unit in units:
            if units.count(unit) > 1:
                raise ValueError(f"buildings: the unit {unit} is in more than one building")
        return buildings

    def rows(self) -> list[tuple[str, str, str]]:
        """The settings as (name, key, value); a list has one row per item, its key is empty."""
        rows = []
        for name, setting in self.model_dump(exclude={"folder"}).items():
            if isinstance(setting, dict):
                rows += [(name, key, item) for key, items in setting.items() for item in items]
            else:
                items = setting if isinstance(setting, tuple) else (str(setting),)
                rows += [(name, "", item) for item in items]
        return sorted(rows)

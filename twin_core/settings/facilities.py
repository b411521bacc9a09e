"""What the KPIs must know of a facility."""

from pydantic import field_validator

from twin_core.settings.section import Section, checked_zone


class FacilitySettings(Section):
    """What the KPIs must know of a facility."""

    time_zone: str = "UTC"
    """IANA zone in which its days begin and end."""
    name: str = ""
    """Shown on the board."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return checked_zone(zone) or "UTC"

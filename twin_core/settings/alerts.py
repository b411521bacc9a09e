"""When a figure is a reason to call somebody, and whom."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from twin_core.settings.section import Section


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = parts.port is None or parts.port > 0
    except ValueError:  # no number of a port, or half an IPv6 address
        return False
    bare = not re.search(r"[\s\x00-\x1f]", text)
    return bare and named and parts.scheme in ("http", "https") and bool(parts.hostname)


class AlertSettings(Section):
    """A threshold on a KPI over the last hours, for each place by itself."""

    kpi: str
    """Id of the KPI that is watched."""
    statistic: str = ""
    """Which of its statistics; the KPI's first where empty."""
    by: Literal["hospital", "facility", "unit"] = "unit"
    """Each hospital, facility or unit is watched, and alerts, by itself."""
    units: tuple[str, ...] = ()
    """Only these units; every unit where empty."""
    hours: float = Field(default=24.0, gt=0, le=744)
    """How many of the last hours the KPI is measured over."""
    above: float | None = None
    """An alert opens when the figure is higher. Give this or `below`."""
    below: float | None = None
    """An alert opens when the figure is lower. Give this or `above`."""
    clear: float | None = None
    """It closes when the figure is back at this value (hysteresis); at the threshold if unset."""
    hold_minutes: float = Field(default=0.0, ge=0)
    """The figure must have been beyond the threshold for this long before an alert opens."""
    quiet_hours: tuple[str, str] | None = None
    """Local times, such as 22:00 and 06:00, between which no alert opens."""
    webhook: str = ""
    """Where an alert is posted to when it opens, is acknowledged and closes; nowhere if empty."""
    secret: SecretStr | None = None
    """Key of the signature of what is posted; needed with `webhook`."""

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("an alert needs above or below, and not both")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above)
            or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError("clear lies beyond the threshold, so that the alert would never close")
        if self.units and self.by != "unit":
            raise ValueError("units are listed, so by must be unit")
        return self

    @model_validator(mode="after")
    def _times_and_addresses(self) -> Self:
        for time in self.quiet_hours or ():
            if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", time):
                raise ValueError(f"quiet_hours: {time!r} is no time of a day, such as 22:00")
        if self.webhook:
            if not _is_address(self.webhook):
                raise ValueError("webhook is no address that starts with http:// or https://")
            if self.secret is None or not self.secret.get_secret_value():
                raise ValueError("webhook needs a secret, by which its receiver knows the sender")
        return self

"""What a demo is made of before anything runs: hospital, simulation, clock and settings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from pydantic import SecretStr

from adapters.hl7v2.encode import Sender
from api.translating import DEFAULT_FEED
from twin_core.deid import has_keys
from twin_core.settings import AlertSettings, FacilitySettings, FeedSettings, FhirSettings, Settings
from twin_core.simulation.demonstration import Demonstration
from twin_core.simulation.model import Hospital, load_hospital

HOSPITAL = "riverside"
APPLICATION = "DEMO-PAS"
PATIENTS, VISITS, BEDS = "patients", "visits", "beds"
CONNECTIONS = 16
CHECK_STARTS = datetime(2026, 3, 23, 23, 0, tzinfo=UTC)
"""Midnight in Berlin, some days before the clocks change."""

DEMO_ALERTS = {
    "crowded_ed": AlertSettings(
        kpi="ed_census", statistic="at_end", hours=1, above=100, clear=85, hold_minutes=15
    ),
    "long_boarding": AlertSettings(kpi="boarding", by="hospital", hours=12, above=60, clear=45),
}
"""What a demo watches where its user watches nothing: a full ED, and long waits for a bed."""


@dataclass(slots=True)
class DemoPlan:
    """One demo, ready to run. `clock_starts` is before the first message is sent."""

    model: Hospital
    demonstration: Demonstration
    chance: Random
    ends: datetime
    """Where the back-fill ends and live feeding, if any, begins."""
    connections: int = CONNECTIONS
    feed: str = DEFAULT_FEED
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        self.sender = Sender(
            application=APPLICATION,
            facility=self.model.code,
            zone=self.model.zone,
            patient_authority=self.model.patient_numbers,
            visit_authority=self.model.visit_numbers,
        )

    @property
    def clock_starts(self) -> datetime:
        """What the hospital clock shows before the first message."""
        return self.demonstration.began_at - timedelta(hours=1)


def plan_demo(
    *, now: datetime, days: float = 30, seed: int = 1, hospital: str = HOSPITAL
) -> DemoPlan:
    """A demo whose back-fill of `days` ends at `now`, and which then goes on for ever."""
    model, ends = load_hospital(hospital), now.replace(microsecond=0)
    demonstration = Demonstration(model, Random(seed), ends - timedelta(days=days))  # noqa: S311
    return DemoPlan(model, demonstration, Random(seed + 1), ends)  # noqa: S311


def plan_check(
    *,
    days: float = 10,
    seed: int = 1,
    starts: datetime = CHECK_STARTS,
    hospital: str = HOSPITAL,
) -> DemoPlan:
    """A bounded demo, the same for the same arguments, whose truth is complete at its end."""
    model, ends = load_hospital(hospital), starts + timedelta(days=days)
    demonstration = Demonstration(model, Random(seed), starts, ends)  # noqa: S311
    return DemoPlan(model, demonstration, Random(seed + 1), ends)  # noqa: S311


def demo_settings(model: Hospital, base: Settings, *, feed: str = DEFAULT_FEED) -> Settings:
    """The settings of a site that is this hospital, on top of what the user set."""
    systems = identifier_systems(model)
    adt = base.feed(feed).model_dump() | {
        "time_zone": model.time_zone,
        "authorities": {
            model.patient_numbers: systems[PATIENTS],
            model.visit_numbers: systems[VISITS],
        },
    }
    site = FacilitySettings(time_zone=model.time_zone, name=model.name)
    fhir = base.fhir.model_dump() | {"facility": model.code, "bed_system": systems[BEDS]}
    theatres = tuple(unit.code for unit in model.units if unit.kind == "theatre")
    kpi = base.kpi.model_copy(update={"theatres": base.kpi.theatres or theatres})
    return base.model_copy(
        update={
            "kpi": kpi,
            "feeds": {**base.feeds, feed: FeedSettings.model_validate(adt)},
            "facilities": {**base.facilities, model.code: site},
            "fhir": FhirSettings.model_validate(fhir),
        }
    )


def shown_whole(settings: Settings, new_key: Callable[[], str]) -> Settings:
    """The settings with what a visitor would else find empty: SQL without identities, and alerts.

    What the user configured stays. `new_key` makes 32 bytes in hexadecimal; the keys last as long
    as the demo, whose store is made anew each time.
    """
    deid, alerts = settings.deid, settings.alerts
    if not has_keys(deid):
        keys = {name: SecretStr(new_key()) for name in ("pseudonym_key", "shift_key")}
        deid = deid.model_copy(update=keys)
    return settings.model_copy(update={"deid": deid, "alerts": alerts or DEMO_ALERTS})


def identifier_systems(model: Hospital) -> dict[str, str]:
    """The identifier systems of the hospital, as URIs."""
    return {
        kind: f"https://{model.code.lower()}.example/identifiers/{kind}"
        for kind in (PATIENTS, VISITS, BEDS)
    }

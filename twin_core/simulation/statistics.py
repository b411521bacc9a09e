"""Every statistic of a run: what it is, and how it is counted."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from twin_core.simulation.replicate import Run

Array = NDArray[np.float64]
Values = Mapping[str, Array]
"""Arrays of replications by subject, by the name of the statistic."""
Rule = Callable[[Values, float], Array]
"""From what the kernel counted and the hours counted to a statistic."""


class Statistic(NamedTuple):
    """One statistic: its unit, its definition in a sentence, and its rule."""

    name: str
    unit: str
    definition: str
    rule: Rule


class Family(NamedTuple):
    """The statistics of one kind of subject."""

    subject: str
    statistics: tuple[Statistic, ...]

    def values(self, counted: Array, names: tuple[str, ...], run: "Run") -> Values:
        """All of them, from replications by subject by what the kernel counted."""
        return self.of(dict(zip(names, np.moveaxis(counted, 2, 0), strict=True)), run)

    def of(self, counted: Values, run: "Run") -> Values:
        """All of them, from what was counted by name."""
        hours = run.hours - run.warm_up_hours
        return {statistic.name: statistic.rule(counted, hours) for statistic in self.statistics}


def _sum(name: str) -> Rule:
    return lambda counted, _: counted[name]


def _ratio(over: str, under: str) -> Rule:
    return lambda counted, _: divided(counted[over], counted[under])


def _mean(name: str) -> Rule:
    return lambda counted, hours: counted[name] / hours


def divided(over: Array, under: Array) -> Array:
    """One over the other; NaN where there is nothing below."""
    ratio: Array = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
    return ratio


def _ready(counted: Values, _: float) -> Array:
    return divided(counted["occupied_hours"], counted["bed_hours"])


_OF_STEPS = (
    Statistic("asked", "patients", "Requests for a bed: by those who come, and by those who move.",
              _sum("asked")),
    Statistic("started", "patients", "Requests that led to a bed; counted when it is given.",
              _sum("started")),
    Statistic("wait_mean", "hours", "Mean time from request to bed over those who got one, nought "
              "for those who waited not at all; what a preempted patient waits again is added.",
              _ratio("wait_hours", "started")),
    Statistic("wait_share", "share", "Share of those who got a bed that had to wait for it.",
              _ratio("waited", "started")),
    Statistic("reneged", "patients", "Left while waiting because their patience had ended.",
              _sum("reneged")),
    Statistic("renege_share", "share", "Of all requests, those whose patience ended.",
              _ratio("reneged", "asked")),
    Statistic("turned_away", "patients", "Turned away, by a full waiting room or by the sight of "
              "it (balking).", _sum("turned_away")),
    Statistic("turned_away_share", "share", "Of all requests, those turned away: the probability "
              "of loss.", _ratio("turned_away", "asked")),
    Statistic("preempted", "times", "Stays interrupted by one more urgent.", _sum("preempted")),
    Statistic("outliers", "patients", "Given a bed in another unit than theirs.", _sum("outliers")),
    Statistic("stays", "stays", "Stays that ended, whether or not the bed could be left at once.",
              _sum("stays")),
    Statistic("stay_mean", "hours", "Mean length of the stays that ended, without the time after "
              "their end in the bed; the parts of an interrupted stay add up.",
              _ratio("stay_hours", "stays")),
    Statistic("throughput", "per hour", "Stays that ended, per hour.", _mean("stays")),
    Statistic("blocked_mean", "hours", "Mean time in the bed after the end of the stay, over all "
              "stays that ended: waiting for a bed elsewhere or for the hour of discharge.",
              _ratio("blocked_hours", "stays")),
)  # fmt: skip

STEP = Family("class in a unit", _OF_STEPS)
UNIT = Family(
    "unit",
    (
        *_OF_STEPS,
        Statistic("wait_p50", "hours", "The wait that half of those who got a bed did not exceed "
                  "(to 0.5%).", _sum("wait_p50")),
        Statistic("wait_p90", "hours", "The wait that 90% did not exceed.", _sum("wait_p90")),
        Statistic("wait_p95", "hours", "The wait that 95% did not exceed.", _sum("wait_p95")),
        Statistic("census_mean", "patients", "Patients in the unit's beds, whoever's they are, "
                  "averaged over time.", _mean("occupied_hours")),
        Statistic("occupancy", "share", "Patient hours over open bed hours; above 1 while a plan "
                  "closes beds that are still occupied.", _ready),
        Statistic("beds_mean", "beds", "Open beds, averaged over time.", _mean("bed_hours")),
        Statistic("queue_mean", "patients", "Patients waiting for a bed of the unit, averaged over "
                  "time, wherever they wait.", _mean("waiting_hours")),
        Statistic("boarding_mean", "patients", "Patients in the unit's beds who wait for a bed "
                  "elsewhere, averaged over time.", _mean("boarding_hours")),
        Statistic("cleaning_mean", "beds", "Beds being cleaned, averaged over time.",
                  _mean("cleaning_hours")),
        Statistic("outliers_mean", "patients", "Patients of other units in the unit's beds, "
                  "averaged over time.", _mean("outlier_hours")),
        Statistic("swaps", "patients", "Came into the unit by changing places in a ring.",
                  _sum("swaps")),
        Statistic("repatriated", "patients", "Outliers brought into the unit, which is theirs.",
                  _sum("repatriated")),
        Statistic("most_occupied", "patients", "The most patients in beds at once.",
                  _sum("most_occupied")),
        Statistic("most_waiting", "patients", "The most waiting at once.", _sum("most_waiting")),
    ),
)  # fmt: skip
CLASS = Family(
    "class",
    (
        Statistic("arrived", "patients", "Came to the hospital.", _sum("arrived")),
        Statistic("no_shows", "patients", "Had an appointment, did not come.", _sum("no_shows")),
        *(
            Statistic(f"left_{name}", "patients", f"Left by `{name}`.", _sum(f"left_{name}"))
            for name in ("home", "care_home", "died", "transferred", "left")
        ),
        Statistic("unseen", "patients", "Left without having been seen.", _sum("unseen")),
        Statistic("turned_away", "patients", "Were turned away.", _sum("turned_away")),
        Statistic("finished", "patients", "Left, in whatever way.", _sum("finished")),
        Statistic("hours_in_hospital", "hours", "Mean time from coming to leaving over those who "
                  "left in the time counted.", _ratio("hours_in_hospital", "finished")),
    ),
)  # fmt: skip
FAMILIES = (UNIT, STEP, CLASS)

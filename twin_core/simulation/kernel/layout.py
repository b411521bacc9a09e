"""What the kernel reads and writes: one record type for every kind of thing, all in hours.

Times are hours since the start of a run. Indices are -1 where there is nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Records = NDArray[Any]


def _record(**fields: str) -> np.dtype[Any]:
    return np.dtype(list(fields.items()), align=True)


# ---- lengths of time
FIXED, EXPONENTIAL, LOGNORMAL, GAMMA, WEIBULL, NORMAL, UNIFORM, TRIANGLE = range(8)
OBSERVED, QUANTILES, MIX = range(8, 11)
LENGTH = _record(kind="i4", first="i4", count="i4", a="f8", b="f8", c="f8", plus="f8")
"""`first` and `count` name a stretch of `points` (value, cumulative probability); `plus` is added
to every draw."""
POINT = _record(value="f8", upto="f8")

# ---- the hospital
NO_RULE, WINDOWS, BY_HOUR = range(3)
NO_PREEMPTION, RESUME, RESTART = range(3)
NEVER, ON_DEADLOCK, AT_ONCE = range(3)
UNIT = _record(
    boards="i4", limited="i4", waiting_places="i4", first_balk="i4", balks="i4", first_over="i4",
    overs="i4", first_helped="i4", helped="i4", repatriates="i4", preemption="i4", needy="i4",
    leave_rule="i4", first_leave="i4", leaves="i4", cleaning="i4", first_bed="i4", beds="i4",
    overflow_after="f8", leave_earlier="f8",
)  # fmt: skip
STEP = _record(
    unit="i4", class_="i4", level="i4", stay="i4", first_edge="i4", edges="i4", first_need="i4",
    needs="i4", patience="i4", impatient="f8",
)  # fmt: skip
EDGE = _record(upto="f8", step="i4", exit="i4", stay="i4")
NEED = _record(pool="i4", amount="i4", stays="i4")
BALK = _record(waiting="i4", share="f8")

# ---- who comes, and when
AT_RATES, RENEWED, BOOKED, SATURATED = range(4)
STREAM = _record(
    kind="i4", step="i4", first_rate="i4", rates="i4", step_hours="f8", day_cv="f8", length="i4",
    first_thin="i4", thins="i4", no_show="f8", begins="f8", ends="f8", key="u8",
)  # fmt: skip
THIN = _record(begins="f8", ends="f8", kept="f8")
SLOT = _record(at="f8", due="f8", stream="i4", number="i8")
CHANGE = _record(at="f8", resource="i4", capacity="i8")
IN_BED, WAITS, STAY_OVER, GOES_ON = range(4)
PRESENT = _record(
    state="i4", step="i4", in_unit="i4", bed="i4", next="i4", exit="i4", for_hours="f8", rest="f8",
    key="u8", row="i4",
)  # fmt: skip


class Plan(NamedTuple):
    """A hospital compiled for the kernel."""

    lengths: Records
    points: Records
    units: Records
    steps: Records
    edges: Records
    needs: Records
    balks: Records
    others: Records
    """Indices of units: overflow of each, whom each helps, and which units use each pool."""
    pools: Records
    """For every resource, `first` and `count` in `others` of the units that use it."""
    leaves: Records
    streams: Records
    rates: Records
    thins: Records
    slots: Records
    changes: Records
    present: Records
    cleaned: Records
    """Beds being cleaned at the start, by unit."""
    whole: Records
    """One WHOLE record: what holds for the whole hospital."""


WHOLE = _record(
    units="i4", resources="i4", classes="i4", levels="i4", swaps="i4", beds="i4", offset="f8",
)  # fmt: skip
SPAN = _record(first="i4", count="i4")

# ---- what a run asks for
RUN = _record(
    seed="u8", hours="f8", warm_up="f8", sample_hours="f8", samples="i4", record="i4",
)  # fmt: skip

# ---- who is there now
IDLE, QUEUED, IN_STAY, LEAVING = range(4)
PATIENT = _record(
    key="u8", number="i8", step="i4", at="i4", bed="i4", held="i4", state="i4", stamp="i4",
    visit="i4", class_="i4", edge="i4", stream="i4", source="i4", after="i4", before="i4",
    away_after="i4", away_before="i4", later="i4", earlier="i4", away="i4", level="i4", unit="i4",
    fresh="i4", next="i4", exit="i4",
    arrived="f8", asked="f8", since="f8", began="f8", over="f8", wait="f8", rest="f8",
)  # fmt: skip
EVENT = _record(at="f8", order="i8", who="i4", stamp="i4")
"""`order` is the number of the event among all that were planned, times KINDS, and its kind."""
FAR = _record(at="f8", order="i8", who="i4", stamp="i4", next="i4")
"""An event of a later slice of time, in the list of its slice."""
SLICES = 1024
"""Lists: slices this far apart share one. A power of 2."""
SLICES_AN_HOUR = 8.0
"""To begin with."""
ARRIVE, COME, DONE, LEAVE, RENEGE, OVERFLOW, CLEAN, CHANGES, SLOTS = range(9)
KINDS = 16
RESOURCE = _record(used="i8", capacity="i8", dirty="i4")
WARD = _record(
    waiting="i4", occupied="i4", boarding="i4", cleaning="i4", away_first="i4", away_last="i4",
    lying_first="i4", lying_last="i4", outliers="i4", free="i4", touched="f8",
)  # fmt: skip
QUEUE = _record(first="i4", last="i4")
SOURCE = _record(number="i8", day="i8", key="u8", at="f8", factor="f8")

# ---- what comes out
STEP_STATISTICS = (
    "asked", "started", "waited", "wait_hours", "wait_squares", "reneged", "turned_away",
    "preempted", "outliers", "stays", "stay_hours", "blocked", "blocked_hours", "held_hours",
)  # fmt: skip
UNIT_STATISTICS = (
    "occupied_hours", "waiting_hours", "boarding_hours", "cleaning_hours", "bed_hours",
    "outlier_hours", "swaps", "repatriated", "wait_p50", "wait_p90", "wait_p95", "most_occupied",
    "most_waiting",
)  # fmt: skip
EXITS = 5
CLASS_STATISTICS = (
    "arrived", "no_shows", "left_home", "left_care_home", "left_died", "left_transferred",
    "left_left", "unseen", "turned_away", "hours_in_hospital", "finished",
)  # fmt: skip
STEPS = _record(**dict.fromkeys(STEP_STATISTICS, "f8"))
UNITS = _record(**dict.fromkeys(UNIT_STATISTICS, "f8"))
CLASSES = _record(**dict.fromkeys(CLASS_STATISTICS, "f8"))
SAMPLE = _record(census="i4", waiting="i4", boarding="i4")
MOVED, WENT, TAKEN, UNSEEN, AWAY, HOMEWARD, OPEN = range(7)
"""How a stay ended: on to a unit, out of the hospital, preempted, left while waiting, turned away,
brought to the unit of care, or not yet."""
STAY = _record(
    number="i8", replication="i4", class_="i4", unit="i4", in_unit="i4", bed="i4", end="i4",
    next="i4", present="i4", from_hours="f8", to_hours="f8", wait_hours="f8", blocked_hours="f8",
)  # fmt: skip


class Work(NamedTuple):
    """Everything that changes while one replication runs; reused by the next."""

    patients: Records
    heap: Records
    far: Records
    slices: Records
    """The first event of each list; -1 where it is empty."""
    resources: Records
    wards: Records
    queues: Records
    sources: Records
    waits: Records
    """Boarders by unit they lie in and unit they wait for, flat."""
    seen: Records
    free_beds: Records
    dirty: Records
    bins: Records
    steps: Records
    units: Records
    classes: Records
    step_floats: Records
    """The statistics of `steps` again, as plain numbers; so below."""
    unit_floats: Records
    class_floats: Records
    stays: Records
    now: Records
    """Floats: the clock."""
    counts: Records
    """Integers: sizes and counters, by the names below."""


HEAP, ORDER, FREE, PATIENTS, NUMBER, STAYS = range(6)
EVENTS, FULL, DIRTY, SLOT_AT, CHANGE_AT, WARM, RECORD = range(6, 13)
SLICE, FAR_OFF, FAR_FREE, FAR_USED, OPENED, TAKEN_OFF = range(13, 19)
"""The slice of now; how many events are in later ones; the first free place for such, and how many
places were ever used; slices opened and events taken off since the width was last looked at."""
COUNTERS = 20
BINS, BIN_LOW, BIN_WIDTH = 2400, -11.512925464970229, 0.01
"""Waits are counted in bins of 1%, from 1e-5 hours to about 260,000 hours."""


class Books(NamedTuple):
    """What is written down of every replication: one row each."""

    steps: Records
    """Floats by replication, step and STEP_STATISTICS; so with units and classes."""
    units: Records
    classes: Records
    samples: Records
    """SAMPLE records by replication, time and unit."""
    events: Records


class Asked(NamedTuple):
    """What a run asks for: one RUN record."""

    run: Records


TABLES: dict[Any, dict[str, Any]] = {
    Plan: {
        "lengths": LENGTH, "points": POINT, "units": UNIT, "steps": STEP, "edges": EDGE,
        "needs": NEED, "balks": BALK, "others": "i4", "pools": SPAN, "leaves": "f8",
        "streams": STREAM, "rates": "f8", "thins": THIN, "slots": SLOT, "changes": CHANGE,
        "present": PRESENT, "cleaned": "i4", "whole": WHOLE,
    },
    Work: {
        "patients": PATIENT, "heap": EVENT, "far": FAR, "slices": "i4", "resources": RESOURCE,
        "wards": WARD, "queues": QUEUE, "sources": SOURCE, "waits": "i4", "seen": "i4",
        "free_beds": "i4", "dirty": "i4", "bins": "i4", "steps": STEPS, "units": UNITS,
        "classes": CLASSES, "step_floats": "f8", "unit_floats": "f8", "class_floats": "f8",
        "stays": STAY, "now": "f8", "counts": "i8",
    },
    Books: {"steps": "f8", "units": "f8", "classes": "f8", "samples": SAMPLE, "events": "i8"},
    Asked: {"run": RUN},
}  # fmt: skip
"""What each table holds; in the kernel all are seen as one item after another."""
LASTING = (Plan, Asked)
"""What does not change while the kernel runs."""
SEEN_TWICE = ("step_floats", "unit_floats", "class_floats")
"""The same memory as other tables."""

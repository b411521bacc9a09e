"""`docs/reference/simulation.md`, generated: every statistic and every field of a model.

python -m twin_core.simulation.reference > docs/reference/simulation.md
"""

import sys
from collections.abc import Iterator

from twin_core.simulation.statistics import FAMILIES

_HEAD = """\
# Simulation

A hospital is a TOML file: its units and beds, staff, theatres, patient classes, arrivals, routes
and lengths of stay. `wardtwin simulate MODEL.toml` runs it many times and tells what it would be
like; `wardtwin simulate --schema` prints every field a model may have, as JSON Schema. What cannot
be (no route out, no bed ever open, a negative time, routes that can lock each other) is refused
with its reason and place.

```toml
[[units]]
code = "ED"
kind = "emergency"
beds = 20
stay = { median = 165, p90 = 350, unit = "minutes" }
then = { home = 0.8, MED = 0.2 }
patience = { median = 100, p90 = 220, unit = "minutes" }
impatient = 0.05

[[units]]
code = "MED"
beds = 56
stay = { median = 3.6, p90 = 9.5, unit = "days" }
then = { home = 0.9, care_home = 0.1 }
cleaning = { median = 45, p90 = 90, unit = "minutes" }
discharge = { windows = [{ between = ["09:00", "18:00"] }] }
plan = [{ days = ["saturday", "sunday"], between = ["00:00", "24:00"], beds = 48 }]

[[classes]]
code = "walk-in"
priority = 3

[[arrivals]]
class = "walk-in"
unit = "ED"
per_day = 135
by_hour = [2, 2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 5, 4, 3]
```

From Python:

```python
from twin_core.simulation import Run, load_flow, simulate

results = simulate(load_flow("riverside"), Run(hours=28 * 24, replications=100, seed=7))
results.unit("MED", "occupancy").interval  # 95% of the mean over replications
results.table()  # Arrow: every statistic
results.census()  # NumPy: replications x hours x units
```

The first run after an installation compiles the kernel, which takes about a minute; from then on it
is loaded from disk.

`simulate(..., executor=...)` takes any `concurrent.futures.Executor`: threads, processes, or that
of a cluster. A replication depends on the model, the seed and its number alone, so results are the
same to the last bit on any of them.

## Rules

- **Time** is in hours from the start; weekly patterns count from Monday 00:00 of the local clock,
  without daylight saving.
- **Arrivals at a rate** come at exactly that rate: it is constant within its steps and inverted
  step by step. `day_variation` multiplies a whole day by a gamma of mean 1.
- **Appointments** are kept `lateness` after their time, never more than `early_at_most_hours`
  before it.
- **Order**: the more urgent first (`priority`, 1 is the most), then who asked first.
- **Boarding**: who waits for a bed elsewhere keeps the bed until then (blocking after service),
  unless the unit says `boards = false`. With `swaps`, a ring of boarders who wait for each other's
  beds changes places, at once or only when none of them could move otherwise; the beds are not
  cleaned in between.
- **Staff and theatres** (`needs`) are taken together with the bed or not at all; nobody reserves,
  and who cannot have everything is passed over. They stay with a boarder, unless the pool says
  `stays_with_boarders = false`; theatres are free when the operation is over. Staff are given out
  before beds.
- **Fewer beds or staff** (plans, shifts, closures): who is there stays; a bed or nurse closes when
  next free. More are there at once.
- **A free bed** goes to the unit's own queue, then to one of its outliers (`repatriates`), then to
  patients of units that may `overflow` here and have waited `overflow_after_hours`.
- **Preemption** sends the least urgent, among those the last to begin, back to the head of their
  queue; `resume` goes on where the stay stopped, `restart` begins it again.
- **Balking and full waiting rooms** concern those who come from outside; patience is drawn anew
  for every wait.
- **The bed is free** after `cleaning`. Patients leave when the stay is over and `discharge` lets
  them.
- **At the start** those `present` have the rest of their stay drawn from stays that last longer
  than theirs has; where patients leave by the hour of the day, from stays that may be over and
  whose hour has not come. One who has stayed longer than any observed has an exponential rest, a
  tenth of the stay so far on average.
- **At the horizon** every statistic is brought up to date; stays that go on are rows without an
  end.
- **Surges** never change the patients who come anyway: more come as a stream beside, fewer leaves
  some out. A patient has the same fate in every scenario of a seed.

## Statistics

Each is one number for every replication; a mean, its standard error and a 95% interval (Student's
t) are over replications. Counted from the end of the warm-up to the horizon. A wait belongs to the
unit asked for and is counted when the bed is given.
"""


def page() -> Iterator[str]:
    """The lines of the page."""
    yield from _HEAD.splitlines()
    for family in FAMILIES:
        yield ""
        yield f"### By {family.subject}"
        yield ""
        yield "| Statistic | In | Definition |"
        yield "|---|---|---|"
        for one in family.statistics:
            yield f"| `{one.name}` | {one.unit} | {one.definition} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")

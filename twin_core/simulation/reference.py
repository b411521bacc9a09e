"""`docs/reference/simulation.md`, generated: every statistic and every field of a model.

python -m twin_core.simulation.reference > docs/reference/simulation.md
"""

import sys
from collections.abc import Iterator

from twin_core.simulation.scenario.measures import MEASURES
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

## KPIs of simulated stays

Simulated stays have the shape of `twin.stay`, and the [KPI catalogue](kpis.md) runs on them
unchanged: `wardtwin simulate riverside --kpi occ_hourly --kpi boarding`. Each replication has a
figure of its own; what is shown is their mean and its 95% interval.

```python
from twin_core.simulated_kpis import kpis_of
from twin_core.simulation import Run, load_flow, simulate

results = simulate(load_flow("riverside"), Run(hours=14 * 24, replications=10, stays=True))
kpis_of(results, ["occ_hourly", "alos", "boarding"], by="hospital")  # Arrow
```

Emergency patients count as inpatients from their first bed outside an emergency department on; the
decision to admit falls at the end of the emergency stay, and whoever has a bay is being seen.
Cleaning, plans and theatre times are not told, so KPIs of those have no figures.

## The demonstration hospital

`riverside` is the hospital that the demonstration lives through, second by second, in plain Python.
The kernel runs the same file; the demonstration is its oracle: census, lengths of stay and boarding
of every unit agree in both. Operations are steps of a stay in the bed that is kept (`planned`,
`in_theatre`, `operated`); walks between units, and leave that outlasts a stay, lengthen stays by
their mean. A flow has no word for closures of single free beds at random, and none for outliers who
become patients of the unit that took them in: in the kernel they stay patients of their own.

## Scenarios

A scenario is a TOML file of edits in the ward's words; `wardtwin simulate MODEL --scenario FILE`
tells what it changes, with the same patients in both (common random numbers), and
`wardtwin simulate --schema scenario` prints every field. `winter`, `eight-beds-closed`,
`earlier-discharge` and `surge-ward` are in the package.

```toml
name = "Ward C half closed while flu goes round"

[[close_beds]]
unit = "MED"
beds = 8
from_days = 1
for_days = 3

[[arrivals]]
percent = 20
classes = ["emergency"]

[prices]
open_bed_day = 310
left_unseen = 120
```

| Edit | What it says |
|---|---|
| `close_beds`, `open_beds` | `beds` of a `unit`, from and for some hours or days, or all along |
| `arrivals` | `percent` more or fewer, of everybody or some `classes` or `units`, for a while |
| `discharge_earlier` | patients leave `hours` earlier, but not before their stay is over |
| `stays` | `percent` longer or shorter, of everybody or some `units` or `classes` |
| `open_unit` | a surge `unit` of some `beds` that `takes_from` others |
| `add_block`, `cancel_block` | theatre time of some `classes` |
| `staff` | so many `more` of a `pool` on duty, on some days |

With `--from-now`, scenarios are laid over the hospital as it stands: over every model that its
history leaves possible, so that intervals are those over models. Times count from the end of the
warm-up. What the hospital does not allow is refused with its place,
such as `close_beds[1].beds: 60 beds would be closed in MED, which has 56`.

From Python:

```python
from twin_core.simulation import Precision, Run, compare, load_flow, load_scenario

answer = compare(
    load_flow("riverside"),
    [load_scenario("winter")],
    Run(hours=14 * 24, replications=50, seed=7),
    precision=Precision("boarding", half_width=0.5, at_most=500),
)
answer.of("boarding")[0].difference.interval  # 95%, of paired differences
answer.table()  # Arrow: every measure of the hospital and of every unit
```

{measures}

Each is compared over the hospital and unit by unit. `probability_better` is the share of the
replications in which the scenario does better, ties counted half: how often it would help.
`confidence_better` is how sure it is that it helps on average. Many intervals are shown at once:
of twenty changes that are none, one seems clear by chance.

With a half-width (`--half-width boarding=0.5`), replications are added until the 95% interval of
that difference is no wider, or the cap is reached, which is then said. When to stop depends on
variances alone, so that for normally distributed differences the mean and the half-width asked for
cover the truth in 95% of such answers or more (Stein 1945); for skewed ones it is less, the less
the larger the first batch.

## Decisions

```sh
wardtwin simulate riverside --days 14 --sensitivity boarding
wardtwin simulate riverside --days 14 --sensitivity boarding --ways 10 --replications 10
wardtwin simulate riverside --days 14 --scenario surge-ward --scenario winter --best boarding=0.5
wardtwin simulate riverside --days 14 --fewest-beds MED=50-70 --under ED:boarding=2
```

- **What matters most** (`sensitivity`): arrivals of every class, stays and beds of every unit are
  raised and lowered by themselves; the effect is half of what lies between, with the 95% interval
  of paired differences. Inputs that act together are not seen by it; `--ways 10` (`screening`)
  sees them: all inputs are turned one after the other along ten random ways, each amid whatever
  the others happen to be (Morris 1991). `importance` is the mean size of an input's effects,
  `spread` how much they differ from way to way, `by_chance` what chance alone may make of one.
- **The best** of some scenarios and of the hospital as it is (`best_of`): the fully sequential
  procedure of Kim and Nelson (2001), which may use the same patients in all. It is right with 95%
  confidence where the best is better than the second by the difference that matters, for normally
  distributed means.
- **The fewest beds** that keep a mean under a limit with 95% confidence (`fewest_beds`): the range
  is halved, which takes for granted that more beds never make it worse. The confidence is shared
  out over all bounds that may be looked at, so it holds for the answer as a whole; what was not
  shown within `--at-most` replications counts as not kept.

They exit with 1 where there is no answer with that confidence.

## Over HTTP

A server takes the same questions, and answers them in processes of their own with the lowest
priority, `simulation.at_once` at a time, so that messages are not kept waiting:

| Address | What it does |
|---|---|
| `POST /v1/simulations` | asks: `model`, `scenarios`, `days`, `replications`, `seed`, ... |
| `GET /v1/simulations` | the latest ones |
| `GET /v1/simulations/ID` | how it stands; its task, versions and answer |
| `GET /v1/simulations/ID/progress` | server-sent events `progress` until it is over |
| `POST /v1/simulations/ID/cancel` | ends it |

While it runs, `progress.doing` says what it is at: `learning` the model, `compiling` the kernel
(once for a machine, about a minute), or `simulating`; it can be cancelled at any time.

A model and a scenario is named, where it is of the package, or sent as a document. The model
`calibrated` is learned from the hospital's own history, in `draws` models as uncertain as what was
learned, and with `from_now` the hospital begins as it stands. An answer tells,
for the hospital as it is and for every scenario, statistics by unit and the census hour by hour as
quantiles over replications (`p05`, `p25`, `p50`, `p75`, `p95`) and mean; and how the scenarios
differ. With `backtest` forecasts of the past are scored instead, up to `days` ahead.
Answers are kept beside the store in `hospital.duckdb.simulations`, with the whole
model, the seed and the versions, and `wardtwin simulate --again ID` works one out again: with the
same versions it is the same to the last bit.

## Textbook cases

`wardtwin simulate --validate CASE.json` runs a case whose answer queueing theory knows, and says of
every quantity whether it agrees within 1% or three standard errors (exit code 1 where one does
not). A case has an `id` and `expected`: one set of parameters with what theory gives, or several.

```json
{"id": "mg1_priority", "expected": [
  {"lams": [0.2, 0.3], "ES": [0.5, 1], "cv": [0, 1], "Wq": [0.3611, 0.6019]}]}
```

| Kind | Parameters |
|---|---|
| One queue | `lam`, `c`, `mu` or `ES`; `K` (room), `theta` (rate of losing patience) |
| Spread of stays | `cv`, `scv`, `ES2`, `var`, `k` (Erlang), or `p` and `mus` (hyperexponential) |
| Arrivals not at random | `ca`, or `arrival` such as `"deterministic"`, `"erlang3"` |
| Loss | `c`, and `a` or `lam` with `mu`; several servers each: `a` and `b` by class |
| Classes | `lams`, and `mu` or `ES` with `cv` for all or by class; `preempt` in the `id` |
| Balking, vacations | `join` by number found; `EV` with `cv_V` |
| Networks | `lam0`, `P`, `mu`, `c`; closed: `N`, `P`, `mu`; lines: `mu`, `buffers` |
| Machine repair | `N`, `c`, `lam`, `mu` |
| Rates that change | `rate_by_hour`, or `rate_mean`, `amplitude` and `period`; `los`, `m_at_hour` |

Quantities are `P_wait`, `Wq`, `Lq`, `L`, `W`, `X`, `rho`, `P_block`, `P_abandon`, `wait_p95`
and the like. `P_wait`, `Wq` and `W` are of all who were not turned away, those who lost patience
included.
What a case gives beyond these is named as not compared; families that no model here can be
(batches, Engset's loss) are refused.

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
  them; who dies or `left` (against advice) does so at once.
- **Steps in one bed** (`then = { "SURG/in_theatre" = 0.9, ... }`): who goes on in the same unit as
  another class keeps the bed. For the unit that is one stay; who waits in bed for a theatre is no
  boarder.
- **At the start** those `present` have the rest of their stay drawn from stays that last longer
  than theirs has; where patients leave by the hour of the day, from stays that may be over and
  whose hour has not come, unless it is known that the stay `goes_on`. Who is to leave in
  `rest_hours` leaves then. One who has stayed longer than any observed has an exponential rest, a
  tenth of the stay so far on average.
- **At the horizon** every statistic is brought up to date; stays that go on are rows without an
  end.
- **Discharged earlier** (`earlier_hours`): everybody leaves so much before the hour or window of
  discharge, but not before the stay is over; nobody leaves later.
- **Surges** never change the patients who come anyway: more come as a stream beside, fewer leaves
  some out. A patient has the same fate in every scenario of a seed.

## Statistics

Each is one number for every replication; a mean, its standard error and a 95% interval (Student's
t) are over replications. Counted from the end of the warm-up to the horizon. A wait belongs to the
unit asked for and is counted when the bed is given.
"""


def page() -> Iterator[str]:
    """The lines of the page."""
    yield from _HEAD.replace("{measures}", "\n".join(_measures())).splitlines()
    for family in FAMILIES:
        yield ""
        yield f"### By {family.subject}"
        yield ""
        yield "| Statistic | In | Definition |"
        yield "|---|---|---|"
        for one in family.statistics:
            yield f"| `{one.name}` | {one.unit} | {one.definition} |"


def _measures() -> Iterator[str]:
    yield "| Measure | In | Better | Definition |"
    yield "|---|---|---|---|"
    for one in MEASURES.values():
        yield f"| `{one.name}` | {one.unit} | {one.better} | {one.definition} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")

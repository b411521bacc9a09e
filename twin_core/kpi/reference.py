"""The KPI reference page, written from the catalogue so that it cannot say something else."""

from collections.abc import Iterable

from twin_core.kpi.catalogue import RESULT_COLUMNS, Definition, catalogue
from twin_core.kpi.control import BASELINE, LEAST, RULES

_OPENING = """\
# KPIs

This page is generated from `twin_core/kpi/definitions/*.sql`; change those files and write it again
with `python -m twin_core.kpi.reference > docs/reference/kpis.md`.

Every KPI is a table macro, the same in a notebook, on the command line and in the API:

```sql
FROM kpi.occ_hourly('2026-11-01', '2026-11-02', grain := 'hour', "by" := 'unit');
```

| Parameter | Meaning |
|---|---|
| `window_start`, `window_end` | The window, half-open. Timestamps or ISO text; \
text without an offset is UTC, so that `'2026-11-01'` is midnight in UTC; the command line, \
Python and the API read a date as the hospital's own midnight. |
| `grain` | `hour`, `shift`, `day` (default), `week` (from Monday), `month`, or `all` for one \
period. Periods are local to the facility and cut to the window; a day has 23, 24 or 25 hours. \
Shifts begin at the times of `[kpi] shifts`; a KPI that is defined per hour is defined per shift. |
| `by` | `hospital`, `facility`, `building` (of `[kpi] buildings`; it stands in the column \
unit), `unit` (default), `class`, `service` (the specialty: PV1-10, the last one stated), \
`age_band` (at the start of the visit: 0-17, 18-64, 65-74, 75-84, 85+) or `arrival_mode` \
(ambulance where one was noted, else the admit source). Quote it in SQL: `"by" := 'class'`. Across \
facilities in different time zones, all but `facility`, `building` and `unit` use UTC. |
| `known_at` | What was known at that instant; NULL (default) is now. |

Every KPI returns the columns {columns}.

- `facility` and `unit` are NULL where they were aggregated away or never named.
- `stratum` is NULL for the KPI itself (the headline); other rows are parts shown beside it, only
  where there is something to show. By class it names the class, as in `IMP` or `IMP/on_leave`;
  likewise by service and age band, of which only those have rows to which something happened in
  the window.
- `value` is numerator over denominator (times 100 for shares), a ratio of sums, never a mean of
  ratios. For quantiles the denominator is n.
- Unknown is NULL, never zero: a period beyond the latest known instant, a ratio without a known
  denominator. `coverage` is the share of the needed inputs that is known, from 0 to 1.
- The rows behind the figures are a macro of the same signature: `FROM kpi_rows.alos(...)` has one
  row for each thing counted, with the facility, unit, period and stratum of its figure, what it is
  about (`subject_type`, `subject_id`) and what it adds. They add up to numerator and denominator;
  for means, quantiles and shares within a target the numerator is the amount of one event and the
  denominator 1.
  `statistic` is NULL where a row counts for all of them. `wardtwin kpi ID --explain`, the page of
  the KPI and `GET /v1/kpis/ID/rows` lead on to the events and messages.
- Open stays last until the latest known instant: `known_at`, else the last batch of messages.

## Comparison and files

`--compare previous` (`compare=previous` in the API) gives every row `value_before`, the figure of
the same period before, and `change`, the difference; both are unknown where either figure is.
Periods are moved by the hospital's calendar: as many local days as the window has, whole weeks for
grain `week`, whole months for `month`, and a part of a day by its own length. `year` is twelve
months, or 52 weeks for grain `week`. Where facilities are in different time zones, the calendar is
that of UTC.

`--format csv|json|parquet|arrow`, with `--out FILE` where it should be a file, and `?format=` or an
Accept header in the API (`text/csv`, `application/json`, `application/vnd.apache.parquet`,
`application/vnd.apache.arrow.stream`) give the same columns in the same order. Instants are UTC. In
CSV an empty cell is unknown, and text that a spreadsheet would take for a formula begins with an
apostrophe.

## Run charts

`wardtwin kpi ID --chart`, `GET /v1/kpis/ID/chart` and the page of a KPI show its course with
control limits, one chart per place. A share of counted events is a p chart, a count per exposure a
u chart (both with the limits of each period's own denominator), anything else an XmR chart
(mean plus and minus 2.66 mean moving ranges; moving ranges up to 3.267 of them).

- Limits come from the first {baseline} known points, or from the first N, or from a given window.
  With fewer than {least} there are none, nor where nothing varies; the chart says so.
- A period that is not known ends every run, and no moving range spans it. A period that the window
  cuts, or that is not over, is shown and not judged.
- A p or u chart supposes counts that are independent of each other: successive counts of the same
  patients (snapshots) vary less than its limits, large departments more.

| Signal | Meaning |
|---|---|
{rules}

Formulas and rules are those of Montgomery, Introduction to Statistical Quality Control (7th
edition, 2012). Eight in a row is his number, and that of the Western Electric handbook (1956); NHS
England's Making Data Count takes seven.
"""


def page() -> str:
    """The whole page as Markdown."""
    opening = _OPENING.format(
        columns=", ".join(f"`{name}`" for name in RESULT_COLUMNS),
        baseline=BASELINE,
        least=LEAST,
        rules="\n".join(f"| `{rule}` | {meaning} |" for rule, meaning in RULES.items()),
    )
    contents = [
        "| KPI | Title | Unit | Better |",
        "|---|---|---|---|",
        *(
            f"| [`{kpi.id}`](#{kpi.id}) | {kpi.title} | {kpi.unit} | {kpi.direction} |"
            for kpi in catalogue().values()
        ),
    ]
    sections = (section(kpi) for kpi in catalogue().values())
    return "\n".join((opening, *contents, "", "\n".join(sections)))


def section(kpi: Definition) -> str:
    """One KPI's part of the page."""
    lines = [
        f"## {kpi.id}",
        "",
        f"**{kpi.title}.** {kpi.question}",
        "",
        f"- Unit: {kpi.unit}",
        f"- Better: {kpi.direction}",
        f"- Numerator: {kpi.numerator}",
        f"- Denominator: {kpi.denominator}",
        f"- Not counted: {'; '.join(kpi.exclusions)}",
        f"- Grain: {_codes(kpi.grain)}; by: {_codes(kpi.by)}",
        f"- Source: {kpi.source}",
        f"- Reads: {_codes(kpi.inputs)}",
        *(
            [f"- Supplied by: {kpi.supplied_by}; without it no figure is known"]
            * bool(kpi.supplied_by)
        ),
        "",
        *_table("Statistic", kpi.statistics),
        *_table("Stratum", kpi.strata),
        *(f"- {caveat}" for caveat in kpi.caveats),
        "",
    ]
    return "\n".join(lines)


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: str, meanings: dict[str, str]) -> list[str]:
    if not meanings:
        return []
    rows = [f"| `{word}` | {meaning} |" for word, meaning in meanings.items()]
    return [f"| {head} | Meaning |", "|---|---|", *rows, ""]


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())

"""`wardtwin kpi`: the catalogue of KPIs, or the rows of one."""

import argparse

from api import charted_text
from api.commands import Call, Command
from api.desk import desk
from twin_core.kpi.catalogue import catalogue

_COLUMNS = (
    "facility",
    "unit",
    "period_start",
    "period_end",
    "stratum",
    "statistic",
    "numerator",
    "denominator",
    "value",
    "coverage",
)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kpi", metavar="ID", nargs="?", help="a KPI; without one, the catalogue")
    parser.add_argument("--from", dest="start", metavar="T", help="start (default: 7 days back)")
    parser.add_argument("--to", dest="end", metavar="T", help="end (default: last midnight)")
    parser.add_argument("--grain", metavar="GRAIN", help="hour, day, week, month or all")
    parser.add_argument("--by", metavar="BY", help="unit, class, facility or hospital")
    parser.add_argument("--known-at", metavar="T", help="as was known then (default now)")
    parser.add_argument("--chart", action="store_true", help="as a run chart with control limits")
    parser.add_argument("--statistic", metavar="NAME", help="which one to chart (default: first)")
    parser.add_argument("--baseline", metavar="N", type=int, help="limits from the first N points")


def run(call: Call) -> int:
    """Print the catalogue, or one KPI's rows over a window."""
    options = call.options
    if options.kpi is None:
        return _catalogue(call)
    asked = {
        "kpi": options.kpi,
        "grain": options.grain,
        "by": options.by,
        "start": options.start,
        "end": options.end,
        "known_at": options.known_at,
    }
    if options.chart:
        return charted_text.run(call, asked)
    with desk(call) as answering:
        rows = answering.ask("kpi", **asked)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        if not rows and options.kpi in catalogue() and catalogue()[options.kpi].supplied_by:
            call.terminal.note(
                f"No rows: {catalogue()[options.kpi].supplied_by} would supply them."
            )
        shown = [c for c in _COLUMNS if c != "stratum" or any(row.get(c) for row in rows)]
        call.terminal.table(shown, rows)
    return 0


def _catalogue(call: Call) -> int:
    rows = [
        {"id": kpi.id, "unit": kpi.unit, "title": kpi.title, "question": kpi.question}
        for kpi in catalogue().values()
    ]
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(("id", "unit", "title"), rows)
    return 0


COMMAND = Command(
    name="kpi",
    help="list the KPIs, or measure one over a window",
    examples=(
        "wardtwin kpi",
        "wardtwin kpi occ_midnight --from 2026-11-01 --to 2026-11-08",
        "wardtwin kpi occ_hourly --grain hour --by facility --json",
        "wardtwin kpi alos --from 2026-09-01 --to 2026-11-01 --by facility --chart",
    ),
    arguments=_arguments,
    run=run,
)

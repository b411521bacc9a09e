"""`wardtwin kpi`: the catalogue of KPIs, or the rows of one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from api import charted_text
from api.commands import Call, Command
from api.desk import desk
from api.exporting import COMPARED, MEDIA_TYPES, TEXT_FORMATS, Row, exported
from twin_core.errors import UsageError
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
    parser.add_argument("--compare", metavar="WITH", help="beside: previous (period), year (ago)")
    parser.add_argument("--format", choices=tuple(MEDIA_TYPES), help="as a file for other tools")
    parser.add_argument("--out", metavar="FILE", help="where that file goes (default: here)")
    parser.add_argument("--chart", action="store_true", help="as a run chart with control limits")
    parser.add_argument("--statistic", metavar="NAME", help="which one to chart (default: first)")
    parser.add_argument("--baseline", metavar="N", type=int, help="limits from the first N points")


def run(call: Call) -> int:
    """Print the catalogue, or one KPI's rows over a window."""
    options = call.options
    if options.out is not None and options.format is None:
        raise UsageError("--out needs a format.", do="Give --format csv, json, parquet or arrow.")
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
        rows = answering.ask("kpi", **asked, compare=options.compare)
    if options.format:
        return _export(call, rows)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        if not rows and options.kpi in catalogue() and catalogue()[options.kpi].supplied_by:
            call.terminal.note(
                f"No rows: {catalogue()[options.kpi].supplied_by} would supply them."
            )
        columns = (*_COLUMNS, *(COMPARED if options.compare else ()))
        shown = [c for c in columns if c != "stratum" or any(row.get(c) for row in rows)]
        call.terminal.table(shown, rows)
    return 0


def _export(call: Call, rows: Sequence[Row]) -> int:
    options = call.options
    content = exported(rows, options.format, COMPARED if options.compare else ())
    if options.out is None:
        call.terminal.document(content, text=options.format in TEXT_FORMATS)
        return 0
    try:
        Path(options.out).write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"{options.out} cannot be written.", why=error.strerror or "", do="Name another file."
        ) from None
    call.terminal.note(f"{options.out}: {len(rows):,} rows.")
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
        "wardtwin kpi nhs4h --grain week --compare previous --format csv --out nhs4h.csv",
    ),
    arguments=_arguments,
    run=run,
)

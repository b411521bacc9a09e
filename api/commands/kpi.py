"""`wardtwin kpi`: the catalogue of KPIs, the figures of one, or how they came about."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from api import charted_text
from api.commands import Call, Command
from api.desk import desk
from api.exporting import COMPARED, MEDIA_TYPES, TEXT_FORMATS, Row, exported
from api.holder import reach
from api.operations import LISTED
from twin_core.errors import UsageError
from twin_core.kpi.catalogue import Definition
from twin_core.kpi.site import known_kpis

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

_ROW_COLUMNS = (
    "facility",
    "unit",
    "period_start",
    "stratum",
    "statistic",
    "from_at",
    "to_at",
    "numerator",
    "denominator",
    "about",
    "messages",
)

_CHANGED = (
    "facility",
    "unit",
    "period_start",
    "stratum",
    "statistic",
    "value_then",
    "value_now",
    "numerator_then",
    "numerator_now",
    "denominator_then",
    "denominator_now",
)
_CHOOSING = ("facility", "unit", "period", "stratum", "limit")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kpi", metavar="ID", nargs="?", help="a KPI; without one, the catalogue")
    parser.add_argument("--from", dest="start", metavar="T", help="start (default: 7 days back)")
    parser.add_argument("--to", dest="end", metavar="T", help="end (default: last midnight)")
    parser.add_argument("--grain", metavar="GRAIN", help="hour, shift, day, week, month or all")
    parser.add_argument(
        "--by",
        metavar="BY",
        help="hospital, facility, building, unit, class, service, age_band, arrival_mode",
    )
    parser.add_argument("--known-at", metavar="T", help="as was known then (default now)")
    parser.add_argument(
        "--changed-since", metavar="T", help="what messages after T changed in the figures"
    )
    parser.add_argument("--compare", metavar="WITH", help="beside: previous (period), year (ago)")
    parser.add_argument("--format", choices=tuple(MEDIA_TYPES), help="as a file for other tools")
    parser.add_argument("--out", metavar="FILE", help="where that file goes (default: here)")
    parser.add_argument("--chart", action="store_true", help="as a run chart with control limits")
    parser.add_argument("--statistic", metavar="NAME", help="which one to chart or to explain")
    parser.add_argument("--baseline", metavar="N", type=int, help="limits from the first N points")
    explaining = parser.add_argument_group("how a figure came about")
    explaining.add_argument(
        "--explain", action="store_true", help="the meaning, the SQL, and the rows with messages"
    )
    explaining.add_argument("--facility", metavar="F", help="only figures of a facility")
    explaining.add_argument("--unit", metavar="U", help="only figures of a unit")
    explaining.add_argument("--period", metavar="T", help="only the period with this instant")
    explaining.add_argument("--stratum", metavar="S", help="only this stratum; - for the headline")
    explaining.add_argument("--limit", metavar="N", type=int, help="rows at most (default 100)")


def run(call: Call) -> int:
    """Print the catalogue, or one KPI's rows over a window."""
    options = call.options
    if options.out is not None and options.format is None:
        raise UsageError("--out needs a format.", do="Give --format csv, json, parquet or arrow.")
    chosen = {name: getattr(options, name) for name in (*_CHOOSING, "statistic")}
    if any(chosen[name] is not None for name in _CHOOSING) and not options.explain:
        raise UsageError("A figure is chosen only to explain it.", do="Add --explain.")
    if options.kpi is None:
        if options.explain:
            raise UsageError("Explain which KPI?", do="Name one: wardtwin kpi ID --explain.")
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
    if options.explain:
        return _explain(call, {**asked, **chosen})
    if options.changed_since:
        return _changes(call, {**asked, "known_at": options.changed_since})
    with desk(call) as answering:
        rows = answering.ask("kpi", **asked, compare=options.compare)
    if options.format:
        return _export(call, rows)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        columns = (*_COLUMNS, *(COMPARED if options.compare else ()))
        shown = [c for c in columns if c != "stratum" or any(row.get(c) for row in rows)]
        call.terminal.table(shown, rows)
        told = _known(call).get(options.kpi)
        if told and told.supplied_by and nothing_known(rows):
            call.terminal.note(f"No figure is known. Supplied by: {told.supplied_by}.")
    return 0


def nothing_known(rows: Sequence[Row]) -> bool:
    """Whether none of a KPI's rows has a value, or there is none."""
    return all(row["value"] is None for row in rows)


def _changes(call: Call, asked: Mapping[str, Any]) -> int:
    options = call.options
    if options.compare or options.known_at or options.format:
        raise UsageError("--changed-since goes with a window, a grain and a grouping only.")
    with desk(call) as answering:
        rows = answering.ask("kpi_changes", **asked)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(_CHANGED, rows)
        call.terminal.note(f"{len(rows):,} figures changed since {options.changed_since}.")
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


def _explain(call: Call, asked: Mapping[str, Any]) -> int:
    with desk(call) as answering:
        told = answering.ask("kpi_explain", **asked)
    if call.terminal.as_json:
        call.terminal.json(told)
        return 0
    for line in (*told["words"], "", *told["sql"].splitlines(), ""):
        call.terminal.line(line)
    rows = list(_traced(told["rows"]))
    shown = [c for c in _ROW_COLUMNS if any(row.get(c) is not None for row in rows)]
    call.terminal.table(shown, rows)
    if told["more"]:
        call.terminal.note("There are more rows: choose one figure, or give --limit.")
    return 0


def _traced(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        messages = dict.fromkeys(str(event["message_id"]) for event in row["events"])
        about = f"{row['subject_type']} {row['subject_id']}" if row["subject_id"] else None
        yield {**row, "about": about, "messages": " ".join(messages) or None}


def _known(call: Call) -> dict[str, Definition]:
    """The KPIs by the settings of this call."""
    return known_kpis(call.settings.kpi.folder)


def _catalogue(call: Call) -> int:
    holder = reach(call.path, call.environ)
    if holder is None:
        rows = [kpi.model_dump(mode="json", include=set(LISTED)) for kpi in _known(call).values()]
    else:
        with closing(holder):
            rows = holder.ask("kpis")
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        own = any(row["origin"] == "site" for row in rows)
        call.terminal.table(("id", "unit", "title", *(("origin", "replaces") * own)), rows)
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
        "wardtwin kpi occ_midnight --changed-since 2026-11-08T06:00",
        "wardtwin kpi alos --explain --unit ICU --period 2026-11-02",
    ),
    arguments=_arguments,
    run=run,
)

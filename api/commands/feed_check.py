"""`wardtwin feed check`: what sample files would do on a feed, before it goes live."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from adapters.files import find_files
from api.checking import Counted, Path, Report, check
from api.commands import Call, Command, feed_named
from api.desk import desk
from api.terminal import Terminal
from api.translating import DEFAULT_FEED

_PLACES = "SELECT DISTINCT facility, unit, room, bed FROM twin.location"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="FILE", nargs="+", help="a file or a folder of messages")
    parser.add_argument("--feed", metavar="NAME", default=DEFAULT_FEED, help="whose settings apply")
    parser.add_argument(
        "--show-phi", action="store_true", help="show names, numbers and text of patients too"
    )


def run(call: Call) -> int:
    """Report on the files; exit 1 where there is anything to look at."""
    feed = feed_named(call, call.options.feed)
    known = _known_places(call) if hasattr(call.options, "db") else None
    report = check(
        tuple(find_files(call.options.paths)),
        feed=feed,
        settings=call.settings,
        received_at=datetime.now(UTC),
        known_places=known,
        phi=call.options.show_phi,
    )
    if call.terminal.as_json:
        call.terminal.json(report)
    else:
        show(call.terminal, report)
    return 0 if report.is_clean else 1


def _known_places(call: Call) -> frozenset[Path]:
    with desk(call) as asked:
        answer = asked.ask("sql", sql=_PLACES)
    names = ("facility", "unit", "room", "bed")
    return frozenset(
        (facility, unit, room, bed)
        for row in answer["rows"]
        for facility, unit, room, bed in [[str(row[name] or "") for name in names]]
    )


def show(terminal: Terminal, report: Report) -> None:
    """The report for a person, ending with the lines that the settings may lack."""
    terminal.line(
        f"Feed {report.feed}: messages {report.messages:,}, files {report.files:,}. "
        f"{report.applied:,} would be applied, {report.journalled:,} kept without effect, "
        f"{report.duplicates:,} known already, {report.rejected:,} rejected."
    )
    if report.batches_at_fault:
        terminal.line(f"{report.batches_at_fault:,} batch envelopes are at fault.")
    if report.first_sent_at and report.last_sent_at:
        terminal.line(f"Sent from {report.first_sent_at:%F %T}Z to {report.last_sent_at:%F %T}Z.")
    for name, counted in (
        ("HL7 version (MSH-12)", report.versions),
        ("Character set (MSH-18)", report.charsets),
        ("Processing id (MSH-11)", report.processing_ids),
        ("Segments end with", report.line_ends),
    ):
        if counted:
            terminal.line(f"{name}: " + ", ".join(f"{k} {n:,}" for k, n in sorted(counted.items())))
    for title, columns, counts in _tables(report):
        if counts:
            terminal.line()
            terminal.line(title)
            terminal.table(columns, [msgspec.structs.asdict(row) for row in counts])
    if report.suggestions:
        terminal.line()
        terminal.line("# What the settings may lack: look it through, then paste it.")
        terminal.line(f"[feeds.{report.feed}]")
        for line in report.suggestions:
            terminal.line(line)


def _tables(
    report: Report,
) -> Iterator[tuple[str, tuple[str, ...], Sequence[Counted | msgspec.Struct]]]:
    yield (
        "Trigger events",
        ("trigger_event", "messages", "applied", "journalled", "duplicates", "rejected"),
        report.triggers,
    )
    rejects = ("code", "table_0357", "where", "messages", "example", "what")
    yield "Rejected", rejects, report.rejects
    yield "Kept without effect", ("what", "messages", "example"), report.journalled_because
    yield "Findings", ("code", "messages", "example", "what"), report.findings
    yield (
        "Codes that the feed's maps lack",
        ("where", "what", "messages", "example"),
        report.unmapped,
    )
    yield (
        "Places that the store does not know",
        ("what", "messages", "example"),
        report.unknown_places,
    )
    yield "Segments of the site", ("segment", "messages", "kept", "dropped"), report.site_segments


CHECK = Command(
    name="check",
    help="what sample files would do, before a feed goes live; exit 1 on findings",
    description=(
        "Read files as the feed would, without a store, and report what would become of them:\n"
        "trigger events, rejects with reasons, findings, codes that the feed's maps lack,\n"
        "segments of the site, and lines of TOML that the settings may lack. With --db, places\n"
        "are held against those of that store. Codes are shown as sent, a patient's details never."
    ),
    examples=(
        "wardtwin feed check sample.hl7",
        "wardtwin feed check samples/ --feed adt --config site.toml --json",
        "wardtwin feed check sample.hl7 --db hospital.duckdb",
    ),
    arguments=_arguments,
    run=run,
)

"""`wardtwin ingest`: read messages from files, folders or standard input into the store."""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from adapters.files import Source, find_files
from api.commands import Call, Command
from api.desk import Desk, OwnDesk, desk
from api.ingesting import Order, Summary, ingest, size_of
from api.staging import begun_for, drop, stage, staged, stages
from twin_core.errors import UsageError

_KINDS = ("hl7", "ndjson", "json")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a file, a folder, or - for standard input"
    )
    parser.add_argument("--feed", metavar="NAME", help="feed (HL7 v2) or source (FHIR)")
    parser.add_argument(
        "--stage",
        action="store_true",
        help="make NDJSON files durable in the store first, then apply them from there",
    )
    parser.add_argument("--format", choices=_KINDS, help="how to split; otherwise found out")


def run(call: Call) -> int:
    """Store every message, wait until all are applied, and say what became of them."""
    sources = tuple(find_files(call.options.paths, call.options.format))
    with desk(call, create=True) as storing:
        if call.options.stage:
            return _staged(call, storing, sources)
        order = Order(
            sources=sources,
            feed=call.options.feed,
            settings=storing.settings().model_dump_json(by_alias=True, exclude={"secrets"}),
            received_at=datetime.now(UTC),
        )
        with call.terminal.progress("Reading", size_of(sources), "bytes") as report:
            summary = ingest(storing, order, report)
    _print(call, summary)
    return 1 if summary.rejected else 0


def _staged(call: Call, storing: Desk, sources: Sequence[Source]) -> int:
    """Make NDJSON files durable first, then apply them and whatever was staged before."""
    if not isinstance(storing, OwnDesk):
        raise UsageError(
            "Another program holds the store, and only the program that holds it can stage.",
            do="Leave out --stage, or stop that program.",
        )
    other = [source.path for source in sources if not stages(source)]
    if other:
        raise UsageError(f"{other[0]} cannot be staged.", why="Only NDJSON files are.")
    settings, now = storing.settings(), datetime.now(UTC)
    staging = storing.staging()
    began = time.monotonic()
    with begun_for(sources) as reading:
        with call.terminal.progress("Staging", size_of(sources), "bytes") as report:
            feed = call.options.feed or ""
            new = stage(
                staging, sources, feed=feed, settings=settings, received_at=now, report=report
            )
        seconds = time.monotonic() - began
        if not call.terminal.as_json:
            call.terminal.line(f"{new:,} lines staged in {seconds:.1f} s ({new / seconds:,.0f}/s).")
        files = staging.files()
        order = Order(sources=tuple(sources), feed=None, settings="", received_at=now)
        lines = sum(file.staged for file in files)
        with call.terminal.progress("Applying", lines, "lines") as report:
            several = staged(storing, staging, settings, reading)

            def told(done: int, rate: str) -> None:
                # In the end it is how many bytes the files have.
                report(min(done, lines), rate)

            summary = ingest(storing, order, told, several)
    drop(staging, files)
    _print(call, summary)
    return 1 if summary.rejected else 0


def _print(call: Call, summary: Summary) -> None:
    if call.terminal.as_json:
        call.terminal.json(summary)
        return
    rate = summary.messages / summary.seconds if summary.seconds else 0.0
    call.terminal.line(
        f"{summary.messages:,} messages from {summary.files:,} files in {summary.seconds:.1f} s "
        f"({rate:,.0f}/s): {summary.accepted:,} accepted, {summary.duplicates:,} duplicates, "
        f"{summary.rejected:,} rejected."
    )
    if summary.rejected:
        call.terminal.note("See `wardtwin quarantine list` for what was rejected and why.")


COMMAND = Command(
    name="ingest",
    help="read messages from files, folders or standard input",
    description=(
        "Read HL7 v2 (.hl7, .er7, .txt, no suffix; batches, MLLP captures) and FHIR (.ndjson,\n"
        ".jsonl, .json: resources and Bundles). Reading the same messages again changes nothing.\n"
        "With --stage, FHIR NDJSON is durable in the store within seconds and applied from there:\n"
        "the files may go once they are staged, and a later --stage goes on after a crash.\n"
        "Exits with 1 where any message was rejected; see `wardtwin quarantine list`."
    ),
    examples=(
        "wardtwin ingest messages/ --db hospital.duckdb",
        "wardtwin ingest adt.hl7 --feed adt --json",
        "zcat archive.hl7.gz | wardtwin ingest -",
    ),
    arguments=_arguments,
    run=run,
)

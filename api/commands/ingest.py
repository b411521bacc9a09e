"""`wardtwin ingest`: read messages from files, folders or standard input into the store."""

import argparse
from datetime import UTC, datetime

from adapters.files import find_files
from api.commands import Call, Command
from api.desk import desk
from api.ingesting import Order, Summary, ingest, size_of

_KINDS = ("hl7", "ndjson", "json")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a file, a folder, or - for standard input"
    )
    parser.add_argument("--feed", metavar="NAME", help="feed (HL7 v2) or source (FHIR)")
    parser.add_argument("--format", choices=_KINDS, help="how to split; otherwise found out")


def run(call: Call) -> int:
    """Store every message, wait until all are applied, and say what became of them."""
    sources = tuple(find_files(call.options.paths, call.options.format))
    with desk(call, create=True) as storing:
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

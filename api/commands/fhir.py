"""`wardtwin fhir`: FHIR servers as sources: add, list, check, sync, watch."""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec

from adapters.fhir.client.world import real_world
from api.collector import calm_collector
from api.commands import Call, Command
from api.desk import Desk, desk
from api.logs import log_to
from api.sources.checking import Checked, checked, rows
from api.sources.intake import KindSummary
from api.sources.ledger import Ledger, ledger_path
from api.sources.opening import alone, connected
from api.sources.status import unread
from api.sources.syncing import Report, SourceSync, Summary
from api.sources.taking import DeskTaking
from api.sources.watch import kept_in_step
from twin_core.clock import SystemClock
from twin_core.encryption import read_key
from twin_core.errors import FeedError, UsageError
from twin_core.settings import Loaded, Settings, SourceSettings, load

_COLUMNS = (
    *("source", "url", "version", "state", "synced_at", "lag_seconds", "breaker"),
    *("accepted", "duplicate", "rejected", "deleted", "reason"),
)
_KINDS = ("kind", "pages", "accepted", "duplicates", "rejected", "deleted", "trouble")
_FAILED = {"failed", "refused", "unreachable", "resting"}


def _adding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="the source's name: the feed of its statements"
    )
    parser.add_argument("url", metavar="URL", help="the server's base, before /metadata")
    parser.add_argument("--auth", choices=("token", "client_secret", "private_key"), help="how")
    parser.add_argument("--client-id", metavar="ID", default="", help="the twin's id at the server")
    parser.add_argument("--secret-file", metavar="FILE", help="file of the token, secret or key")
    parser.add_argument("--facility", metavar="CODE", default="", help="facility of its places")
    parser.add_argument("--write", metavar="FILE", type=Path, help="add it to this settings file")
    parser.add_argument("--offline", action="store_true", help="do not ask the server")


def _some(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="all where none is given")


def _syncing(parser: argparse.ArgumentParser) -> None:
    _some(parser)
    parser.add_argument("--full", action="store_true", help="read everything anew")


def add(call: Call) -> int:
    """Print, or write, the settings of a source, found out from the server."""
    options = call.options
    table: dict[str, object] = {"url": options.url}
    table |= {"facility": options.facility} if options.facility else {}
    if options.auth:
        table["auth"] = _auth(options)
    source = _validated(options.name, table)
    found = None if options.offline else asyncio.run(_checked(call, options.name, source))
    if found is not None:
        if found.types and tuple(found.types) != source.types:
            table["types"] = found.types
        if found.exports and not found.types:
            # A server of exports alone lets nothing be searched.
            table |= {"method": "bulk", "export": found.exports[0]}
            found = asyncio.run(_checked(call, options.name, _validated(options.name, table)))
        for one in found.tried:
            call.terminal.note(f"{one.verdict:<4}  {one.tried}: {one.said}")
    text = _toml(options.name, table, found)
    if options.write is None:
        call.terminal.line(text.rstrip())
    else:
        _write(options.write, options.name, text)
        call.terminal.note(f"Written to {options.write}; now `wardtwin fhir sync {options.name}`.")
    return 0 if found is None or found.is_clean else 1


def list_all(call: Call) -> int:
    """Print every source and how it is doing."""
    if call.path.exists():
        with desk(call) as answering:
            told = answering.ask("sources_list")
    else:
        told = unread(call.settings)
    if call.terminal.as_json:
        call.terminal.json(told)
    else:
        call.terminal.table(_COLUMNS, told)
    return 0


def check(call: Call) -> int:
    """Try what a sync would need; findings (exit 1) where something stands in its way."""

    async def all_of_them() -> list[Checked]:
        return [await _checked(call, name, source) for name, source in _chosen(call)]

    reports = asyncio.run(all_of_them())
    if call.terminal.as_json:
        call.terminal.json(reports)
    for report in () if call.terminal.as_json else reports:
        call.terminal.line(f"{report.source}  {report.url}")
        call.terminal.table(("tried", "verdict", "said"), rows(report))
    return 0 if all(report.is_clean for report in reports) else 1


def sync(call: Call) -> int:
    """Read what changed; findings (exit 1) where something was refused or left, FeedError (4) where
    a server could not be read."""
    log_to(call.terminal.err)
    calm_collector()
    with _ledger(call) as (ledger, answering):
        summaries = asyncio.run(_synced(call, ledger, answering))
    if call.terminal.as_json:
        call.terminal.json(summaries)
    for summary in () if call.terminal.as_json else summaries:
        _print(call, summary)
    failed = [summary for summary in summaries if summary.state in _FAILED]
    if failed:
        raise FeedError(
            f"Not in step with {', '.join(one.source for one in failed)}.",
            why=failed[0].reason,
            do="What was read is kept: sync again and it goes on from there.",
        )
    return 0 if all(summary.is_clean for summary in summaries) else 1


def watch(call: Call) -> int:
    """Keep in step until interrupted."""
    log_to(call.terminal.err)
    with _ledger(call) as (ledger, answering), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watched(call, ledger, answering))
    return 0


async def _synced(call: Call, ledger: Ledger, answering: Desk) -> list[Summary]:
    taking, settings = DeskTaking(answering), _merged(call, answering)
    summaries = []
    for name, source in _chosen(call):
        with alone(call.path, name):
            if call.options.full:
                ledger.forget(name)
            async with connected(name, source, settings.limits, real_world()) as server:
                report = _reporter(call, name)
                syncing = SourceSync(
                    server, ledger, taking, settings, SystemClock(), report, call.terminal.note
                )
                summaries.append(await syncing.sync())
    return summaries


async def _watched(call: Call, ledger: Ledger, answering: Desk) -> None:
    taking, settings = DeskTaking(answering), _merged(call, answering)
    loop, ours = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if ours is not None:
            loop.add_signal_handler(number, ours.cancel)

    def done(summary: Summary) -> None:
        if call.terminal.as_json:
            call.terminal.json_line(summary)
        else:
            taken = sum(kind.accepted for kind in summary.kinds)
            call.terminal.line(f"{summary.source}: {summary.state}, {taken:,} taken")
            call.terminal.out.flush()

    watching = [
        kept_in_step(name, settings, ledger, taking, SystemClock(), real_world(), done=done)
        for name, _ in _chosen(call)
    ]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*watching)


def _merged(call: Call, answering: Desk) -> Settings:
    """How resources are read is the store's holder's to say; sources and secrets are ours."""
    return answering.settings().model_copy(update={"sources": call.settings.sources})


@contextlib.contextmanager
def _ledger(call: Call) -> Iterator[tuple[Ledger, Desk]]:
    _chosen(call)
    with desk(call, create=True) as answering:
        identity = str(answering.ask("store_id"))
        ledger = Ledger(ledger_path(call.path), identity, read_key(call.settings.encryption))
        try:
            yield ledger, answering
        finally:
            ledger.close()


def _chosen(call: Call) -> list[tuple[str, SourceSettings]]:
    """The sources that were named, all where none was. UsageError for one that is not there."""
    configured = call.settings.sources
    names = call.options.names or list(configured)
    unknown = [name for name in names if name not in configured]
    if unknown or not names:
        what = f"There is no source {unknown[0]}." if unknown else "No source is configured."
        known = ", ".join(sorted(configured)) or "none"
        raise UsageError(what, why=f"Configured are: {known}.", do="See `wardtwin fhir add`.")
    return [(name, configured[name]) for name in names]


async def _checked(call: Call, name: str, source: SourceSettings) -> Checked:
    # A person waits: a server that is not there is said so after the second attempt.
    patient = source.model_copy(update={"attempts": min(source.attempts, 2)})
    async with connected(name, patient, call.settings.limits, real_world()) as server:
        return await checked(server)


def _reporter(call: Call, name: str) -> Report:
    def report(kind: KindSummary, total: int | None) -> None:
        done = kind.accepted + kind.duplicates + kind.rejected
        of = f" of {total:,}" if total is not None else ""
        if not call.terminal.as_json and kind.pages % 10 == 1:
            call.terminal.note(f"{name}: {kind.kind} {done:,}{of}")

    return report


def _print(call: Call, summary: Summary) -> None:
    call.terminal.line(f"{summary.source}: {summary.state}, FHIR {summary.version or '?'}")
    told = [msgspec.to_builtins(kind) for kind in summary.kinds]
    call.terminal.table(_KINDS, told)
    if summary.not_there:
        call.terminal.note(f"Not at the server: {', '.join(summary.not_there)}.")


def _auth(options: argparse.Namespace) -> dict[str, object]:
    if options.secret_file is None:
        raise UsageError(
            f"{options.auth} needs a file.", do="Name it with --secret-file; it is not read now."
        )
    auth: dict[str, object] = {"method": options.auth}
    auth |= {"client_id": options.client_id} if options.client_id else {}
    return auth | {f"{options.auth}_file": options.secret_file}


def _validated(name: str, table: dict[str, object]) -> SourceSettings:
    flat = {f"sources.{name}.{key}": value for key, value in table.items() if key != "auth"}
    auth = table.get("auth")
    if isinstance(auth, dict):
        flat |= {f"sources.{name}.auth.{key}": value for key, value in auth.items()}
    loaded: Loaded = load(flags=flat)
    return loaded.settings.sources[name]


def _toml(name: str, table: dict[str, object], found: Checked | None) -> str:
    """The settings as TOML; JSON strings and lists of them are TOML, too."""
    lines = [f"[sources.{_key(name)}]"]
    if found is not None and found.version:
        lines.append(f"# FHIR {found.version} {found.software}".rstrip())
        if found.exports:
            lines.append(f"# exports: {', '.join(found.exports)}")
    lines += [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in table.items()
        if key != "auth"
    ]
    auth = table.get("auth")
    if isinstance(auth, dict):
        lines += ["", f"[sources.{_key(name)}.auth]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in auth.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if "." not in name else json.dumps(name)


def _write(file: Path, name: str, text: str) -> None:
    there = file.exists()
    if there and name in load(file).settings.sources:
        raise UsageError(f"{file} has a source {name} already.", do="Choose another name.")
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"\n{text}" if there else text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written.", why=error.strerror or "") from error
    load(file)


COMMAND = Command(
    name="fhir",
    help="FHIR servers as sources: add, list, check, sync, watch",
    description=(
        "Keep the twin in step with FHIR servers that are configured under sources.NAME.\n"
        "See docs/how-to/connect-a-fhir-server.md."
    ),
    examples=(
        "wardtwin fhir add pas https://fhir.example.org/r4 --write site.toml",
        "wardtwin fhir check --config site.toml",
        "wardtwin fhir sync --config site.toml --db hospital.duckdb",
    ),
    commands=(
        Command(
            name="add",
            help="settings for a server, found out from it",
            examples=(
                "wardtwin fhir add pas https://fhir.example.org/r4",
                "wardtwin fhir add pas https://fhir.example.org/r4 --auth private_key "
                "--client-id twin --secret-file key.pem --write site.toml",
            ),
            arguments=_adding,
            run=add,
        ),
        Command(
            name="list",
            help="every source and how it is doing",
            examples=("wardtwin fhir list --json",),
            run=list_all,
        ),
        Command(
            name="check",
            help="try what a sync needs; exit 1 where it is not there",
            examples=("wardtwin fhir check pas",),
            arguments=_some,
            run=check,
        ),
        Command(
            name="sync",
            help="read what changed, once",
            examples=("wardtwin fhir sync", "wardtwin fhir sync pas --full"),
            arguments=_syncing,
            run=sync,
        ),
        Command(
            name="watch",
            help="keep in step until interrupted; a running server does so by itself",
            examples=("wardtwin fhir watch pas",),
            arguments=_some,
            run=watch,
        ),
    ),
)

"""A source read by Bulk Data export: file by file, each applied before it is removed.

A file is durable where it lies. After an end at any moment the export goes on: a part is fetched
further, a whole file is read again, and of it only what is missing is applied.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from adapters.fhir.client.bulk import Export, ExportFile, ExportState
from adapters.fhir.client.faults import Declined, Lost, Unauthorized
from adapters.fhir.client.fetching import Fetched, Fetcher
from adapters.fhir.client.outcome import issue_codes
from adapters.fhir.client.page import PageEntry, entries_of
from adapters.fhir.client.search import Checkpoint, at_of, text_of
from adapters.files import find_files
from api.ingesting import Order
from api.sources.intake import KindSummary, SourceIntake, high_of
from api.sources.ledger import held
from api.sources.taking import Follow
from twin_core.encryption import Files

WHAT = "export"
Say = Callable[[str], None]
"""Told in words how an export gets on."""
_DELETES_AT_ONCE = 500
_SAID_EVERY_S = 5.0


class Exporting:
    """Exports of one source."""

    def __init__(self, intake: SourceIntake, say: Say) -> None:
        self._intake, self._say = intake, say
        ledger, self._files = intake.ledger.path, intake.ledger.files
        self.folder = ledger.with_name(f"{ledger.name}.files") / intake.name

    async def run(self, kinds: Sequence[KindSummary]) -> ExportState:
        """One export from wherever it is to its end; the state behind it.

        Raises Declined where the server gives none, Lost where it is lost again and again, and what
        asking raises.
        """
        names = tuple(kind.kind for kind in kinds)
        there = self._intake.capability.kinds if self._intake.capability is not None else {}
        export = Export(
            self._intake.server,
            names,
            lambda said: self._say(f"export {said}"),
            listed=tuple(name for name in names if name in there),
            known_as=self._intake.known_as,
        )
        state = self._begun(names)
        while True:
            async for further in export.ready(state):
                state = self._kept(further)
            try:
                state = await self._taken(export, state, {kind.kind: kind for kind in kinds})
            except Lost:
                self._remove_files()
                state = self._kept(export.again(state))
                continue
            await export.thank(state)
            self._remove_files()
            return self._kept(state.ended())

    def begin_searches(self, state: ExportState, kinds: Sequence[KindSummary]) -> None:
        """Searches go on from where an export ended."""
        intake, watermark = self._intake, text_of(at_of(state.watermark))
        for kind in kinds:
            for what in (f"search/{kind.kind}", f"deleted/{kind.kind}"):
                if intake.checkpoint(what) is None:
                    intake.ledger.keep(intake.name, what, held(Checkpoint(watermark=watermark)))

    def state(self) -> ExportState | None:
        """How far the export is, if there ever was one."""
        kept = self._intake.ledger.checkpoint(self._intake.name, WHAT)
        return None if kept is None else msgspec.json.decode(kept, type=ExportState)

    def _begun(self, names: tuple[str, ...]) -> ExportState:
        source = self._intake.source
        query = repr((source.url, source.export, names, sorted(source.filters.items())))
        state = self.state()
        if state is not None and state.query == query:
            return state
        self._remove_files()
        return ExportState(query=query)

    def _kept(self, state: ExportState) -> ExportState:
        self._intake.ledger.keep(self._intake.name, WHAT, held(state))
        return state

    async def _taken(
        self, export: Export, state: ExportState, kinds: dict[str, KindSummary]
    ) -> ExportState:
        """The state with every file taken."""
        fetcher = Fetcher(self._intake.server, self.folder, self._files)
        for number in range(len(state.files)):
            if state.files[number].is_taken:
                continue
            tell = self._teller(state, number)
            state, path = await self._fetched(export, fetcher, state, number, _of_fetch(tell))
            file = state.files[number]
            kind = kinds.setdefault(file.kind, KindSummary(kind=file.kind))
            position = await self._take(file, path, kind, state, tell)
            state = state.with_taken(number)
            self._intake.ledger.keep(self._intake.name, WHAT, held(state), position=position)
            path.unlink(missing_ok=True)
        return state

    async def _fetched(
        self,
        export: Export,
        fetcher: Fetcher,
        state: ExportState,
        number: int,
        tell: Fetched,
    ) -> tuple[ExportState, Path]:
        """A file on disk; where its address has expired, the manifest is asked for a new one."""
        name, file = _name(number, state.files[number]), state.files[number]
        try:
            path = await fetcher.fetched(file, name, needs_token=state.needs_token, tell=tell)
        except (Declined, Unauthorized):
            state = self._kept(await export.renewed(state))
            file = state.files[number]
            try:
                path = await fetcher.fetched(file, name, needs_token=state.needs_token, tell=tell)
            except Declined as error:
                raise Lost(error.what, why=error.why, status=error.status) from error
        return state, path

    async def _take(
        self, file: ExportFile, path: Path, kind: KindSummary, state: ExportState, tell: Say
    ) -> int:
        """Apply a file; the last inbox position of it."""
        if file.category == "deleted":
            return await self._take_deletes(path, kind, state)
        if file.category == "error":
            codes = await asyncio.to_thread(_codes, path, self._files)
            self._say(f"the export has errors: {codes}" if codes else "")
            return 0
        size = path.stat().st_size
        if not size:
            return 0
        intake = self._intake
        order = Order(
            sources=tuple(find_files([str(path)], "ndjson")),
            feed=intake.name,
            settings=intake.settings.model_dump_json(by_alias=True, exclude={"secrets"}),
            received_at=intake.clock.now(),
            own=intake.own,
            sealed_by=self._files.secret,
        )
        summary, position = await intake.taking.ingested(order, _of_intake(tell, size))
        kind.accepted += summary.accepted
        kind.duplicates += summary.duplicates
        kind.rejected += summary.rejected
        kind.pages += 1
        counted = {
            "accepted": summary.accepted,
            "duplicate": summary.duplicates,
            "rejected": summary.rejected,
        }
        intake.ledger.count(intake.name, kind.kind, counted)
        return position

    def _teller(self, state: ExportState, number: int) -> Say:
        """Says every few seconds how far a file is: an export of a hospital takes an hour."""
        monotonic, kind = self._intake.server.world.monotonic, state.files[number].kind
        place = 1 + sum(file.is_taken for file in state.files)
        file = f"file {place} of {len(state.files)}, {kind or 'resources'}"
        said_at = monotonic()

        def tell(how_far: str) -> None:
            nonlocal said_at
            if monotonic() - said_at >= _SAID_EVERY_S:
                said_at = monotonic()
                self._say(f"{file}: {how_far}")

        return tell

    async def _take_deletes(self, path: Path, kind: KindSummary, state: ExportState) -> int:
        """A file of transactions that delete, each dated by the export."""
        position, several = 0, []
        for one in await asyncio.to_thread(_deletes, path, self._intake.name, self._files):
            several.append(one._replace(updated=one.updated or state.transaction_time))
            if len(several) >= _DELETES_AT_ONCE:
                position = max(position, high_of(await self._intake.stored(kind, several)))
                several = []
        return max(position, high_of(await self._intake.stored(kind, several)))

    def _remove_files(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _of_fetch(tell: Say) -> Fetched:
    """How far a file is fetched, in words."""

    def fetched(there: int, length: int) -> None:
        share = f"{there / length:.0%} of {_mib(length)}" if length > 0 else _mib(there)
        tell(f"{share} fetched")

    return fetched


def _of_intake(tell: Say, size: int) -> Follow:
    """How far a file of so many bytes is taken in, in words."""
    return lambda bytes_read, note: tell(f"{min(1.0, bytes_read / size):.0%}, {note}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


def _deletes(path: Path, name: str, files: Files) -> list[PageEntry]:
    with files.opened(path) as opened:
        lines = [line for line in opened if line.strip()]
    return [one for line in lines for one in entries_of(line, name) if one.is_delete]


def _codes(path: Path, files: Files) -> str:
    with files.opened(path) as opened:
        told = dict.fromkeys(issue_codes(line) for line in opened)
    return ", ".join(filter(None, told))[:200]


def _name(number: int, file: ExportFile) -> str:
    kind = file.kind if file.kind.isalpha() and file.kind.isascii() else "resources"
    return f"{number:05d}.{file.category}.{kind[:40]}"

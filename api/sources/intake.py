"""What is read of a source becomes durable, page by page, each with the checkpoint behind it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from adapters.fhir.client.capability import Capability
from adapters.fhir.client.page import PageEntry
from adapters.fhir.client.search import Checkpoint, Step, at_of, text_of
from adapters.fhir.client.server import FhirServer
from adapters.fhir.client.statements import source_scope, statements
from adapters.fhir.reading import Scope
from api.sources.ledger import Key, Ledger, held
from api.sources.taking import Taking, taken
from twin_core.clock import Clock
from twin_core.identifiers import TWIN_SOURCE
from twin_core.inbox import Answer
from twin_core.settings import Settings


class KindSummary(msgspec.Struct, kw_only=True):
    """What one sync made of one resource type."""

    kind: str
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    deleted: int = 0
    pages: int = 0
    trouble: str = ""


class SourceIntake:
    """The way of one source's entries into the twin."""

    def __init__(
        self, server: FhirServer, ledger: Ledger, taking: Taking, settings: Settings, clock: Clock
    ) -> None:
        self.server, self.name, self.source = server, server.name, server.settings
        self.ledger, self.taking, self.settings, self.clock = ledger, taking, settings, clock
        self.capability: Capability | None = None

    @property
    def own(self) -> str:
        """meta.source of what this twin itself told: it may come back from another."""
        return f"{TWIN_SOURCE}{self.ledger.store_id}"

    @property
    def known_as(self) -> str:
        """The server's base as it knows itself."""
        return self.capability.address if self.capability is not None else ""

    def checkpoint(self, what: str) -> Checkpoint | None:
        """Where the reading of `what` goes on."""
        kept = self.ledger.checkpoint(self.name, what)
        return None if kept is None else msgspec.json.decode(kept, type=Checkpoint)

    async def scope(self) -> Scope:
        """How what the source states is read now."""
        release = await self.server.release()
        now = self.clock.now()
        bases = (self.known_as,)
        return source_scope(self.name, self.source, self.settings, release, now, bases, self.own)

    async def take(self, what: str, kind: KindSummary, step: Step) -> None:
        """Make a page's entries durable, then its checkpoint."""
        fresh = await asyncio.to_thread(self.fresh, what, step.entries)
        kind.duplicates += len(step.entries) - len(fresh)
        answers = await self.stored(kind, fresh)
        await asyncio.to_thread(self.keep, what, kind, step, answers)

    async def stored(self, kind: KindSummary, entries: Sequence[PageEntry]) -> list[Answer]:
        """Make entries durable: resources as statements, deletes as their withdrawal."""
        receipts = await asyncio.to_thread(
            statements,
            entries,
            await self.scope(),
            self.settings.limits,
            f"fhir {self.source.url}",
        )
        answers = await taken(self.taking, receipts, self.server.world)
        counted = Counter(answer.status for answer in answers)
        gone = [one.is_delete for one in entries if one.raw or one.is_delete]
        deleted = sum(
            is_gone and answer.status == "accepted"
            for is_gone, answer in zip(gone, answers, strict=True)
        )
        kind.pages += 1
        kind.accepted += counted["accepted"] - deleted
        kind.deleted += deleted
        kind.duplicates += counted["duplicate"]
        kind.rejected += counted["rejected"]
        outcomes = {**counted, "accepted": counted["accepted"] - deleted, "deleted": deleted}
        self.ledger.count(self.name, kind.kind, outcomes)
        return answers

    def fresh(self, what: str, entries: Sequence[PageEntry]) -> list[PageEntry]:
        """The entries that were not taken before, each version once."""
        keys = [_key(one) for one in entries]
        unseen = self.ledger.unseen(self.name, what, [key for key in keys if key is not None])
        fresh = []
        for one, key in zip(entries, keys, strict=True):
            if key is None or key in unseen:
                fresh.append(one)
                unseen -= {key} if key is not None else set()
        return fresh

    def keep(self, what: str, kind: KindSummary, step: Step, answers: Sequence[Answer]) -> None:
        """Write down the checkpoint behind a page that is durable."""
        at = step.checkpoint
        overlap = timedelta(seconds=self.source.overlap_s)
        window = text_of(at_of(at.watermark) - overlap) if at.watermark else ""
        # A server that cannot tell what changed shows everything each time.
        window = "" if at.plain >= 2 or at.is_blind else window
        seen = []
        for one in step.entries:
            key, updated = _key(one), one.updated_at
            stamp = text_of(updated) if updated is not None else ""
            if key is not None and stamp >= window:
                seen.append((*key, stamp))
        self.ledger.keep(
            self.name,
            what,
            held(at),
            position=high_of(answers),
            seen=seen,
            forget_before=window,
        )


def high_of(answers: Sequence[Answer]) -> int:
    """The last inbox position of some answers; 0 where there is none."""
    return max((answer.position or 0 for answer in answers), default=0)


def _key(one: PageEntry) -> Key | None:
    if not (one.kind and one.id and (one.version or one.updated)):
        return None
    # A server that was set up anew begins its version ids again, at other times.
    return f"{one.kind}/{one.id}", f"{one.version} {one.updated}"

"""What a source deleted leaves the twin: found by the first way that the server supports.

Deletes are looked for after the searches, from where the last look ended; the first look begins
where the first sync began, before which nothing was known that could be deleted.
"""

import logging
from datetime import datetime, timedelta

import msgspec

from adapters.fhir.client.deletions import DeletedSearch, History, read_again
from adapters.fhir.client.faults import Declined, Unauthorized
from adapters.fhir.client.search import Checkpoint, Step, text_of
from api.sources.intake import KindSummary, SourceIntake
from api.sources.ledger import held

LOG = logging.getLogger("wardtwin.sources")
VERIFIED = "Encounter"
"""The type whose open resources are asked for one by one: they occupy beds."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """When open encounters were last read one by one."""

    at: str = ""


class Deleting:
    """Finds what one source deleted."""

    def __init__(self, intake: SourceIntake) -> None:
        self._intake = intake
        self._routes = intake.source.deletes

    def begin(self, kinds: list[KindSummary], server_time: datetime | None) -> None:
        """Remember where the first look begins: at the server's clock before the first search."""
        intake = self._intake
        for kind in kinds:
            what = f"deleted/{kind.kind}"
            if server_time is not None and intake.checkpoint(what) is None:
                at = Checkpoint(watermark=text_of(server_time))
                intake.ledger.keep(intake.name, what, held(at))

    async def find(self, kind: KindSummary) -> None:
        """Take what was deleted of one type since the last look."""
        for route in self._routes:
            if route == "read":
                if kind.kind == VERIFIED:
                    await self._read(kind)
                return
            try:
                if route == "history" and self._has_history(kind.kind):
                    await self._by_history(kind)
                    return
                if route == "_deleted":
                    await self._by_flag(kind)
                    return
            except (Declined, Unauthorized) as error:
                LOG.debug("source %s: no deletes by %s: %s", self._intake.name, route, error.what)

    def _has_history(self, kind: str) -> bool:
        capability = self._intake.capability
        return capability is not None and capability.can(kind, "history-type")

    async def _by_history(self, kind: KindSummary) -> None:
        intake, what = self._intake, f"deleted/{kind.kind}"
        kept = intake.checkpoint(what)
        if kept is None or not kept.watermark:
            return
        history = History(intake.server, kind.kind, known_as=intake.known_as)
        at = kept if kept.query in ("", history.query) else Checkpoint(watermark=kept.watermark)
        async for step in history.passed(msgspec.structs.replace(at, query=history.query)):
            await intake.take(what, kind, step)

    async def _by_flag(self, kind: KindSummary) -> None:
        """Stubs are confirmed by a read, for what was deleted may be there again by now."""
        intake, what = self._intake, f"deleted/{kind.kind}"
        search = DeletedSearch(intake.server, kind.kind, known_as=intake.known_as)
        kept = intake.checkpoint(what)
        watermark = kept.watermark if kept is not None else ""
        if kept is None or kept.query not in ("", search.query):
            kept = Checkpoint(query=search.query, watermark=watermark)
        async for step in search.passed(kept):
            fresh = intake.fresh(what, step.entries)
            gone = []
            for stub in fresh:
                found = await read_again(intake.server, stub.kind, stub.id)
                if found is None or found.is_delete:
                    gone.append(stub._replace(raw=b"", is_delete=True))
            answers = await intake.stored(kind, gone)
            intake.keep(what, kind, Step(step.entries, step.checkpoint), answers)

    async def _read(self, kind: KindSummary) -> None:
        """Read every open encounter of this source once in a while; what is gone is deleted."""
        intake, what = self._intake, "verified"
        kept = intake.ledger.checkpoint(intake.name, what)
        now = intake.clock.now()
        last = msgspec.json.decode(kept, type=Verified).at if kept else ""
        pause = timedelta(seconds=intake.source.verify_s)
        if last and now - datetime.fromisoformat(last) < pause:
            return
        for subject, version in await intake.taking.open_encounters(intake.name):
            found = await read_again(intake.server, VERIFIED, subject.partition("/")[2], version)
            if found is not None:
                await intake.stored(kind, [found])
        intake.ledger.keep(intake.name, what, held(Verified(at=now.isoformat())))

"""Resources and Bundles on their way into the twin: read, translated, made durable, answered.

Small bodies are translated in the event loop, larger ones in a thread. Whatever is refused after
its body was read is submitted too, so that the quarantine keeps its bytes and the reason.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, TypeVar
from zoneinfo import ZoneInfo

from msgspec import structs
from starlette.concurrency import run_in_threadpool

from adapters.fhir import encode
from adapters.fhir.bundle import (
    MISMATCH,
    REQUESTED,
    id_of,
    read_bundle,
    take_entries,
    taken,
)
from adapters.fhir.deletion import DELETE, Deletion, take_deletion
from adapters.fhir.encode import EntryAnswer, Json
from adapters.fhir.entries import Bundle, Entry, Request, Taken
from adapters.fhir.faults import DATA_TYPE, DUPLICATE_KEY, UNSUPPORTED, Refused, rejection
from adapters.fhir.read import Resource, read_resource
from adapters.fhir.reading import Scope
from adapters.fhir.release import Release
from api.audit.recording import took
from api.fhir.origins import own_source
from api.routes.fhir_requests import Condition, condition_of, source_of
from twin_core.clock import Clock
from twin_core.events import Fault, Rejection, Translation
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.inbox import Answer, Receipt
from twin_core.settings import FacilitySettings, Settings

SMALL_BYTES = 64 * 1024
"""Bodies up to here are translated in the event loop; handing them to a thread would cost more."""
_REMEMBERED = 100_000
_MOST_FAULTS = 50
MOST_READS = 100
"""Entries of one batch that are read at most."""
_TOO_COSTLY = EntryAnswer(
    400,
    outcome=encode.operation_outcome(
        [encode.issue("error", "too-costly", f"A batch may read {MOST_READS} times.")]
    ),
)
_T = TypeVar("_T")

_EXISTING = {
    "Patient": ("twin.patient_identifier", "patient_id"),
    "Encounter": ("twin.encounter_identifier", "encounter_id"),
    "Location": ("twin.location_identifier", "location_id"),
    "Device": ("twin.device_identifier", "device_id"),
}
CONDITIONAL = frozenset(_EXISTING)
"""Types for which If-None-Exist is answered."""
_MATCHES = (
    "SELECT DISTINCT {key} AS id FROM {table} WHERE system = $system AND value = $value LIMIT 2"
)
_ADDRESS = (
    "SELECT value FROM {table} WHERE {key} = $id AND system = $source AND type = 'reference' "
    "AND starts_with(value, $kind) ORDER BY value LIMIT 1"
)
_SUBJECT = "split_part(control_id, '/', 1) || '/' || split_part(control_id, '/', 2)"
# As one JSON text, thousands of subjects are bound in milliseconds; as a list it takes seconds.
_FIRST = (
    f"SELECT {_SUBJECT} AS subject, min(message_id) AS first FROM twin.message "  # noqa: S608
    f"WHERE feed = $feed AND status <> 'quarantined' AND ({_SUBJECT}) IN "
    "(SELECT unnest(from_json($subjects, '[\"VARCHAR\"]'))) GROUP BY ALL"
)


class Intake(Protocol):
    """What of a Twin is needed to take resources in."""

    @property
    def settings(self) -> Settings:
        """What the site has set."""
        ...

    @property
    def clock(self) -> Clock:
        """The hospital's clock."""
        ...

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """Make receipts durable as one group."""
        ...

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[dict[str, object]]:
        """Rows of a fixed query."""
        ...


class Posted(NamedTuple):
    """One request: its body, its address, and what it asks for."""

    body: bytes
    base: str
    sources: Sequence[str] = ()
    """Values of `?source=`."""
    kind: str = ""
    id_: str = ""
    if_none_exist: str = ""
    read: "Callable[[Request], Awaitable[EntryAnswer]] | None" = None
    """How an entry of a batch is read."""


class Instants:
    """The clock's instants, no two alike.

    What a server says without a version is ordered by its receipt, and the clock of a demo, or of
    a machine that was set back, may show one instant twice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()

    def next(self) -> datetime:
        """The current instant, or the first one after the last that was given."""
        self._last = max(self._clock.now(), self._last + timedelta(microseconds=1))
        return self._last


class FhirIntake:
    """One FHIR base of a twin."""

    def __init__(self, twin: Intake, release: Release, instants: Instants) -> None:
        self.twin, self.release = twin, release
        self._instants = instants
        self._own = ""
        self.limits = twin.settings.limits
        self._firsts: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def take_resource(self, posted: Posted) -> EntryAnswer:
        """One resource created (no `id_`) or stated anew under its id."""
        read = await _worked(posted.body, lambda: read_resource(posted.body, self.limits))
        if isinstance(read, Refused):
            return await self._refuse(read, posted)
        source = source_of(posted.sources, _meta_source(read), self._default_source())
        if isinstance(source, Refused):
            return await self._refuse(source, posted)
        stated_id = id_of(read)
        if read.type != posted.kind or (posted.id_ and stated_id not in ("", posted.id_)):
            fault = Fault(where=f"{posted.kind}.id", code=DATA_TYPE, reason=MISMATCH)
            return await self._refuse(Refused(400, fault), posted, source)
        existing = await self._existing(posted.kind, posted.if_none_exist, source)
        if isinstance(existing, Refused):
            return await self._refuse(existing, posted, source)
        if existing:
            return EntryAnswer(200, existing)
        entry = Entry(0, "", posted.body, Request(method="PUT" if posted.id_ else "POST"))
        scope = self._scope(source, posted.base)
        one = await self._taken(entry, read, scope, posted.id_ or stated_id)
        (answer,) = await self._stored([one], source)
        return answer

    async def delete_resource(self, posted: Posted) -> EntryAnswer:
        """A resource that its source no longer has; asked for again, nothing more happens."""
        source = source_of(posted.sources, None, self._default_source())
        if isinstance(source, Refused):
            return EntryAnswer(source.status, outcome=encode.refusal([source.fault]))
        scope = self._scope(source, posted.base)
        one = take_deletion(Deletion(posted.kind, posted.id_), scope)
        (answer,) = await self._stored([one], source)
        return answer

    async def take_bundle(self, posted: Posted) -> tuple[int, Json]:
        """A Bundle: a transaction as a whole, any other entry by entry."""
        read = await run_in_threadpool(read_bundle, posted.body, self.limits)
        if isinstance(read, Refused):
            return _as_bundle_answer(await self._refuse(read, posted))
        source = source_of(posted.sources, read.source, self._default_source())
        if isinstance(source, Refused):
            return _as_bundle_answer(await self._refuse(source, posted))
        read_one, reads = posted.read or _read_nothing, _reads(read)
        in_order, read = read.entries, _without(read, reads)
        settled = await self._settled(read, source)
        scope = self._scope(source, posted.base)
        existing = {at: _identifier(answer, source) for at, answer in settled.items()}
        several = await run_in_threadpool(
            lambda: list(take_entries(read, scope, self.limits, existing))
        )
        if read.type == "transaction":
            faults = _failures(several, settled)
            if faults:
                return await self._refuse_transaction(faults, posted, source)
        answers = await self._stored(several, source, in_bundle=True)
        found = dict(settled)
        for one, answer in zip(several, answers, strict=True):
            found[one.entry.position] = answer
        for number, entry in enumerate(reads):
            found[entry.position] = (
                await read_one(entry.request) if number < MOST_READS else _TOO_COSTLY
            )
        answers_in_order = (found[entry.position] for entry in in_order)
        return 200, encode.bundle_response(read.type, answers_in_order, posted.base)

    async def _taken(self, entry: Entry, read: Resource, scope: Scope, id_: str) -> Taken:
        """A resource as events: at once where that is quick, in a thread where the judge is asked.

        Loading the judge takes most of a second, in which no other sender would be answered.
        """
        strictness = scope.settings.strictness
        if len(entry.raw) <= SMALL_BYTES and strictness != "strict":
            quick = structs.replace(scope, judged=False)
            one = taken(entry, read, quick, self.limits, id_)
            if strictness == "lenient" or not isinstance(one.outcome, Rejection):
                return one
        return await run_in_threadpool(taken, entry, read, scope, self.limits, id_)

    def _default_source(self) -> str:
        return self.twin.settings.fhir.source

    def _own_source(self) -> str:
        if not self._own:
            self._own = own_source(self.twin.query)
        return self._own

    def _scope(self, source: str, base: str) -> Scope:
        settings = self.twin.settings
        facility = settings.facilities.get(settings.fhir.facility, FacilitySettings())
        return Scope(
            source=source,
            release=self.release,
            settings=settings.fhir,
            received_at=self._instants.next(),
            zone=ZoneInfo(facility.time_zone),
            bases=frozenset({base}),
            own=self._own_source(),
        )

    async def _settled(self, bundle: Bundle, source: str) -> dict[int, EntryAnswer]:
        """Entries that If-None-Exist answers: they exist already, or it cannot be told."""
        found: dict[int, EntryAnswer] = {}
        for entry in bundle.entries if bundle.type in REQUESTED else ():
            asked = entry.request.if_none_exist
            if not asked or entry.request.method != "POST":
                continue
            existing = await self._existing(entry.request.url, asked, source)
            if isinstance(existing, Refused):
                where = f"Bundle.entry[{entry.position}].request.ifNoneExist"
                fault = Fault(where=where, code=existing.fault.code, reason=existing.fault.reason)
                found[entry.position] = EntryAnswer(412, outcome=encode.refusal([fault]))
            elif existing:
                found[entry.position] = EntryAnswer(200, existing)
        return found

    async def _existing(self, kind: str, asked: str, source: str) -> str | Refused:
        """`Type/id` of what If-None-Exist describes, or nothing where it may be created."""
        condition = condition_of(asked)
        if condition is None or isinstance(condition, Refused):
            return condition or ""
        if kind not in _EXISTING:
            reason = "If-None-Exist is answered for Patient, Encounter, Location and Device only."
            return Refused(412, Fault(where="", code=UNSUPPORTED, reason=reason))
        return await run_in_threadpool(self._found, kind, condition, source)

    def _found(self, kind: str, condition: Condition, source: str) -> str | Refused:
        table, key = _EXISTING[kind]
        rows = self.twin.query(_MATCHES.format(table=table, key=key), condition._asdict())
        if len(rows) > 1:
            reason = "More than one resource has this identifier."
            return Refused(412, Fault(where="", code=DUPLICATE_KEY, reason=reason))
        if not rows:
            return ""
        asked = {"id": rows[0]["id"], "source": source, "kind": f"{kind}/"}
        own = self.twin.query(_ADDRESS.format(table=table, key=key), asked)
        return str(own[0]["value"]) if own else f"{kind}/{rows[0]['id']}"

    async def _stored(
        self, several: Sequence[Taken], source: str, *, in_bundle: bool = False
    ) -> list[EntryAnswer]:
        """Make everything durable as one group, and say of each what became of it."""
        # An entry without a resource has no bytes to keep: it is only answered.
        kept = [one for one in several if one.entry.raw]
        receipts = [self._receipt(one.entry.raw, one.outcome, source) for one in kept]
        answers = await self._submitted(receipts)
        positions = {one.entry.position: answer for one, answer in zip(kept, answers, strict=True)}
        stated = {
            one.subject: positions[one.entry.position].position or 0
            for one in reversed(several)
            if one.entry.request.method == "PUT" and isinstance(one.outcome, Translation)
        }
        firsts = await self._first_positions(source, stated)
        return [
            _rejected(one.outcome, one.entry.position if in_bundle else None)
            if isinstance(one.outcome, Rejection)
            else _accepted(one, one.outcome, positions[one.entry.position], firsts)
            for one in several
        ]

    async def _first_positions(self, source: str, stated: Mapping[str, int]) -> Mapping[str, int]:
        """Where resources were first received: later statements of them are updates."""
        unknown = [subject for subject in stated if (source, subject) not in self._firsts]
        if unknown:
            asked = {"feed": source, "subjects": json.dumps(unknown)}
            rows = await run_in_threadpool(self.twin.query, _FIRST, asked)
            known = {str(row["subject"]): row["first"] for row in rows}
            for subject in unknown:
                first = known.get(subject)
                self._firsts[source, subject] = first if isinstance(first, int) else stated[subject]
        firsts = {subject: self._firsts[source, subject] for subject in stated}
        while len(self._firsts) > _REMEMBERED:
            self._firsts.popitem(last=False)
        return firsts

    async def _refuse(
        self, refused: Refused, posted: Posted, source: str | None = None
    ) -> EntryAnswer:
        """Quarantine a whole body, and say why."""
        outcome = rejection(refused, source or self._default_source())
        await self._submitted([self._receipt(posted.body, outcome, outcome.feed)])
        return EntryAnswer(refused.status, outcome=encode.refusal([refused.fault]))

    async def _refuse_transaction(
        self, faults: Sequence[Fault], posted: Posted, source: str
    ) -> tuple[int, Json]:
        outcome = Rejection(
            code="AE",
            faults=tuple(faults[:_MOST_FAULTS]),
            feed=source,
            sender=source,
            trigger_event="FHIR Bundle",
        )
        await self._submitted([self._receipt(posted.body, outcome, source)])
        return 422, encode.refusal(outcome.faults)

    def _receipt(self, raw: bytes, outcome: Translation | Rejection, source: str) -> Receipt:
        origin = f"http /fhir/{self.release}"
        return Receipt(format="fhir", feed=source, raw=raw, outcome=outcome, origin=origin)

    async def _submitted(self, receipts: Sequence[Receipt]) -> list[Answer]:
        answers = await asyncio.wrap_future(self.twin.submit(receipts)) if receipts else []
        took(answer.position for answer in answers)
        return answers


async def _read_nothing(_: Request) -> EntryAnswer:
    return EntryAnswer(405, outcome=encode.operation_outcome([_NOT_READ]))


_NOT_READ = encode.issue("error", "not-supported", "Nothing is read here.")


def _reads(bundle: Bundle) -> tuple[Entry, ...]:
    """The entries of a batch that ask to be read."""
    if bundle.type != "batch":
        return ()
    return tuple(entry for entry in bundle.entries if entry.request.method == "GET")


def _without(bundle: Bundle, several: Sequence[Entry]) -> Bundle:
    left_out = {entry.position for entry in several}
    kept = tuple(entry for entry in bundle.entries if entry.position not in left_out)
    return bundle._replace(entries=kept)


async def _worked(body: bytes, work: Callable[[], _T]) -> _T:
    return work() if len(body) <= SMALL_BYTES else await run_in_threadpool(work)


def _identifier(answer: EntryAnswer, source: str) -> Identifier:
    return Identifier(source, answer.subject, REFERENCE)


def _failures(several: Sequence[Taken], settled: Mapping[int, EntryAnswer]) -> list[Fault]:
    """Why a transaction fails as a whole; empty where it does not."""
    found = []
    for at, answer in settled.items():
        if answer.status != 200:
            where = f"Bundle.entry[{at}].request.ifNoneExist"
            reason = "The condition cannot be answered, or describes several resources."
            found.append(Fault(where=where, code=UNSUPPORTED, reason=reason))
    seen: set[str] = set()
    for one in several:
        position = one.entry.position
        if isinstance(one.outcome, Rejection):
            for fault in one.outcome.faults:
                where = encode.expression(fault, position)
                found.append(Fault(where=where, code=fault.code, reason=fault.reason))
        elif one.subject in seen:
            where = f"Bundle.entry[{position}].request.url"
            reason = "Another entry of the transaction is about the same resource."
            found.append(Fault(where=where, code=DUPLICATE_KEY, reason=reason))
        seen.add(one.subject)
    return found


def _rejected(outcome: Rejection, position: int | None) -> EntryAnswer:
    status = 400 if outcome.code == "AR" else 422
    return EntryAnswer(status, outcome=encode.refusal(outcome.faults, position))


def _accepted(
    one: Taken, outcome: Translation, answer: Answer, firsts: Mapping[str, int]
) -> EntryAnswer:
    if one.entry.request.method == DELETE:
        return EntryAnswer(204)
    position = answer.position or 0
    updated = one.entry.request.method == "PUT" and position > firsts[one.subject]
    return EntryAnswer(
        200 if updated else 201,
        one.subject,
        one.version or str(position),
        one.last_updated,
        encode.acceptance(outcome.findings),
    )


def _as_bundle_answer(answer: EntryAnswer) -> tuple[int, Json]:
    return answer.status, answer.outcome or encode.refusal([])


def _meta_source(resource: Resource) -> object:
    meta = resource.tree.get("meta")
    return meta.get("source") if isinstance(meta, dict) else None

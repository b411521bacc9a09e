"""What a message said, what became of it and which rows it changed, side by side.

One structure for the command line, the API and the pages. Values that `adapters.disclosure` does
not pass are masked unless `phi` asks for them.
"""

import inspect
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from adapters.disclosure import Word, row_words, words
from adapters.hl7v2 import explain as explain_content
from adapters.hl7v2.explain import ExplainedMessage
from api.translating import Reader, retranslated
from twin_core.errors import UsageError
from twin_core.events import (
    Event,
    Fault,
    NotedFinding,
    Rejection,
    Translation,
    decode_events,
)
from twin_core.settings import FeedSettings, Settings
from twin_core.store.touched import RowChange, Touched
from twin_core.twin import Twin

NOT_KEPT = (
    "The bytes of this message are not kept any more: retention or an erasure has removed them. "
    "What it said is kept as its events."
)
BEGAN, CHANGED, ENDED = "began", "changed", "ended"

_MESSAGE = """
SELECT m.*, c.faults FROM twin.message m JOIN core.message c ON c.message_id = m.message_id
WHERE m.message_id = $message_id
"""
_EVENTS = "SELECT detail FROM twin.event WHERE message_id = $message_id ORDER BY ordinal"
_FINDINGS = """
SELECT kind, subject, detail FROM twin.finding WHERE message_id = $message_id ORDER BY finding_id
"""
_RAW = "SELECT raw FROM core.raw WHERE message_id = $message_id"
_CANDIDATES = """
SELECT message_id, coalesce(digest = unhex($digest), false) AS is_same FROM core.message
WHERE sender = $sender AND control_id = $control_id
ORDER BY is_same DESC, message_id DESC LIMIT 20
"""
# What was rejected has no digest: its bytes tell whether it is the same.
_SAME_BYTES = """
SELECT max(message_id) AS message_id FROM core.raw
WHERE list_contains($message_ids, message_id) AND sha256(raw) = $raw_sha256
"""


# A word that one patient alone has may be that patient's name in the wrong field.
_SITE_WORDS = """
SELECT word FROM (
    SELECT unnest([facility, unit, room, bed]) AS word, patient_id FROM twin.stay
    UNION ALL SELECT unnest([facility, service]), patient_id FROM twin.encounter
) WHERE word <> '' GROUP BY word HAVING count(DISTINCT patient_id) > 1
"""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Under which id a store knows a message, and whether it is the very same one."""

    message_id: int
    is_same: bool


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was received, without its content."""

    message_id: int
    feed: str | None
    format: str | None
    sender: str | None
    control_id: str | None
    trigger_event: str | None
    received_at: datetime | None
    sent_at: datetime | None
    status: str | None
    code: str | None
    reason: str | None
    origin: str | None
    replayed_at: datetime | None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something odd about the message."""

    kind: str
    subject: str | None
    detail: str | None


class ToldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something the message said had happened: what that means, and what it says of it."""

    kind: str
    meaning: str
    says: tuple[Word, ...]


class Change(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A column of a row before and after; a row that began has no before."""

    column: str
    before: str | None = None
    after: str | None = None
    masked: bool = False


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that began, changed or ended; of one that changed only what differs."""

    table: str
    what: str
    key: str
    columns: tuple[Change, ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings of now make of a message: accepted or rejected, and why."""

    status: str
    code: str
    faults: tuple[Fault, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A message field by field, what it became, and the rows it changed."""

    message: Message | None
    """What the store knows of it; None for a message that no store holds."""
    verdict: Verdict | None
    """What it is by the settings of now; None where it is applied already."""
    content: ExplainedMessage | None
    """None for a FHIR resource, and where the bytes are not kept any more."""
    kept: bool = True
    """Whether the bytes are kept; retention or an erasure may have removed them."""
    events: tuple[ToldEvent, ...]
    findings: tuple[Finding, ...]
    faults: tuple[Fault, ...]
    changes: tuple[ChangedRow, ...]
    known_at: datetime | None
    """Since when the twin has known what the message said."""
    together_with: int
    """Messages of one batch about the same records, whose changes cannot be told apart."""
    phi: bool


def explain_bytes(
    raw: bytes, *, feed: str, settings: Settings, received_at: datetime, phi: bool, most: int
) -> tuple[Explanation, Translation | Rejection]:
    """An HL7 v2 message that need be in no store, by the settings of now."""
    outcome = retranslated(raw, "hl7v2", Reader(settings, feed, received_at))
    events, findings, faults = _parts(outcome)
    known = site_words(settings.feed(feed))
    content = explain_content(
        raw, faults=faults, findings=findings, phi=phi, most_parts=most, known=known
    )
    return (
        Explanation(
            message=None,
            verdict=_verdict(outcome),
            content=content,
            kept=True,
            events=told(events, phi=phi, known=known),
            findings=tuple(
                Finding(kind=noted.kind, subject=None, detail=noted.detail) for noted in findings
            ),
            faults=faults,
            changes=(),
            known_at=None,
            together_with=0,
            phi=phi,
        ),
        outcome,
    )


def explain_message(twin: Twin, message_id: int, *, phi: bool, most: int) -> Explanation:
    """A message of the store. Raises UsageError where there is none of that id."""
    asked = {"message_id": message_id}
    rows: list[dict[str, Any]] = twin.query(_MESSAGE, asked)
    if not rows:
        raise UsageError(f"There is no message {message_id}.")
    stored = rows[0].pop("faults")
    faults = msgspec.json.decode(stored, type=tuple[Fault, ...]) if stored else ()
    message = msgspec.convert(rows[0], Message)
    findings = msgspec.convert(twin.query(_FINDINGS, asked), tuple[Finding, ...])
    noted = [NotedFinding(kind=found.kind, detail=found.detail or "") for found in findings]
    raws = twin.query(_RAW, asked)
    raw = bytes(raws[0]["raw"]) if raws else None  # type: ignore[call-overload]
    journalled = ",".join(str(row["detail"]) for row in twin.query(_EVENTS, asked))
    events = decode_events(f"[{journalled}]".encode())
    outcome = _anew(twin, message, raw) if message.status == "quarantined" else None
    if isinstance(outcome, Translation):
        events = outcome.events
    known = site_words(twin.settings.feed(message.feed or "")) | _stored_words(twin)
    content = None
    if raw is not None and message.format == "hl7v2":
        content = explain_content(
            raw, faults=faults, findings=noted, phi=phi, most_parts=most, known=known
        )
    touched = twin.touched(message_id)
    return Explanation(
        message=message,
        verdict=_verdict(outcome) if outcome is not None else None,
        content=content,
        kept=raw is not None,
        events=told(events, phi=phi, known=known),
        findings=findings,
        faults=faults,
        changes=_changed_rows(touched, phi=phi, known=known),
        known_at=touched.known_at if touched else None,
        together_with=touched.together_with if touched else 0,
        phi=phi,
    )


def find_message(
    twin: Twin, *, sender: str, control_id: str, digest: str, raw_sha256: str
) -> Known | None:
    """What a store knows of a message; both digests in hexadecimal, of its envelope and bytes."""
    named = {"sender": sender, "control_id": control_id, "digest": digest or None}
    candidates = msgspec.convert(twin.query(_CANDIDATES, named), list[Known])
    if not candidates or candidates[0].is_same:
        return candidates[0] if candidates else None
    listed = [known.message_id for known in candidates]
    same = twin.query(_SAME_BYTES, {"message_ids": listed, "raw_sha256": raw_sha256})
    found = same[0]["message_id"]
    return candidates[0] if found is None else Known(message_id=int(str(found)), is_same=True)


def together_words(others: int) -> str:
    """That messages of one batch changed the same records together."""
    if others == 1:
        return (
            "One more message about the same records was applied at the same instant; these are "
            "the changes of both."
        )
    return (
        f"{others:,} more messages about the same records were applied at the same instant; these "
        "are the changes of all of them."
    )


def told(
    events: Iterable[Event], *, phi: bool, known: frozenset[str] = frozenset()
) -> tuple[ToldEvent, ...]:
    """Events with what they mean and say."""
    return tuple(
        ToldEvent(
            kind=type(event).__name__,
            meaning=" ".join((inspect.getdoc(event) or "").split("\n\n")[0].split()),
            says=words(event, phi=phi, known=known),
        )
        for event in events
    )


def changed(row: RowChange, *, phi: bool, known: frozenset[str] = frozenset()) -> ChangedRow:
    """A row with what is different about it."""
    present = row.after or row.before or {}
    what = CHANGED if row.before and row.after else BEGAN if row.after else ENDED
    before = _by_column(row.before, phi=phi, known=known)
    after = _by_column(row.after, phi=phi, known=known)
    unmasked = (row.before or {}, row.after or {})
    columns = tuple(
        Change(
            column=name,
            before=before[name].value if name in before else None,
            after=after[name].value if name in after else None,
            masked=any(name in side and side[name].masked for side in (before, after)),
        )
        for number, name in enumerate(present)
        if number and unmasked[0].get(name) != unmasked[1].get(name)
    )
    first = (after or before)[next(iter(present))]
    return ChangedRow(table=row.table, what=what, key=first.value or "", columns=columns)


def _changed_rows(
    touched: Touched | None, *, phi: bool, known: frozenset[str]
) -> tuple[ChangedRow, ...]:
    """The rows but for findings, which are told in words of their own."""
    rows = touched.rows if touched else ()
    return tuple(changed(row, phi=phi, known=known) for row in rows if row.table != "fold_finding")


def _by_column(row: dict[str, Any] | None, *, phi: bool, known: frozenset[str]) -> dict[str, Word]:
    return {word.name: word for word in row_words(row or {}, phi=phi, known=known)}


def site_words(settings: FeedSettings) -> frozenset[str]:
    """What a feed's settings name: places, services, classes, authorities and systems."""
    maps = (
        settings.units,
        settings.facilities,
        settings.services,
        settings.classes,
        settings.authorities,
        settings.systems,
    )
    named = {word for known in maps for pair in known.items() for word in pair}
    for sent, place in settings.beds.items():
        named.update(sent.split("^"), place.split("/"))
    return frozenset(named | {settings.facility})


def _stored_words(twin: Twin) -> frozenset[str]:
    return frozenset(str(row["word"]) for row in twin.query(_SITE_WORDS, {}))


def _anew(twin: Twin, message: Message, raw: bytes | None) -> Translation | Rejection | None:
    """What a replay would make of a message in quarantine; None where it cannot be read again."""
    if raw is None or message.format not in ("hl7v2", "fhir") or message.received_at is None:
        return None
    reader = Reader(twin.settings, message.feed, message.received_at)
    return retranslated(raw, message.format, reader)


def _parts(
    outcome: Translation | Rejection,
) -> tuple[Sequence[Event], tuple[NotedFinding, ...], tuple[Fault, ...]]:
    if isinstance(outcome, Translation):
        return outcome.events, outcome.findings, ()
    return (), (), outcome.faults


def _verdict(outcome: Translation | Rejection) -> Verdict:
    if isinstance(outcome, Rejection):
        return Verdict(status="rejected", code=outcome.code, faults=outcome.faults)
    return Verdict(status="accepted" if outcome.events else "journalled", code="AA")

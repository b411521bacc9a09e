"""What sample files would do on a feed, before the feed goes live: nothing is stored.

The report holds codes, reasons and offsets, and never who a message is about.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from adapters.files import BATCH, Found, Source, read_messages
from adapters.hl7v2.acknowledge import is_acknowledgement
from adapters.hl7v2.observe import Observed, observe, trigger_event_shown
from api.explaining import site_words
from api.suggesting import Shown, suggestions
from api.translating import DEFAULT_FEED, Reader, translated_hl7
from twin_core.events import EncounterEvent, Rejection, Translation
from twin_core.identifiers import Place
from twin_core.settings import FeedSettings, Settings
from twin_core.store.facts import natural
from twin_core.store.messages import WHY_NOT_APPLIED

LISTED = 50
"""Most different codes, reasons or places that are listed of a kind."""
_SKEW = timedelta(minutes=5)

Path = tuple[str, str, str, str]


class Counted(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something the messages have in common: how many, and where the first one is."""

    what: str
    messages: int
    example: str
    """file@offset"""
    code: str = ""
    """AA, AE or AR; or the kind of a finding."""
    where: str = ""
    table_0357: str = ""


class TriggerCount(msgspec.Struct, kw_only=True):
    """What would become of the messages of one trigger event."""

    trigger_event: str
    messages: int = 0
    applied: int = 0
    journalled: int = 0
    duplicates: int = 0
    rejected: int = 0


class SiteSegment(msgspec.Struct, kw_only=True):
    """A Z segment: in how many messages, and which of its fields are kept (or read) or dropped."""

    segment: str
    messages: int
    kept: list[str]
    dropped: list[str]


class Report(msgspec.Struct, kw_only=True):
    """What a sample would do on a feed."""

    feed: str
    files: int
    messages: int = 0
    applied: int = 0
    journalled: int = 0
    rejected: int = 0
    duplicates: int = 0
    batches_at_fault: int = 0
    lenient_would_take: int = 0
    """How many of the rejected messages a lenient feed takes."""
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    triggers: list[TriggerCount] = []
    rejects: list[Counted] = []
    journalled_because: list[Counted] = []
    findings: list[Counted] = []
    unmapped: list[Counted] = []
    """Codes that a map of the feed lacks, by the map's name; only maps that are configured."""
    unknown_places: list[Counted] = []
    site_segments: list[SiteSegment] = []
    versions: dict[str, int] = {}
    charsets: dict[str, int] = {}
    processing_ids: dict[str, int] = {}
    line_ends: dict[str, int] = {}
    suggestions: list[str] = []
    """Lines of TOML to go under [feeds.NAME], to be looked through first."""

    @property
    def is_clean(self) -> bool:
        """Whether there were messages, and there is nothing to look at."""
        return self.messages > 0 and not (
            self.rejected
            or self.batches_at_fault
            or self.findings
            or self.unmapped
            or self.unknown_places
        )


def check(
    sources: Sequence[Source],
    *,
    feed: str | None,
    settings: Settings,
    received_at: datetime,
    known_places: frozenset[Path] | None = None,
    phi: bool = False,
) -> Report:
    """Read and translate every message as the feed would, and say what would become of it.

    `known_places` are those of a store, to hold locations against. Codes and places that could be
    names are masked unless `phi`. Raises FeedError for a file
    that cannot be read.
    """
    checking = _Checking(Reader(settings, feed, received_at), len(sources), known_places, phi)
    for source in sources:
        name = source.path.rpartition("/")[2]
        for found in read_messages(source, settings.limits):
            checking.see(found, name)
    return checking.report()


class _Tally:
    """Counts by key, with the place of the first."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self._first: dict[tuple[str, ...], str] = {}

    def add(self, example: str, *key: str) -> None:
        self.counts[key] += 1
        self._first.setdefault(key, example)

    def listed(self, *names: str) -> list[Counted]:
        """The most frequent, each part of the key under its name."""
        ordered = sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))
        return [
            Counted(**dict(zip(names, key, strict=True)), messages=n, example=self._first[key])
            for key, n in ordered[:LISTED]
        ]


class _Checking:
    def __init__(
        self, reader: Reader, files: int, known_places: frozenset[Path] | None, phi: bool
    ) -> None:
        self._reader, self._known_places = reader, known_places
        self._feed = reader.feed or DEFAULT_FEED
        self._settings: FeedSettings = reader.settings.feed(self._feed)
        self._shown = Shown(site_words(self._settings), phi)
        lenient = self._settings.model_copy(update={"strictness": "lenient", "profile": None})
        self._lenient = reader.settings.model_copy(update={"feeds": {"lenient": lenient}})
        self._report = Report(feed=self._feed, files=files)
        self._triggers: dict[str, TriggerCount] = {}
        self._rejects, self._journalled, self._findings = _Tally(), _Tally(), _Tally()
        self._unmapped, self._places = _Tally(), _Tally()
        self._sent: Counter[tuple[str, str]] = Counter()
        self._bodies: dict[bytes, bytes] = {}
        self._sites: dict[str, tuple[Counter[str], dict[str, bool]]] = {}

    def see(self, found: Found, name: str) -> None:
        example = f"{name}@{found.offset}"
        for receipt in self._reader.receipts(found, name):
            outcome = receipt.outcome
            if isinstance(outcome, Rejection):
                self._rejected(found, outcome, example)
            else:
                self._accepted(outcome, example)
        if found.format == "hl7v2":
            observed = observe(found.raw, self._settings, self._reader.settings.limits)
            if observed is not None:
                self._observed(observed, example)

    def report(self) -> Report:
        report = self._report
        report.triggers = sorted(self._triggers.values(), key=lambda one: one.trigger_event)
        report.rejects = self._rejects.listed("code", "table_0357", "where", "what")
        report.journalled_because = self._journalled.listed("what")
        report.findings = self._findings.listed("code", "what")
        report.unmapped = self._unmapped.listed("where", "what")
        report.unknown_places = self._places.listed("what")
        report.site_segments = [
            SiteSegment(
                segment=name,
                messages=seen.total(),
                kept=[field for field in sorted(fields, key=natural) if fields[field]],
                dropped=[field for field in sorted(fields, key=natural) if not fields[field]],
            )
            for name, (seen, fields) in sorted(self._sites.items())
        ]
        report.suggestions = suggestions(report, self._sent, self._settings, self._shown)
        return report

    def _rejected(self, found: Found, outcome: Rejection, example: str) -> None:
        for fault in outcome.faults:
            self._rejects.add(example, outcome.code, fault.code, fault.where, fault.reason)
        if found.format == BATCH:
            self._report.batches_at_fault += 1
            return
        self._report.messages += 1
        self._report.rejected += 1
        self._trigger(outcome.trigger_event).rejected += 1
        if found.format == "hl7v2":
            again = translated_hl7(
                found.raw,
                feed="lenient",
                settings=self._lenient,
                received_at=self._reader.received_at,
            )
            self._report.lenient_would_take += isinstance(again, Translation)

    def _accepted(self, outcome: Translation, example: str) -> None:
        report, envelope = self._report, outcome.envelope
        report.messages += 1
        trigger = self._trigger(envelope.trigger_event)
        if self._repeats(outcome, example):
            report.duplicates += 1
            trigger.duplicates += 1
            return
        if outcome.events:
            report.applied += 1
            trigger.applied += 1
        else:
            report.journalled += 1
            trigger.journalled += 1
            self._journalled.add(example, _why(outcome))
        report.first_sent_at = min(report.first_sent_at or envelope.sent_at, envelope.sent_at)
        report.last_sent_at = max(report.last_sent_at or envelope.sent_at, envelope.sent_at)
        for finding in outcome.findings:
            self._findings.add(example, finding.kind, finding.detail)
        for event in outcome.events:
            if isinstance(event, EncounterEvent):
                if event.entered_at - envelope.sent_at > _SKEW:
                    late = "EVN-2 is more than 5 minutes after MSH-7: two clocks disagree."
                    self._findings.add(example, "clock_skew", late)
                self._place(event.place, example)

    def _repeats(self, outcome: Translation, example: str) -> bool:
        envelope = outcome.envelope
        named = f"{envelope.sender}\x1f{envelope.control_id}".encode("utf-8", "surrogatepass")
        control = hashlib.blake2b(named, digest_size=12).digest()
        known = self._bodies.setdefault(control, envelope.digest)
        if known is envelope.digest:
            return False
        if known == envelope.digest:
            return True
        detail = "The sender used the control id before, for another message."
        self._findings.add(example, "reused_control_id", detail)
        return False

    def _place(self, place: Place, example: str) -> None:
        path = (place.facility, place.unit, place.room, place.bed)
        if self._known_places is not None and any(path[1:]) and path not in self._known_places:
            self._places.add(example, "/".join(self._shown.of("units", part) for part in path))

    def _trigger(self, trigger_event: str) -> TriggerCount:
        trigger_event = trigger_event_shown(trigger_event)
        counted = self._triggers.setdefault(
            trigger_event, TriggerCount(trigger_event=trigger_event)
        )
        counted.messages += 1
        return counted

    def _observed(self, observed: Observed, example: str) -> None:
        for found, counted in (
            (observed.version, self._report.versions),
            (observed.charset, self._report.charsets),
            (observed.processing_id, self._report.processing_ids),
            (observed.line_end, self._report.line_ends),
        ):
            counted[found] = counted.get(found, 0) + 1
        for sent in observed.codes:
            self._sent[sent.setting, sent.code] += 1
            if not sent.is_mapped and getattr(self._settings, sent.setting):
                self._unmapped.add(example, sent.setting, self._shown.of(sent.setting, sent.code))
        names = _names(observed.site_fields)
        for name in names:
            seen, fields = self._sites.setdefault(name, (Counter(), {}))
            seen[name] += 1
            own = {f: kept for f, kept in observed.site_fields.items() if f.startswith(name)}
            fields.update(own)


def _why(outcome: Translation) -> str:
    """Why a message that was understood changes nothing."""
    if is_acknowledgement(outcome):
        return "An acknowledgement answers another message and changes nothing."
    told = [found.detail for found in outcome.findings if found.kind in WHY_NOT_APPLIED]
    return told[0] if told else f"{outcome.envelope.trigger_event} changes nothing here."


def _names(fields: Iterable[str]) -> set[str]:
    return {field[:3] for field in fields}

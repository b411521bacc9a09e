"""What is measured of each feed, for Prometheus: counts, delays, connections, silence."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from adapters.files.watch import FolderStatus
from adapters.hl7v2 import DELAY_BOUNDS_S, ListenerStatus
from api.exposition import Histogram, Measurement
from api.feeds import FeedReport

_OF_LISTENERS: tuple[tuple[str, str, str, Callable[[ListenerStatus], float]], ...] = (
    ("connections", "gauge", "Open connections", lambda s: s.connections),
    ("handshakes", "gauge", "TLS handshakes under way", lambda s: s.handshakes),
    ("outstanding", "gauge", "Messages that wait for an answer", lambda s: s.outstanding),
    ("received_total", "counter", "Messages since the start", lambda s: s.received),
    ("not_stored_total", "counter", "Messages that the store refused", lambda s: s.not_stored),
    (
        "refused_connections_total",
        "counter",
        "Connections refused: no peer, no certificate, one too many",
        lambda s: s.refused_connections,
    ),
    ("dropped_bytes_total", "counter", "Bytes outside whole frames", lambda s: s.dropped_bytes),
    (
        "stray_acknowledgements_total",
        "counter",
        "Acknowledgements that answer nothing sent here",
        lambda s: s.stray_acknowledgements,
    ),
    (
        "undelivered_answers_total",
        "counter",
        "Deferred answers whose sender had gone",
        lambda s: s.undelivered,
    ),
)
"""Name behind `wardtwin_feed_`, kind, meaning, and where it is in a listener's status."""

_OF_FOLDERS: tuple[tuple[str, str, Callable[[FolderStatus], float]], ...] = (
    ("waiting_files", "Files in the watched folder that are not put away yet", lambda s: s.waiting),
    ("ok", "Whether files of the folder can be read, stored and put away", lambda s: not s.trouble),
)
"""Name behind `wardtwin_folder_`, meaning, and where it is in a watched folder's status."""


def of_feeds(reports: Iterable[FeedReport], now: datetime) -> list[Measurement]:
    """Every measurement of every feed, each labelled with the feed's name."""
    reports = list(reports)
    listening = [(report.feed, report.listener) for report in reports if report.listener]
    measured = [*_silence(reports, now), *_certificates(listening)]
    for name, kind, meaning, of in _OF_LISTENERS:
        samples = tuple(({"feed": feed}, float(of(status))) for feed, status in listening)
        measured.append(Measurement(f"wardtwin_feed_{name}", kind, meaning, samples))
    measured += _answers(listening)
    watched = [(report.feed, report.folder) for report in reports if report.folder]
    measured += [_rejects([*listening, *watched]), *_folders(watched)]
    measured += [_quarantined(reports), _lags(reports)]
    return [metric for metric in measured if metric.samples]


def _folders(watched: list[tuple[str, FolderStatus]]) -> Iterable[Measurement]:
    yield Measurement(
        "wardtwin_folder_files_total",
        "counter",
        "Files of the watched folder put away since the start, by outcome",
        tuple(
            ({"feed": feed, "outcome": outcome}, float(files))
            for feed, status in watched
            for outcome, files in (("done", status.done), ("error", status.error))
        ),
    )
    for name, meaning, of in _OF_FOLDERS:
        samples = tuple(({"feed": feed}, float(of(status))) for feed, status in watched)
        yield Measurement(f"wardtwin_folder_{name}", "gauge", meaning, samples)


def _silence(reports: list[FeedReport], now: datetime) -> Iterable[Measurement]:
    last = [(r.feed, r.last_message_at) for r in reports if r.last_message_at is not None]
    yield Measurement(
        "wardtwin_feed_last_message_timestamp_seconds",
        "gauge",
        "When the last message came, in Unix seconds",
        tuple(({"feed": feed}, at.timestamp()) for feed, at in last),
    )
    yield Measurement(
        "wardtwin_feed_silence_seconds",
        "gauge",
        "Age of the last message",
        tuple(({"feed": feed}, max(0.0, (now - at).total_seconds())) for feed, at in last),
    )
    yield Measurement(
        "wardtwin_feed_silent",
        "gauge",
        "1 where a feed is silent for longer than its settings allow, or than is usual for it",
        tuple(
            ({"feed": r.feed}, float(r.state == "silent")) for r in reports if r.due_by is not None
        ),
    )


def _certificates(listening: list[tuple[str, ListenerStatus]]) -> Iterable[Measurement]:
    yield Measurement(
        "wardtwin_tls_certificate_expires_at",
        "gauge",
        "When the certificate of a feed's listener ends, in Unix seconds",
        tuple(
            ({"feed": feed}, status.certificate_expires_at.timestamp())
            for feed, status in listening
            if status.certificate_expires_at is not None
        ),
    )


def _rejects(told: Iterable[tuple[str, ListenerStatus | FolderStatus]]) -> Measurement:
    counted: Counter[tuple[str, str]] = Counter()
    for feed, status in told:
        counted.update({(feed, code): n for code, n in status.rejects.items()})
    return Measurement(
        "wardtwin_feed_rejects_total",
        "counter",
        "Rejected messages by the code of their first reason, HL7 table 0357",
        tuple(({"feed": of, "code": code}, float(n)) for (of, code), n in sorted(counted.items())),
    )


def _quarantined(reports: Iterable[FeedReport]) -> Measurement:
    return Measurement(
        "wardtwin_feed_quarantined",
        "gauge",
        "Messages in quarantine",
        tuple(({"feed": report.feed}, float(report.quarantined)) for report in reports),
    )


def _lags(reports: Iterable[FeedReport]) -> Measurement:
    return Measurement(
        "wardtwin_feed_lag_seconds",
        "gauge",
        "Age of the oldest message that is not applied yet",
        tuple(({"feed": report.feed}, report.lag_seconds) for report in reports),
    )


def _answers(listening: list[tuple[str, ListenerStatus]]) -> Iterable[Measurement]:
    yield Measurement(
        "wardtwin_feed_answers_total",
        "counter",
        "Answers by code, HL7 table 0008",
        tuple(
            ({"feed": feed, "code": code}, float(n))
            for feed, status in listening
            for code, n in sorted(status.answers.items())
        ),
    )
    yield Measurement(
        "wardtwin_feed_answer_seconds",
        "histogram",
        "Time from the last byte of a message to its first answer",
        tuple(
            ({"feed": feed}, Histogram(DELAY_BOUNDS_S, status.delays, status.delays_s))
            for feed, status in listening
        ),
    )

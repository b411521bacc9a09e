"""An erasure as a privacy officer sees it: what goes, and what is for others to remove."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from api.audit.operating import RECORDED, local_user
from api.outbound import status
from twin_core.audit import Access, Ledger, LedgerReader, Sought, ledger_path
from twin_core.erased import telling, words_in
from twin_core.errors import TwinError, UsageError
from twin_core.settings import Settings
from twin_core.store.erasing import Erasure
from twin_core.twin import Twin


class Copy(NamedTuple):
    """A copy of the store, or of a part of it, that somebody else has to let expire."""

    path: str
    made_at: datetime | None


class Report(NamedTuple):
    """What an erasure removes, and what it cannot."""

    erasure_id: str
    patient_ids: list[str]
    linked_ids: list[str]
    """Patients who are linked with this one and stay."""
    identifiers: int
    events: int
    messages: int
    messages_of_others: int
    """Messages about others that name the patient: their bytes go, and what they said stays."""
    staged_lines: int
    backups: list[Copy]
    """Backups since the first message about the patient; they must expire or be destroyed."""
    releases: list[Copy]
    """De-identified releases that may hold the patient under a pseudonym: publish them again."""
    files: list[str]
    """Files and folders that messages were read from."""
    destinations: list[str]
    """Other systems that are fed from this store."""


def reported(twin: Twin, erasure: Erasure) -> Report:
    """What an erasure of this store comes to."""
    return Report(
        erasure.erasure_id,
        erasure.patient_ids,
        erasure.linked_ids,
        len(erasure.identifiers),
        sum(payload is None for payload in erasure.events.values()),
        len(erasure.messages),
        len(erasure.touched),
        len(erasure.staged),
        sorted(_copies(twin.path, "backup", "destination", erasure.first_received_at)),
        sorted(_releases(twin, erasure.first_received_at)),
        [*erasure.files, *_folders(twin.settings, erasure.feeds)],
        [str(one["destination"]) for one in status.destinations(twin)],
    )


def erase(twin: Twin, ledger: Ledger, patient: str, reason: str) -> Report:
    """Erase a patient for good, with entries in the ledger when it begins and when it is done.

    The twin is closed by it. Raises UsageError for a patient whom the store does not know, or a
    reason that names one: the reason is kept.
    """
    erasure = twin.belongings(patient)
    names = {*telling(erasure.words), *erasure.record_ids, patient}
    if not words_in(reason.encode()).isdisjoint(names) or erasure.names.stand_in(reason):
        raise UsageError(
            "The reason names the patient.",
            why="It is kept in the ledger of accesses, where the patient must not be named.",
            do="Give the number of the request, say.",
        )
    report = reported(twin, erasure)
    ledger.require()
    ledger.record(_told(erasure, "erase ordered", 0, reason))
    try:
        twin.erase(erasure)
    except TwinError as error:
        ledger.record(_told(erasure, "erase", error.exit_code, reason))
        raise
    ledger.record(_told(erasure, "erase", 0, reason))
    return report


def _told(erasure: Erasure, what: str, exit_code: int, reason: str) -> Access:
    return Access(
        who=local_user(),
        act=RECORDED["erase"].act,
        what=what,
        outcome="failed" if exit_code else "success",
        status=exit_code,
        via="cli",
        why="PATRQT",
        objects=(f"erasure/{erasure.erasure_id}",),
        patients=tuple(erasure.patient_ids),
        reason=reason,
    )


def _copies(store: Path, what: str, named: str, since: datetime | None) -> Iterator[Copy]:
    """What the ledger says was written elsewhere, by the same instant or later."""
    path = ledger_path(store)
    if not path.exists():
        return
    reader = LedgerReader(path)
    try:
        for entry in reader.sought(Sought(what=what, since=since)):
            for one in entry.objects if entry.outcome == "success" else ():
                kind, _, copied = one.partition("/")
                if kind == named:
                    yield Copy(copied, entry.at)
    finally:
        reader.close()


def _releases(twin: Twin, since: datetime | None) -> Iterator[Copy]:
    published = list(_copies(twin.path, "deid_publish", "path", since))
    yield from published
    known = {one.path for one in published}
    for path in twin.settings.deid.releases.values():
        if path.exists() and str(path.absolute()) not in known:
            yield Copy(str(path.absolute()), None)


def _folders(settings: Settings, feeds: list[str]) -> Iterator[str]:
    for feed in feeds:
        folder = settings.feed(feed).folder
        if folder is not None:
            yield str(folder.path / folder.done)
            yield str(folder.path / folder.error)

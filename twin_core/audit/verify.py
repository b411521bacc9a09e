"""Whether a ledger is what was written: what was done to it, and where.

Four witnesses are heard. The chain tells where neighbours do not belong together. The signature
of each link tells whether the ledger made it; they are asked one by one where no checkpoint vouches
for their digest, because a signature takes twenty times as long to verify as a link. The tips, in
the ledger and beside it, tell where it ended. The checkpoints tell how many entries there were and
the RFC 6962 root over them, so that a ledger that was cut short, or chained anew even with its own
keys, disagrees with what is kept elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.audit.beside import beside, misshapen, unremembered
from twin_core.audit.checkpoint import (
    FIRST_SIGNATURES,
    Checkpoint,
    Forged,
    next_signatures,
    opened,
    origin_of,
)
from twin_core.audit.file import first_link, next_link
from twin_core.audit.findings import Finding, Kept, Kind, Verdict
from twin_core.audit.keys import AuditKeys, is_signed
from twin_core.audit.merkle import Frontier
from twin_core.audit.reading import LedgerReader
from twin_core.audit.tips import Tip, TipFile, heard_tip
from twin_core.encryption import StoreKey


class Row(NamedTuple):
    """A row of the ledger as it stands; nothing about it is believed."""

    seq: int
    body: bytes
    link: bytes
    signature: bytes


class _Told(msgspec.Struct):
    seq: int
    patients_digest: str = ""
    text_digest: str = ""


_TOLD = msgspec.json.Decoder(_Told)


class _Walk:
    """One pass over the rows, in their order."""

    def __init__(self, kept: Kept, checkpoints: Mapping[int, Checkpoint]) -> None:
        self.kept, self.checkpoints = kept, checkpoints
        self.findings: list[Finding] = []
        self.link = first_link(kept.ledger_id)
        self.tree = Frontier()
        self.expected = 1
        self.agreed = 0
        self.suspect = False
        self.displaced: list[tuple[int, int]] = []
        self.signatures = FIRST_SIGNATURES
        self.wanted = frozenset[int]()
        self.links: dict[int, bytes] = {0: self.link}
        """The links where the ledger once ended."""
        self.unvouched: list[Row] = []
        """Rows since the last checkpoint that agreed, while nothing is suspect."""
        self.resigned: list[Finding] = []
        self.patients: dict[str, int] = {}
        self.texts: dict[int, str] = {}

    def take(self, row: Row) -> None:
        """Hold a row against its neighbour, its seal and the checkpoint at its place."""
        told = _told(row.body)
        if row.seq != self.expected:
            self._gap(row.seq)
        number = told.seq if told is not None else None
        linked = row.link == next_link(self.link, row.body)
        if number is not None and number != row.seq:
            self.displaced.append((row.seq, number))
            self.suspect = True
        elif not linked and not (self.displaced and self.displaced[-1][0] == row.seq - 1):
            self._broken(row)
        self.link, self.expected = row.link, row.seq + 1
        self.tree.append(row.body)
        self.signatures = next_signatures(self.signatures, row.signature)
        if row.seq in self.wanted:
            self.links[row.seq] = row.link
        if not self.suspect:
            self.unvouched.append(row)
        if told is not None:
            self._remember(told)
        if (checkpoint := self.checkpoints.get(self.tree.size)) is not None:
            self._agree(checkpoint)

    def finish(self) -> None:
        """Say of displaced entries what became of them, and what is missing at the end."""
        if not self.suspect:
            self._ask_signatures()
        if self.displaced:
            self.findings.append(_displacement(self.displaced))
        for size in sorted(size for size in self.checkpoints if size > self.tree.size):
            said = f"a checkpoint counts {size} entries, and there are {self.tree.size}"
            self._add("truncation", self.tree.size + 1, size, said)

    def _add(self, kind: Kind, first: int, last: int, said: str) -> None:
        self.suspect = True
        self.findings.append(Finding(kind, first, last, said))

    def _gap(self, seq: int) -> None:
        if seq > self.expected:
            self._add("deletion", self.expected, seq - 1, "these numbers are missing")
        else:
            self._add("insertion", seq, seq, "this number stands here twice")

    def _broken(self, row: Row) -> None:
        last = self.findings[-1] if self.findings else None
        if last is not None and last.last == row.seq - 1:
            # What stands behind something missing or added cannot fit either.
            return
        changed = row.seq
        if self.unvouched and not self._is_signed(self.unvouched[-1]):
            # Its link was made anew for what it says now, and so its follower does not fit.
            changed = row.seq - 1
        self._add("modification", changed, changed, "what it says is not what was chained")

    def _agree(self, checkpoint: Checkpoint) -> None:
        size = self.tree.size
        if checkpoint.root == self.tree.root() and checkpoint.link == self.link:
            if checkpoint.signatures != self.signatures:
                self._ask_resigned()
            self.agreed = size
            self.unvouched.clear()
            return
        if not self.suspect:
            # What follows is chained to it, so every later checkpoint disagrees as well.
            self._ask_signatures()
        if not self.suspect:
            said = "a checkpoint has another root over the entries up to here"
            self._add("re-chaining", self.agreed + 1, size, said)

    def _ask_signatures(self) -> None:
        """Find the rows that somebody else than the ledger put there."""
        if forged := self._forged():
            said = "chained by somebody without the keys of the ledger"
            self._add("re-chaining", forged[0], forged[-1], said)
        self.unvouched.clear()

    def _ask_resigned(self) -> None:
        """Find the rows whose signature was changed; a checkpoint vouches for what they say."""
        if forged := self._forged():
            said = "the signature is not that of the ledger"
            self.resigned.append(Finding("modification", forged[0], forged[-1], said))

    def _forged(self) -> list[int]:
        return [row.seq for row in self.unvouched if not self._is_signed(row)]

    def ended(self, tips: Mapping[str, Tip]) -> None:
        """Hold the ledger against where it once ended."""
        last = self.expected - 1
        for tip in sorted(set(tips.values())):
            if tip.seq > last:
                said = f"it once ended at entry {tip.seq}"
                self._add("truncation", last + 1, tip.seq, said)
            elif self.links.get(tip.seq) != tip.link:
                said = "it once ended here with another link"
                self._add("re-chaining", tip.seq, tip.seq, said)

    def _is_signed(self, row: Row) -> bool:
        return is_signed(row.link, row.signature, self.kept.public)

    def _remember(self, told: _Told) -> None:
        if told.patients_digest:
            self.patients.setdefault(told.patients_digest, told.seq)
        if told.text_digest:
            self.texts[told.seq] = told.text_digest


def judged(rows: Iterable[Row], kept: Kept) -> Verdict:
    """What was done to the rows of a ledger, as far as what vouches for it can tell.

    Without checkpoints, a ledger that was cut short, or chained anew with its keys, cannot be told
    from one that is whole.
    """
    checkpoints, findings = _checkpoints(kept)
    tips, forged = _tips(kept)
    findings += forged
    walk = _Walk(kept, checkpoints)
    walk.wanted = frozenset(tip.seq for tip in tips.values())
    for row in rows:
        walk.take(row)
    walk.finish()
    walk.ended(tips)
    return Verdict(
        walk.tree.size,
        walk.agreed,
        len(checkpoints),
        (*findings, *walk.findings, *walk.resigned),
        walk.patients,
        walk.texts,
        walk.expected - 1,
    )


def verified(
    path: Path,
    *,
    public: bytes | None = None,
    keys: AuditKeys | None = None,
    key: StoreKey | None = None,
    notes: Sequence[str] = (),
    ledger_id: str = "",
    remembered: bool = False,
) -> Verdict:
    """A ledger's file held against itself and against checkpoints kept elsewhere.

    `public` or `keys` says whom to believe; with the keys, texts are verified too, sealed ones with
    the `key` that they are sealed by. `ledger_id` is that of the checkpoints kept elsewhere, where
    the file may claim to be another ledger. `remembered` says that a file beside it must remember
    where it ends, as of every ledger that is no copy. Raises StoreError where it cannot be read.
    """
    trusted = keys.public() if keys is not None else public or b""
    # Read before the ledger, which may be written meanwhile and is never behind it.
    lines = TipFile(path).lines()
    reader = LedgerReader(path, key)
    try:
        reader.snapshot()
        noted = reader.noted_tip()
        tips = (*((noted,) if noted is not None else ()), *lines)
        notes = (*notes, *reader.notes())
        kept = Kept(ledger_id or reader.ledger_id(), trusted, notes, tips)
        verdict = judged((Row(*row) for row in reader.raw()), kept)
        found = [
            *unremembered(verdict, kept, noted, lost=remembered and not lines),
            *beside(reader, verdict, keys),
            *misshapen(reader, verdict),
        ]
        return verdict._replace(findings=(*verdict.findings, *found))
    finally:
        reader.close()


def _checkpoints(kept: Kept) -> tuple[dict[int, Checkpoint], list[Finding]]:
    """The checkpoints that are signed, by size; the others, and any two that disagree."""
    found: dict[int, Checkpoint] = {}
    findings = []
    for note in dict.fromkeys(kept.notes):
        try:
            checkpoint = opened(note, kept.public)
        except Forged as error:
            findings.append(Finding("checkpoint", 0, 0, f"a checkpoint does not count: {error}"))
            continue
        if checkpoint.origin != origin_of(kept.ledger_id):
            said = f"a checkpoint is of another ledger, {checkpoint.origin}"
            findings.append(Finding("checkpoint", 0, checkpoint.size, said))
            continue
        known = found.setdefault(checkpoint.size, checkpoint)
        if (known.root, known.link) != (checkpoint.root, checkpoint.link):
            said = "two signed checkpoints of one size disagree"
            findings.append(Finding("checkpoint", 1, checkpoint.size, said))
    return found, findings


def _tips(kept: Kept) -> tuple[dict[str, Tip], list[Finding]]:
    """Where the ledger once ended, by the lines that say so; those that do not count."""
    found: dict[str, Tip] = {}
    findings = []
    for line in dict.fromkeys(kept.tips):
        try:
            found[line] = heard_tip(line, kept.ledger_id, kept.public)
        except Forged as error:
            said = f"what remembers its end does not count: {error}"
            findings.append(Finding("checkpoint", 0, 0, said))
    return found, findings


def _displacement(displaced: Sequence[tuple[int, int]]) -> Finding:
    """What moved entries away from their numbers, from (where it stands, what it says) pairs."""
    stands, says = zip(*displaced, strict=True)
    if set(stands) == set(says):
        said = "entries stand in each other's places"
        return Finding("reordering", min(stands), max(stands), said)
    first = min(stands)
    shifts = [stand - say for stand, say in displaced]
    if sum(shifts) > 0:
        said = "entries from here on stand behind their numbers: something was put in"
        return Finding("insertion", max(1, first - 1), first, said)
    said = "entries from here on stand before their numbers: something was taken out"
    return Finding("deletion", first, max(first, says[stands.index(first)] - 1), said)


def _told(body: bytes) -> _Told | None:
    try:
        return _TOLD.decode(body)
    except (msgspec.DecodeError, TypeError):
        return None

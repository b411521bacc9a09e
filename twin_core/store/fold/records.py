"""Records known by several identifiers: listed together, renumbered, moved and merged.

Patients and accounts are told of in the same way. Nothing is destroyed: a merge points one record
at an identifier of another, so that whatever names the source still resolves, and follows that
identifier wherever it is moved later.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from twin_core.identifiers import Identifier

Key = tuple[str, str]


class Records:
    """The records of one family of identifiers, and which of them survived."""

    def __init__(self, identifiers: Sequence[Identifier]) -> None:
        self.identifiers = {i.key: i for i in identifiers}
        self._record = {key: number for number, key in enumerate(sorted(self.identifiers))}
        self._unused = count(len(self._record))
        self._merged: dict[int, tuple[int, Key]] = {}
        """Of a merged record, how many merges there had been, and into which identifier it went."""
        self._merges = count()
        self._parted: dict[Key, set[Key]] = {}
        """Of a moved identifier, those it was moved away from."""

    def record(self, key: Key) -> int:
        """The record that an identifier belongs to."""
        return self._record[key]

    def survivor(self, key: Key) -> int:
        """The record at the end of the merges that an identifier went through."""
        *_, last = self._merges_of(self._record[key])
        return last

    def _merges_of(self, record: int) -> Iterator[int]:
        """A record, and the records that it was merged into one after another."""
        yield record
        while record in self._merged:
            record = self._record[self._merged[record][1]]
            yield record

    def connect(self, identifiers: Sequence[Identifier]) -> bool:
        """One source lists these identifiers together; False where some had been moved apart."""
        agreed = True
        first = identifiers[0].key
        for identifier in identifiers[1:]:
            if self._are_parted(first, identifier.key):
                agreed = False
            else:
                self.unite(first, identifier.key)
        return agreed

    def unite(self, one: Key, other: Key) -> None:
        """Two identifiers name one record."""
        if self.survivor(one) == self.survivor(other):
            return
        records = self._record[one], self._record[other]
        kept, gone = min(records), max(records)
        for key, record in self._record.items():
            if record == gone:
                self._record[key] = kept
        merges = [self._merged.pop(record) for record in records if record in self._merged]
        if merges:
            self._merged[kept] = max(merges)  # the newest one stands

    def merge(self, source: Key, target: Key) -> bool:
        """Merge a record into another; False where they were one record already."""
        gone, kept = self._record[source], self._record[target]
        if gone == kept:
            return False
        if gone in self._merges_of(kept):
            # The target had been merged into the source: the newest merge says who survives.
            self._merged.pop(kept, None)
        self._merged[gone] = (next(self._merges), target)
        return True

    def move(self, keys: Sequence[Key], target: Key) -> None:
        """Take identifiers out of their records into the target's, or into one of their own."""
        moving = set(keys)
        record = next(self._unused) if target in moving else self._record[target]
        for key in moving:
            if self._record[key] != record:
                fellows = {k for k in self._together(self._record[key]) if k not in moving}
                self._parted[key] = self._parted.get(key, set()) | fellows
        for key in moving:
            self._record[key] = record
        if record in self._round(record):
            # What the target had been merged into is now the target itself.
            del self._merged[record]

    def _together(self, record: int) -> Iterator[Key]:
        return (key for key, own in self._record.items() if own == record)

    def _round(self, record: int) -> Iterator[int]:
        """The records that a record was merged into, up to itself where merges go in a circle."""
        here = record
        while here in self._merged:
            here = self._record[self._merged[here][1]]
            yield here
            if here == record:
                return

    def _are_parted(self, one: Key, other: Key) -> bool:
        if not self._parted or self._record[one] == self._record[other]:
            return False
        return other in self._parted.get(one, ()) or one in self._parted.get(other, ())

    def members(self) -> dict[int, list[Identifier]]:
        """Every record with its identifiers, in order of the identifiers."""
        members: dict[int, list[Identifier]] = {}
        for key in sorted(self.identifiers):
            members.setdefault(self._record[key], []).append(self.identifiers[key])
        return members

    def merged_into(self, record: int) -> int | None:
        """The surviving record of a merged one."""
        *_, last = self._merges_of(record)
        return last if record in self._merged else None

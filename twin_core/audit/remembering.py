"""Whether a ledger ends where it was left, and remembering where it does while it is written."""

import contextlib
import logging
import sqlite3
from collections.abc import Sequence

from twin_core.audit import file
from twin_core.audit.checkpoint import Forged
from twin_core.audit.keys import AuditKeys
from twin_core.audit.tips import Tip, TipFile, heard_tip, told_tip
from twin_core.errors import AuditFailed

log = logging.getLogger(__name__)


class Remembering:
    """The end of an open ledger, and the file beside it that remembers it."""

    def __init__(
        self, db: sqlite3.Connection, ledger_id: str, keys: AuditKeys, tips: TipFile
    ) -> None:
        self._db, self._ledger_id, self._keys, self._tips = db, ledger_id, keys, tips
        self._first = file.first_link(ledger_id)
        self._evidence: list[str] = []
        """The lines beside the ledger that it did not account for when it was opened."""
        self.is_new = False
        """Whether the end moved since it was remembered."""

    def is_whole(self) -> bool:
        """Whether the ledger ends where it was left; to be asked once, before anything is written.

        Before its first entry a line is written beside it: a ledger with entries and without a
        line is not as it was left. Raises AuditFailed.
        """
        with file.failing():
            begun = file.tip(self._db, self._ledger_id).seq > 0
            noted, lines = file.noted_tip(self._db), self._tips.lines()
            self._evidence = [line for line in lines if not self._accounts_for(line)]
            beside = bool(lines) and lines[-1] not in self._evidence
            within = noted is not None and self._accounts_for(noted)
        if not begun and not lines:
            self._tips.remember([self._line(Tip(0, self._first))])
            return noted is None
        self.is_new = not beside
        return beside and (within or not begun)

    def remember(self) -> None:
        """Take the end into the file, behind what the ledger could not account for.

        Where that fails it is tried with the next: the ledger itself has its end, too.
        """
        if not self.is_new:
            return
        try:
            with file.failing():
                end = file.tip(self._db, self._ledger_id)
            if self._newest(self._tips.lines()) < end.seq:
                self._tips.remember([*self._evidence, self._line(end)])
            self.is_new = False
        except AuditFailed as error:
            log.warning("the end of the ledger was not remembered: %s", error)

    def _line(self, end: Tip) -> str:
        return told_tip(self._ledger_id, end, self._keys)

    def _accounts_for(self, line: str) -> bool:
        try:
            told = heard_tip(line, self._ledger_id, self._keys.public())
        except Forged:
            return False
        known = file.link_at(self._db, told.seq) if told.seq else self._first
        return known == told.link

    def _newest(self, lines: Sequence[str]) -> int:
        """The entry that the last line names: another process may be ahead."""
        if lines and lines[-1] not in self._evidence:
            with contextlib.suppress(Forged):
                return heard_tip(lines[-1], self._ledger_id, self._keys.public()).seq
        return -1

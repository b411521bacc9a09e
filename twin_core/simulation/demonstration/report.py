"""What the staff write down, rightly or wrongly, and when."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from twin_core.identifiers import Place
from twin_core.simulation.demonstration.agenda import HOUR, MINUTE, Agenda, utc
from twin_core.simulation.facts import BedStatusChanged, Fact
from twin_core.simulation.model import Slips
from twin_core.simulation.truth import Truth

LATEST_ENTRY = 4 * HOUR
"""Nothing is entered later than this after it happened."""
TOLD_AFTER = timedelta(seconds=2)
"""How long after they are made plans are told."""


class Report:
    """Collects facts and stamps them: most are entered at once, some after a while."""

    def __init__(self, agenda: Agenda, chance: Random, slips: Slips, truth: Truth) -> None:
        self._agenda, self._chance, self._slips, self._truth = agenda, chance, slips, truth
        self.facts: list[Fact] = []

    def write(self, kind: Callable[..., Fact], *, at_once: bool = False, **fields: Any) -> None:
        """Record what happens now. `at_once` is for what is true only as it is entered."""
        now = self._agenda.now
        entered = now if at_once else now + self._delay()
        sent = entered + self._chance.randrange(1, 6)
        fact = kind(occurred_at=utc(now), recorded_at=utc(entered), sent_at=utc(sent), **fields)
        self.facts.append(fact)

    def plan(self, kind: Callable[..., Fact], **fields: Any) -> None:
        """Record what is expected now. Ward and bed management enter it into the system itself, so
        that it is told at once; it decides nothing, and no chance is taken for it."""
        now = utc(self._agenda.now)
        self.facts.append(
            kind(occurred_at=now, recorded_at=now, sent_at=now + TOLD_AFTER, **fields)
        )

    def bed_status(self, place: Place, status: str) -> None:
        """Housekeeping says how a bed is."""
        self._truth.bed_status(place, status)
        self.write(BedStatusChanged, at_once=True, place=place, status=status)

    def _delay(self) -> int:
        if self._chance.random() < self._slips.written_promptly:
            return self._chance.randrange(0, MINUTE)
        drawn = self._slips.written_after_minutes.draw(self._chance) * MINUTE
        return min(round(drawn), LATEST_ENTRY)

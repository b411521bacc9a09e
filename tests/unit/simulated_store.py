"""A simulated hospital's days as a real store, for tests of what leaves it."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from adapters.hl7v2 import translate
from adapters.hl7v2.encode import encode
from api.demo import demo_settings, plan_check
from twin_core import Twin
from twin_core.clock import Clock
from twin_core.inbox import Receipt
from twin_core.settings import DeidSettings, LimitSettings, Settings

KEYS = DeidSettings(pseudonym_key="ab" * 32, shift_key="cd" * 32, shift_weeks=4)


class StoppedClock:
    """A clock that stands still."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


def simulated(path: Path, *, days: float = 2.5, deid: DeidSettings = KEYS) -> Twin:
    """A store that heard some days of the demonstration hospital, whose clock stands 60 days later.

    The caller closes it.
    """
    plan = plan_check(days=days, seed=7)
    settings = demo_settings(plan.model, Settings(deid=deid))
    clock: Clock = StoppedClock(plan.ends + timedelta(days=60))
    twin = Twin.open(path, settings=settings, clock=clock)
    facts = enumerate(plan.demonstration.facts())
    hear(twin, (encode(fact, sender=plan.sender, control_id=str(n)) for n, fact in facts))
    return twin


def hear(twin: Twin, messages: Iterable[bytes]) -> None:
    """Messages, received and applied."""
    feed, limits, now = twin.settings.feed("adt"), LimitSettings(), twin.clock.now()
    receipts = [
        Receipt(
            format="hl7v2",
            feed="adt",
            raw=raw,
            outcome=translate(raw, feed="adt", settings=feed, limits=limits, received_at=now),
            origin="test",
        )
        for raw in messages
    ]
    twin.receive(receipts)
    twin.wait_applied()

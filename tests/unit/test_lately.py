"""The catalogue over the last day at hand: a reader of the page waits once, others are served."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

import api.lately
from api.lately import LatelyKept
from twin_core.kpi.live import Lately
from twin_core.kpi.measuring import Window

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Counting:
    """A twin that tells how often it was measured."""

    def __init__(self) -> None:
        self.measured, self.batches = 0, 1

    def sequence(self) -> int:
        return self.batches

    def kpis_lately(self, *, by: str) -> Lately:
        self.measured += 1
        return Lately(Window(AT, AT), self.batches, {})


def test_only_the_first_reader_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    twin, now = Counting(), [1000.0]
    monkeypatch.setattr(api.lately, "monotonic", lambda: now[0])
    kept = LatelyKept(twin)  # type: ignore[arg-type]
    first, renew = kept.at_hand()
    assert (twin.measured, renew) == (1, False)
    now[0] += 30
    # Nothing has come since, so there is nothing to renew.
    assert kept.at_hand() == (first, False)
    twin.batches = 2
    assert kept.at_hand() == (first, True)
    assert twin.measured == 1
    kept.figures()
    assert (twin.measured, kept.at_hand()[1]) == (2, False)
    now[0] += 61
    assert kept.at_hand()[0].sequence == 2
    assert twin.measured == 3


def test_who_asks_while_figures_are_prepared_ends_the_pauses() -> None:
    class Leisurely(Counting):
        def kpis_lately(
            self, *, by: str, rest: Callable[[float], None] = lambda took: None
        ) -> Lately:
            if not self.measured:
                preparing.set()
                # Without somebody who asks, this pause would be of hours.
                rest(10_000.0)
            return super().kpis_lately(by=by)

    preparing, twin = threading.Event(), Leisurely()
    kept = LatelyKept(twin)  # type: ignore[arg-type]
    thread = threading.Thread(target=kept.prepare)
    thread.start()
    assert preparing.wait(600)
    assert kept.figures().sequence == 1
    thread.join(600)
    # What was prepared is what is shown.
    assert twin.measured == 1

"""Streams of patients as arrays: rates, appointments written out, and surges laid over them."""

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from twin_core.simulation.flow.arrivals import Arrivals, Surge
from twin_core.simulation.flow.weekly import WEEK
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.tables import Lengths, Numbers, Table

if TYPE_CHECKING:
    from twin_core.simulation.kernel.planning import Planner


class Coming:
    """The streams of a model.

    A surge never changes the patients who come anyway: more of them come as a stream of its own
    beside the first, fewer by leaving out some, the same ones in every run of a seed.
    """

    def __init__(self, planner: "Planner", lengths: Lengths) -> None:
        self.streams, self.thins = Table(lay.STREAM), Table(lay.THIN)
        self.rates = Numbers("f8")
        self._slots: list[tuple[float, float, int, int]] = []
        self._planner, self._lengths, self._labels = planner, lengths, dict[str, int]()
        for stream in planner.model.arrivals:
            self._stream(stream)

    def slot_array(self) -> lay.Records:
        """Appointments of all streams, in the order in which they are looked at."""
        table = Table(lay.SLOT)
        for at, due, stream, number in sorted(self._slots):
            table.add(at=at, due=due, stream=stream, number=number)
        return table.array()[: len(self._slots)]

    def _stream(self, stream: Arrivals) -> None:
        surges = [surge for surge in self._planner.model.surges if surge.meets(stream)]
        hours = self._planner.hours
        begins = stream.begins_after_hours
        ends = hours + 1 if stream.ends_after_hours is None else stream.ends_after_hours
        self._labels[stream.label] = self._labels.get(stream.label, 0) + 1
        label = f"{stream.label}#{self._labels[stream.label]}"
        self._write(stream, label, 1.0, begins, ends, [s for s in surges if s.factor < 1])
        for at, surge in enumerate(s for s in surges if s.factor > 1):
            upto = hours + 1 if surge.to_hours is None else surge.to_hours
            begun, ended = max(begins, surge.from_hours), min(ends, upto)
            if begun < ended and stream.saturated is None:
                self._more(stream, f"{label}+{at}", surge, (begun, ended))

    def _more(self, stream: Arrivals, label: str, surge: Surge, when: tuple[float, float]) -> None:
        """A stream beside another, for what a surge adds to it."""
        more = surge.factor - 1
        if stream.interarrival is None:
            self._write(stream, label, more, *when, [])
            return
        for copy in range(ceil(more)):
            share = surge.model_copy(update={"factor": min(1.0, more - copy)})
            self._write(stream, f"{label}.{copy}", 1.0, *when, [share])

    def _write(
        self,
        stream: Arrivals,
        label: str,
        factor: float,
        begins: float,
        ends: float,
        fewer: list[Surge],
    ) -> None:
        from twin_core.simulation.kernel.planning import key_of

        first_thin = len(self.thins)
        for surge in fewer:
            upto = self._planner.hours + 1 if surge.to_hours is None else surge.to_hours
            self.thins.add(begins=surge.from_hours, ends=upto, kept=surge.factor)
        hourly, width = _in_days(stream) if stream.day_variation else _hourly(stream)
        first, count = self.rates.add(rate * factor for rate in hourly)
        number = self.streams.add(
            kind=_kind(stream),
            step=self._planner.steps[stream.class_, stream.unit],
            first_rate=first,
            rates=count,
            step_hours=width,
            day_cv=stream.day_variation,
            length=self._lengths.add(stream.interarrival or stream.lateness),
            first_thin=first_thin,
            thins=len(fewer),
            no_show=stream.no_show,
            begins=begins,
            ends=ends,
            key=key_of("stream", label),
        )
        self._book(stream, number, factor, begins, ends)

    def _book(
        self, stream: Arrivals, number: int, factor: float, begins: float, ends: float
    ) -> None:
        # A factor of 1.2 books every fifth appointment once more, from the third on.
        count, more = 0, 0.5
        for due in self._appointments(stream):
            if not (0 <= due and begins <= due < ends):
                continue
            more += factor
            while more >= 1 - 1e-9:
                more -= 1
                at = max(0.0, due - stream.early_at_most_hours)
                self._slots.append((at, due, number, count))
                count += 1

    def _appointments(self, stream: Arrivals) -> Iterator[float]:
        """When somebody is due during the run, in hours after its start."""
        yield from sorted(stream.booked or ())
        offset = self._planner.offset
        weekly = np.sort([hour for clinic in stream.slots or () for hour in clinic.hours()])
        for week in range(int((self._planner.hours + offset) // WEEK) + 1):
            yield from (weekly + WEEK * week - offset).tolist()


def _kind(stream: Arrivals) -> int:
    if stream.interarrival is not None:
        return lay.RENEWED
    if stream.slots is not None or stream.booked is not None:
        return lay.BOOKED
    return lay.SATURATED if stream.saturated else lay.AT_RATES


def _hourly(stream: Arrivals) -> tuple[tuple[float, ...], float]:
    if _kind(stream) != lay.AT_RATES:
        return (), 1.0
    hourly = stream.hourly()
    return hourly, stream.step_hours if stream.rates is not None else 1.0


def _in_days(stream: Arrivals) -> tuple[tuple[float, ...], float]:
    """Rates in steps of which a whole number makes a day, so that a day's factor can change."""
    hourly, width = _hourly(stream)
    if len(hourly) == 1:
        return hourly, 24.0
    return hourly, width

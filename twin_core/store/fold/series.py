"""Which result a report is about, where codes, OBRs and order numbers may each have two names.

Within a family of order numbers a result is known by the filler's number, else the placer's; by
the OBR of the order; by any of its codes. A name that is more exact than what was known takes up
what was reported under the vaguer one, unless the same message reported both. A placer's number
that stands for very many orders, such as a constant, names none of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from twin_core.events import Observation, ObservationsReported
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact

MOST_FILLERS = 16
"""Orders of fillers that one placer's number may stand for; more, and it is no number of any."""
PENDING = frozenset({"registered", "preliminary"})
SETTLED = frozenset({"final", "amended", "corrected"})

Scope = tuple[tuple[str, ...], str]
"""An order, as (system, value) of its filler or (`placer`, system, value), and an OBR of it."""

_Told = tuple[str | None, str, int, str]
_Coding = tuple[str, str]
_NO_ORDER: Scope = ((), "")


class Result:
    """One observation while its reports are folded; a report that names no visit keeps the last."""

    __slots__ = (
        "effective_at",
        "encounter",
        "filler",
        "first",
        "latest",
        "placer",
        "report",
        "valued",
        "whose",
    )

    def __init__(
        self, report: ObservationsReported, one: Observation, at: datetime, whose: str | None
    ) -> None:
        self.first = (report, one, at)
        self.whose = whose
        self.effective_at = at
        self.encounter = report.encounter
        self.report = report
        self.latest = self.valued = one
        self.filler, self.placer = filler_of(report), placer_of(report)

    def add(self, report: ObservationsReported, one: Observation, at: datetime) -> None:
        """A further report; one that still waits for a settled result says nothing new."""
        self.filler = filler_of(report) or self.filler
        self.placer = placer_of(report) or self.placer
        if one.status in PENDING and self.latest.status in SETTLED:
            return
        self.report, self.latest = report, one
        self.encounter = report.encounter or self.encounter
        if not one.status_only:
            self.valued, self.effective_at = one, at


class Series:
    """The results of one code in one OBR of one order, in the order of their first reports."""

    __slots__ = ("codes", "filler", "message_id", "results")

    def __init__(self, codes: Iterable[_Coding], filler: Identifier | None) -> None:
        self.codes = dict(codes)
        self.filler = filler
        self.message_id = -1
        self.results: list[Result] = []

    def agrees(self, codes: Iterable[_Coding]) -> bool:
        """Whether no system has one code here and another one there."""
        return all(self.codes.get(system, code) == code for system, code in codes)


class SeriesFound:
    """The series of one family, by all names that its facts give them."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.all: list[Series] = []
        self._by_name: dict[tuple[_Told, _Coding, Scope], Series] = {}
        self._fillers: dict[tuple[str, ...], dict[tuple[str, ...], None]] = {}
        self._placers: dict[tuple[str, ...], dict[tuple[str, ...], None]] = {}
        self._panels: dict[str, str] = {}
        self._likes: dict[Scope, list[Scope]] = {}
        self._named: set[Scope] = set()
        """Scopes under which there is any series."""
        for fact in facts:
            report = fact.event
            if isinstance(report, ObservationsReported) and report.order is not None:
                self._learn(report)

    def _learn(self, report: ObservationsReported) -> None:
        known = next((self._panels[c] for c in report.panel if c in self._panels), None)
        for code in report.panel:
            self._panels.setdefault(code, known or report.panel[0])
        filler, placer = filler_of(report), placer_of(report)
        if filler is not None and placer is not None:
            one, other = filler.key, ("placer", *placer.key)
            self._fillers.setdefault(other, {})[one] = None
            self._placers.setdefault(one, {})[other] = None

    def scope(self, report: ObservationsReported) -> Scope:
        """The order and the OBR of a report; neither where results stand alone."""
        if report.order is None or report.standalone:
            return _NO_ORDER
        filler = filler_of(report)
        order = filler.key if filler is not None else ("placer", *report.order.key)
        return order, self._panels[report.panel[0]] if report.panel else ""

    def of(self, fact: Fact, scope: Scope, told: _Told, one: Observation) -> Series:
        """The series that a report of a fact is about; a new one if there is none."""
        own = (one.system, one.code)
        if not one.also:
            held = self._by_name.get((told, own, scope))
            if held is not None:
                held.message_id = fact.message_id
                return held
        else:
            held = self._by_name.get((told, one.also[0], scope))
            if held is not None and held.codes.get(own[0]) == own[1] and held.agrees(one.also):
                held.message_id = fact.message_id
                return held
        # Two codes of a sender may share one LOINC code: the sender's own one is more exact.
        codes = (*one.also, own)
        series = self._same(scope, told, codes) or self._vaguer(fact, scope, told, codes)
        if series is None:
            series = Series(codes, None)
            self.all.append(series)
        series.message_id = fact.message_id
        if isinstance(fact.event, ObservationsReported):
            series.filler = series.filler or filler_of(fact.event)
        self._named.add(scope)
        for coding in codes:
            self._by_name.setdefault((told, coding, scope), series)
            series.codes.setdefault(*coding)
        return series

    def _same(self, scope: Scope, told: _Told, codes: Sequence[_Coding]) -> Series | None:
        for coding in codes:
            series = self._by_name.get((told, coding, scope))
            if series is not None and series.agrees(codes):
                return series
        return None

    def _vaguer(
        self, fact: Fact, scope: Scope, told: _Told, codes: Sequence[_Coding]
    ) -> Series | None:
        report = fact.event
        if scope is _NO_ORDER or not isinstance(report, ObservationsReported):
            return None
        likes = self._likes.get(scope)
        if likes is None:
            likes = self._likes[scope] = list(self._like(scope))
        if self._named.isdisjoint(likes):
            return None
        filler = filler_of(report)
        found = [
            series
            for other in likes
            if (series := self._same(other, told, codes)) is not None
            and series.message_id != fact.message_id
            and (filler is None or series.filler is None or series.filler.key == filler.key)
        ]
        at = report.effective_at
        same_time = (s for s in found if any(r.effective_at == at for r in s.results))
        return next(same_time, found[-1] if found else None)

    def _like(self, scope: Scope) -> Iterator[Scope]:
        order, panel = scope
        fillers = self._fillers.get(order, {})
        placers = [p for p in self._placers.get(order, ()) if _names_orders(self._fillers[p])]
        orders = [order, *(fillers if _names_orders(fillers) else ()), *placers]
        panels = [panel] if panel == "" else [panel, ""]
        vague = panel == "" or panel.startswith("#")
        panels += [p for p in dict.fromkeys(self._panels.values()) if vague or p.startswith("#")]
        for one in orders:
            for part in dict.fromkeys(panels):
                if (one, part) != scope:
                    yield one, part


def _names_orders(fillers: Mapping[tuple[str, ...], None]) -> bool:
    """Whether a placer's number with these orders of fillers says which of them is meant."""
    return len(fillers) <= MOST_FILLERS


def names_too_many(facts: Iterable[Fact], placer: Identifier) -> bool:
    """Whether a placer's number stands for more orders than it could tell apart."""
    fillers: dict[tuple[str, ...], None] = {}
    for fact in facts:
        report = fact.event
        if isinstance(report, ObservationsReported) and report.placer == placer:
            filler = filler_of(report)
            if filler is not None:
                fillers[filler.key] = None
    return not _names_orders(fillers)


def filler_of(report: ObservationsReported) -> Identifier | None:
    """The filler's number of the order of a report."""
    order = report.order
    return order if order is not None and order.type != "PLAC" else None


def placer_of(report: ObservationsReported) -> Identifier | None:
    """The placer's number of the order of a report."""
    order = report.order
    return report.placer or (order if order is not None and order.type == "PLAC" else None)

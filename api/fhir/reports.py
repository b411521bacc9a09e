"""KPIs over FHIR: Measures are read and searched, MeasureReports evaluated when they are asked for.

A report is measured by the very function that the command line, the API and the pages ask, and its
id spells the question, so that it can be read again.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from adapters.fhir.encode import Json, in_release, pruned
from adapters.fhir.encode.measure import KPI_SYSTEM, canonical, kpi_id, measure, measure_id, report
from adapters.fhir.release import Release
from api.fhir.parameters import Unanswerable, listed, span, split_unescaped, unescaped
from api.fhir.question import Asked
from api.fhir.reading import Given, not_found
from api.fhir.versions import version_at, version_id
from api.routes.kpis import LONGEST_FINE_WINDOW, LONGEST_WINDOW
from twin_core.kpi import KpiRow
from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import Edge, Window

MEASURE_PARAMETERS = {
    "_id": "token",
    "url": "uri",
    "identifier": "token",
    "name": "string",
    "title": "string",
    "status": "token",
}
REPORT_PARAMETERS = {
    "measure": "reference",
    "period": "date",
    "grain": "token",
    "by": "token",
    "known-at": "date",
}
REPORTED = {"Measure": MEASURE_PARAMETERS, "MeasureReport": REPORT_PARAMETERS}
"""The resource types that are made of KPIs, and what each is searched by."""

_EVALUATED = frozenset(
    {"measure", "periodStart", "periodEnd", "reportType", "grain", "by", "knownAt"}
)
_ANSWERED = frozenset({"_count", "_format", "_pretty", "_cursor", "_total", "_summary"})
_ID = re.compile(r"([a-z0-9-]+)\.([a-z]+)\.([a-z-]+)\.(-?\d{1,11})\.(-?\d{1,11})(?:\.(\d{1,17}))?")


class Kpis(Protocol):
    """What of a Twin is asked for figures."""

    @property
    def kpis(self) -> Mapping[str, Definition]:
        """The KPIs by id."""
        ...

    def window(self, start: Edge | None = None, end: Edge | None = None) -> Window:
        """The window that is meant."""
        ...

    def kpi(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        grain: str = "day",
        by: str = "unit",
        known_at: Edge | None = None,
    ) -> list[KpiRow]:
        """The figures of a KPI over a window."""
        ...


class Wanted(NamedTuple):
    """What reports are asked for: of which KPI, over which window, how told apart."""

    kpi: Definition
    window: Window
    grain: str
    by: str
    known_at: datetime | None = None

    def id_of(self, start: datetime, end: datetime) -> str:
        """The id of the report of one period: the question that it answers."""
        parts = [measure_id(self.kpi.id), self.grain, self.by.replace("_", "-")]
        parts += [str(int(at.timestamp())) for at in (start, end)]
        if self.known_at is not None:
            parts.append(version_id(self.known_at))
        return ".".join(parts)


class Reports:
    """The Measures and MeasureReports of one FHIR base."""

    def __init__(
        self, twin: Kpis, base: str, zone: ZoneInfo, release: Release = Release.R4
    ) -> None:
        self.twin, self.base, self.zone, self.release = twin, base, zone, release

    def read(self, kind: str, id_: str) -> Given:
        """A Measure or a MeasureReport."""
        return self.read_measure(id_) if kind == "Measure" else self.read_report(id_)

    def search(self, kind: str, asked: Asked, *, strict: bool) -> Json:
        """Measures, or the MeasureReports of one of them."""
        search = self.search_measures if kind == "Measure" else self.search_reports
        return search(asked, strict=strict)

    # --- Measure -----------------------------------------------------------------------------

    def read_measure(self, id_: str) -> Given:
        """The Measure of a KPI."""
        kpi = self._kpi(id_)
        return Given(200, pruned(measure(kpi))) if kpi else not_found("There is no such Measure.")

    def search_measures(self, asked: Asked, *, strict: bool) -> Json:
        """Measures by what names them."""
        known = MEASURE_PARAMETERS.keys()
        self._only(asked, known, strict=strict)
        tests = [(name, value) for name, value in asked if name in known and value]
        found = [kpi for kpi in self.twin.kpis.values() if all(_is(kpi, *one) for one in tests)]
        return self._bundle("Measure", asked, [pruned(measure(kpi)) for kpi in found])

    def _kpi(self, measure: str) -> Definition | None:
        return self.twin.kpis.get(kpi_id(measure)) if "_" not in measure else None

    # --- MeasureReport -----------------------------------------------------------------------

    def evaluate(self, asked: Asked, id_: str = "") -> Given:
        """$evaluate-measure: one report over the whole of a period.

        periodEnd is the last day that belongs to it, or, with a time, the first instant that no
        longer does. `grain` is the whole period unless it is asked for, `by` is unit.
        """
        told = dict(asked)
        unknown = told.keys() - _EVALUATED - _ANSWERED
        if unknown:
            raise Unanswerable(f"$evaluate-measure knows {listed(_EVALUATED)}.", "not-supported")
        if told.get("reportType", "summary") not in ("summary", "population"):
            raise Unanswerable(
                "reportType is summary: figures are of no one subject.", "not-supported"
            )
        start, end = (self._edge(told, name) for name in ("periodStart", "periodEnd"))
        if start is None or end is None:
            raise Unanswerable("periodStart and periodEnd are required.", "required")
        kpi = self._named(told.get("measure", "") if not id_ else id_)
        wanted = self._checked(
            kpi,
            Window(start, end),
            told.get("grain", "all"),
            told.get("by", ""),
            self._edge(told, "knownAt"),
        )
        rows = self._rows(wanted)
        return Given(200, self._report(wanted, *wanted.window, rows))

    def search_reports(self, asked: Asked, *, strict: bool) -> Json:
        """The reports of a KPI over a window, one for each period of the grain."""
        self._only(asked, REPORT_PARAMETERS.keys(), strict=strict)
        told = dict(asked)
        kpi = self._named(told.get("measure", ""))
        window = self._window([value for name, value in asked if name == "period" and value])
        known = told.get("known-at")
        wanted = self._checked(
            kpi,
            window,
            told.get("grain", ""),
            told.get("by", ""),
            span(known, self.zone, "known-at")[0] if known else None,
        )
        periods: dict[tuple[datetime, datetime], list[KpiRow]] = {}
        for row in self._rows(wanted):
            periods.setdefault((row.period_start, row.period_end), []).append(row)
        found = [self._report(wanted, *at, rows) for at, rows in sorted(periods.items())]
        return self._bundle("MeasureReport", asked, found)

    def read_report(self, id_: str) -> Given:
        """A report that was given before, measured anew."""
        matched = _ID.fullmatch(id_)
        kpi = self._kpi(matched[1]) if matched else None
        if matched is None or kpi is None:
            return not_found("There is no such MeasureReport.")
        start, end = (datetime.fromtimestamp(int(at), UTC) for at in matched.group(4, 5))
        known_at = version_at(matched[6]) if matched[6] else None
        by = matched[3].replace("-", "_")
        wanted = self._checked(kpi, Window(start, end), matched[2], by, known_at)
        rows = [
            row
            for row in self._rows(wanted)
            if wanted.grain == "all" or (row.period_start, row.period_end) == (start, end)
        ]
        return Given(200, self._report(wanted, start, end, rows))

    def _rows(self, wanted: Wanted) -> list[KpiRow]:
        return self.twin.kpi(
            wanted.kpi.id,
            *wanted.window,
            grain=wanted.grain,
            by=wanted.by,
            known_at=wanted.known_at,
        )

    def _report(
        self, wanted: Wanted, start: datetime, end: datetime, rows: Sequence[KpiRow]
    ) -> Json:
        told: Json = pruned(report(wanted.kpi, wanted.id_of(start, end), start, end, rows))
        return in_release(told, self.release)

    def _checked(
        self, kpi: Definition, window: Window, grain: str, by: str, known_at: datetime | None
    ) -> Wanted:
        """A question that the KPI can answer. Raises Unanswerable for any other."""
        grain = grain or ("day" if "day" in kpi.grain else kpi.grain[0])
        by = by or ("unit" if "unit" in kpi.by else kpi.by[0])
        for word, given, offered in (("grain", grain, kpi.grain), ("by", by, kpi.by)):
            if given not in offered:
                raise Unanswerable(f"{word} of this Measure is {listed(offered)}.", "not-supported")
        if window.end <= window.start:
            raise Unanswerable("The period ends before it starts.")
        if window.end - window.start > LONGEST_FINE_WINDOW.get(grain, LONGEST_WINDOW):
            raise Unanswerable("The period is too long for this grain.", "too-costly")
        return Wanted(kpi, window, grain, by, known_at)

    def _named(self, measure: str) -> Definition:
        """The KPI that a Measure's id, reference or canonical address names."""
        if not measure:
            raise Unanswerable("measure is required.", "required")
        named = unescaped(measure).removeprefix(f"{self.base}/").removeprefix("Measure/")
        kpi = self.twin.kpis.get(named.removeprefix(f"{KPI_SYSTEM}:")) or self._kpi(named)
        if kpi is None:
            raise Unanswerable("There is no such Measure.", "not-found", 404)
        return kpi

    def _edge(self, told: Mapping[str, str], name: str) -> datetime | None:
        value = told.get(name, "")
        if not value:
            return None
        low, high = span(value, self.zone, name)
        return high if name == "periodEnd" and "T" not in value else low

    def _window(self, periods: Sequence[str]) -> Window:
        """The window that the periods of a search leave; by default the last seven days."""
        start = end = None
        for value in periods:
            prefix, day = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
            if prefix not in ("eq", "ge", "gt", "le", "lt"):
                raise Unanswerable("period is a date with eq, ge, gt, le or lt.", "not-supported")
            low, high = span(day, self.zone, "period")
            if prefix in ("eq", "ge", "gt"):
                start = high if prefix == "gt" else low
            if prefix in ("eq", "le", "lt"):
                end = low if prefix == "lt" else high
        if start is not None and end is not None:
            return Window(start, end)
        return self.twin.window(start, end)

    # --- answers -----------------------------------------------------------------------------

    def _only(self, asked: Asked, known: Iterable[str], *, strict: bool) -> None:
        known = {*known, *_ANSWERED}
        if strict and any(name not in known for name, _ in asked):
            raise Unanswerable(f"What is searched by here is {listed(known)}.", "not-supported")
        if any(name.partition(":")[2] for name, _ in asked if name.partition(":")[0] in known):
            raise Unanswerable("No modifiers are understood here.", "not-supported")

    def _bundle(self, kind: str, asked: Asked, resources: Sequence[Json]) -> Json:
        told = dict(asked)
        query = urlencode(asked, quote_via=quote, safe=":|,/")
        bundle: Json = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(resources),
            "link": [{"relation": "self", "url": f"{self.base}/{kind}?{query}".rstrip("?")}],
        }
        if told.get("_summary") == "count" or told.get("_count") == "0":
            return bundle
        entries = [
            {
                "fullUrl": f"{self.base}/{kind}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in resources
        ]
        return {**bundle, "entry": entries} if entries else bundle


def _is(kpi: Definition, name: str, value: str) -> bool:
    return any(_matches(kpi, name, unescaped(one)) for one in split_unescaped(value, ","))


def _matches(kpi: Definition, name: str, value: str) -> bool:
    if name in ("name", "title"):
        stated = kpi.id if name == "name" else kpi.title
        return stated.casefold().startswith(value.casefold())
    if name == "identifier":
        return value in (kpi.id, f"{KPI_SYSTEM}|{kpi.id}", f"{KPI_SYSTEM}|")
    named = {"_id": measure_id(kpi.id), "url": canonical(kpi.id), "status": "active"}
    return value.rpartition("|")[2] == named[name]

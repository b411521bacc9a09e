"""KPIs as FHIR: what a KPI means as a Measure, its figures over a period as a MeasureReport."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from adapters.fhir.encode.words import Json, absent, extension, period, text

KPI_SYSTEM = "urn:wardtwin:kpi"
STATISTIC_SYSTEM = "urn:wardtwin:statistic"
_SCORING = "http://terminology.hl7.org/CodeSystem/measure-scoring"
_NOTATION = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
_POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
_STRATA = ("facility", "unit", "stratum")
"""What tells the figures of one statistic and one period apart."""


class Kpi(Protocol):
    """What of a KPI's definition a Measure says."""

    id: str
    title: str
    question: str
    unit: str
    direction: str
    numerator: str
    denominator: str
    exclusions: tuple[str, ...]
    statistics: dict[str, str]
    caveats: tuple[str, ...]
    supplied_by: str
    source: str


class Figure(Protocol):
    """What of a figure a MeasureReport says."""

    @property
    def facility(self) -> str | None: ...
    @property
    def unit(self) -> str | None: ...
    @property
    def stratum(self) -> str | None: ...
    @property
    def statistic(self) -> str: ...
    @property
    def numerator(self) -> float | None: ...
    @property
    def denominator(self) -> float | None: ...
    @property
    def value(self) -> float | None: ...
    @property
    def coverage(self) -> float | None: ...


def measure_id(kpi_id: str) -> str:
    """The id of a KPI's Measure: FHIR ids know no underscore."""
    return kpi_id.replace("_", "-")


def kpi_id(measure: str) -> str:
    """The KPI whose Measure has an id."""
    return measure.replace("-", "_")


def canonical(kpi: str) -> str:
    """The canonical address of a KPI's Measure, the same on every twin."""
    return f"{KPI_SYSTEM}:{kpi}"


def measure(kpi: Kpi) -> Json:
    """The definition of a KPI: a group for each statistic, what is counted, over what."""
    lower = kpi.direction.startswith("lower")
    return {
        "resourceType": "Measure",
        "id": measure_id(kpi.id),
        "url": canonical(kpi.id),
        "identifier": [{"system": KPI_SYSTEM, "value": kpi.id}],
        "name": kpi.id,
        "title": kpi.title,
        "status": "active",
        "description": kpi.question,
        "relatedArtifact": [{"type": "citation", "citation": kpi.source}],
        "disclaimer": "\n".join(kpi.caveats),
        "scoring": {"coding": [{"system": _SCORING, "code": _scoring(kpi)}]},
        "improvementNotation": _improvement(lower=lower) if _directed(kpi) else None,
        "guidance": _guidance(kpi),
        "group": [_defined(kpi, name, words) for name, words in kpi.statistics.items()],
    }


def _guidance(kpi: Kpi) -> str:
    said = f"Unit: {kpi.unit}. Direction: {kpi.direction}."
    return f"{said} Supplied by: {kpi.supplied_by}." if kpi.supplied_by else said


def _directed(kpi: Kpi) -> bool:
    return kpi.direction.startswith(("lower", "higher"))


def _improvement(*, lower: bool) -> Json:
    return {"coding": [{"system": _NOTATION, "code": "decrease" if lower else "increase"}]}


def _scoring(kpi: Kpi) -> str:
    if kpi.unit == "%":
        return "proportion"
    return "continuous-variable" if {"mean", "median"} & set(kpi.statistics) else "ratio"


def _defined(kpi: Kpi, statistic: str, words: str) -> Json:
    return {
        "code": _statistic(statistic),
        "description": words,
        "population": [
            _counted("numerator", kpi.numerator),
            _counted("denominator", kpi.denominator),
            *(_counted("denominator-exclusion", words) for words in kpi.exclusions),
        ],
        "stratifier": [{"code": {"text": name}, "criteria": _criteria(name)} for name in _STRATA],
    }


def _statistic(name: str) -> Json:
    return {"coding": [{"system": STATISTIC_SYSTEM, "code": name}]}


def _counted(population: str, words: str) -> Json:
    return {
        "code": {"coding": [{"system": _POPULATION, "code": population}]},
        "description": words,
        "criteria": _criteria(words),
    }


def _criteria(words: str) -> Json:
    return {"language": "text/plain", "expression": words}


def report(kpi: Kpi, id_: str, start: datetime, end: datetime, figures: Sequence[Figure]) -> Json:
    """The figures of one period, [start, end): a group per statistic, in it a stratum per place.

    A figure that is unknown has no score but a reason; it is never zero.
    """
    by_statistic: dict[str, list[Figure]] = {}
    for figure in figures:
        by_statistic.setdefault(figure.statistic, []).append(figure)
    return {
        "resourceType": "MeasureReport",
        "id": id_,
        "status": "complete",
        "type": "summary",
        "measure": canonical(kpi.id),
        "period": period(start, end),
        "improvementNotation": (
            _improvement(lower=kpi.direction.startswith("lower")) if _directed(kpi) else None
        ),
        "group": [_group(kpi, name, several) for name, several in by_statistic.items()],
    }


def _group(kpi: Kpi, statistic: str, figures: Sequence[Figure]) -> Json:
    whole = [figure for figure in figures if not _strata(figure)]
    told: Json = {"code": _statistic(statistic)}
    for figure in whole[:1]:
        told |= _told(kpi, figure)
    strata = [_stratum(kpi, figure) for figure in figures if _strata(figure)]
    if strata:
        told["stratifier"] = [{"code": [{"text": _together(figures)}], "stratum": strata}]
    return told


def _strata(figure: Figure) -> Mapping[str, str]:
    """By what a figure is told apart from the others."""
    named = {name: text(getattr(figure, name)) for name in _STRATA}
    return {name: value for name, value in named.items() if value}


def _together(figures: Iterable[Figure]) -> str:
    used = {name for figure in figures for name in _strata(figure)}
    return ", ".join(name for name in _STRATA if name in used)


def _stratum(kpi: Kpi, figure: Figure) -> Json:
    return {
        **_told(kpi, figure),
        "component": [
            {"code": {"text": name}, "value": {"text": value}}
            for name, value in _strata(figure).items()
        ],
    }


def _told(kpi: Kpi, figure: Figure) -> Json:
    """The value with its unit, and the two sums that it was made of."""
    score = {"value": figure.value, "unit": kpi.unit} if figure.value is not None else absent()
    told: Json = {
        "population": [
            _sum("numerator", figure.numerator),
            _sum("denominator", figure.denominator),
        ],
        "measureScore": score,
    }
    if figure.coverage is not None:
        told["extension"] = [extension("coverage", valueDecimal=figure.coverage)]
    return told


def _sum(population: str, amount: float | None) -> Json | None:
    """A sum; FHIR counts in whole numbers, so that the exact amount stands beside the count."""
    if amount is None:
        return None
    return {
        "extension": [extension("amount", valueDecimal=amount)],
        "code": {"coding": [{"system": _POPULATION, "code": population}]},
        "count": int(amount) if amount.is_integer() and abs(amount) < 2**31 else None,
    }

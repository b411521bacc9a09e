"""Observations whose code says that the value is an age, a birth date or somebody's number."""

from adapters.fhir.deidentify.case import Case, Json
from adapters.fhir.deidentify.codings import capped
from adapters.fhir.deidentify.primitives import birth
from twin_core.deid.stated import OLDEST, Meaning, meaning, most


def observed(stated: dict[str, Json], found: dict[str, Json], case: Case) -> None:
    """Take from what passed of an Observation, or of a component, what its code makes telling.

    An age ends at 90, a birth date becomes what Patient.birthDate does, a number that is somebody's
    is dropped. The time of such an Observation may be the day of birth: it is told in years, or
    not at all where others move, because a year that did not would tell by how much.
    """
    said = meant(stated.get("code"))
    values = [name for name in found if name.startswith("value")]
    if said == "identifier":
        _drop(values, found, case)
    elif said == "age":
        _cap(values, found, case)
    elif said == "birth":
        _as_birth(values, stated, found, case)
    if said == "birth" or _has_birth(stated.get("component")):
        times = [name for name in found if name.startswith("effective")]
        if case.site.profile == "shifted":
            _drop(times, found, case)
        else:
            _as_birth(times, stated, found, case)


def meant(concept: Json) -> Meaning | None:
    """What a CodeableConcept says that the value is."""
    if type(concept) is not dict:
        return None
    stated = concept.get("coding")
    codings = [one for one in stated if type(one) is dict] if type(stated) is list else []
    codes = [code for one in codings if type(code := one.get("code")) is str]
    texts = [concept.get("text"), *(one.get("display") for one in codings)]
    return meaning(tuple(codes), tuple(text for text in texts if type(text) is str))


def _has_birth(components: Json) -> bool:
    return type(components) is list and any(
        type(one) is dict and meant(one.get("code")) == "birth" for one in components
    )


def _drop(names: list[str], found: dict[str, Json], case: Case) -> None:
    for name in names:
        del found[name]
        case.dropped[f"Observation.{name}"] += 1


def _cap(names: list[str], found: dict[str, Json], case: Case) -> None:
    for name in names:
        told = found[name]
        if type(told) is int and told > OLDEST:
            found[name] = OLDEST
        elif name == "valueQuantity" and not _capped(told):
            _drop([name], found, case)
        elif name in ("valueRange", "valueRatio"):
            kept = {side: one for side, one in told.items() if _capped(one)}
            if kept != told:
                _drop([name], found, case)
        elif name in ("valueSampledData", "valueDateTime", "valuePeriod"):
            _drop([name], found, case)


def _capped(quantity: Json) -> bool:
    """Cap a quantity in place; whether it passes."""
    if type(quantity) is not dict or "value" not in quantity:
        return True
    unit = str(quantity.get("code") or quantity.get("unit") or "")
    return capped(quantity, most(unit, is_age=True)) is not None


def _as_birth(
    names: list[str], stated: dict[str, Json], found: dict[str, Json], case: Case
) -> None:
    for name in names:
        # An instant and a time of the day have no form in which a year could be told.
        in_years = name not in ("effectiveInstant", "valueTime")
        told = _born(stated.get(name), case) if in_years else None
        if told is None:
            _drop([name], found, case)
        else:
            found[name] = told


def _born(said: Json, case: Case) -> Json:
    """A date, a year or a period as the years of a birth date."""
    if type(said) is dict:
        years = {side: birth(said.get(side), case) for side in ("start", "end")}
        return {side: year for side, year in years.items() if year} or None
    if type(said) is int:
        year = birth(str(said), case)
        return int(year) if year and year == str(said) else None
    return birth(said, case)

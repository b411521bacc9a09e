"""Codes that pass: of a system that says what was done, in the form that its codes have."""

import re

from adapters.fhir.deidentify.case import Case, Json
from adapters.fhir.deidentify.primitives import MAX_AGE, is_unit, unit
from twin_core.deid.nomenclatures import SYSTEMS, is_code

UCUM = "http://unitsofmeasure.org"
_LOCAL = re.compile(r"[A-Za-z0-9._+/-]{1,24}", re.ASCII)
_AGE_LIMITS = {"a": 1.0, "mo": 12.0, "wk": 52.18, "d": 365.25}
"""UCUM codes of time in which an age is stated, and how many of them are a year."""
_AGE_WORDS = {
    "year": "a",
    "years": "a",
    "yr": "a",
    "yrs": "a",
    "y": "a",
    "month": "mo",
    "months": "mo",
    "week": "wk",
    "weeks": "wk",
    "day": "d",
    "days": "d",
}


def coding(value: Json, case: Case) -> Json:
    """A coding whose code passes: its system, its code, and whether the user chose it."""
    if type(value) is not dict:
        return None
    system, code = value.get("system"), value.get("code")
    if type(system) is not str or type(code) is not str or not passes(system, code, case):
        case.dropped[f"{case.kind}: a code of a system that is not listed, or not in its form"] += 1
        return None
    if "extension" in value or "modifierExtension" in value:
        case.dropped[f"{case.kind}: an extension of a coding"] += 1
    found: dict[str, Json] = {"system": system, "code": code}
    if type(value.get("userSelected")) is bool:
        found["userSelected"] = value["userSelected"]
    return found


def passes(system: str, code: str, case: Case) -> bool:
    """Whether a code may be told."""
    if system == UCUM:
        return is_unit(code, case)
    if system in case.site.code_systems:
        return _LOCAL.fullmatch(code) is not None
    return is_code(system, code)


def quantity(value: Json, case: Case) -> Json:
    """A number and its unit; an age over 89 is told as 90 or more."""
    if type(value) is not dict:
        return None
    found: dict[str, Json] = {}
    for name, said in value.items():
        if name == "value" and type(said) in (int, float):
            found["value"] = said
        elif name == "comparator" and said in ("<", "<=", ">=", ">", "ad"):
            found["comparator"] = said
        elif name == "unit":
            passed = unit(said, case)
            if passed is not None:
                found["unit"] = passed
        elif name == "modifierExtension":
            case.dropped[f"{case.kind}: a modifier of a quantity"] += 1
            return None
    system, code = value.get("system"), value.get("code")
    if type(system) is str and type(code) is str and passes(system, code, case):
        found["system"], found["code"] = system, code
        if "unit" not in found and "unit" in value:
            found["unit"] = code
    _cap_age(found, str(found.get("code") or value.get("code") or value.get("unit")))
    return found or None


def _cap_age(found: dict[str, Json], stated: str) -> None:
    """`stated` is the unit as it was sent, whether it passed or not."""
    bare = stated.strip().rstrip(".")
    per_year = _AGE_LIMITS.get(_AGE_WORDS.get(bare.lower(), bare))
    if per_year is None or "value" not in found:
        return
    if found["value"] >= (MAX_AGE + 1) * per_year:
        found["value"] = int((MAX_AGE + 1) * per_year)


def states_age(concept: Json) -> bool:
    """Whether a CodeableConcept says that what follows is somebody's age in years."""
    stated = concept.get("coding") if type(concept) is dict else None
    return type(stated) is list and any(
        type(one) is dict and (str(one.get("system")), str(one.get("code"))) in SYSTEMS.ages
        for one in stated
    )

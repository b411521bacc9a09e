"""Codes that pass: of a system that says what was done, in the form that its codes have."""

import re
from collections.abc import Callable

from adapters.fhir.deidentify.case import Case, Json
from adapters.fhir.deidentify.primitives import is_unit, number, unit
from twin_core.deid.nomenclatures import is_code
from twin_core.deid.stated import most

UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("wk", "week", "weeks"), 604_800),
}
"""Units of a length of stay, and how many seconds each is."""
_LOCAL = re.compile(r"[A-Za-z0-9._+/-]{1,24}", re.ASCII)


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


def bound(stated: tuple[str, ...]) -> Callable[[Json, Case], Json]:
    """Codings of these systems only; a bare name is one of HL7's terminology."""
    systems = frozenset(one if ":" in one else f"{TERMINOLOGY}{one}" for one in stated)

    def passed(value: Json, case: Case) -> Json:
        if type(value) is dict and type(value.get("system")) is str:
            if value["system"] in systems:
                return coding(value, case)
            case.dropped[f"{case.kind}: a code of a system that its element is not bound to"] += 1
        return None

    return passed


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
        if name == "value":
            found["value"] = number(said, case)
            if found["value"] is None:
                return None
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
    stated = str(found.get("code") or value.get("code") or value.get("unit"))
    return capped(found, most(stated, is_age=False)) or None


def capped(found: dict[str, Json], greatest: int | None) -> dict[str, Json] | None:
    """A quantity with no greater number; None where it says that the truth is below another."""
    if greatest is not None and found.get("value", 0) >= greatest:
        if found.get("comparator", ">") not in (">", ">="):
            return None
        found["value"] = greatest
    return found


def length(value: Json, case: Case) -> Json:
    """A length of stay: whole hours where instants move, and none where only bands are told."""
    found = None if case.site.profile == "safe_harbor" else quantity(value, case)
    if found is None or case.site.profile == "limited":
        return found
    seconds = _SECONDS.get(str(found.get("code") or found.get("unit")))
    if seconds is None or "value" not in found:
        return None
    return {
        "value": int(found["value"] * seconds // 3600),
        "unit": "h",
        "system": UCUM,
        "code": "h",
    }

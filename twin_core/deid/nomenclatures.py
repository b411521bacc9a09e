"""Nomenclatures whose codes say what was done and never to whom, and the form of their codes."""

import re
from functools import cache, lru_cache
from importlib.resources import files
from tomllib import loads
from typing import Any, Literal, NamedTuple

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
_NAME = re.compile(
    r"(?:us/core/)?(?:CodeSystem/|sid/)?(?:v[23]-[A-Za-z0-9]{2,40}|[a-z]{2,20}(?:-[a-z0-9]{1,20})*)",
    re.ASCII,
)
"""What follows the beginnings of FHIR's and HL7's own code systems."""


class Systems(NamedTuple):
    """The table codes.toml, its forms compiled."""

    forms: dict[str, "re.Pattern[str] | None"]
    """By system; None for units."""
    prefixes: tuple[str, ...]
    own: "re.Pattern[str]"
    meanings: dict[str, Literal["age", "birth", "identifier"]]
    """By code of an observation what its value is, where that is somebody's own."""


@cache
def systems() -> Systems:
    """The code systems that pass."""
    text = (files("twin_core.deid") / "nomenclatures.toml").read_text("utf-8")
    told: dict[str, Any] = loads(text)
    return Systems(
        {
            system: None if form == "ucum" else re.compile(form, re.ASCII)
            for system, form in told["systems"].items()
        },
        tuple(told["own"]["prefixes"]),
        re.compile(told["own"]["form"], re.ASCII),
        {code: one for one, codes in told["meanings"].items() for code in codes},
    )


SYSTEMS = systems()


@lru_cache(maxsize=50_000)
def is_code(system: str, code: str) -> bool:
    """Whether a code has the form of its system, its check digit included.

    Units are judged by whoever knows UCUM: here none of them passes.
    """
    form = SYSTEMS.forms.get(system)
    if form is None:
        if not any(
            system.startswith(prefix) and _NAME.fullmatch(system[len(prefix) :])
            for prefix in SYSTEMS.prefixes
        ):
            return False
        form = SYSTEMS.own
    if form.fullmatch(code) is None:
        return False
    if system == LOINC and code[0].isdigit():
        return _mod10(code)
    return system != SNOMED or _verhoeff(code)


def _mod10(code: str) -> bool:
    """Whether the check digit of a LOINC number is right (LOINC Users' Guide, appendix D)."""
    digits, _, check = code.partition("-")
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return (10 - total % 10) % 10 == int(check)


_D = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_P = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def _verhoeff(code: str) -> bool:
    """Whether the check digit of a SNOMED CT identifier is right (Verhoeff 1969)."""
    state = 0
    for place, digit in enumerate(reversed(code)):
        state = int(_D[state][int(_P[place % 8][int(digit)])])
    return state == 0

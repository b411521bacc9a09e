"""Which codes say what was done and never to whom: of closed value sets, or in a strict form."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.resources import files
from tomllib import loads
from typing import Any, Literal, NamedTuple

_MOST_DIGITS = 4
_THREE_DIGITS = re.compile(r"\d{3}")
_FACTORS = re.compile(r"[./()]")
_PARTITION_BITS = 16
_PARTITIONS = frozenset((*range(1, 11), *range(128, 132)))


class System(NamedTuple):
    """What passes of one code system, and why it may."""

    codes: frozenset[str]
    """All of them, where they are words."""
    form: "re.Pattern[str] | None" = None
    check: "Callable[[str], bool] | None" = None
    """What holds of a code in the form."""
    because: str = "Only the words of its value set."


class Systems(NamedTuple):
    """The tables nomenclatures.toml and value_sets.toml."""

    known: dict[str, System]
    """By URI."""
    meanings: dict[str, Literal["age", "birth", "identifier"]]
    """By code of an observation what its value is, where that is somebody's own."""


@cache
def systems() -> Systems:
    """The code systems that pass."""
    told = _table("nomenclatures")
    known = {uri: System(frozenset(codes.split())) for uri, codes in _table("value_sets").items()}
    for uri, row in told["systems"].items():
        known[uri] = System(
            known[uri].codes if uri in known else frozenset(),
            re.compile(row["form"], re.ASCII) if "form" in row else None,
            _CHECKS[row["check"]] if "check" in row else None,
            " ".join(row["because"].split()),
        )
    return Systems(known, {code: one for one, codes in told["meanings"].items() for code in codes})


def _table(name: str) -> dict[str, Any]:
    return loads((files("twin_core.deid") / f"{name}.toml").read_text("utf-8"))


@lru_cache(maxsize=50_000)
def is_code(system: str, code: str) -> bool:
    """Whether a code is in the value set of its system, or in its form, its check digit included.

    Units are judged by whoever knows UCUM: here none of them passes.
    """
    known = SYSTEMS.known.get(system)
    if known is None:
        return False
    if code in known.codes:
        return True
    if known.form is None or known.form.fullmatch(code) is None:
        return False
    return known.check is None or known.check(code)


def spells_a_number(unit: str) -> bool:
    """Whether a unit may be somebody's number: in a bare factor, which UCUM takes for a unit, or in
    exponents, where it has more digits than `10*12/L`."""
    digits = sum(sign.isdigit() for sign in unit)
    has_factor = any(part.isdecimal() for part in _FACTORS.split(unit))
    return has_factor or digits > _MOST_DIGITS or _THREE_DIGITS.search(unit) is not None


def _is_in_partition(code: str) -> bool:
    """Whether a code of ISO/IEEE 11073-10101 is of a partition that the standard gives."""
    return int(code) >> _PARTITION_BITS in _PARTITIONS


def _mod10(code: str) -> bool:
    """Whether the check digit of a LOINC number is right (LOINC Users' Guide, appendix D)."""
    digits, _, check = code.partition("-")
    if not digits.isdecimal():
        # LA and LP of LOINC, and words: of another kind of digit, or of none.
        return True
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


_CHECKS: dict[str, Callable[[str], bool]] = {
    "mod10": _mod10,
    "verhoeff": _verhoeff,
    "partition": _is_in_partition,
}
SYSTEMS = systems()

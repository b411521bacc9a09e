"""value[x] of an Observation as text beside the number or code that it is.

Narrative, attachments and waveforms are not kept, as with HL7 v2: the raw resource has them.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Period
from adapters.fhir.shapes_results import Quantity, Range, Ratio, ReferenceRange, Term, Terms, Valued

LONGEST_TEXT = 200
"""Longer texts are narrative."""
_COMPARATORS = frozenset({"", "<", "<=", ">=", ">", "ad"})


class Value(NamedTuple):
    """A value by the names of `twin_core.events.Observation`."""

    value_type: str = ""
    value: str = ""
    value_number: float | None = None
    comparator: str = ""
    value_system: str = ""
    value_code: str = ""
    unit: str = ""
    unit_system: str = ""
    withheld: str = ""


NO_VALUE = Value()


def read_value(valued: Valued, reading: Reading, where: str) -> Value:
    """The value that an observation or a component has, if it has any."""
    if valued.value_quantity is not None:
        return _quantity(valued.value_quantity, reading, where)
    for element, read in _READERS:
        stated = getattr(valued, element)
        if stated is not None:
            return read(stated)
    return NO_VALUE


def _quantity(stated: Quantity, reading: Reading, where: str) -> Value:
    reading.known(stated.comparator, _COMPARATORS, f"{where}valueQuantity.comparator")
    number = stated.value
    if number is None or not isfinite(number):
        return Value("Quantity")
    unit = stated.code or stated.unit
    comparator = stated.comparator if stated.comparator != "ad" else ""
    text = f"{comparator}{written(number)}"
    return Value("Quantity", text, number, comparator, "", "", unit, stated.system)


def written(number: float) -> str:
    """A number as text, without a point where it is whole."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def first_term(terms: Terms | None) -> Term:
    """The code that names a concept: LOINC where it has one, else its first."""
    if terms is None or not terms.coding:
        return Term()
    coded = [term for term in terms.coding if term.code] or list(terms.coding)
    return next((term for term in coded if term.system == LOINC), coded[0])


LOINC = "http://loinc.org"


def _coded(stated: Terms) -> Value:
    term = first_term(stated)
    text = stated.text or term.display or term.code
    return Value("CodeableConcept", text[:LONGEST_TEXT], None, "", term.system, term.code)


def _text(stated: str) -> Value:
    text = stated.strip()
    if len(text) > LONGEST_TEXT or "\n" in text:
        return Value("string", withheld="narrative")
    return Value("string", text)


def _truth(stated: bool) -> Value:
    return Value("boolean", "true" if stated else "false")


def _integer(stated: int) -> Value:
    return Value("Quantity", str(stated), float(stated))


def _amount(stated: Quantity | None) -> str:
    return written(stated.value) if stated is not None and stated.value is not None else ""


def _range(stated: Range) -> Value:
    unit = stated.low or stated.high or Quantity()
    text = f"{_amount(stated.low)}-{_amount(stated.high)}"
    return Value("Range", text, unit=unit.code or unit.unit, unit_system=unit.system)


def _ratio(stated: Ratio) -> Value:
    return Value("Ratio", f"{_amount(stated.numerator)}:{_amount(stated.denominator)}")


def _period(stated: Period) -> Value:
    return Value("Period", f"{stated.start}/{stated.end}"[:LONGEST_TEXT])


_READERS: tuple[tuple[str, Callable[[Any], Value]], ...] = (
    ("value_codeable_concept", _coded),
    ("value_string", _text),
    ("value_boolean", _truth),
    ("value_integer", _integer),
    ("value_range", _range),
    ("value_ratio", _ratio),
    ("value_time", lambda stated: Value("time", str(stated)[:LONGEST_TEXT])),
    ("value_date_time", lambda stated: Value("dateTime", str(stated)[:LONGEST_TEXT])),
    ("value_period", _period),
    ("value_sampled_data", lambda _: Value("SampledData", withheld="waveform")),
    ("value_attachment", lambda _: Value("Attachment", withheld="attachment")),
    ("value_reference", lambda _: Value("Reference", withheld="attachment")),
)


def written_range(several: tuple[ReferenceRange, ...]) -> str:
    """The first reference range as text: as stated, else `low-high`."""
    if not several:
        return ""
    one = several[0]
    if one.text:
        return one.text[:LONGEST_TEXT]
    low, high = _amount(one.low), _amount(one.high)
    return f"{low}-{high}" if low and high else f">={low}" if low else f"<={high}" if high else ""

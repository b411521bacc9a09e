"""The elements of a FHIR Observation that the twin reads, R4 to R5."""

from adapters.fhir.shapes import (
    CodeableConcept,
    Identified,
    Period,
    Reference,
    Shape,
)


class Term(Shape):
    """A code with the text that a server shows for it."""

    system: str = ""
    code: str = ""
    display: str = ""


class Terms(Shape):
    """A concept by codes, text, or both, with what is shown for each code."""

    coding: tuple[Term, ...] = ()
    text: str = ""


class Quantity(Shape):
    """A measured amount; UCUM where `system` says so."""

    value: float | None = None
    comparator: str = ""
    unit: str = ""
    system: str = ""
    code: str = ""


class Range(Shape):
    """From low to high."""

    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Shape):
    """One amount per another."""

    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Timing(Shape):
    """When something happens, as far as instants are listed."""

    event: tuple[str, ...] = ()


class ReferenceRange(Shape):
    """What is normal."""

    low: Quantity | None = None
    high: Quantity | None = None
    text: str = ""


class Opaque(Shape):
    """Something whose presence counts and whose inside is not read."""


class Valued(Identified):
    """What an observation and each of its components have: a code and a value, or no value."""

    resource_type: str = ""
    """Components have none; one class serves both."""
    code: Terms | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: Terms | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_integer: int | None = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_sampled_data: Opaque | None = None
    value_time: str | None = None
    value_date_time: str | None = None
    value_period: Period | None = None
    value_attachment: Opaque | None = None
    value_reference: Reference | None = None
    interpretation: tuple[CodeableConcept, ...] = ()
    reference_range: tuple[ReferenceRange, ...] = ()


class Observation(Valued):
    """Observation, R4 to R5."""

    status: str = ""
    subject: Reference | None = None
    encounter: Reference | None = None
    effective_date_time: str = ""
    effective_period: Period | None = None
    effective_instant: str = ""
    effective_timing: Timing | None = None
    issued: str = ""
    device: Reference | None = None
    body_site: CodeableConcept | None = None
    component: tuple[Valued, ...] = ()

"""Which source wins where two describe one encounter or person."""

from pydantic import ConfigDict, Field

from twin_core.settings.section import Section


class PrecedenceSettings(Section):
    """Which kind of source wins per field group where two describe one encounter or person."""

    movement: tuple[str, ...] = ("hl7v2", "fhir")
    """Where a patient is, and from when to when."""
    status: tuple[str, ...] = ("hl7v2", "fhir")
    """Planned, arrived, in progress, finished."""
    class_: tuple[str, ...] = Field(default=("hl7v2", "fhir"), alias="class")
    """Inpatient, emergency, outpatient."""
    demographics: tuple[str, ...] = ("latest",)
    """`latest`: whoever spoke last, per field; else kinds of source in order."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

"""How FHIR resources are judged and read."""

from twin_core.settings.section import Section, Strictness


class FhirSettings(Section):
    """How posted FHIR resources are judged and read."""

    strictness: Strictness = "standard"
    """lenient: fast path only; standard: also judged when the fast path objects; strict: all."""
    source: str = "fhir"
    """Name of the source for resources posted without one (`?source=` or meta.source)."""
    facility: str = ""
    """Facility of locations and encounters that do not name an organization."""
    bed_system: str = ""
    """Identifier system whose values are `facility/unit/room/bed`, where the site has one."""
    milestones: dict[str, str] = {
        "http://snomed.info/sct|32485007": "bed_requested",
        "http://snomed.info/sct|58000006": "discharge_ready",
    }
    """Code (`system|code`, or the code alone) of a ServiceRequest or Task -> the milestone of the
    encounter that is reached when it is authored: hospital admission, patient discharge."""
    completions: dict[str, str] = {}
    """Code of a Task or Procedure -> the milestone that is reached when it is completed."""

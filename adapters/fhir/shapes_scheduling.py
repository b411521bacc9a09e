"""The elements that the twin reads of appointments and of what is offered for booking, R4 to R5."""

from adapters.fhir.shapes import CodeableConcept, Identified, Period, Reference, Shape


class Shown(Shape):
    """A code with its text."""

    system: str = ""
    code: str = ""
    display: str = ""


class ShownConcept(Shape):
    """A concept by codes, text, or both, with the text of each code."""

    coding: tuple[Shown, ...] = ()
    text: str = ""


class Named(ShownConcept):
    """A concept; in R5 often one that may be a reference instead."""

    concept: ShownConcept | None = None


class AppointmentParticipant(Shape):
    """Someone or something that takes part in an appointment."""

    type: tuple[CodeableConcept, ...] = ()
    actor: Reference | None = None
    status: str = ""
    period: Period | None = None


class Appointment(Identified):
    """Appointment, R4 to R5."""

    status: str = ""
    service_type: tuple[Named, ...] = ()
    appointment_type: CodeableConcept | None = None
    priority: int | CodeableConcept | None = None
    reason_code: tuple[CodeableConcept, ...] = ()
    reason: tuple[Named, ...] = ()
    """R5."""
    cancelation_reason: CodeableConcept | None = None
    cancellation_reason: CodeableConcept | None = None
    """R5."""
    start: str = ""
    end: str = ""
    minutes_duration: int | None = None
    created: str = ""
    participant: tuple[AppointmentParticipant, ...] = ()
    subject: Reference | None = None
    """R5."""


class PractitionerRole(Identified):
    """PractitionerRole, R4 to R5."""

    active: bool = True
    code: tuple[CodeableConcept, ...] = ()
    practitioner: Reference | None = None
    organization: Reference | None = None


class HealthcareService(Identified):
    """HealthcareService, R4 to R5."""

    active: bool = True
    name: str = ""
    type: tuple[CodeableConcept, ...] = ()
    provided_by: Reference | None = None

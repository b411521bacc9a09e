"""The elements that the twin reads of requests, tasks, procedures and capacity, R4 to R5."""

from msgspec import field

from adapters.fhir.shapes import CodeableConcept, Identified, Period, Reference, Shape
from adapters.fhir.shapes_scheduling import Named


class Performer(Shape):
    """Who carried out a procedure."""

    actor: Reference | None = None


class Procedure(Identified):
    """Procedure, R4 to R5 (`occurrence` there)."""

    status: str = ""
    code: Named | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    performed_date_time: str = ""
    performed_period: Period | None = None
    occurrence_date_time: str = ""
    occurrence_period: Period | None = None
    performer: tuple[Performer, ...] = ()
    location: Reference | None = None
    based_on: tuple[Reference, ...] = ()


class ServiceRequest(Identified):
    """ServiceRequest, R4 to R5."""

    status: str = ""
    intent: str = ""
    priority: str = ""
    code: Named | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    occurrence_date_time: str = ""
    occurrence_period: Period | None = None
    authored_on: str = ""
    performer: tuple[Reference, ...] = ()
    based_on: tuple[Reference, ...] = ()


class Task(Identified):
    """Task, R4 to R5."""

    status: str = ""
    intent: str = ""
    priority: str = ""
    code: Named | None = None
    focus: Reference | None = None
    for_: Reference | None = field(default=None, name="for")
    encounter: Reference | None = None
    execution_period: Period | None = None
    authored_on: str = ""
    last_modified: str = ""
    owner: Reference | None = None
    based_on: tuple[Reference, ...] = ()


class Schedule(Identified):
    """Schedule, R4 to R5."""

    active: bool = True
    service_type: tuple[Named, ...] = ()
    actor: tuple[Reference, ...] = ()
    planning_horizon: Period | None = None


class Slot(Identified):
    """Slot, R4 to R5."""

    status: str = ""
    service_type: tuple[Named, ...] = ()
    schedule: Reference | None = None
    start: str = ""
    end: str = ""


class DeviceMetric(Identified):
    """DeviceMetric, R4 to R5 (`device` there)."""

    type: Named | None = None
    unit: CodeableConcept | None = None
    source: Reference | None = None
    device: Reference | None = None
    operational_status: str = ""
    category: str = ""

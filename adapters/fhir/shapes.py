"""The elements of FHIR resources that the twin reads, and nothing else of them.

Attribute names are those of R4; where R5 renamed an element, its R5 class reads it under the old
name, so that one translator serves both. Elements are optional here even where FHIR requires
them: what is missing is judged where strictness is known.
"""

from typing import ClassVar

import msgspec
from msgspec import field


class Shape(msgspec.Struct, rename="camel", gc=False):
    """A part of a resource; elements that are not listed are skipped."""


class Coding(Shape):
    """A code of a code system."""

    system: str = ""
    code: str = ""


class CodeableConcept(Shape):
    """A concept by codes, text, or both."""

    coding: tuple[Coding, ...] = ()
    text: str = ""


class Period(Shape):
    """From start to end; either may be open."""

    start: str = ""
    end: str = ""


class BusinessIdentifier(Shape):
    """A number that people use for a patient, a visit or a bed."""

    use: str = ""
    type: CodeableConcept | None = None
    system: str = ""
    value: str = ""


class Reference(Shape):
    """A pointer to another resource, by address or by business identifier."""

    reference: str = ""
    type: str = ""
    identifier: BusinessIdentifier | None = None


class CodeableReference(Shape):
    """A concept or a reference (R5)."""

    concept: CodeableConcept | None = None


class Meta(Shape):
    """What a server says of the resource itself."""

    version_id: str = ""
    last_updated: str = ""
    source: str = ""


class Contained(Shape):
    """A resource within a resource, without a life of its own."""

    resource_type: str = ""
    id: str = ""
    identifier: tuple[BusinessIdentifier, ...] | BusinessIdentifier = ()


class AnyResource(Shape):
    """What every resource has."""

    resource_type: str
    id: str = ""
    meta: Meta | None = None


class Identified(AnyResource):
    """A resource that may carry business identifiers and contained resources."""

    identifier: tuple[BusinessIdentifier, ...] = ()
    contained: tuple[Contained, ...] = ()


class HumanName(Shape):
    """A person's name."""

    use: str = ""
    text: str = ""
    family: str = ""
    given: tuple[str | None, ...] = ()


class Address(Shape):
    """A postal address."""

    use: str = ""
    postal_code: str = ""


class PatientLink(Shape):
    """A link to another record of the same person."""

    other: Reference | None = None
    type: str = ""


class Patient(Identified):
    """Patient, R4 to R5."""

    active: bool = True
    name: tuple[HumanName, ...] = ()
    gender: str = ""
    birth_date: str = ""
    deceased_boolean: bool | None = None
    deceased_date_time: str = ""
    address: tuple[Address, ...] = ()
    link: tuple[PatientLink, ...] = ()


class StatusPeriod(Shape):
    """A past status of an encounter."""

    status: str = ""
    period: Period | None = None


class ClassPeriod(Shape):
    """A past class of an encounter."""

    class_: Coding | None = field(default=None, name="class")
    period: Period | None = None


class Participant(Shape):
    """Someone who takes part in an encounter."""

    type: tuple[CodeableConcept, ...] = ()
    individual: Reference | None = None


class ParticipantR5(Shape):
    """Someone who takes part in an encounter (R5)."""

    type: tuple[CodeableConcept, ...] = ()
    individual: Reference | None = field(default=None, name="actor")


class Hospitalization(Shape):
    """How an admission began and ended (`admission` in R5)."""

    admit_source: CodeableConcept | None = None
    discharge_disposition: CodeableConcept | None = None


class EncounterLocation(Shape):
    """Where the patient was, or is planned to be."""

    location: Reference | None = None
    status: str = ""
    period: Period | None = None


class Extension(Shape):
    """An element of no edition: one of the twin's own, or one that R5 has no more."""

    url: str = ""
    value_code: str = ""
    value_date_time: str = ""
    value_boolean: bool = False
    value_coding: Coding | None = None
    value_period: Period | None = None
    value_reference: Reference | None = None
    extension: tuple["Extension", ...] = ()

    def part(self, url: str) -> "Extension":
        """The extension within this one that has a name; an empty one where none has."""
        return next((one for one in self.extension if one.url == url), _NOTHING)


_NOTHING = Extension()


class Encounter(Identified):
    """Encounter, R4 and R4B."""

    PERIOD: ClassVar[str] = "period"

    extension: tuple[Extension, ...] = ()
    status: str = ""
    status_history: tuple[StatusPeriod, ...] = ()
    class_: Coding | None = field(default=None, name="class")
    class_history: tuple[ClassPeriod, ...] = ()
    service_type: CodeableConcept | None = None
    subject: Reference | None = None
    participant: tuple[Participant, ...] = ()
    period: Period | None = None
    hospitalization: Hospitalization | None = None
    location: tuple[EncounterLocation, ...] = ()
    service_provider: Reference | None = None
    part_of: Reference | None = None


class EncounterR5(Identified):
    """Encounter, R5: no status or class history, several classes, actualPeriod, admission."""

    PERIOD: ClassVar[str] = "actualPeriod"

    extension: tuple[Extension, ...] = ()
    status: str = ""
    class_: tuple[CodeableConcept, ...] = field(default=(), name="class")
    service_type: tuple[CodeableReference, ...] = ()
    subject: Reference | None = None
    subject_status: CodeableConcept | None = None
    participant: tuple[ParticipantR5, ...] = ()
    period: Period | None = field(default=None, name="actualPeriod")
    hospitalization: Hospitalization | None = field(default=None, name="admission")
    location: tuple[EncounterLocation, ...] = ()
    service_provider: Reference | None = None
    part_of: Reference | None = None


class Location(Identified):
    """Location, R4 and R4B."""

    status: str = ""
    operational_status: Coding | None = None
    name: str = ""
    mode: str = ""
    physical_type: CodeableConcept | None = None
    managing_organization: Reference | None = None
    part_of: Reference | None = None


class LocationR5(Identified):
    """Location, R5: the physical type is called form."""

    status: str = ""
    operational_status: Coding | None = None
    name: str = ""
    mode: str = ""
    physical_type: CodeableConcept | None = field(default=None, name="form")
    managing_organization: Reference | None = None
    part_of: Reference | None = None


class DeviceName(Shape):
    """A name of a device and what kind of name it is."""

    name: str = ""
    type: str = ""


class DeviceNameR5(Shape):
    """A name of a device and what kind of name it is (R5)."""

    name: str = field(default="", name="value")
    type: str = ""


class Device(Identified):
    """Device, R4 and R4B."""

    status: str = ""
    manufacturer: str = ""
    serial_number: str = ""
    model_number: str = ""
    device_name: tuple[DeviceName, ...] = ()
    type: CodeableConcept | None = None
    patient: Reference | None = None
    location: Reference | None = None


class DeviceR5(Identified):
    """Device, R5: several types, and no patient but in an extension."""

    extension: tuple[Extension, ...] = ()
    status: str = ""
    display_name: str = ""
    manufacturer: str = ""
    serial_number: str = ""
    model_number: str = ""
    device_name: tuple[DeviceNameR5, ...] = field(default=(), name="name")
    type: tuple[CodeableConcept, ...] = ()
    location: Reference | None = None


class Organization(Identified):
    """Organization, R4 to R5."""

    active: bool = True
    name: str = ""


class Practitioner(Identified):
    """Practitioner, R4 to R5."""

    active: bool = True
    name: tuple[HumanName, ...] = ()
    gender: str = ""

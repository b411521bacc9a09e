"""A FHIR Patient as a statement about a person."""

from collections.abc import Sequence

from msgspec import UNSET

from adapters.fhir import codes
from adapters.fhir.faults import DATA_TYPE
from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Address, HumanName, Patient
from adapters.fhir.times import is_date
from adapters.fhir.translate.statement import Stated
from twin_core.events import Demographics, Event, Instant, PatientsMerged, PatientStated
from twin_core.identifiers import Identifier


def patient(resource: Patient, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Patient itself, and a merge for every record that it says it replaces."""
    replaced_by, replaced = _links(resource, reading)
    statement = PatientStated(
        occurred_at=stated.occurred_at,
        source=stated.source,
        subject=stated.subject,
        version=stated.version,
        identifiers=reading.identifiers(resource.identifier),
        demographics=_demographics(resource, reading),
        replaced_by=replaced_by,
        active=resource.active,
    )
    merges = (
        PatientsMerged(occurred_at=stated.occurred_at, source=other, target=stated.subject)
        for other in replaced
    )
    return (statement, *merges)


def _demographics(resource: Patient, reading: Reading) -> Demographics:
    name = preferred_name(resource.name, reading)
    address = _preferred_address(resource.address, reading)
    given = next((part for part in name.given if part), "") if name is not None else ""
    return Demographics(
        birth_date=_birth_date(resource, reading) or UNSET,
        sex=reading.known(resource.gender, codes.GENDER, "gender") or UNSET,
        deceased=_deceased(resource),
        deceased_at=_deceased_at(resource, reading),
        family_name=(name.family if name is not None else "") or UNSET,
        given_name=given or UNSET,
        postal_code=(address.postal_code if address is not None else "") or UNSET,
    )


def _birth_date(resource: Patient, reading: Reading) -> str:
    if resource.birth_date and not is_date(resource.birth_date):
        reading.object_to("birthDate", DATA_TYPE, "This is no FHIR date.", "invalid_time")
        return ""
    return resource.birth_date


def _deceased(resource: Patient) -> bool | None:
    if resource.deceased_date_time:
        return True
    return resource.deceased_boolean if resource.deceased_boolean is not None else UNSET  # type: ignore[return-value]


def _deceased_at(resource: Patient, reading: Reading) -> Instant:
    died = reading.moment(resource.deceased_date_time, "deceasedDateTime")
    return died.at if died is not None else UNSET


def preferred_name(names: Sequence[HumanName], reading: Reading) -> HumanName | None:
    """The official name, else the usual one, else the first."""
    if len(names) == 1 and not names[0].use:
        return names[0]
    for position, name in enumerate(names):
        reading.known(name.use, codes.NAME_USE, f"name[{position}].use")
    for use in ("official", "usual"):
        for name in names:
            if name.use == use:
                return name
    return names[0] if names else None


def _preferred_address(addresses: Sequence[Address], reading: Reading) -> Address | None:
    for position, address in enumerate(addresses):
        reading.known(address.use, codes.ADDRESS_USE, f"address[{position}].use")
    current = [one for one in addresses if one.use != "old" and one.postal_code]
    return next((one for one in current if one.use == "home"), next(iter(current), None))


def _links(resource: Patient, reading: Reading) -> tuple[Identifier | None, list[Identifier]]:
    replaced_by, replaced = None, []
    for position, link in enumerate(resource.link):
        where = f"link[{position}]"
        reading.require(link.other, f"{where}.other")
        reading.require(link.type, f"{where}.type")
        reading.known(link.type, codes.LINK_TYPE, f"{where}.type")
        other = reading.reference(link.other, f"{where}.other")
        if other is not None and link.type == "replaced-by":
            replaced_by = replaced_by or other
        elif other is not None and link.type == "replaces":
            replaced.append(other)
    return replaced_by, replaced

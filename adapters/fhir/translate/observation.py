"""A FHIR Observation as a statement of its results: its own value and those of its components."""

from collections.abc import Iterable
from datetime import datetime

from adapters.fhir import codes
from adapters.fhir.reading import Reading, words_of
from adapters.fhir.shapes_results import Observation, Valued
from adapters.fhir.translate.people import of_patient
from adapters.fhir.translate.statement import Stated
from adapters.fhir.translate.values import first_term, read_value, written_range
from twin_core.events import Event, ObservationStated
from twin_core.events import Observation as Result


def observation(resource: Observation, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """The Observation itself; one with components only has no result of its own."""
    reading.require(resource.status, "status")
    reading.require(resource.code, "code")
    status = reading.known(resource.status, codes.OBSERVATION_STATUS, "status") or "unknown"
    issued = reading.moment(resource.issued, "issued")
    return (
        ObservationStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.identifiers(resource.identifier),
            patient=of_patient(resource.subject, reading),
            encounter=reading.reference(resource.encounter, "encounter"),
            device=reading.reference_to(resource.device, "device", "Device"),
            effective_at=_effective_at(resource, reading),
            issued_at=issued.at if issued is not None else None,
            observations=tuple(_results(resource, status, reading)),
        ),
    )


def _results(resource: Observation, status: str, reading: Reading) -> Iterable[Result]:
    site = words_of(resource.body_site)
    own = _result(resource, status, "", site, reading)
    if own.value_type or not resource.component:
        yield own
    for position, one in enumerate(resource.component, 1):
        yield _result(one, status, str(position), site, reading)


def _result(valued: Valued, status: str, sub_id: str, site: str, reading: Reading) -> Result:
    where = f"component[{int(sub_id) - 1}]." if sub_id else ""
    term, code = first_term(valued.code), valued.code
    others = code.coding if code is not None else ()
    return Result(
        system=term.system,
        code=term.code,
        display=term.display or (code.text if code is not None else ""),
        also=tuple((one.system, one.code) for one in others if one is not term and one.code),
        sub_id=sub_id,
        status=status,
        reference_range=written_range(valued.reference_range),
        interpretation=" ".join(words_of(one) for one in valued.interpretation),
        body_site=site,
        **read_value(valued, reading, where)._asdict(),
    )


def _effective_at(resource: Observation, reading: Reading) -> datetime | None:
    """When it was true of the patient; of a period its start."""
    for stated, where in (
        (resource.effective_date_time, "effectiveDateTime"),
        (resource.effective_instant, "effectiveInstant"),
    ):
        found = reading.moment(stated, where)
        if found is not None:
            return found.at
    period = reading.span(resource.effective_period, "effectivePeriod")
    if period.start is not None or period.end is not None:
        return period.start or period.end
    listed = resource.effective_timing.event if resource.effective_timing is not None else ()
    found = reading.moment(listed[0], "effectiveTiming.event[0]") if listed else None
    return found.at if found is not None else None

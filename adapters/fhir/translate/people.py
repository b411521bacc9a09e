"""Whom a resource is about: its patient, by reference and by business identifier."""

from adapters.fhir.reading import Reading
from adapters.fhir.shapes import Reference
from twin_core.identifiers import REFERENCE, Identifier


def of_patient(
    subject: Reference | None, reading: Reading, where: str = "subject"
) -> tuple[Identifier, ...]:
    """The patient by reference and by business identifier, whichever are given; nobody else."""
    target = reading.reference(subject, where)
    if target is None or subject is None or _is_other(subject, target):
        return ()
    named = subject.identifier
    if subject.reference and named is not None and named.value:
        return (target, reading.identifier(named))
    return (target,)


def _is_other(subject: Reference, target: Identifier) -> bool:
    """Whether it is about a Group, a Device or a place."""
    if target.type == REFERENCE and "/" in target.value and ":" not in target.value:
        return not target.value.startswith("Patient/")
    return subject.type not in ("", "Patient")

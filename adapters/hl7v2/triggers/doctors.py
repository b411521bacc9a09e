"""Changes of the doctors responsible for a visit."""

from adapters.hl7v2.fields import Reading
from adapters.hl7v2.triggers.reading import Events, Translator, patient_and_visit
from twin_core.events import AttendingChanged, ConsultantsChanged


def attending_changed(reading: Reading) -> Events:
    """A54: PV1-7 is the new attending doctor."""
    patient, facts = patient_and_visit(reading)
    return (patient, AttendingChanged(**facts)) if facts else (patient,)


def consultants_changed(reading: Reading) -> Events:
    """A61: PV1-9 names the consulting doctors from now on."""
    patient, facts = patient_and_visit(reading)
    return (patient, ConsultantsChanged(**facts)) if facts else (patient,)


TRANSLATORS: dict[str, Translator] = {
    "ADT^A54": attending_changed,
    "ADT^A61": consultants_changed,
}

"""The operational status of beds."""

from adapters.hl7v2.codes import BED_STATUSES
from adapters.hl7v2.fields import Reading
from adapters.hl7v2.refusal import REQUIRED_FIELD, TABLE_VALUE, content_fault
from adapters.hl7v2.triggers.reading import Events, Translator
from twin_core.events import BedStatusChanged


def bed_status_changed(reading: Reading) -> Events:
    """A20: the bed NPU-1 has the status NPU-2; there is no patient."""
    npu = reading.segment("NPU")
    place = reading.conventions.place(reading.message, npu[1])
    if not place:
        raise content_fault("NPU^1^1", REQUIRED_FIELD, "The bed is not named; send it in NPU-1.")
    status = reading.message.code(npu[2]).upper()
    if status not in BED_STATUSES:
        reason = "The bed status is no code of table 0116; send C, H, O, U, K or I."
        raise content_fault("NPU^1^2", TABLE_VALUE, reason)
    occurred_at = reading.event_at or reading.recorded_at
    return (BedStatusChanged(occurred_at=occurred_at, place=place, operational_status=status),)


TRANSLATORS: dict[str, Translator] = {
    "ADT^A20": bed_status_changed,
}

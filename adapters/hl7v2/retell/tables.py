"""What can be told, as tables: which message says what happened, and which fields it carries."""

from functools import lru_cache

import msgspec

from adapters.hl7v2.retell.words import Untellable
from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    AdmissionPending,
    Admitted,
    Arrived,
    AttendingChanged,
    BedStatusChanged,
    Cancelled,
    ClassChanged,
    ConsultantsChanged,
    Demographics,
    Departed,
    Discharged,
    DischargePending,
    EncounterEvent,
    EncounterMoved,
    EncounterRenumbered,
    EncountersMerged,
    EncounterUpdated,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    Movement,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientsUnlinked,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    Visit,
    VisitPurged,
)

UNKNOWN_CLASS = "U"
"""PV1-2 is required; in a message that describes no visit it says nothing."""
RESTATED = "Z99"
"""The trigger event by which IHE PAM corrects a movement."""
TRIGGERS: dict[str, tuple[str, ...]] = {
    # what happened: the trigger events that say so, the usual one first
    "": ("A31", "A28", "A29"),
    "Admitted": ("A01",),
    "Transferred": ("A02",),
    "Discharged": ("A03",),
    "Registered": ("A04",),
    "Planned": ("A05",),
    "ClassChanged": ("A06", "A07"),
    "EncounterUpdated": ("A08", "A31"),
    "Departed": ("A09",),
    "Arrived": ("A10",),
    "EventCancelled admission": ("A11",),
    "EventCancelled transfer": ("A12",),
    "EventCancelled discharge": ("A13",),
    "AdmissionPending": ("A14",),
    "TransferPending": ("A15",),
    "DischargePending": ("A16",),
    "Transferred swapped": ("A17",),
    "BedStatusChanged": ("A20",),
    "LeaveStarted": ("A21",),
    "LeaveEnded": ("A22",),
    "VisitPurged": ("A23",),
    "EventCancelled pending_discharge": ("A25",),
    "EventCancelled pending_transfer": ("A26",),
    "EventCancelled pending_admission": ("A27",),
    "EventCancelled arrival": ("A32",),
    "EventCancelled departure": ("A33",),
    "EventCancelled pre_admission": ("A38",),
    "EventCancelled leave": ("A52",),
    "EventCancelled return": ("A53",),
    "AttendingChanged": ("A54",),
    "EventCancelled attending": ("A55",),
    "ConsultantsChanged": ("A61",),
    "EventCancelled consultants": ("A62",),
    "EventCancelled class_change": (RESTATED,),
}
STATED_BY: dict[str, str] = {
    # what a movement (ZBE) states: its original trigger event (ZBE-6), also where it is cancelled
    **{
        kind: TRIGGERS[kind][0]
        for kind in (
            *("Admitted", "Transferred", "Discharged", "Registered", "Planned", "ClassChanged"),
            *("Departed", "Arrived", "AdmissionPending", "TransferPending", "DischargePending"),
            *("LeaveStarted", "LeaveEnded", "AttendingChanged", "ConsultantsChanged"),
        )
    },
    "EventCancelled admission": "A01",
    "EventCancelled transfer": "A02",
    "EventCancelled discharge": "A03",
    "EventCancelled pre_admission": "A05",
    "EventCancelled class_change": "A06",
    "EventCancelled departure": "A09",
    "EventCancelled arrival": "A10",
    "EventCancelled pending_admission": "A14",
    "EventCancelled pending_transfer": "A15",
    "EventCancelled pending_discharge": "A16",
    "EventCancelled leave": "A21",
    "EventCancelled return": "A22",
    "EventCancelled attending": "A54",
    "EventCancelled consultants": "A61",
}
STRUCTURES: dict[str, str] = {
    # trigger event: message structure (MSH-9.3)
    **dict.fromkeys(("A01", "A04", "A08", "A13", RESTATED), "ADT_A01"),
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    **dict.fromkeys(("A05", "A14", "A28", "A31"), "ADT_A05"),
    **dict.fromkeys(("A06", "A07"), "ADT_A06"),
    **dict.fromkeys(("A09", "A10", "A11"), "ADT_A09"),
    "A12": "ADT_A12",
    "A15": "ADT_A15",
    "A16": "ADT_A16",
    "A17": "ADT_A17",
    "A20": "ADT_A20",
    **dict.fromkeys(
        ("A21", "A22", "A23", "A25", "A26", "A27", "A29", "A32", "A33"),
        "ADT_A21",
    ),
    "A38": "ADT_A38",
    **dict.fromkeys(("A52", "A53"), "ADT_A52"),
    **dict.fromkeys(("A54", "A55"), "ADT_A54"),
    **dict.fromkeys(("A61", "A62"), "ADT_A61"),
    # merges, moves, links and changes of identifiers
    "A18": "ADT_A18",
    "A24": "ADT_A24",
    **dict.fromkeys(("A30", "A34", "A35", "A36", "A47", "A49"), "ADT_A30"),
    "A37": "ADT_A37",
    **dict.fromkeys(("A39", "A40", "A41", "A42"), "ADT_A39"),
    **dict.fromkeys(("A43", "A44"), "ADT_A43"),
    "A45": "ADT_A45",
    **dict.fromkeys(("A50", "A51"), "ADT_A50"),
}

_DATED_BY_THEMSELVES = (Cancelled.LEAVE, Cancelled.RETURN)


def dates_itself(event: EventCancelled) -> bool:
    """Whether EVN-6 of a cancel is when the cancel itself happened (A52, A53: 3.3.52, 3.3.53)."""
    return event.cancels in _DATED_BY_THEMSELVES and event.movement is None


def kind_of(event: Event) -> str:
    """The name by which `TRIGGERS` knows an event: its type, and what it cancels or swaps."""
    if isinstance(event, EventCancelled):
        return f"EventCancelled {event.cancels}"
    if isinstance(event, Transferred) and event.swapped:
        return "Transferred swapped"
    return type(event).__name__


# --- the fields that a message carries -------------------------------------------------------

_OF_A_VISIT = frozenset(
    {"occurred_at", "encounter", "patient", "account", "entered_at", "visit", "place", "movement"}
)
TOLD_FIELDS: dict[type[msgspec.Struct], frozenset[str]] = {
    PatientDescribed: frozenset({"occurred_at", "patient", "demographics", "other_identifiers"}),
    **dict.fromkeys(
        (PatientsMerged, PatientRenumbered, AccountsMerged, AccountRenumbered),
        frozenset({"occurred_at", "source", "target"}),
    ),
    **dict.fromkeys((PatientsLinked, PatientsUnlinked), frozenset({"occurred_at", "one", "other"})),
    PatientIdentifiersMoved: frozenset({"occurred_at", "identifiers", "source", "target"}),
    AccountMoved: frozenset({"occurred_at", "account", "patient", "source"}),
    **dict.fromkeys(
        (EncountersMerged, EncounterRenumbered, EncounterMoved),
        frozenset({"occurred_at", "encounter", "patient", "account", "entered_at"}),
    ),
    BedStatusChanged: frozenset({"occurred_at", "place", "operational_status"}),
    **dict.fromkeys(
        (
            *(Admitted, Registered, Discharged, LeaveEnded, EncounterUpdated),
            *(AttendingChanged, ConsultantsChanged, VisitPurged),
        ),
        _OF_A_VISIT,
    ),
    **dict.fromkeys((Planned, AdmissionPending, DischargePending), _OF_A_VISIT | {"expected_at"}),
    TransferPending: _OF_A_VISIT | {"expected_at", "destination"},
    ClassChanged: _OF_A_VISIT | {"prior_account"},
    LeaveStarted: _OF_A_VISIT | {"expected_return_at"},
    **dict.fromkeys((Departed, Arrived), _OF_A_VISIT | {"destination", "temporary"}),
    Transferred: _OF_A_VISIT | {"origin", "swapped"},
    EventCancelled: _OF_A_VISIT | {"cancels", "cancelled_at", "destination"},
    Demographics: frozenset(
        {"birth_date", "sex", "deceased_at", "deceased", "family_name", "given_name"}
        | {"postal_code"}
    ),
    Visit: frozenset(
        {"class_", "service", "admit_source", "disposition", "admitted_at", "discharged_at"}
        | {"attending", "consulting", "facility"}
    ),
    Movement: frozenset({"identifiers", "corrects"}),
}
"""The fields of each event, and of its parts, that its message carries."""


def refuse_untold(event: Event) -> None:
    """Raise Untellable where an event states a field that no message carries."""
    parts: list[msgspec.Struct] = [event]
    if isinstance(event, PatientDescribed):
        parts.append(event.demographics)
    elif isinstance(event, EncounterEvent):
        parts.append(event.visit)
        parts += [event.movement] if event.movement is not None else []
    for part in parts:
        for field, default in untold_fields(type(part)):
            if getattr(part, field) != default:
                raise Untellable(f"No ADT message of ours carries {field} of {kind_of(event)}.")


@lru_cache(maxsize=200)
def untold_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    """The fields of an event or a part of one that no message carries, with their defaults."""
    told = TOLD_FIELDS.get(kind)
    if told is None:
        raise Untellable(f"No ADT message of ours says this: {kind.__name__}.")
    fields = msgspec.structs.fields(kind)
    return tuple((field.name, field.default) for field in fields if field.name not in told)

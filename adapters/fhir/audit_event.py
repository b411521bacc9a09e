"""Entries of the ledger as FHIR R4 AuditEvents, by IHE's Basic Audit Log Patterns (BALP).

BALP wants one event per patient where a search touched several, so one entry becomes as many
events as it has patients, and one where it has none. Patients are named by pseudonym. Query texts
stay on the identified side: `entity.query` holds the address without its values.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from twin_core.audit import Entry

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_TYPES = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_ENTITIES = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_PARTICIPATIONS = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASONS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_SOURCE, _DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")

Json = dict[str, Any]

_REST: Mapping[str, tuple[str, str, str]] = {
    "read": ("Read", "R", "read"),
    "search": ("Query", "E", "search"),
    "create": ("Create", "C", "create"),
    "update": ("Update", "U", "update"),
    "delete": ("Delete", "D", "delete"),
}
"""What was done: the BALP pattern, the action, and the interaction as a subtype."""
_OTHER: Mapping[str, tuple[str, str, str]] = {
    "execute": ("E", "110100", "Application Activity"),
    "login": ("E", "110114", "User Authentication"),
    "alert": ("E", "110113", "Security Alert"),
}
"""Acts that are no interaction with a resource: action, and the DICOM event type."""
_OUTCOMES = {"success": "0", "refused": "4", "failed": "8"}


def audit_events(entry: Entry, patients: Sequence[str], ledger_id: str) -> Iterator[Json]:
    """The AuditEvents of an entry; `patients` are its pseudonyms."""
    several = len(patients) > 1
    for number, patient in enumerate(patients or ("",), start=1):
        event_id = f"{ledger_id[:32]}-{entry.seq}" + (f"-{number}" if several else "")
        yield _event(entry, patient, event_id, ledger_id)


def _event(entry: Entry, patient: str, event_id: str, ledger_id: str) -> Json:
    event: Json = {
        "resourceType": "AuditEvent",
        "id": event_id,
        **_kind(entry, patient),
        "recorded": entry.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "outcome": _OUTCOMES[entry.outcome],
        "purposeOfEvent": [{"coding": [{"system": _REASONS, "code": entry.why}]}],
        "agent": _agents(entry),
        "source": {
            "observer": {"display": "wardtwin", "identifier": {"value": ledger_id}},
            "type": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                    "code": "4",
                    "display": "Application Server",
                }
            ],
        },
        "entity": _entities(entry, patient),
    }
    if entry.outcome != "success":
        event["outcomeDesc"] = f"status {entry.status}"
    return event


def _kind(entry: Entry, patient: str) -> Json:
    if entry.act in _REST:
        pattern, action, interaction = _REST[entry.act]
        kind: Json = {
            "type": {"system": _TYPES, "code": "rest", "display": "RESTful Operation"},
            "subtype": [{"system": _INTERACTIONS, "code": interaction, "display": interaction}],
            "action": action,
        }
        if entry.outcome == "success":
            # The patterns are of what succeeded; a failure only looks like them.
            profile = f"{BALP}{'Patient' if patient else ''}{pattern}"
            kind = {"meta": {"profile": [profile]}, **kind}
        return kind
    action, code, display = _OTHER[entry.act]
    return {"type": {"system": _DCM, "code": code, "display": display}, "action": action}


def _agents(entry: Entry) -> list[Json]:
    # A read flows from the server, its source; of a query and a change the client is the source.
    client, server = (_SOURCE, _DESTINATION)
    if entry.act == "read":
        client, server = server, client
    user: Json = {
        "type": {"coding": [_participation(entry)]},
        "who": {"identifier": {"value": entry.who.id}},
        "requestor": True,
        "purposeOfUse": [{"coding": [{"system": _REASONS, "code": entry.why}]}],
    }
    if entry.who.name:
        user["name"] = entry.who.name
    if entry.who.roles:
        user["role"] = [{"text": role} for role in entry.who.roles]
    return [
        {
            "type": _dicom(client),
            "who": {"display": {"http": "HTTP client", "socket": "command"}.get(entry.via, "cli")},
            "requestor": False,
            "network": {"address": entry.address or "localhost", "type": "2"},
        },
        {
            "type": _dicom(server),
            "who": {"display": "wardtwin"},
            "requestor": False,
            "network": {"address": "localhost", "type": "1"},
        },
        user,
    ]


def _participation(entry: Entry) -> Json:
    if entry.act in ("create", "update", "delete"):
        return {"system": _PARTICIPATIONS, "code": "CST", "display": "custodian"}
    return {"system": _PARTICIPATIONS, "code": "IRCP", "display": "information recipient"}


def _entities(entry: Entry, patient: str) -> list[Json]:
    entities: list[Json] = []
    if entry.act in ("search", "execute"):
        entities.append(
            {
                "type": _coding(_ENTITIES, "2", "System Object"),
                "role": _coding(_ROLES, "24", "Query"),
                "description": entry.what,
                "query": base64.b64encode(entry.what.encode()).decode(),
            }
        )
    else:
        named = entry.objects[0] if entry.objects else entry.what
        entities.append(
            {
                "what": {"identifier": {"value": named}},
                "type": _coding(_ENTITIES, "2", "System Object"),
                "role": _coding(_ROLES, "4", "Domain Resource"),
                "description": entry.what,
            }
        )
    if entry.beside:
        # Whom else it is about is not known one by one; it is all of the store, or unknown.
        entities[0]["detail"] = [{"type": "other patients", "valueString": entry.beside}]
    if patient:
        entities.append(
            {
                "what": {"type": "Patient", "identifier": {"value": patient}},
                "type": _coding(_ENTITIES, "1", "Person"),
                "role": _coding(_ROLES, "1", "Patient"),
            }
        )
    return entities


def _dicom(role: tuple[str, str]) -> Json:
    return {"coding": [_coding(_DCM, *role)]}


def _coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}

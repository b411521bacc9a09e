"""Identifiers, ids and references: the same pseudonym wherever the same thing is meant."""

import re
from typing import Any

from adapters.fhir.deidentify.case import Case, Json
from adapters.fhir.deidentify.primitives import word

BASE = "https://deidentified.invalid"
"""Where systems and full URLs of de-identified resources point: nowhere (RFC 2606)."""
_LITERAL = re.compile(
    r"(?:https?://[^?#]*/)?([A-Z][A-Za-z]{2,40})/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]*)?"
)
_URN = re.compile(r"urn:(?:uuid|oid):(\S{1,128})")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{2,40})\?identifier=([^|&]*)\|([^&]+)")
_TYPES = re.compile(r"[A-Z][A-Za-z]{2,40}", re.ASCII)


def identity(value: Json, case: Case) -> Json:
    """The id of a resource."""
    return case.pseudonym(value) if type(value) is str and value else None


def identifier(value: Json, case: Case) -> Json:
    """A business identifier: its use, and pseudonyms of its system and of itself."""
    if type(value) is not dict or "modifierExtension" in value:
        return None
    system, number = value.get("system"), value.get("value")
    found: dict[str, Json] = {}
    use = word(value.get("use"), case)
    if use is not None:
        found["use"] = use
    if type(number) is str and number:
        system = system if type(system) is str else ""
        found["system"] = f"{BASE}/system/{case.site.book.code('system', system)[:12]}"
        found["value"] = case.site.book.code("identifier", f"{system}|{number}")
    return found if "value" in found else None


def named(reference: str) -> tuple[str, str] | None:
    """Type and id of what a literal reference names; the type is empty for an URN."""
    found = _LITERAL.fullmatch(reference)
    if found:
        return found[1], found[2]
    urn = _URN.fullmatch(reference)
    return ("", urn[1]) if urn else None


def patient_key(reference: Json) -> str | None:
    """By what a patient is known whom a reference names; None where it names nobody."""
    if type(reference) is not dict:
        return None
    said = reference.get("reference")
    if type(said) is str:
        conditional = _CONDITIONAL.fullmatch(said)
        if conditional and conditional[1] == "Patient":
            return f"{conditional[2]}|{conditional[3]}"
        target = named(said)
        if target and target[0] in ("Patient", ""):
            return target[1]
        if said.startswith("#"):
            return None
    stated = reference.get("identifier")
    if type(stated) is dict and type(stated.get("value")) is str:
        return f"{stated.get('system', '')}|{stated['value']}"
    return None


def reference(value: Json, case: Case) -> Json:
    """A reference to the pseudonym of what was meant; never its display."""
    if type(value) is not dict or "modifierExtension" in value:
        return None
    found: dict[str, Json] = {}
    said = value.get("reference")
    if type(said) is str:
        found.update(_referred(said, case))
    kind = value.get("type")
    if type(kind) is str and kind in REFERRED and found.get("type") is None:
        found["type"] = kind
    if "identifier" in value and "identifier" not in found:
        stated = identifier(value["identifier"], case)
        if stated is not None:
            found["identifier"] = stated
    return found if found.keys() - {"type"} else None


def _referred(said: str, case: Case) -> dict[str, Any]:
    if said.startswith("#"):
        return {"reference": f"#{case.pseudonym(said[1:])}"} if said[1:] in case.contained else {}
    conditional = _CONDITIONAL.fullmatch(said)
    if conditional:
        kind, system, number = conditional.groups()
        stated = identifier({"system": system, "value": number}, case)
        return {"type": kind, "identifier": stated} if kind in REFERRED else {}
    target = named(said)
    if target is None:
        case.dropped[f"{case.kind}: a reference of another form"] += 1
        return {}
    kind, id_ = target
    if not kind:
        return {"reference": f"urn:uuid:{case.pseudonym(id_)}"}
    return {"reference": f"{kind}/{case.pseudonym(id_)}"} if kind in REFERRED else {}


def full_url(value: Json, case: Case) -> Json:
    """The full URL of an entry, so that references within its Bundle still lead to it."""
    if type(value) is not str:
        return None
    target = named(value)
    if target is None:
        return None
    kind, id_ = target
    if not kind:
        return f"urn:uuid:{case.pseudonym(id_)}"
    return f"{BASE}/{kind}/{case.pseudonym(id_)}" if kind in REFERRED else None


REFERRED = frozenset(
    "Account ActivityDefinition AllergyIntolerance Appointment AppointmentResponse Binary"
    " BodyStructure CarePlan CareTeam Claim ClaimResponse Communication CommunicationRequest"
    " Composition Condition Consent Coverage Device DeviceMetric DeviceRequest DeviceUseStatement"
    " DiagnosticReport DocumentReference Encounter Endpoint EpisodeOfCare ExplanationOfBenefit"
    " FamilyMemberHistory Flag Goal Group HealthcareService ImagingStudy Immunization List Location"
    " Media Medication MedicationAdministration MedicationDispense MedicationRequest"
    " MedicationStatement NutritionOrder Observation Organization Patient Practitioner"
    " PractitionerRole Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup"
    " RiskAssessment Schedule ServiceRequest Slot Specimen Substance SupplyDelivery SupplyRequest"
    " Task VisionPrescription DeviceUsage DeviceAssociation Transport InventoryItem".split()
)
"""The types that a reference may name."""

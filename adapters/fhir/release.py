"""Which edition of FHIR a resource is written in, and which resource types that edition has."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Release(StrEnum):
    """The editions of FHIR that are taken in, named as their bases are (`/fhir/R4`)."""

    R4 = "R4"
    R4B = "R4B"
    R5 = "R5"


FHIR_VERSIONS = {Release.R4: "4.0.1", Release.R4B: "4.3.0", Release.R5: "5.0.0"}
"""The full version of each edition, as CapabilityStatement.fhirVersion has it."""


def names_release(version: str, release: Release) -> bool:
    """Whether a `fhirVersion` media type parameter (`4.0` or `4.0.1`) names this edition."""
    full = FHIR_VERSIONS[release]
    return version in (full, full.rpartition(".")[0])


_SINCE_R4 = """
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse
AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan
CareTeam ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem
Communication CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent
Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device
DeviceDefinition DeviceMetric DeviceRequest DiagnosticReport DocumentReference Encounter Endpoint
EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable
ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group
GuidanceResponse HealthcareService ImagingStudy Immunization ImmunizationEvaluation
ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location
Measure MeasureReport Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MessageDefinition MessageHeader MolecularSequence
NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition OperationOutcome
Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation Person
PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire
QuestionnaireResponse RelatedPerson RequestGroup ResearchStudy ResearchSubject RiskAssessment
Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition
StructureMap Subscription Substance SupplyDelivery SupplyRequest Task TerminologyCapabilities
TestReport TestScript ValueSet VerificationResult VisionPrescription
"""
_R4_ALONE = """
CatalogEntry DeviceUseStatement DocumentManifest EffectEvidenceSynthesis Media MedicinalProduct
MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect
ResearchDefinition ResearchElementDefinition RiskEvidenceSynthesis SubstanceNucleicAcid
SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
SubstanceSpecification
"""
_R4B_ALONE = """
AdministrableProductDefinition CatalogEntry Citation ClinicalUseDefinition DeviceUseStatement
DocumentManifest EvidenceReport Ingredient ManufacturedItemDefinition Media
MedicinalProductDefinition NutritionProduct PackagedProductDefinition RegulatedAuthorization
ResearchDefinition ResearchElementDefinition SubscriptionStatus SubscriptionTopic
SubstanceDefinition
"""
_R5_ALONE = """
ActorDefinition AdministrableProductDefinition ArtifactAssessment
BiologicallyDerivedProductDispense Citation ClinicalUseDefinition ConditionDefinition
DeviceAssociation DeviceDispense DeviceUsage EncounterHistory EvidenceReport FormularyItem
GenomicStudy ImagingSelection Ingredient InventoryItem InventoryReport ManufacturedItemDefinition
MedicinalProductDefinition NutritionIntake NutritionProduct PackagedProductDefinition Permission
RegulatedAuthorization RequestOrchestration Requirements SubscriptionStatus SubscriptionTopic
SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein
SubstanceReferenceInformation SubstanceSourceMaterial TestPlan Transport
"""

RESOURCE_TYPES: dict[Release, frozenset[str]] = {
    Release.R4: frozenset((_SINCE_R4 + _R4_ALONE).split()),
    Release.R4B: frozenset((_SINCE_R4 + _R4B_ALONE).split()),
    Release.R5: frozenset((_SINCE_R4 + _R5_ALONE).split()) - {"RequestGroup"},
}

_R5_ELEMENTS = {
    "Encounter": ("actualPeriod", "admission", "subjectStatus", "plannedStartDate"),
    "Location": ("form", "characteristic", "virtualService"),
    "Device": ("name", "displayName", "category", "biologicalSourceEvent"),
    "Appointment": ("reason", "cancellationReason", "subject", "class", "previousAppointment"),
    "Procedure": ("occurrenceDateTime", "occurrencePeriod", "recorded", "reportedBoolean"),
    "Task": ("requestedPeriod", "requestedPerformer"),
    "DeviceMetric": ("device",),
}
_R5_LISTS = {"Encounter": "class", "Device": "type"}
_R5_STATUSES = frozenset({"on-hold", "discharged", "completed", "discontinued"})


def told_release(resource: Mapping[str, Any], otherwise: Release) -> Release:
    """The edition that a resource's own elements tell: R5 where they occur in no earlier one."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return otherwise
    if any(element in resource for element in _R5_ELEMENTS.get(kind, ())):
        return Release.R5
    if isinstance(resource.get(_R5_LISTS.get(kind, "")), list):
        return Release.R5
    if kind == "Encounter" and str(resource.get("status")) in _R5_STATUSES:
        return Release.R5
    if kind in RESOURCE_TYPES[otherwise]:
        return otherwise
    return next((one for one in Release if kind in RESOURCE_TYPES[one]), otherwise)

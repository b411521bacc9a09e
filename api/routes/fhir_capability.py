"""What the FHIR bases can do, as a CapabilityStatement that claims nothing else."""

from datetime import datetime
from typing import Any

from adapters.fhir.release import FHIR_VERSIONS, RESOURCE_TYPES, Release
from adapters.fhir.translate import TRANSLATORS
from api.routes.fhir_intake import CONDITIONAL

_TAKEN_IN = "Applied: becomes part of what the twin knows."
_JOURNALLED = "Received and kept in the journal, not applied."


def capability_statement(release: Release, base: str, at: datetime) -> dict[str, Any]:
    """The CapabilityStatement of one base."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": at.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "wardtwin"},
        "implementation": {"description": "wardtwin intake of FHIR resources", "url": base},
        "fhirVersion": FHIR_VERSIONS[release],
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    "Resources are taken in and not given back: there is no read, search, "
                    "history, patch or delete. Bundles of type transaction are atomic; batch, "
                    "message, collection, searchset, history and document are taken entry by entry."
                ),
                "resource": [_resource(kind) for kind in sorted(RESOURCE_TYPES[release])],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _resource(kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "documentation": _TAKEN_IN if kind in TRANSLATORS else _JOURNALLED,
        "interaction": [{"code": "create"}, {"code": "update"}],
        "versioning": "no-version",
        "updateCreate": True,
        "conditionalCreate": kind in CONDITIONAL,
    }

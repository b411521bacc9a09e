"""What the FHIR bases can do, as a CapabilityStatement that claims nothing else."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from adapters.fhir.release import FHIR_VERSIONS, RESOURCE_TYPES, Release
from adapters.fhir.translate import TRANSLATORS
from api.fhir.question import references
from api.fhir.reports import REPORTED
from api.fhir.served import SERVED_IN, Served
from api.routes.fhir_intake import CONDITIONAL

_TAKEN_IN = "What is written is one source's statement: it becomes part of what the twin knows."
_JOURNALLED = "What is written is received and kept in the journal, not applied."
_GIVEN = "What is read is what all sources together say, under the twin's own ids."
_KPIS = "What is read are the KPIs of this twin, measured when they are asked for."
_EVALUATE = "http://hl7.org/fhir/OperationDefinition/Measure-evaluate-measure"
_BULK = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
_SYSTEM_EXPORT = {"name": "export", "definition": f"{_BULK}export"}
_PATIENT_EXPORT = {"name": "export", "definition": f"{_BULK}patient-export"}
_WRITES = ("create", "update", "delete")
_READS = ("read", "vread", "history-instance", "history-type", "search-type")


def capability_statement(release: Release, base: str, at: datetime) -> dict[str, Any]:
    """The CapabilityStatement of one base."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": at.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "wardtwin"},
        "implementation": {
            "description": "A hospital interoperability twin",
            "url": base,
        },
        "fhirVersion": FHIR_VERSIONS[release],
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    "Writes and deletes are statements of the source that makes them; reads give "
                    "what follows from all statements and messages. Bundles of type transaction "
                    "are atomic; batch, message, collection, searchset, history and document are "
                    "taken entry by entry."
                ),
                "resource": [_resource(kind, release) for kind in sorted(RESOURCE_TYPES[release])],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
                "operation": [_SYSTEM_EXPORT],
            }
        ],
    }


def _resource(kind: str, release: Release) -> dict[str, Any]:
    if kind in REPORTED:
        return _reported(kind)
    given = SERVED_IN[release].get(kind)
    words = [_TAKEN_IN if kind in TRANSLATORS else _JOURNALLED, *([_GIVEN] if given else [])]
    told: dict[str, Any] = {
        "type": kind,
        "documentation": " ".join(words),
        "interaction": [{"code": code} for code in (*_WRITES, *(_READS if given else ()))],
        "versioning": "versioned" if given else "no-version",
        "updateCreate": True,
        "conditionalCreate": kind in CONDITIONAL,
    }
    if given and kind == "Patient":
        told["operation"] = [_PATIENT_EXPORT]
    return {**told, **_searched(given)} if given else told


def _reported(kind: str) -> dict[str, Any]:
    """Measures and their reports: read and searched; one that is written is kept, not applied."""
    told = {
        "type": kind,
        "documentation": f"{_JOURNALLED} {_KPIS}",
        "interaction": [{"code": code} for code in (*_WRITES, "read", "search-type")],
        "versioning": "no-version",
        "updateCreate": True,
        "conditionalCreate": False,
        "searchParam": [{"name": name, "type": type_} for name, type_ in REPORTED[kind].items()],
    }
    if kind == "Measure":
        told["operation"] = [{"name": "evaluate-measure", "definition": _EVALUATE}]
    return told


def _searched(given: Served) -> dict[str, Any]:
    """How a type is searched, and what can be had with it."""
    along = [f"{given.type}:{name}" for name in references(given)]
    against, own = sorted(_against(given)), given.parameters
    return {
        "readHistory": True,
        "conditionalRead": "full-support",
        **({"searchInclude": along} if along else {}),
        **({"searchRevInclude": against} if against else {}),
        "searchParam": [
            {"name": "_id", "type": "token"},
            {"name": "_lastUpdated", "type": "date"},
            *({"name": name, "type": str(one.kind)} for name, one in own.items()),
        ],
    }


def _against(given: Served) -> Iterator[str]:
    for other, served in given.others.items():
        for one in served.parameters.values():
            if given.type in one.targets:
                yield f"{other}:{one.name}"

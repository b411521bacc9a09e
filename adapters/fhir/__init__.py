"""FHIR in JSON, R4 to R5: resources and Bundles in as events, answers out as FHIR.

`take_body` reads whatever a file holds, `retranslate` what lies in quarantine, `read_bundle` and
`take_entries` a Bundle of an exchange, `translate_resource` one resource,
`take_deletion` the deletion of one. `judge` asks fhir.resources whether a resource is valid.
"""

from adapters.fhir.bundle import (
    read_bundle,
    retranslate,
    take_body,
    take_entries,
    take_entry,
    taken,
)
from adapters.fhir.deletion import Deletion, take_deletion
from adapters.fhir.entries import Bundle, Entry, Request, Response, Taken
from adapters.fhir.faults import Refused
from adapters.fhir.judge import judge
from adapters.fhir.read import Resource, read_resource
from adapters.fhir.reading import Scope
from adapters.fhir.release import Release
from adapters.fhir.translate import TRANSLATORS, translate_resource

__all__ = [
    "TRANSLATORS",
    "Bundle",
    "Deletion",
    "Entry",
    "Refused",
    "Release",
    "Request",
    "Resource",
    "Response",
    "Scope",
    "Taken",
    "judge",
    "read_bundle",
    "read_resource",
    "retranslate",
    "take_body",
    "take_deletion",
    "take_entries",
    "take_entry",
    "taken",
    "translate_resource",
]

"""The judge: whether a resource is valid FHIR, by the models of fhir.resources.

It is slow to load and slow to run, so it is asked only in strict mode, about resources that the
fast path objects to, and in tests. It has R5 and R4B; R4 is judged as R4B.
"""

import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from adapters.fhir.faults import DATA_TYPE, REQUIRED, STRUCTURE
from adapters.fhir.release import Release
from twin_core.events import Fault

_PACKAGES = {
    Release.R4: "fhir.resources.R4B",
    Release.R4B: "fhir.resources.R4B",
    Release.R5: "fhir.resources",
}
_KINDS = {
    "extra_forbidden": (STRUCTURE, "This type does not define an element that is here."),
    "missing": (REQUIRED, "This element is required."),
    "model_field_validation.missing": (REQUIRED, "This element is required."),
    "value_error": (DATA_TYPE, "The value does not have the form of its type."),
}
_OTHER = (DATA_TYPE, "The value does not have the type of this element.")
_MOST_FAULTS = 50
_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def judge(resource: Mapping[str, Any], release: Release) -> list[Fault]:
    """The faults of a resource as FHIRPath expressions and reasons, without its values.

    A type that the models do not have (some of R4 left in R4B) is not judged.
    """
    model = model_of(str(resource.get("resourceType")), release)
    if model is None:
        return []
    try:
        model.model_validate(dict(resource))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return [_fault(str(resource["resourceType"]), one) for one in found[:_MOST_FAULTS]]
    except _STUMBLES:
        # The models concatenate and index before they have looked at types, and so fail
        # themselves on some malformed resources. What they cannot read is not valid.
        reason = "Some element has a type that the models of this resource cannot read."
        return [Fault(where=str(resource["resourceType"]), code=DATA_TYPE, reason=reason)]
    return []


@lru_cache(maxsize=512)
def model_of(kind: str, release: Release) -> Any:
    """The model of a resource type in an edition, or None where there is none."""
    try:
        module = importlib.import_module(f"{_PACKAGES[release]}.{kind.lower()}")
    except ModuleNotFoundError:
        return None
    return getattr(module, kind, None)


def _fault(kind: str, error: Mapping[str, Any]) -> Fault:
    code, reason = _KINDS.get(error["type"], _OTHER)
    place = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    return Fault(where=_expression(kind, place), code=code, reason=reason)


def _expression(kind: str, place: tuple[int | str, ...]) -> str:
    expression = kind
    for part in place:
        expression += f"[{part}]" if isinstance(part, int) else f".{part}"
    return expression

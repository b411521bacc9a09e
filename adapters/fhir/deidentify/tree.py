"""The rules as functions: each type and each resource of `rules.toml`, compiled once."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from tomllib import loads
from typing import Any

from adapters.fhir.deidentify import codings, identities
from adapters.fhir.deidentify.case import UNLISTED, Case, Json, Refused
from adapters.fhir.deidentify.observed import observed
from adapters.fhir.deidentify.primitives import PRIMITIVES

Pass = Callable[[Json, Case], Json]
MASKED = [
    {
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "masked",
    }
]
_PRIMITIVE = frozenset(PRIMITIVES)


class Tree:
    """How objects of one type pass: every element that does, and by what function."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.elements: dict[str, tuple[Pass, str]] = {}
        """By name: the function, and the path that reports name."""
        self.required: tuple[tuple[str, bool], ...] = ()
        """What FHIR requires, and whether it is a primitive."""
        self.judged: Callable[[dict[str, Json], dict[str, Json], Case], None] | None = None
        """What takes from the object that passed what another element of it says."""

    def __call__(self, value: Json, case: Case) -> Json:
        """What of an object passes; None where nothing does."""
        if type(value) is not dict:
            return None
        elements, found = self.elements, {}
        for name, said in value.items():
            known = elements.get(name)
            if known is None:
                self._unlisted(name, case)
                continue
            passing = known[0]
            if type(said) is list:
                told: Json = [kept for one in said if (kept := passing(one, case)) is not None]
                if not told:
                    told = None
            else:
                told = passing(said, case)
            if told is None:
                case.dropped[known[1]] += 1
            else:
                found[name] = told
        if self.judged is not None:
            self.judged(value, found, case)
        if not found:
            return None
        for name, is_primitive in self.required:
            if name not in found and name in value:
                _mask(found, name, is_primitive, type(value[name]) is list)
        return found

    def _unlisted(self, name: str, case: Case) -> None:
        if name == "modifierExtension":
            raise Refused(f"{self.path} has a modifier extension that no rule names.")
        if name == "implicitRules":
            raise Refused(f"{self.path} has implicit rules, which no rule names.")
        told = name if name in _KNOWN_NAMES else UNLISTED
        case.dropped[f"{self.path}.{told}"] += 1


_KNOWN_NAMES = frozenset(
    "id text name telecom photo contact note comment display extension contained description"
    " title alias language resourceType".split()
)


def _mask(found: dict[str, Json], name: str, is_primitive: bool, is_list: bool) -> None:
    masked = {"extension": MASKED}
    found[f"_{name}" if is_primitive else name] = [masked] if is_list else masked


def either(value: Json, case: Case) -> Json:
    """What is of one type in one release of FHIR and of another in the next."""
    if type(value) is not dict:
        kind = {str: "word", bool: "flag", int: "number"}.get(type(value))
        return PRIMITIVES[kind](value, case) if kind else None
    if type(value.get("reference")) is dict or "concept" in value:
        return types()["CodeableReference"](value, case)
    if "reference" in value or "identifier" in value:
        return identities.reference(value, case)
    if "coding" in value or "text" in value:
        return types()["CodeableConcept"](value, case)
    return codings.coding(value, case)


def extension(value: Json, case: Case) -> Json:
    """An extension that the rules name, with the one value of it that passes."""
    url = value.get("url") if type(value) is dict else None
    listed = _extensions().get(url) if type(url) is str else None
    if listed is None:
        told = "an extension that no rule names"
        case.dropped[f"{case.kind}: {told}"] += 1
        return None
    for name, passing in listed.items():
        kept = passing(value.get(name), case)
        if kept is not None:
            return {"url": url, name: kept}
    return None


@cache
def _told() -> dict[str, Any]:
    return loads((files("adapters.fhir.deidentify") / "rules.toml").read_text("utf-8"))


@cache
def _extensions() -> dict[str, dict[str, Pass]]:
    return {
        url: {name: PRIMITIVES[kind] for name, kind in values.items()}
        for url, values in _told()["extensions"].items()
    }


@cache
def types() -> dict[str, Pass]:
    """The types that rules may name, primitives included."""
    known: dict[str, Pass] = {
        **PRIMITIVES,
        "system": PRIMITIVES["drop"],
        "code": PRIMITIVES["drop"],
        "either": either,
        "Identifier": identities.identifier,
        "Reference": identities.reference,
        "Quantity": codings.quantity,
        "length": codings.length,
    }
    trees = {name: Tree(name) for name in _told()["types"]}
    known.update(trees)
    known["Coding"] = codings.coding
    known.update(_bindings())
    for name, tree in trees.items():
        _grow(tree, _told()["types"][name], known)
    return known


def _bindings() -> dict[str, Pass]:
    """Coded elements whose codes are of a few systems."""
    found: dict[str, Pass] = {}
    for name, systems in _told()["bindings"].items():
        coding = codings.bound(tuple(systems))
        if name == "label":
            found[name] = coding
        else:
            concept = found[name] = Tree("CodeableConcept")
            concept.elements["coding"] = (coding, "CodeableConcept.coding")
    return found


@cache
def resources() -> dict[str, Tree]:
    """The resources that pass, by type."""
    known, told = types(), _told()
    trees = {}
    for kind, rules in told.items():
        if kind not in ("types", "extensions", "of", "bindings"):
            trees[kind] = Tree(kind)
            _grow(trees[kind], rules, known)
            trees[kind].elements["id"] = (identities.identity, f"{kind}.id")
            trees[kind].elements["meta"] = (known["Meta"], f"{kind}.meta")
            trees[kind].elements["language"] = (known["language"], f"{kind}.language")
    observation = trees["Observation"]
    component = observation.elements["component"][0]
    for tree in (observation, component):
        if isinstance(tree, Tree):
            tree.judged = observed
    return trees


def owners() -> tuple[str, ...]:
    """The elements that lead to a resource's patient."""
    return tuple(_told()["of"]["elements"])


def _grow(tree: Tree, rules: Mapping[str, Any], known: Mapping[str, Pass]) -> None:
    required = []
    for name, rule in rules.items():
        path = f"{tree.path}.{name}"
        if isinstance(rule, dict):
            branch = Tree(path)
            _grow(branch, rule, known)
            tree.elements[name] = (branch, path)
            continue
        kind = rule.removesuffix("!")
        if kind != "drop":
            tree.elements[name] = (known[kind], path)
        else:
            tree.elements[name] = (PRIMITIVES["drop"], path)
        if rule.endswith("!"):
            required.append((name, kind in _PRIMITIVE))
    tree.required = tuple(required)
    tree.elements["extension"] = (extension, f"{tree.path}.extension")

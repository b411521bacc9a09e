"""FHIR in, de-identified FHIR out: one resource, a Bundle, or a stream of them.

What passes is in `rules.toml`, which codes do in `twin_core.deid.nomenclatures`. Ids and
references become pseudonyms, instants move by their patient's weeks; narratives, names, texts and
attachments are dropped, and every resource is labelled (`meta.security`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from adapters.fhir.deidentify.case import Case, Json, Refused, Site
from adapters.fhir.deidentify.identities import full_url, identity, named, patient_key
from adapters.fhir.deidentify.primitives import word
from adapters.fhir.deidentify.tree import owners, resources

__all__ = ["TYPES", "Deidentifier", "Refused", "Site", "survivors"]

TYPES = frozenset(resources())
"""The resources that pass."""

_LABELS = {
    "limited": ("PSEUDED", "pseudonymized"),
    "shifted": ("PSEUDED", "pseudonymized"),
    "safe_harbor": ("ANONYED", "anonymized"),
}
"""v3-ObservationValue, _SECINTEGRITYOBV alterations: what was done to a resource."""
_INTEGRITY = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
_OWNERS = owners()
_STATUS = re.compile(r"\d{3}")


class Deidentifier:
    """De-identifies resources for one site; remembers what it dropped, never what it was."""

    def __init__(self, site: Site, patients: Mapping[str, str] | None = None) -> None:
        """`patients` leads from ids of merged patients to those of their survivors."""
        self.site, self._patients = site, dict(patients or {})
        self.dropped: Counter[str] = Counter()
        """How often each element was dropped, by path."""
        self.refused: Counter[str] = Counter()
        """How often a resource was refused, by reason."""
        code, display = _LABELS[site.profile]
        self._label = {"system": _INTEGRITY, "code": code, "display": display}

    def resource(self, resource: Json) -> dict[str, Json] | None:
        """What of a resource passes; None where it is refused or of a type that no rule names."""
        if type(resource) is not dict:
            self.refused["What is no JSON object is no resource."] += 1
            return None
        if resource.get("resourceType") == "Bundle":
            return self._bundle(resource)
        return self._alone(resource, self._patients)

    def _alone(self, resource: dict[str, Json], patients: dict[str, str]) -> dict[str, Json] | None:
        case = Case(self.site, self.dropped, patients)
        try:
            return self._passed(resource, case, _patient_of(resource))
        except Refused as refusal:
            self.refused[refusal.reason] += 1
            return None

    def _passed(
        self, resource: dict[str, Json], case: Case, patient: str | None
    ) -> dict[str, Json] | None:
        kind = resource.get("resourceType")
        tree = resources().get(kind) if type(kind) is str else None
        if tree is None or type(kind) is not str:
            self.refused["No rule names resources of its type."] += 1
            return None
        within = resource.get("contained")
        kept_within = _contained(within) if type(within) is list else {}
        case.contained = frozenset(kept_within)
        case.begin(kind, patient)
        said = {k: v for k, v in resource.items() if k not in ("resourceType", "contained")}
        found = tree(said, case) or {}
        told: dict[str, Json] = {"resourceType": kind, **found}
        if kept_within:
            inner = [self._within(one, case, patient) for one in kept_within.values()]
            told["contained"] = [one for one in inner if one is not None]
        meta = told.setdefault("meta", {})
        meta["security"] = [*meta.get("security", ()), self._label]
        return told

    def _within(self, resource: dict[str, Json], case: Case, patient: str | None) -> Json:
        """A contained resource: it has no meta of its own, and is whose its container is."""
        kind = resource["resourceType"]
        tree = resources()[kind]
        case.begin(kind, _patient_of(resource) or patient)
        said = {k: v for k, v in resource.items() if k not in ("resourceType", "meta")}
        found = tree(said, case) or {}
        return {"resourceType": kind, **found}

    # --- Bundles -----------------------------------------------------------------------------

    def _bundle(self, bundle: dict[str, Json]) -> dict[str, Json] | None:
        if "modifierExtension" in bundle or "implicitRules" in bundle:
            self.refused["Bundle has a modifier extension or implicit rules."] += 1
            return None
        stated = bundle.get("entry")
        entries = [one for one in stated if type(one) is dict] if type(stated) is list else []
        patients = {**self._patients, **_aliases(entries)}
        told: dict[str, Json] = {"resourceType": "Bundle"}
        case = Case(self.site, self.dropped, patients)
        case.begin("Bundle", None)
        if bundle.get("id"):
            told["id"] = identity(bundle["id"], case)
        told["meta"] = {"security": [self._label]}
        told["type"] = word(bundle.get("type"), case) or "collection"
        kept = [one for entry in entries if (one := self._entry(entry, case, patients)) is not None]
        if type(bundle.get("total")) is int and told["type"] in ("searchset", "history"):
            told["total"] = len(kept)
        if kept:
            told["entry"] = kept
        return told

    def _entry(
        self, entry: dict[str, Json], case: Case, patients: dict[str, str]
    ) -> dict[str, Json] | None:
        if "modifierExtension" in entry:
            self.refused["Bundle.entry has a modifier extension that no rule names."] += 1
            return None
        inner = entry.get("resource")
        if type(inner) is not dict:
            return None
        if inner.get("resourceType") == "Bundle":
            passed = self._bundle(inner)
        else:
            passed = self._alone(inner, patients)
        if passed is None:
            return None
        told: dict[str, Json] = {}
        url = full_url(entry.get("fullUrl"), case)
        if url is not None:
            told["fullUrl"] = url
        told["resource"] = passed
        for name, part in (
            ("request", _request(entry.get("request"), passed)),
            ("response", _response(entry.get("response"))),
            ("search", _search(entry.get("search"))),
        ):
            if part:
                told[name] = part
        return told


def survivors(resource: Json) -> Iterator[tuple[str, str]]:
    """(merged, survivor) pairs that Patients state by their links, Bundles searched through."""
    if type(resource) is not dict:
        return
    if resource.get("resourceType") == "Bundle":
        for entry in _listed(resource.get("entry")):
            if type(entry) is dict:
                yield from survivors(entry.get("resource"))
        return
    if resource.get("resourceType") != "Patient" or type(resource.get("id")) is not str:
        return
    for link in _listed(resource.get("link")):
        other = patient_key(link.get("other")) if type(link) is dict else None
        if other and link.get("type") == "replaced-by":
            yield resource["id"], other
        elif other and link.get("type") == "replaces":
            yield other, resource["id"]


def _listed(value: Json) -> list[Json]:
    return value if type(value) is list else []


def _aliases(entries: list[dict[str, Json]]) -> dict[str, str]:
    """From the full URL's own id of a Patient entry to the Patient's id."""
    found = {}
    for entry in entries:
        inner, url = entry.get("resource"), entry.get("fullUrl")
        if type(inner) is dict and inner.get("resourceType") == "Patient" and type(url) is str:
            target = named(url)
            if target and type(inner.get("id")) is str and target[1] != inner["id"]:
                found[target[1]] = inner["id"]
    return found


def _patient_of(resource: dict[str, Json]) -> str | None:
    """By what the patient of a resource is known; None where it is nobody's."""
    if resource.get("resourceType") == "Patient":
        return resource["id"] if type(resource.get("id")) is str else "(without an id)"
    for name in _OWNERS:
        found = patient_key(resource.get(name)) or _inner_patient(resource, name)
        if found is not None:
            return found
    participants = resource.get("participant")
    for one in participants if type(participants) is list else ():
        actor = one.get("actor") if type(one) is dict else None
        if type(actor) is dict and "Patient" in str(actor.get("reference", "")):
            return patient_key(actor)
    return None


def _inner_patient(resource: dict[str, Json], name: str) -> str | None:
    """A patient contained in the resource, who is known nowhere else."""
    owner = resource.get(name)
    said = owner.get("reference") if type(owner) is dict else None
    return f"{resource.get('id')}{said}" if type(said) is str and said[:1] == "#" else None


def _contained(within: list[Json]) -> dict[str, dict[str, Json]]:
    """The contained resources of types that pass, by id."""
    return {
        one["id"]: one
        for one in within
        if type(one) is dict
        and type(one.get("id")) is str
        and type(one.get("resourceType")) is str
        and one["resourceType"] in resources()
    }


def _request(stated: Json, passed: dict[str, Json]) -> dict[str, Json] | None:
    if type(stated) is not dict or stated.get("method") not in ("POST", "PUT"):
        return None
    kind, id_ = passed["resourceType"], passed.get("id")
    if stated["method"] == "PUT" and id_:
        return {"method": "PUT", "url": f"{kind}/{id_}"}
    return {"method": "POST", "url": kind}


def _response(stated: Json) -> dict[str, Json] | None:
    if type(stated) is dict and type(stated.get("status")) is str:
        found = _STATUS.match(stated["status"])
        return {"status": found[0]} if found else None
    return None


def _search(stated: Json) -> dict[str, Json] | None:
    if type(stated) is dict and stated.get("mode") in ("match", "include", "outcome"):
        return {"mode": stated["mode"]}
    return None

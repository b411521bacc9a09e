"""What is known while one resource is read: its source, how strictly, and what is odd about it."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import msgspec

from adapters.fhir import codes
from adapters.fhir.faults import DATA_TYPE, NOT_IN_TABLE, REQUIRED
from adapters.fhir.release import RESOURCE_TYPES, Release
from adapters.fhir.shapes import (
    BusinessIdentifier,
    CodeableConcept,
    Contained,
    Period,
    Reference,
)
from adapters.fhir.times import (
    OPEN_YEAR,
    Moment,
    NoTimeZone,
    ends_before,
    moment,
    without_zone,
)
from twin_core.events import Fault, NotedFinding
from twin_core.identifiers import REFERENCE, Identifier
from twin_core.settings import FhirSettings

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
ADDRESS = re.compile(
    r"(?:(https?://[^\s?#]+?)/)?([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_CONDITIONAL = re.compile(r"[A-Za-z]+\?identifier=([^|&]+)\|([^&]+)")
_ANY_TYPE = frozenset().union(*RESOURCE_TYPES.values())
URI = "urn:ietf:rfc:3986"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds a resource: its source, its edition and its Bundle."""

    source: str
    release: Release
    told: bool = False
    """The edition is not known from an address: it is told from each resource's own elements."""
    settings: FhirSettings
    received_at: datetime
    judged: bool = True
    """Whether the judge may be asked; it is slow, so an edge may want to know first."""
    zone: tzinfo = UTC
    """Time zone of dates without a time."""
    bases: frozenset[str] = frozenset()
    """Absolute addresses of servers that are this source."""
    within: Mapping[str, Identifier] = {}
    """fullUrl of a Bundle entry -> the identifier of its resource."""
    document: str = ""
    """Digest of the file that is read, where it is one."""
    own: str = ""
    """`meta.source` of this twin: what comes back under it is nothing new."""


class Span(NamedTuple):
    """A period as instants, half-open."""

    start: datetime | None = None
    end: datetime | None = None


class Reading:
    """One resource being read: resolves its references and times, and notes what is odd."""

    def __init__(self, scope: Scope, kind: str) -> None:
        self.scope, self.kind = scope, kind
        self.faults: list[Fault] = []
        self.findings: list[NotedFinding] = []
        self.contained: tuple[Contained, ...] = ()
        self._bare = f"urn:wardtwin:source:{scope.source}"
        self._moments: dict[str, Moment] = {}
        """Instants by their texts: one status ends when the next one begins, and so do stays."""

    def object_to(self, where: str, code: str, reason: str, finding: str) -> None:
        """Refuse the resource, or where the site is lenient, accept it with a finding."""
        if self.scope.settings.strictness == "lenient":
            self.note(finding, f"{self.kind}.{where}: {reason}")
        else:
            self.faults.append(Fault(where=f"{self.kind}.{where}", code=code, reason=reason))

    def note(self, kind: str, detail: str) -> None:
        """Record an oddity that does not stand in the way."""
        self.findings.append(NotedFinding(kind=kind, detail=detail))

    def require(self, stated: object, where: str) -> None:
        """Object where an element that FHIR requires is missing."""
        if not stated:
            self.object_to(where, REQUIRED, "This element is required.", "missing_element")

    def known(self, code: str, table: Collection[str], where: str) -> str:
        """A code of a required value set, or nothing where it is not one of them."""
        if not code or code in table:
            return code
        self.object_to(where, NOT_IN_TABLE, "The code is not in the required value set.", _UNKNOWN)
        return ""

    def moment(self, text: str, where: str, part: str = "") -> Moment | None:
        """An instant of the resource, or None where there is none that can be used.

        It stands at `where`, or at a `part` of it.
        """
        if not text:
            return None
        read = self._moments.get(text)
        if read is not None:
            return read
        where = f"{where}{part}"
        try:
            found = moment(text, self.scope.zone)
        except NoTimeZone:
            self.object_to(where, DATA_TYPE, "A time needs a time zone offset.", "no_time_zone")
            try:
                return without_zone(text, self.scope.zone)
            except ValueError:
                return None
        except ValueError:
            self.object_to(where, DATA_TYPE, "This is no FHIR date or time.", "invalid_time")
            return None
        if found.precision != "second":
            self.note("reduced_precision", f"{self.kind}.{where} is given to the {found.precision}")
        else:
            self._moments[text] = found
        return found

    def span(self, period: Period | None, where: str) -> Span:
        """A period as instants; one that ends before it starts is objected to."""
        if period is None:
            return Span()
        start = self.moment(period.start, where, ".start")
        end = self.moment(period.end, where, ".end")
        if end is None or end.at.year >= OPEN_YEAR:
            return Span(start.at if start else None, None)
        if start is not None and ends_before(start, end):
            self.object_to(where, DATA_TYPE, "The period ends before it starts.", "reversed_period")
            return Span(start.at, start.at)
        return Span(min(start.at, end.until) if start else None, end.until)

    def identifiers(
        self, stated: Iterable[BusinessIdentifier], where: str = "identifier"
    ) -> tuple[Identifier, ...]:
        """The business identifiers of the resource, in the order given."""
        found: list[Identifier] = []
        for position, one in enumerate(stated):
            if one.use and one.use not in codes.IDENTIFIER_USE:
                self.known(one.use, codes.IDENTIFIER_USE, f"{where}[{position}].use")
            if one.value:
                found.append(self.identifier(one))
        return tuple(found)

    def connecting(self, stated: Sequence[BusinessIdentifier]) -> tuple[Identifier, ...]:
        """Identifiers under which others may know the same encounter or device.

        Bare numbers are left out: whoever shares one by chance would become the same thing.
        """
        found = self.identifiers(stated)
        connecting = tuple(one for one in found if one.system != self._bare)
        if len(connecting) < len(found):
            self.note("missing_identifier", f"{self.kind}.identifier has a value without a system")
        return connecting

    def identifier(self, stated: BusinessIdentifier) -> Identifier:
        """One business identifier; without a system it means something to its source only."""
        kind = code_of(stated.type, codes.IDENTIFIER_TYPE)
        if stated.system:
            return Identifier(stated.system, stated.value, kind)
        # XX is recorded and never connects two records: bare numbers of two registries collide.
        return Identifier(self._bare, stated.value, kind or "XX")

    def reference(self, stated: Reference | None, where: str) -> Identifier | None:
        """What a reference points at, as an identifier; nothing is ever fetched."""
        if stated is None:
            return None
        if stated.reference:
            return self._addressed(stated.reference, where)
        if stated.identifier is not None and stated.identifier.value:
            return self.identifier(stated.identifier)
        return None

    def reference_to(self, stated: Reference | None, where: str, *kinds: str) -> Identifier | None:
        """What a reference points at where that is of one of these types, as far as it says."""
        target = self.reference(stated, where)
        if target is None or stated is None:
            return None
        kind = stated.type
        if target.type == REFERENCE:
            kind = target.value.partition("/")[0] if "/" in target.value else kind
        return target if not kind or kind in kinds or ":" in kind else None

    def own(self, id_: str) -> Identifier:
        """The identifier that the resource itself is: its source and `Type/id`."""
        return Identifier(self.scope.source, f"{self.kind}/{id_}", REFERENCE)

    def _addressed(self, address: str, where: str) -> Identifier | None:
        if address.startswith("#"):
            return self._within_itself(address[1:], where)
        known = self.scope.within.get(address)
        if known is not None:
            return known
        matched = ADDRESS.fullmatch(address)
        if matched is not None and matched[2] in _ANY_TYPE:
            base, kind, id_ = matched.groups()
            system = self.scope.source if not base or base in self.scope.bases else base
            return Identifier(system, f"{kind}/{id_}", REFERENCE)
        conditional = _CONDITIONAL.fullmatch(address)
        if conditional is not None:
            return Identifier(conditional[1], conditional[2])
        return Identifier(URI, address, REFERENCE)

    def _within_itself(self, id_: str, where: str) -> Identifier | None:
        for one in self.contained:
            if one.id == id_:
                several = one.identifier if isinstance(one.identifier, tuple) else (one.identifier,)
                return next((self.identifier(each) for each in several if each.value), None)
        if id_:
            self.object_to(
                where, DATA_TYPE, "Nothing contained has this id.", "unresolved_reference"
            )
        return None


_UNKNOWN = "unknown_code"


def code_of(concept: CodeableConcept | None, system: str = "") -> str:
    """The code of a concept: of the given system if it has one, else its first."""
    if concept is None:
        return ""
    first = ""
    for coding in concept.coding:
        if coding.code and (not system or coding.system == system):
            return coding.code
        first = first or coding.code
    return first


def words_of(concept: CodeableConcept | None) -> str:
    """The code of a concept, else its text."""
    return code_of(concept) or (concept.text if concept is not None else "")

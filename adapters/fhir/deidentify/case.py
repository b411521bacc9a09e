"""What is known while a resource is de-identified: the codebook, whose it is, what was dropped."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from twin_core.deid import Codebook, Profile

Json = Any
"""A value of JSON, as `msgspec.json.decode` gives it."""

UNLISTED = "(other)"
"""In reports, what is no element of the rules: its name may be somebody's."""


class Refused(Exception):
    """A resource that cannot be de-identified; `reason` names nobody."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Site(NamedTuple):
    """What de-identification is asked to do, and what it is told of the site."""

    book: Codebook
    profile: Profile
    now: datetime
    """The instant that ages count to."""
    code_systems: frozenset[str] = frozenset()
    """The site's own code systems whose codes pass."""
    is_unit: Callable[[str], bool] = lambda unit: False
    """Whether a text is a unit of UCUM."""


class Case:
    """One resource at work."""

    __slots__ = ("contained", "days", "dropped", "kind", "patients", "site")

    def __init__(self, site: Site, dropped: "Counter[str]", patients: dict[str, str]) -> None:
        self.site, self.dropped, self.patients = site, dropped, patients
        self.kind = ""
        self.days: int | None = None
        """Days to go back; None where nobody's instants are told."""
        self.contained: frozenset[str] = frozenset()
        """Ids of the contained resources that pass."""

    def begin(self, kind: str, patient: str | None) -> None:
        """Another resource: of which type, and whose."""
        self.kind = kind
        if self.site.profile == "limited":
            self.days = 0
        elif patient is None:
            self.days = None
        else:
            self.days = -self.site.book.shift(self._survivor(patient)).days

    def _survivor(self, patient: str) -> str:
        """Whose weeks are meant: an entry's own id leads to a Patient, a merged one to another."""
        seen = {patient}
        while (further := self.patients.get(patient)) is not None and further not in seen:
            seen.add(further)
            patient = further
        return patient

    def pseudonym(self, identifier: str) -> str:
        """The pseudonym of an id, in the form of a UUID: an id of FHIR, and half of an URN."""
        digits = self.site.book.digest("fhir", identifier)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-{digits[18:30]}"

"""How far somebody's rows reach: which facilities and units are theirs, in Python and in SQL.

A visit is theirs, whole, if any stay of it is at one of their places; a patient, if a visit is.
What belongs to no visit and to no place is nobody's of them.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Reach(NamedTuple):
    """The places of somebody: facilities by their code, units as `FACILITY/UNIT`; a unit alone is
    that of every facility. Of somebody who names neither, all places."""

    facilities: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def is_everywhere(self) -> bool:
        """Whether nothing is held back."""
        return not self.facilities and not self.units

    def reaches(self, facility: str, unit: str) -> bool:
        """Whether a unit's rows are theirs; what a row does not name is empty."""
        if self.is_everywhere:
            return True
        return facility in self.facilities or bool({f"{facility}/{unit}", unit} & set(self.units))

    def of_places(self, facility: str = "facility", unit: str = "unit") -> str:
        """A condition in SQL: that the columns name one of the places. As `reaches`, row by row."""
        if self.is_everywhere:
            return "true"
        at, in_ = f"coalesce({facility}, '')", f"coalesce({unit}, '')"
        named = ((at, self.facilities), (f"{at} || '/' || {in_}", self.units), (in_, self.units))
        told = [f"{column} IN ({_quoted(names)})" for column, names in named if names]
        return f"({' OR '.join(told)})"

    def of_visits(self, encounter_id: str = "encounter_id") -> str:
        """A condition in SQL: that the column names one of their visits."""
        if self.is_everywhere:
            return "true"
        return f"{encounter_id} IN ({self.visits()})"

    def visits(self) -> str:
        """SQL of the ids of their visits."""
        return f"SELECT encounter_id FROM twin.stay WHERE {self.of_places()}"  # noqa: S608

    def patients(self) -> str:
        """SQL of the ids of the patients of their visits."""
        sql = f"SELECT patient_id FROM twin.encounter WHERE {self.of_visits()}"  # noqa: S608
        return f"{sql} AND patient_id IS NOT NULL"


EVERYWHERE = Reach()


def _quoted(names: Iterable[str]) -> str:
    # As constants: the text travels through queries whose values are bound by others.
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)

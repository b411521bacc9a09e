"""The hospital as somebody sees it who answers for some of its units."""

from collections.abc import Callable

import msgspec

from twin_core.state.beds import total
from twin_core.state.words import HospitalState

Reaches = Callable[[str, str], bool]
"""Whether a facility's unit is one of theirs."""


def narrowed(state: HospitalState, reaches: Reaches) -> HospitalState:
    """Their units and the patients in them; `census` and `counts` are those of these units.

    Who waits in the ED for a place is where the visit is: of a facility, and of no unit yet.
    """
    units = tuple(unit for unit in state.units if reaches(unit.facility, unit.unit))
    return msgspec.structs.replace(
        state,
        census=sum(unit.census for unit in units),
        counts=total(unit.counts for unit in units),
        units=units,
        ed=tuple(patient for patient in state.ed if reaches(patient.facility, patient.unit)),
    )

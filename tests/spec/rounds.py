"""What else is known of a drawn hospital, and the KPIs counted from it naively, as in `oracle`.

Services and assessments of its patients, what is planned for its beds, what others counted, and the
messages of its feeds. Every figure is of the last known instant of a period, or of its events.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from oracle import INPATIENT, TICK, Drawn, Figures, Stay

TREATED = {"A": ("MED", "SUR"), "B": ("MED",)}
"""The services that a unit treats; the others treat all."""


class Round(NamedTuple):
    """A drawn hospital and what else is known of it."""

    hospital: Drawn
    services: dict[str, str | None]
    assessed: tuple[tuple[str, datetime, bool], ...]
    """Encounter, when, and whether the criteria to reside are not met."""
    promised: tuple[tuple[str, str, datetime, datetime | None], ...]
    """Unit and bed, from when, until when."""
    counts: tuple[tuple[str, datetime, int], ...]
    """Unit, when, and how many patients a source counted."""


def ends(h: Drawn) -> list[tuple[datetime, datetime | None]]:
    """Each period with its last known instant; None where nothing of it is known."""
    return [(first, min(last, h.as_of) if first < h.as_of else None) for first, last in h.periods()]


def there(h: Drawn, at: datetime) -> list[Stay]:
    """Who was there just before an instant."""
    return h.present(at - TICK)


def inpatients(h: Drawn, at: datetime) -> list[Stay]:
    """Inpatients just before an instant."""
    return [s for s in there(h, at) if h.class_at(s.encounter, at - TICK) in INPATIENT]


def shares(r: Round, judged: Callable[[Stay, datetime], bool | None]) -> Figures:
    """Of the inpatients at the end of each period the share that is so; None is not known."""
    found: Figures = {}
    h = r.hospital
    for first, at in ends(h):
        for stay in [] if at is None else inpatients(h, at):
            key = (h.group(stay.unit), None, first)
            counts = judged(stay, at)
            if counts is not None:
                above, below = found.get(key, (0, 0))
                found[key] = (above + counts, below + 1)
    return found


def los_elapsed_long(r: Round) -> Figures:
    found: Figures = {}
    for days, stratum in ((7, None), (14, "14_plus"), (21, "21_plus")):

        def long(stay: Stay, at: datetime, days: int = days) -> bool:
            classes = r.hospital.encounters[stay.encounter].classes
            begun = min(since for since, code in classes if code in INPATIENT)
            return begun + timedelta(days=days) < at

        found |= {(unit, stratum, at): f for (unit, _, at), f in shares(r, long).items()}
    return found


def outliers(r: Round) -> Figures:
    def outlying(stay: Stay, at: datetime) -> bool | None:
        if stay.unit not in TREATED:
            return False
        service = r.services.get(stay.encounter)
        return None if service is None else service not in TREATED[stay.unit]

    return shares(r, outlying)


def nctr(r: Round) -> Figures:
    def not_met(stay: Stay, at: datetime) -> bool | None:
        own = [(since, no) for name, since, no in r.assessed if name == stay.encounter]
        said = [no for since, no in sorted(own) if since < at]
        return said[-1] if said else None

    return shares(r, not_met)


def beds_available(r: Round) -> Figures:
    found: Figures = {}
    h = r.hospital
    for first, at in ends(h):
        for bed in h.beds if at is not None else ():
            if not bed.start < at or (bed.end is not None and bed.end < at):
                continue
            if not bed.staffed or bed.status == "C":
                continue
            taken = any((s.unit, s.bed) == (bed.unit, bed.bed) for s in there(h, at))
            promised = any(
                (unit, name) == (bed.unit, bed.bed) and since < at and (end is None or at <= end)
                for unit, name, since, end in r.promised
            )
            dirty = bed.status in "HKI"
            for stratum, so in (
                (None, not taken and not dirty and not promised),
                ("reserved", not taken and promised),
                ("not_clean", not taken and not promised and dirty),
            ):
                key = (h.group(bed.unit), stratum, first)
                above, below = found.get(key, (0, 0))
                found[key] = (above + so, below + 1)
    return found


def bed_clean_time(r: Round) -> Figures:
    """Minutes from each departure to the first clean status, if nobody came or closed it before."""
    found: Figures = {}
    h = r.hospital
    # Two patients who leave one bed at once leave it once.
    left = {(s.unit, s.bed, s.end): s for s in h.real_stays() if s.bed and s.end is not None}
    for stay in left.values():
        bed = (stay.unit, stay.bed)
        others = [s for s in h.stays if (s.unit, s.bed) == bed and s is not stay]
        taken = min((s.start for s in others if s.start >= stay.end), default=None)
        said = sorted(
            (b.start, b.status)
            for b in h.beds
            if (b.unit, b.bed) == bed
            and b.start >= stay.end
            and (taken is None or b.start <= taken)
        )
        clean = next((at for at, word in said if word == "U"), None)
        if clean is None or any(word == "C" and at <= clean for at, word in said):
            continue
        begun = next((at for at, word in said if word == "H" and at <= clean), None)
        times = [(None, stay.end, clean)]
        if begun is not None:
            times += [("dirty", stay.end, begun), ("cleaning", begun, clean)]
        for stratum, since, until in times:
            _add(h, found, stay.unit, stratum, clean, (until - since) / timedelta(minutes=1))
    return found


def _add(
    h: Drawn, found: Figures, unit: str, stratum: str | None, at: datetime, amount: float
) -> None:
    for first, last in h.periods():
        if first <= at < min(last, h.as_of):
            key = (h.group(unit), stratum, first)
            above, below = found.get(key, (0, 0))
            found[key] = (above + amount, below + 1)


def dq_reconcile(r: Round) -> Figures:
    """Absolute differences over what the source counted; periods without patients have no ratio."""
    found: Figures = {}
    h = r.hospital
    for unit, at, counted in r.counts:
        for first, last in h.periods():
            if first <= at < last and at <= h.as_of and first < h.as_of:
                # What is not known after the last instant cannot be compared.
                here = [s for s in h.present(at) if s.unit == unit and s.start < h.as_of]
                patients = {h.encounters[s.encounter].patient for s in here}
                key = (h.group(unit), "HIS", first)
                above, below = found.get(key, (0, 0))
                found[key] = (above + abs(len(patients) - counted), below + counted)
    return found


MEASURED: dict[str, tuple[str, Callable[[Round], Figures]]] = {
    "los_elapsed_long": ("share", los_elapsed_long),
    "outliers": ("share", outliers),
    "nctr": ("share", nctr),
    "beds_available": ("share", beds_available),
    "bed_clean_time": ("mean", bed_clean_time),
    "dq_reconcile": ("ratio", dq_reconcile),
}
"""By KPI the statistic that is counted, and how."""

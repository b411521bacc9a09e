"""The rows that the board's KPIs are made of, as records: visits with their history, and beds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from twin_core.store.tables import BY_NAME

Instant = int
"""Microseconds since 1970 in UTC: thousands of instants are compared after every batch, and numbers
are compared ten times faster than instants with a time zone."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HOUR_US = timedelta(hours=1) // MICROSECOND
LONG_AGO: Instant = -(1 << 62)
"""Before everything: where a period that has always been so begins."""
FOREVER: Instant = 1 << 62
"""After everything: where a period that lasts ends."""
INPATIENT = frozenset({"IMP", "ACUTE", "NONAC"})
VOID = frozenset({"planned", "cancelled", "entered-in-error"})
"""Statuses of encounters that are no visits, or not yet."""

Columns = tuple[object, ...]
Row = tuple[str, Columns]
"""Name of a table, and the columns of it that count, in the order of `COLUMNS`."""

OF_VISITS = {
    "encounter": (
        "encounter_id", "patient_id", "facility", "class", "status", "admitted_at",
        "discharged_at", "service", "part_of",
    ),
    "stay": (
        "encounter_id", "stay_id", "patient_id", "facility", "unit", "room", "bed", "location_id",
        "from_at", "to_at",
    ),
    "encounter_class": ("encounter_id", "class", "from_at"),
    "encounter_status": ("encounter_id", "status", "from_at", "to_at"),
    "encounter_milestone": ("encounter_id", "kind", "at"),
}  # fmt: skip
OF_BEDS = {
    "location": ("location_id", "kind", "facility", "unit"),
    "location_status": ("location_id", "operational_status", "staffed", "from_at", "to_at"),
    "encounter_plan": ("location_id", "kind", "stated_at", "ended_at"),
}
COLUMNS = {**OF_VISITS, **OF_BEDS}
"""By table what of it counts; the first column says to what a row belongs."""
_AT = {
    name: tuple([column.name for column in BY_NAME[name].columns].index(word) for word in wanted)
    for name, wanted in COLUMNS.items()
}


class Stay(NamedTuple):
    """An uninterrupted stay at one place; open ones last for ever.

    bed_key tells beds apart, and is None without one; location_id is None for an unknown place.
    """

    stay_id: str
    patient: str
    facility: str
    unit: str | None
    bed_key: str | None
    location_id: str | None
    from_at: Instant
    to_at: Instant

    @property
    def places(self) -> set[str]:
        """By what the bed that is taken may be found."""
        return {place for place in (self.bed_key, self.location_id) if place is not None}

    @property
    def lasted(self) -> bool:
        """Whether it was one: a stay without duration is none."""
        return self.to_at > self.from_at


class Status(NamedTuple):
    """A period of a visit in one status."""

    status: str
    from_at: Instant
    to_at: Instant


class Visit(NamedTuple):
    """An encounter with its whole history."""

    encounter_id: str
    patient: str
    facility: str
    class_: str | None
    status: str
    admitted_at: Instant | None
    discharged_at: Instant | None
    service: str | None
    part_of: str | None
    stays: tuple[Stay, ...]
    classes: tuple[tuple[Instant, str], ...]
    """Each class with the instant it began."""
    statuses: tuple[Status, ...]
    marks: tuple[tuple[str, Instant], ...]

    def began(self, codes: frozenset[str]) -> Instant | None:
        """When the first class among these began; None where none did, or nobody knows when."""
        return min(
            (at for at, code in self.classes if code in codes and at > LONG_AGO), default=None
        )

    def first_mark(self, kind: str) -> Instant | None:
        """When a milestone was first reached."""
        return min((at for name, at in self.marks if name == kind), default=None)


def chosen(name: str, values: Sequence[object]) -> Columns | None:
    """The columns that count of a row of the store; None of a table that does not."""
    places = _AT.get(name)
    return None if places is None else tuple(_plain(values[at]) for at in places)


def instant(at: datetime) -> Instant:
    """An aware instant as a number."""
    return (at - EPOCH) // MICROSECOND


def first_known(*instants: Instant | None) -> Instant | None:
    """The first of these that is known."""
    return next((at for at in instants if at is not None), None)


def moment(at: Instant) -> datetime:
    """A number as an aware instant."""
    return EPOCH + at * MICROSECOND


def visit_of(rows: Mapping[str, Iterable[Columns]]) -> Visit | None:
    """The visit that the rows of one encounter tell, by table; None without an encounter row."""
    found = next(iter(rows.get("encounter", ())), None)
    if found is None:
        return None
    name, patient, facility, class_, status, admitted, discharged, service, part_of = found
    return Visit(
        str(name),
        str(patient or name),
        _word(facility),
        None if class_ is None else str(class_),
        _word(status),
        _instant(admitted),
        _instant(discharged),
        None if service is None else str(service),
        None if part_of is None else str(part_of),
        tuple(_stay(row) for row in rows.get("stay", ())),
        tuple((since(at), str(code)) for _, code, at in rows.get("encounter_class", ())),
        tuple(
            Status(str(word), since(start), until(end))
            for _, word, start, end in rows.get("encounter_status", ())
        ),
        tuple(
            (str(kind), at)
            for _, kind, reached in rows.get("encounter_milestone", ())
            if (at := _instant(reached)) is not None
        ),
    )


def _stay(row: Columns) -> Stay:
    encounter, stay_id, patient, facility, unit, room, bed, location, start, end = row
    named = "/".join(str(part) for part in (facility, unit, room, bed) if part is not None)
    return Stay(
        str(stay_id),
        str(patient or encounter),
        _word(facility),
        None if unit is None else str(unit),
        None if bed is None else named if location is None else str(location),
        None if location is None else str(location),
        since(start),
        until(end),
    )


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _plain(value: object) -> object:
    return instant(value) if isinstance(value, datetime) else value


def _instant(value: object) -> Instant | None:
    assert value is None or isinstance(value, int)  # noqa: S101  (a column of instants)
    return value


def since(value: object) -> Instant:
    """Where a period begins; without an instant it has always been so."""
    at = _instant(value)
    return LONG_AGO if at is None else at


def until(value: object) -> Instant:
    """Where a period ends; without an instant it lasts."""
    at = _instant(value)
    return FOREVER if at is None else at

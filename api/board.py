"""What the board shows: units as tiles, the ED list, the feeds, the figures, and what changed.

The board is composed from the twin's state as one structure. The page is first rendered from it on
the server; later changes travel as the difference between two boards.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from api.access.reach import Reach
from api.pulse import FeedRow, Pulse
from twin_core.clock import HospitalClock
from twin_core.state import (
    Away,
    Bed,
    BedCounts,
    HospitalState,
    Occupant,
    Plan,
    UnitState,
    narrowed,
    total,
)
from twin_core.twin import Twin

SHORT_ID = 7

FACILITIES = "SELECT facility, time_zone, name FROM core.facility ORDER BY facility"


class HospitalTime(msgspec.Struct, frozen=True, kw_only=True):
    """The hospital's clock: its instant, and how many of its seconds pass in a real one."""

    now: datetime
    speed: float
    time_zone: str


class BedTile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A bed on the board. `who` are short visit ids, never names."""

    key: str
    label: str
    status: str
    who: tuple[str, ...] = ()
    since: datetime | None = None
    conflict: bool = False
    isolated: bool = False
    leave: bool = False
    reserved: bool = False
    leaving: bool = False
    away: bool = False


class UnitTile(msgspec.Struct, frozen=True, kw_only=True):
    """A unit on the board with all its beds."""

    key: str
    facility: str
    unit: str
    name: str
    census: int
    counts: BedCounts
    without_bed: int
    beds: tuple[BedTile, ...]
    expected_in: int = 0
    expected_out: int = 0
    census_expected: int = 0
    site: str = ""
    """The facility, where the board shows several."""


class EdRow(msgspec.Struct, frozen=True, kw_only=True):
    """Someone in the ED; the waits are counted from `arrived_at` and, for a bed, `boards_from`."""

    key: str
    who: str
    unit: str
    bay: str
    status: str
    arrived_at: datetime | None
    boards_from: datetime | None = None


Said = tuple[str, dict[str, str]]
"""English words with places in braces, and what stands in them: a page says it in its language."""
Beside = dict[str, tuple[Said, ...]]
"""What a figure of the hospital's state says further, by KPI."""


class KpiCard(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the strip: what it is, its value as text, and what it was counted from.

    `note` is that in English; `said` is the same in parts that can be translated.
    """

    kpi_id: str
    title: str
    value: str
    unit: str
    note: str
    said: tuple[Said, ...] = ()


def card(kpi_id: str, title: str, value: str, unit: str, *said: Said) -> KpiCard:
    """A card with its note in English."""
    note = ", ".join(text.format(**values) for text, values in said)
    return KpiCard(kpi_id=kpi_id, title=title, value=value, unit=unit, note=note, said=said)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The hospital in numbers."""

    census: int = 0
    beds: BedCounts = BedCounts()
    ed: int = 0
    ed_waiting: int = 0
    ed_boarding: int = 0
    quarantined: int
    rejected: int
    lag_seconds: float
    expected_in: int = 0
    """Patients who are not there yet and whose admission is planned within a day."""
    expected_out: int = 0
    """Patients whose discharge is planned within a day; transfers stay in the hospital."""
    census_expected: int = 0


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the board. `instance` names the running server, `sequence` the last batch.

    `of` are the facilities and units that it is narrowed to for whoever sees no others, in which
    case `totals` counts beds and patients of these; it is empty where the hospital is whole.
    """

    instance: str
    version: str
    sequence: int
    demo: bool
    hospital: str
    clock: HospitalTime
    totals: Totals
    kpis: tuple[KpiCard, ...]
    feeds: tuple[FeedRow, ...]
    units: tuple[UnitTile, ...]
    ed: tuple[EdRow, ...]
    of: tuple[str, ...] = ()


class Delta(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What changed between two boards; a part that did not change is left out.

    It applies to a board whose sequence is `previous`; to any other, a snapshot is needed.
    """

    previous: int
    sequence: int
    clock: HospitalTime
    units: tuple[UnitTile, ...] = ()
    removed: tuple[str, ...] = ()
    ed: tuple[EdRow, ...] | None = None
    kpis: tuple[KpiCard, ...] | None = None
    feeds: tuple[FeedRow, ...] | None = None
    totals: Totals | None = None


def difference(old: Board, new: Board) -> Delta:
    """What turns `old` into `new`."""
    before = {unit.key: unit for unit in old.units}
    # What was not touched is the very same tile, so that hardly any is compared bed by bed.
    changed = (u for u in new.units if (was := before.get(u.key)) is not u and was != u)
    return Delta(
        previous=old.sequence,
        sequence=new.sequence,
        clock=new.clock,
        units=tuple(changed),
        removed=tuple(sorted(before.keys() - {unit.key for unit in new.units})),
        ed=None if new.ed == old.ed else new.ed,
        kpis=None if new.kpis == old.kpis else new.kpis,
        feeds=None if new.feeds == old.feeds else new.feeds,
        totals=None if new.totals == old.totals else new.totals,
    )


class Composed(NamedTuple):
    """The board of the whole hospital, and what it was composed from."""

    board: Board
    state: HospitalState
    figures: tuple[KpiCard, ...]
    tiles: "Tiles"

    def within(self, reach: Reach) -> Board:
        """The board as somebody sees it whose rows reach so far; figures stay the hospital's."""
        if reach.is_everywhere:
            return self.board
        state, whole = narrowed(self.state, reach.reaches), self.board
        return msgspec.structs.replace(
            whole,
            totals=_totals(state, whole.totals),
            kpis=(*now_cards(state), *self.figures),
            units=self.tiles.of(state),
            ed=ed_rows(state),
            of=(*reach.facilities, *reach.units),
        )


class Tiles:
    """Tiles of units as they were made last: of a unit that is as it was, the very same tile."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], tuple[UnitState, UnitTile]] = {}

    def of(self, state: HospitalState) -> tuple[UnitTile, ...]:
        """The units of a state; each names its site where there are several."""
        several = _has_several_sites(state)
        return tuple(self._tile(unit, names_site=several) for unit in state.units)

    def _tile(self, unit: UnitState, *, names_site: bool) -> UnitTile:
        key = unit_key(unit.facility, unit.unit), names_site
        was = self._made.get(key)
        if was is None or was[0] is not unit:
            was = self._made[key] = unit, unit_tile(unit, names_site=names_site)
        return was[1]


class Composer:
    """Composes the board from a twin, for one running server."""

    def __init__(
        self,
        twin: Twin,
        *,
        instance: str,
        version: str,
        listeners: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self.twin, self.instance, self.version = twin, instance, version
        self.pulse = Pulse(twin, listeners)
        self._tiles = Tiles()
        self._facilities: list[dict[str, Any]] | None = None

    def compose(self, kpis: tuple[KpiCard, ...] = (), beside: Beside | None = None) -> Composed:
        """The board now; `kpis` are the figures counted beside it, after the cards of its state.

        The hospital is that of this instant, the feeds are those of the pulse taken last.
        """
        state: HospitalState = self.twin.present()
        if self._facilities is None:
            self._facilities = self.twin.query(FACILITIES)
        running = Totals(
            quarantined=self.pulse.quarantined,
            rejected=sum(feed.rejected for feed in self.pulse.feeds),
            lag_seconds=round(self.twin.lag_seconds(), 1),
        )
        board = Board(
            instance=self.instance,
            version=self.version,
            sequence=state.sequence,
            demo=self.twin.is_demo(),
            hospital=_hospital_name(self._facilities, state),
            clock=self._clock(state.at, self._facilities),
            totals=_totals(state, running),
            kpis=(*now_cards(state, beside or {}), *kpis),
            feeds=self.pulse.feeds,
            units=self._tiles.of(state),
            ed=ed_rows(state),
        )
        return Composed(board, state, kpis, self._tiles)

    def _clock(self, at: datetime, facilities: list[dict[str, Any]]) -> HospitalTime:
        clock = self.twin.clock
        return HospitalTime(
            now=at,
            speed=clock.speed if isinstance(clock, HospitalClock) else 1.0,
            time_zone=facilities[0]["time_zone"] if facilities else "UTC",
        )


def _totals(state: HospitalState, running: Totals) -> Totals:
    """Patients and beds of a state, beside how the server is running."""
    coming, leaving = decided(state)
    return msgspec.structs.replace(
        running,
        census=state.census,
        beds=state.counts,
        ed=len(state.ed),
        ed_waiting=sum(not patient.bay for patient in state.ed),
        ed_boarding=sum(patient.boards_from is not None for patient in state.ed),
        expected_in=coming,
        expected_out=leaving,
        census_expected=state.census + coming - leaving,
    )


def unit_key(facility: str, unit: str) -> str:
    """A unit's place in the board and in addresses; `-` stands for a facility not named."""
    return f"{facility or '-'}/{unit or '-'}"


def short_id(entity_id: str | None) -> str:
    """Enough of an id to tell patients on one screen apart."""
    return (entity_id or "")[:SHORT_ID]


def bed_label(bed: Bed | Plan | Away) -> str:
    """Room and bed as a ward says them."""
    return "-".join(part for part in (bed.room, bed.bed) if part)


def place_words(place: Plan | Away) -> str:
    """Unit, room and bed in one word; empty where none was named."""
    return " ".join(part for part in (place.unit, bed_label(place)) if part)


def now_cards(state: HospitalState, beside: Beside | None = None) -> tuple[KpiCard, ...]:
    """The figures that follow from the state itself, as of this instant."""
    more = beside or {}
    # As in the occupancy KPIs, a unit counts only where some of its beds are known to be staffed:
    # patients of the others would be divided by beds that are not theirs.
    known = [unit.counts for unit in state.units if unit.counts.staffed is not None]
    beds = total(known) if known else state.counts
    whole = beds.beds - beds.closed if beds.staffed is None else beds.staffed
    # As in the occupancy KPIs, a bed held for a patient on leave is shown apart.
    taken = beds.occupied - beds.on_leave
    held: tuple[Said, ...] = (
        (("{n} on leave", {"n": f"{beds.on_leave:,}"}),) if beds.on_leave else ()
    )
    kind = "open" if beds.staffed is None else "staffed"
    # As in the KPI, who became an inpatient boards in the ED but is no emergency patient of it.
    emergency = [patient for patient in state.ed if patient.class_ == "EMER"]
    waiting = sum(not patient.bay for patient in emergency)
    counted = {"taken": f"{taken:,}", "whole": f"{whole:,}"}
    return (
        card(
            "occ_hourly",
            "Occupancy now",
            str(round(100 * taken / whole)) if whole else "\u2013",
            "%" if whole else "",
            (f"{{taken}} of {{whole}} {kind} beds", counted),
            *held,
            *more.get("occ_hourly", ()),
        ),
        card(
            "ed_census",
            "In the ED",
            f"{len(emergency):,}",
            "patients",
            ("{n} waiting for a place", {"n": f"{waiting:,}"}),
            *more.get("ed_census", ()),
        ),
    )


def decided(state: HospitalState) -> tuple[int, int]:
    """How many patients are to come into the hospital and to leave it; who only moves does neither.

    Plans of the units are those of a day, so a patient counts once however many units plan.
    """
    coming = {plan.encounter_id for unit in state.units for plan in unit.expected_in}
    if coming:
        coming -= {p.encounter_id for unit in state.units for p in _patients(unit)}
    leaving = {
        plan.encounter_id
        for unit in state.units
        for plan in unit.expected_out
        if plan.kind == "discharge"
    }
    return len(coming), len(leaving)


def _patients(unit: UnitState) -> Iterator[Occupant]:
    for bed in unit.beds:
        yield from bed.occupants
    yield from unit.without_bed


def unit_tiles(state: HospitalState) -> tuple[UnitTile, ...]:
    """The units of a state; each names its site where there are several."""
    return Tiles().of(state)


def _has_several_sites(state: HospitalState) -> bool:
    return len({unit.facility for unit in state.units}) > 1


def unit_tile(unit: UnitState, *, names_site: bool = False) -> UnitTile:
    """A unit as the board shows it."""
    key = unit_key(unit.facility, unit.unit)
    return UnitTile(
        key=key,
        facility=unit.facility,
        unit=unit.unit,
        name=unit.name,
        census=unit.census,
        counts=unit.counts,
        without_bed=len(unit.without_bed),
        beds=tuple(_bed_tile(key, bed) for bed in unit.beds),
        expected_in=len(unit.expected_in),
        expected_out=len(unit.expected_out),
        census_expected=unit.census_expected,
        site=unit.facility if names_site else "",
    )


def ed_rows(state: HospitalState) -> tuple[EdRow, ...]:
    """The ED list, longest wait first."""
    return tuple(
        EdRow(
            key=patient.encounter_id,
            who=short_id(patient.encounter_id),
            unit=patient.unit,
            bay=patient.bay,
            status=patient.status,
            arrived_at=patient.arrived_at,
            boards_from=patient.boards_from,
        )
        for patient in state.ed
    )


def _bed_tile(unit: str, bed: Bed) -> BedTile:
    return BedTile(
        key=f"{unit}/{bed_label(bed)}",
        label=bed_label(bed),
        status=bed.status,
        who=tuple(short_id(p.encounter_id) for p in bed.occupants),
        since=_first_since(bed.occupants),
        conflict=bed.conflict,
        isolated=bed.isolated,
        leave=any(p.on_leave for p in bed.occupants),
        reserved=bool(bed.reserved_for),
        leaving=any(p.leaving is not None for p in bed.occupants),
        away=any(p.away is not None for p in bed.occupants),
    )


def _first_since(occupants: Iterable[Occupant]) -> datetime | None:
    return min((p.since for p in occupants), default=None)


def _hospital_name(facilities: list[dict[str, Any]], state: HospitalState) -> str:
    named = [row["name"] or row["facility"] for row in facilities]
    seen = [*dict.fromkeys(unit.facility for unit in state.units if unit.facility)]
    return ", ".join(named or seen)

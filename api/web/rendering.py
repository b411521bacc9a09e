"""Pages from templates: the environment, and the words and shapes that templates share."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from api.access.sessions import CSRF
from api.board import BedTile, EdRow, FeedRow, Totals, UnitTile, place_words
from api.explaining import together_words
from api.problems import Problem
from api.web.chart import line_chart
from twin_core.state import BedCounts, Plan

MARKS = {"occupied": "\u25cf", "free": "\u25cb", "dirty": "D", "closed": "\u00d7", "isolated": "I"}
"""What tells the states of a bed apart without colour; the board's script has the same ones."""
LEGEND = (
    ("occupied", "\u25cf", "Occupied"),
    ("occupied leave", "L", "Held, on leave"),
    ("occupied leaving", "\u2197", "Expected out"),
    ("free", "\u25cb", "Free"),
    ("free reserved", "R", "Reserved"),
    ("dirty", "D", "Dirty"),
    ("isolated", "I", "Isolated"),
    ("closed", "\u00d7", "Closed"),
    ("conflict", "!", "Two patients"),
)
OPERATIONAL = {
    "C": "closed",
    "H": "housekeeping",
    "O": "occupied",
    "U": "unoccupied",
    "K": "contaminated",
    "I": "isolated",
}
"""HL7 table 0116 in words."""

# Empty rows and tiles: what the board's script fills where something new appears.
BLANK_UNIT = UnitTile(
    key="-/-", facility="", unit="", name="", census=0, counts=BedCounts(), without_bed=0, beds=()
)
BLANK_PATIENT = EdRow(key="", who="", unit="", bay="", status="", arrived_at=None)
BLANK_FEED = FeedRow(feed="", state="never", last_at=None, accepted=0, duplicates=0, rejected=0)


def page(template: str, **content: Any) -> Response:
    """A page; nothing on it may be kept by a cache."""
    text = environment().get_template(template).render(**content)
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def error_page(problem: Problem) -> Response:
    """A failure as a person's browser shows it."""
    text = (
        environment()
        .get_template("error.html")
        .render(
            status=problem.status, title=problem.title, detail=problem.detail, here="", demo=False
        )
    )
    return HTMLResponse(text, problem.status, headers={"Cache-Control": "no-store"})


@cache
def environment() -> Environment:
    """The templates with everything they may use. What is not given is an error, not a blank."""
    env = Environment(
        loader=PackageLoader("api.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        clock=clock,
        day=day,
        instant=instant,
        span=span,
        figure=figure,
        iso=iso,
        mark=mark,
        codes=codes,
    )
    env.globals.update(
        LEGEND=LEGEND,
        OPERATIONAL=OPERATIONAL,
        bed_class=bed_class,
        beds_class=beds_class,
        bed_words=bed_words,
        place_words=place_words,
        plan_words=plan_words,
        open_beds=open_beds,
        share=share,
        tally_words=tally_words,
        total_words=total_words,
        ed_words=ed_words,
        together_words=together_words,
        blank_unit=BLANK_UNIT,
        blank_patient=BLANK_PATIENT,
        blank_feed=BLANK_FEED,
        line_chart=line_chart,
        csrf_field=csrf_field,
    )
    return env


def csrf_field() -> Markup:
    """What a form of somebody who has signed in sends back; nothing where nobody must."""
    told = CSRF.get()
    field = Markup('<input type="hidden" name="csrf" value="{}">')
    return field.format(told) if told else Markup("")


def iso(at: datetime | None) -> str:
    """An instant for a machine."""
    return "" if at is None else at.isoformat().replace("+00:00", "Z")


def clock(at: datetime | None, zone: str, *, seconds: bool = False) -> str:
    """The time of day in the hospital."""
    return (
        ""
        if at is None
        else at.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S" if seconds else "%H:%M")
    )


def day(at: datetime | None, zone: str) -> str:
    """The date in the hospital, as `Mon 2 Mar 2026`."""
    if at is None:
        return ""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %Y}"


def instant(at: datetime | None, zone: str) -> str:
    """Date and time in the hospital, as `2026-03-02 14:05`."""
    return "" if at is None else at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def span(between: timedelta | None) -> str:
    """A duration as people say it: `12 min`, `3 h 05`, `4 d 6 h`."""
    if between is None:
        return ""
    minutes = max(0, int(between.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d}" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def figure(value: float | None) -> str:
    """A number in a table: at most two decimals, a dash where it is not known."""
    if value is None:
        return "\u2013"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if value != int(value) else f"{int(value):,}"


def codes(text: str) -> Markup:
    """Words in backticks as code; everything else as it is."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def mark(bed: BedTile) -> str:
    """The sign on a bed's tile."""
    signs = [("!", bed.conflict), ("L", bed.leave), ("\u2197", bed.leaving)]
    signs.append(("R", bed.reserved and bed.status == "free"))
    return next((sign for sign, applies in signs if applies), MARKS[bed.status])


def bed_class(bed: BedTile) -> str:
    """The classes of a bed's tile, which colour and shape it."""
    flags = [name for name in ("conflict", "leave", "leaving", "reserved") if getattr(bed, name)]
    flags += ["isolated"] if bed.isolated and bed.status == "occupied" else []
    return " ".join(["bed", bed.status, *flags])


def beds_class(unit: UnitTile) -> str:
    """How wide the beds of a unit are: as its longest label needs, within reason."""
    longest = max((len(bed.label) for bed in unit.beds), default=0)
    return f"beds w{min(12, max(5, longest))}"


def bed_words(bed: BedTile) -> str:
    """A bed's state in words, for a tooltip and for a screen reader."""
    words = [bed.status]
    words += ["two patients"] if bed.conflict else []
    words += ["isolated"] if bed.isolated and bed.status != "isolated" else []
    words += ["on leave"] if bed.leave else []
    words += ["away"] if bed.away else []
    words += ["expected out"] if bed.leaving else []
    words += ["reserved"] if bed.reserved else []
    words += [", ".join(bed.who)] if bed.who else []
    return ", ".join(words)


def plan_words(plan: Plan, zone: str) -> str:
    """What is planned next for a patient, as `discharge 14:00` or `transfer to MED 2-A 14:00`."""
    to = f"to {place_words(plan)}" if plan.unit and plan.kind != "discharge" else ""
    return " ".join(part for part in (plan.kind, to, clock(plan.expected_at, zone)) if part)


def open_beds(counts: BedCounts) -> int:
    """The beds that could be in use: the staffed ones where known, else those not closed."""
    return counts.beds - counts.closed if counts.staffed is None else counts.staffed


def share(part: int, whole: int) -> int | None:
    """A whole percentage, or None of nothing."""
    return round(100 * part / whole) if whole else None


def tally_words(unit: UnitTile) -> str:
    """A unit in one line; the board's script says it in the same words."""
    counts = unit.counts
    words = [f"{unit.census} {'patient' if unit.census == 1 else 'patients'}"]
    for status in ("free", "dirty", "isolated", "closed"):
        if getattr(counts, status):
            words.append(f"{getattr(counts, status)} {status}")
    words += [f"{counts.on_leave} on leave"] if counts.on_leave else []
    words += [f"{unit.without_bed} without a bed"] if unit.without_bed else []
    words += [f"{counts.conflicts} in conflict"] if counts.conflicts else []
    if unit.expected_in or unit.expected_out:
        words.append(
            f"{unit.expected_in} to come, {unit.expected_out} to leave, then {unit.census_expected}"
        )
    return " \u00b7 ".join(words)


def total_words(totals: Totals) -> str:
    """The hospital in one line."""
    beds = totals.beds
    return f"{totals.census:,} patients, {open_beds(beds):,} open beds, {beds.free:,} free"


def ed_words(totals: Totals) -> str:
    """The emergency department in one line."""
    boarding = f", {totals.ed_boarding:,} boarding" if totals.ed_boarding else ""
    return f"{totals.ed:,} here, {totals.ed_waiting:,} waiting{boarding}"

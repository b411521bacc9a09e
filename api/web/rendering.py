"""Pages from templates: the environment, and the words and shapes that templates share."""

import math
import re
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from api.access.sessions import CSRF, MAY
from api.board import (
    BedTile,
    EdRow,
    KpiCard,
    Totals,
    UnitTile,
    bed_label,
    place_words,
    short_id,
)
from api.explaining import together_words
from api.problems import Problem
from api.pulse import FeedRow
from api.web.called import called, came_from, went_to
from api.web.chart import fan_chart, line_chart
from api.web.reader import LANGUAGES, READER, many, numeral, script_words, t
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

ALERT_STATES = {"open": "open", "acknowledged": "acknowledged", "closed": "over"}
"""An alert's state in words: what is closed on the board is a bed."""
NAVIGATION = (
    ("board", "/", "Board", "hospital:read"),
    ("past", "/past", "Past", "hospital:read"),
    ("next", "/next", "Forecast", "hospital:read"),
    ("kpis", "/kpis", "KPIs", "hospital:read"),
    ("alerts", "/alerts", "Alerts", "hospital:read"),
    ("feeds", "/feeds", "Feeds", "feeds:read"),
    ("messages", "/messages", "Messages", "messages:read"),
    ("quarantine", "/quarantine", "Quarantine", "messages:read"),
    ("sql", "/sql", "SQL", "sql:research"),
    ("audit", "/audit", "Accesses", "audit:read"),
    ("settings", "/settings", "Settings", "settings:read"),
    ("docs", "/docs", "API", "docs:read"),
)
"""The pages as every page lists them: key, address, word, and the permission that opens it."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

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
        difference=difference,
        figure=figure,
        iso=iso,
        mark=mark,
        called=called,
        came_from=came_from,
        went_to=went_to,
        codes=codes,
        count=count,
        numeral=numeral,
    )
    env.globals.update(
        ALERT_STATES=ALERT_STATES,
        LANGUAGES=LANGUAGES,
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
        fan_chart=fan_chart,
        line_chart=line_chart,
        csrf=CSRF.get,
        csrf_field=csrf_field,
        navigation=navigation,
        may=may,
        reader=READER.get,
        t=t,
        many=many,
        script_words=script_words,
        card_note=card_note,
        bed_label=bed_label,
        short_id=short_id,
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


def navigation() -> list[tuple[str, str, str, str]]:
    """The pages that whoever reads may open."""
    return [entry for entry in NAVIGATION if may(entry[-1])]


def may(permission: str) -> bool:
    """Whether whoever reads has a permission, so that a page leads nowhere that is shut."""
    return permission in MAY.get()


def clock(at: datetime | None, zone: str, *, seconds: bool = False) -> str:
    """The time of day in the hospital, by the reader's clock: `14:05` or `2:05 pm`."""
    if at is None:
        return ""
    local = at.astimezone(ZoneInfo(zone))
    rest = f"{local:%M:%S}" if seconds else f"{local:%M}"
    if READER.get().hours == "24":
        return f"{local:%H}:{rest}"
    return f"{local.hour % 12 or 12}:{rest} {'am' if local.hour < 12 else 'pm'}"


def day(at: datetime | None, zone: str) -> str:
    """The date in the hospital, as `Mon 2 Mar 2026`."""
    if at is None:
        return ""
    local = at.astimezone(ZoneInfo(zone))
    return t(
        "{weekday} {day} {month} {year}",
        weekday=t(WEEKDAYS[local.weekday()]),
        day=local.day,
        month=t(MONTHS[local.month - 1]),
        year=local.year,
    )


def short_day(at: datetime, zone: str) -> str:
    """The day in the hospital without its month, as `Mon 2`."""
    local = at.astimezone(ZoneInfo(zone))
    return t("{weekday} {day}", weekday=t(WEEKDAYS[local.weekday()]), day=local.day)


def instant(at: datetime | None, zone: str, *, seconds: bool = False) -> str:
    """Date and time in the hospital, as `2026-03-02 14:05`."""
    if at is None:
        return ""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d} {clock(at, zone, seconds=seconds)}"


def span(between: timedelta | None) -> str:
    """A duration as people say it: `12 min`, `3 h 05`, `4 d 6 h`."""
    if between is None:
        return ""
    minutes = max(0, int(between.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d}"
    return t("{days} d {hours} h", days=hours // 24, hours=hours % 24)


def figure(value: float | None) -> str:
    """A number in a table: at most two decimals, a dash where it is not known."""
    if value is None:
        return "\u2013"
    return numeral(_trimmed(f"{value:,.2f}"))


def difference(value: float) -> str:
    """A difference in a table, with its sign: two decimals, or two figures of a smaller one."""
    digits = 2 if abs(value) >= 0.1 or value == 0 else 1 - math.floor(math.log10(abs(value)))
    return numeral(_trimmed(f"{value:+,.{min(digits, 6)}f}"))


def _trimmed(text: str) -> str:
    """Without the zeros behind the point, and nought without a sign."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", "+0"} else text


def count(number: int) -> str:
    """A whole number with the reader's separators."""
    return numeral(f"{number:,}")


def card_note(card: KpiCard) -> str:
    """What a figure of the strip was counted from; the board's script says it in the same words."""
    if not card.said:
        return card.note
    return ", ".join(
        t(text, **{name: numeral(v) for name, v in values.items()}) for text, values in card.said
    )


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
    words = [t(bed.status)]
    words += [t("two patients")] if bed.conflict else []
    words += [t("isolated")] if bed.isolated and bed.status != "isolated" else []
    words += [t("on leave")] if bed.leave else []
    words += [t("away")] if bed.away else []
    words += [t("expected out")] if bed.leaving else []
    words += [t("reserved")] if bed.reserved else []
    words += [", ".join(bed.who)] if bed.who else []
    return ", ".join(words)


def plan_words(plan: Plan, zone: str) -> str:
    """What is planned next for a patient, as `discharge 14:00` or `transfer to MED 2-A 14:00`."""
    to = t("to {place}", place=place_words(plan)) if plan.unit and plan.kind != "discharge" else ""
    return " ".join(part for part in (t(plan.kind), to, clock(plan.expected_at, zone)) if part)


def open_beds(counts: BedCounts) -> int:
    """The beds that could be in use: the staffed ones where known, else those not closed."""
    return counts.beds - counts.closed if counts.staffed is None else counts.staffed


def share(part: int, whole: int) -> int | None:
    """A whole percentage, or None of nothing."""
    return round(100 * part / whole) if whole else None


def tally_words(unit: UnitTile) -> str:
    """A unit in one line; the board's script says it in the same words."""
    counts = unit.counts
    words = [many(unit.census, "{n} patient", "{n} patients")]
    said = (
        (counts.free, "{n} free"),
        (counts.dirty, "{n} dirty"),
        (counts.isolated, "{n} isolated"),
        (counts.closed, "{n} closed"),
        (counts.on_leave, "{n} on leave"),
        (unit.without_bed, "{n} without a bed"),
        (counts.conflicts, "{n} in conflict"),
    )
    words += [t(text, n=count(number)) for number, text in said if number]
    words += [expected_words(unit)] if unit.expected_in or unit.expected_out else []
    return " \u00b7 ".join(words)


def expected_words(place: UnitTile | Totals) -> str:
    """What is left of a census once what was decided has been done."""
    return t(
        "{come} to come, {leave} to leave, then {then}",
        come=count(place.expected_in),
        leave=count(place.expected_out),
        then=count(place.census_expected),
    )


def total_words(totals: Totals) -> str:
    """The hospital in one line."""
    beds = totals.beds
    said = {"census": totals.census, "open": open_beds(beds), "free": beds.free}
    counted = {name: count(number) for name, number in said.items()}
    words = [t("{census} patients, {open} open beds, {free} free", **counted)]
    words += [expected_words(totals)] if totals.expected_in or totals.expected_out else []
    return " \u00b7 ".join(words)


def ed_words(totals: Totals) -> str:
    """The emergency department in one line."""
    here = t(
        "{here} here, {waiting} waiting", here=count(totals.ed), waiting=count(totals.ed_waiting)
    )
    boarding = t("{n} boarding", n=count(totals.ed_boarding)) if totals.ed_boarding else ""
    return ", ".join(part for part in (here, boarding) if part)

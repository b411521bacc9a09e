"""FHIR dates and times as instants, with the precision they were written in."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|(60))(?:\.\d+)?"
    r"(Z|[+-](?:0\d|1[0-4]):[0-5]\d)?"
)
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")

OPEN_YEAR = 9999
"""The year that systems write for an end which is not known yet."""


class NoTimeZone(ValueError):
    """A date and time without an offset, which FHIR forbids."""


class Moment(NamedTuple):
    """An instant in UTC and the first instant that no longer belongs to it as it was written.

    For `2026-03` that is the first of April; for a full timestamp both are equal.
    """

    at: datetime
    until: datetime
    precision: str
    """second, day, month or year."""


def moment(text: str, zone: tzinfo) -> Moment:
    """Reads a FHIR date, dateTime or instant; dates without time are days of `zone`.

    Raises NoTimeZone for a time without offset and ValueError for anything else.
    """
    matched = _INSTANT.fullmatch(text)
    if matched is None:
        return _day(text, zone)
    leap, offset = matched.groups()
    if offset is None:
        raise NoTimeZone
    if leap is None:
        at = _utc(datetime.fromisoformat(text))
    else:
        before = datetime.fromisoformat(text[:17] + "59" + text[19:])
        at = _later(_utc(before), timedelta(seconds=1))
    return Moment(at, at, "second")


def without_zone(text: str, zone: tzinfo) -> Moment:
    """Reads a timestamp that lacks its offset as local time of `zone`."""
    local = datetime.fromisoformat(text + "+00:00").replace(tzinfo=zone)
    at = _utc(local)
    return Moment(at, at, "second")


_ZONES = timedelta(hours=14)


def ends_before(start: Moment, end: Moment) -> bool:
    """Whether a period is reversed, as far as its precision tells.

    A day may be a day of any time zone, so against a full timestamp it is given that much slack.
    """
    if start.precision == "second" and end.precision == "second":
        return start.at > end.at
    slack = _ZONES if "second" in (start.precision, end.precision) else timedelta(0)
    return end.until <= start.at and start.at - end.until >= slack


def is_date(text: str) -> bool:
    """Whether a text is a FHIR date, which may lack day and month."""
    try:
        _day(text, UTC)
    except ValueError:
        return False
    return True


def _day(text: str, zone: tzinfo) -> Moment:
    matched = _DATE.fullmatch(text)
    if matched is None:
        raise ValueError("not a FHIR date or time")
    year, month, day = (int(part) if part else None for part in matched.groups())
    assert year is not None  # noqa: S101 - the pattern always matches a year
    first = datetime(year, month or 1, day or 1, tzinfo=zone)
    if day:
        return Moment(_utc(first), _utc(_later(first, timedelta(days=1))), "day")
    if month:
        return Moment(_utc(first), _utc(_later(first, timedelta(days=31)).replace(day=1)), "month")
    return Moment(
        _utc(first), _utc(_later(first, timedelta(days=366)).replace(month=1, day=1)), "year"
    )


def _later(first: datetime, by: timedelta) -> datetime:
    try:
        return first + by
    except OverflowError:
        return first


def _utc(at: datetime) -> datetime:
    if at.tzinfo is UTC:
        return at
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years that can be told") from None

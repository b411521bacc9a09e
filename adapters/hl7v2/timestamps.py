"""When things happened: HL7 DTM values with their precision, offset and local time.

A timestamp without an offset is local time in the feed's zone. An hour that occurs twice is its
first occurrence; a time that never was (the spring change) moves forward by the gap. A timestamp
coarser than a minute is placed within its unit by the instant of recording.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from adapters.hl7v2.refusal import DATA_TYPE, Refused, content_fault
from twin_core.events import NotedFinding

# Some senders leave out the point before the three digits of the milliseconds.
_DTM = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6})|(\d{3}))?)?)?)?)?)?"
    r"([+-]\d{4})?",
    re.ASCII,
)
WHOLE = re.compile(r"\d{14}[+-]\d{4}", re.ASCII)
"""A time with seconds and an offset."""
_CACHED_OFFSETS = 50_000
_CACHED_MOMENTS = 500
_CACHED_INSTANTS = 4_000
"""Admissions of whoever is in the house are told with every message about them."""
_LARGEST_OFFSET = timedelta(hours=14)
_DAY, _TEN_MINUTES, _SECOND = timedelta(days=1), timedelta(minutes=10), timedelta(seconds=1)
_LAST_INSTANT = timedelta(microseconds=1)

NO_TIME_ZONE = NotedFinding(
    kind="no_time_zone",
    detail="A timestamp has no offset and the feed has no time zone; read as UTC. "
    "Set the feed's time_zone.",
)

Notes = dict[str, NotedFinding]
"""Findings on one message by what must not be noted twice."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """An instant, and for a timestamp coarser than a minute the end of the unit it names."""

    at: datetime
    unit_ends_at: datetime | None = None


def within_unit(moment: Moment, recorded_at: datetime | None) -> datetime:
    """The instant itself, or for a coarse one the instant of recording kept within its unit."""
    if moment.unit_ends_at is None or recorded_at is None or recorded_at <= moment.at:
        return moment.at
    return min(recorded_at, moment.unit_ends_at - _LAST_INSTANT)


_INSTANTS: dict[str, Moment] = {}
"""Times with seconds and an offset that were read lately. They mean the same in every feed."""


class Calendar:
    """Reads the timestamps of one feed."""

    def __init__(self, time_zone: str | None) -> None:
        self._zone = None if time_zone is None else ZoneInfo(time_zone)
        self._offsets: dict[str, timedelta] = {}
        self.assumes_utc = time_zone is None
        self.recent: dict[str, Moment] = {}
        """Exact times without an offset that were read lately, and had nothing odd about them."""
        self.exact = _INSTANTS

    def moment(self, text: str, where: str, notes: Notes) -> Moment:
        """The instant that a DTM names; `where` is the field, as in `PV1^1^44`.

        Raises Refused (AE) for what is no date and time. What was assumed is added to `notes`.
        """
        if len(text) != 14 or not text.isdigit():
            if WHOLE.fullmatch(text):
                return self.whole(text, where)
            return self._any(text, where, notes)
        try:
            moment = Moment(self._plain(text, where, notes))
        except (ValueError, OverflowError):
            raise _impossible(where) from None
        if self._zone is None or text[:8] in self._offsets or text[:11] in self._offsets:
            if len(self.recent) >= _CACHED_MOMENTS:
                self.recent.clear()
            self.recent[text] = moment
        return moment

    def whole(self, text: str, where: str) -> Moment:
        """As `moment`, of a time with seconds and an offset (`WHOLE`)."""
        moment = Moment(_at_offset(text, where))
        if len(self.exact) >= _CACHED_INSTANTS:
            self.exact.clear()
        self.exact[text] = moment
        return moment

    def forget(self, text: str) -> None:
        """Read a time anew the next time it comes."""
        self.recent.pop(text, None)
        self.exact.pop(text, None)

    def _plain(self, text: str, where: str, notes: Notes) -> datetime:
        if text[8:10] == "24":  # midnight at the end of the day is no HL7 time
            raise ValueError
        at = datetime.fromisoformat(f"{text[:8]}T{text[8:]}+00:00")
        if self._zone is None:
            notes["no_time_zone"] = NO_TIME_ZONE
            return at
        # A day has one offset, unless the clocks change in it; then ten minutes of it have.
        offset = self._offsets.get(text[:8])
        if offset is None:
            offset = self._offsets.get(text[:11])
        if offset is None:
            return self._from_local(at.replace(tzinfo=None), where, notes)
        return at - offset

    def _any(self, text: str, where: str, notes: Notes) -> Moment:
        found = _DTM.fullmatch(text.strip())
        if found is None:
            raise _impossible(where)
        year, month, day, hour, minute, second, fraction, millis, offset = found.groups()
        try:
            local = datetime(  # noqa: DTZ001 (the zone follows)
                int(year),
                int(month or 1),
                int(day or 1),
                int(hour or 0),
                int(minute or 0),
                int(second or 0),
                int((fraction or millis or "0").ljust(6, "0")),
            )
            at = self._instant(local, offset, where, notes)
            if minute is not None:
                return Moment(at)
            ends = self._instant(_next_unit(local, month, day, hour), offset, where, {})
        except (ValueError, OverflowError):
            raise _impossible(where) from None
        detail = f"{where} is coarser than a minute."
        notes[f"reduced {where}"] = NotedFinding(kind="reduced_precision", detail=detail)
        return Moment(at, ends)

    def _instant(self, local: datetime, offset: str | None, where: str, notes: Notes) -> datetime:
        if offset is not None:
            return (local - _checked_offset(offset)).replace(tzinfo=UTC)
        if self._zone is None:
            notes["no_time_zone"] = NO_TIME_ZONE
            return local.replace(tzinfo=UTC)
        return self._from_local(local, where, notes)

    def _from_local(self, local: datetime, where: str, notes: Notes) -> datetime:
        first = local.replace(tzinfo=self._zone).utcoffset() or timedelta(0)
        second = local.replace(tzinfo=self._zone, fold=1).utcoffset()
        if first != second:
            detail = f"{where} falls in an hour in which the clocks change; "
            detail += "read by the offset before the change. Send the offset."
            finding = NotedFinding(kind="ambiguous_local_time", detail=detail)
            notes[f"ambiguous {where}"] = finding
        else:
            self._remember(local, first)
        return (local - first).replace(tzinfo=UTC)

    def _remember(self, local: datetime, offset: timedelta) -> None:
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._keeps(day, _DAY, offset):
            self._put(f"{day:%Y%m%d}", offset)
            return
        start = local.replace(minute=local.minute // 10 * 10, second=0, microsecond=0)
        if self._keeps(start, _TEN_MINUTES, offset):
            self._put(f"{start:%Y%m%d%H%M}"[:11], offset)

    def _keeps(self, start: datetime, length: timedelta, offset: timedelta) -> bool:
        """Whether the clocks show one offset from a local time on for so long."""
        return all(
            edge.replace(tzinfo=self._zone, fold=fold).utcoffset() == offset
            for edge in (start, start + (length - _SECOND))
            for fold in (0, 1)
        )

    def _put(self, prefix: str, offset: timedelta) -> None:
        if len(self._offsets) >= _CACHED_OFFSETS:
            self._offsets.clear()
        self._offsets[prefix] = offset


def _at_offset(text: str, where: str) -> datetime:
    """The instant of a time with seconds and an offset, as `_any` reads it, only sooner."""
    try:
        if text[8:10] == "24":  # midnight at the end of the day is no HL7 time
            raise ValueError
        offset = text[14:]
        if offset == "+0000":
            return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
        at = datetime.fromisoformat(f"{text[:8]}T{text[8:14]}+00:00")
        return at - _checked_offset(offset)
    except (ValueError, OverflowError):
        raise _impossible(where) from None


def iso_date(text: str, where: str) -> str:
    """A date of birth as ISO text: a year, a year and month, or a day; a time is left out."""
    if len(text) == 8:
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise _impossible(where) from None
    found = _DTM.fullmatch(text.strip())
    if found is None:
        raise _impossible(where)
    year, month, day = found.group(1, 2, 3)
    try:
        date.fromisoformat(f"{year}{month or '01'}{day or '01'}")
    except ValueError:
        raise _impossible(where) from None
    return "-".join(part for part in (year, month, day) if part)


def _next_unit(local: datetime, month: str | None, day: str | None, hour: str | None) -> datetime:
    if hour is not None:
        return local + timedelta(hours=1)
    if day is not None:
        return local + timedelta(days=1)
    if month is not None:
        return (local + timedelta(days=32)).replace(day=1)
    return local.replace(year=local.year + 1)


@lru_cache(maxsize=256)
def _checked_offset(offset: str) -> timedelta:
    magnitude = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
    if magnitude > _LARGEST_OFFSET or offset[3] > "5":
        raise ValueError
    return -magnitude if offset[0] == "-" else magnitude


def _impossible(where: str) -> Refused:
    return content_fault(
        where,
        DATA_TYPE,
        "The field is not a possible date and time; send YYYYMMDDHHMM[SS[.S]][+ZZZZ].",
    )

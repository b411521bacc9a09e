"""Feed freshness: the age of the last message, and hours of suspicious silence."""

from datetime import timedelta

from drawn import instant


def every(minutes, first, last):
    """Instants from first to last, both included."""
    at, end, found = instant(first), instant(last), []
    while at <= end:
        found.append(at)
        at += timedelta(minutes=minutes)
    return found


def test_seconds_since_the_last_message_at_the_end_of_each_period(draw):
    hospital = draw(known="11-01 09:30")
    hospital.messages("adt", [instant("11-01 07:50"), instant("11-01 08:59:30")])
    hospital.messages("fhir", [instant("11-01 08:45")])
    hospital.shows(
        "feed_fresh",
        "11-01 08:00",
        "11-01 11:00",
        """
        facility | unit | period_start | stratum | numerator | denominator | value | coverage
        -        | -    | 11-01 08:00  | adt     | 30        | -           | 30    | 1
        -        | -    | 11-01 09:00  | adt     | 1830      | -           | 1830  | 1
        -        | -    | 11-01 10:00  | adt     | -         | -           | -     | 0
        -        | -    | 11-01 08:00  | fhir    | 900       | -           | 900   | 1
        -        | -    | 11-01 09:00  | fhir    | 2700      | -           | 2700  | 1
        -        | -    | 11-01 10:00  | fhir    | -         | -           | -     | 0
        """,
        grain="hour",
        only="seconds_since_last",
    )


def test_a_feed_that_never_spoke_before_is_unknown_not_stale(draw):
    hospital = draw()
    hospital.messages("adt", [instant("11-01 12:30")])
    hospital.shows(
        "feed_fresh",
        "11-01 11:00",
        "11-01 13:00",
        """
        period_start | statistic          | numerator | denominator | value | coverage
        11-01 11:00  | seconds_since_last | -         | -           | -     | 0
        11-01 11:00  | gap_hours          | -         | -           | -     | 0
        11-01 12:00  | seconds_since_last | 1800      | -           | 1800  | 1
        11-01 12:00  | gap_hours          | 0         | 1           | 0     | 1
        """,
        grain="hour",
    )


def test_a_chatty_feed_that_falls_silent_has_gap_hours(draw):
    hospital = draw(known="11-03")
    # A message a minute from 10-31, except from 03:00 to 05:00 on 11-02.
    chatty = every(1, "10-31 00:00", "11-02 03:00") + every(1, "11-02 05:00", "11-02 23:59")
    hospital.messages("adt", chatty)
    hospital.shows(
        "feed_fresh",
        "11-02",
        "11-03",
        """
        statistic | numerator | denominator | value
        gap_hours | 2         | 24          | 25/3
        """,
        only="gap_hours",
    )


def test_a_quiet_night_is_not_a_broken_feed(draw):
    hospital = draw(known="11-08")
    # By day a message every five minutes, by night (22:00 to 06:00) one every four hours.
    received = []
    for day in range(1, 8):
        received += every(5, f"11-0{day} 06:00", f"11-0{day} 21:55")
        received += [instant(f"11-0{day} 02:00"), instant(f"11-0{day} 22:00")]
    hospital.messages("adt", sorted(received))
    hospital.shows("feed_fresh", "11-07", "11-08", "value\n 0", only="gap_hours")


def test_days_are_local_and_a_day_with_a_clock_change_has_25_hours(draw):
    for zone, start, end, hours in (
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 25),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00", 23),
    ):
        hospital = draw(zone=zone)
        hospital.messages("adt", every(10, start, end))
        hospital.shows(
            "feed_fresh",
            start,
            end,
            f"period_start | numerator | denominator\n {start} | 0 | {hours}",
            only="gap_hours",
        )


def test_known_at_sees_only_what_had_been_received(draw):
    hospital = draw()
    hospital.messages("adt", [instant("11-01 08:00"), instant("11-01 10:00")])
    hospital.shows(
        "feed_fresh",
        "11-01",
        "11-02",
        "value\n 3600",
        only="seconds_since_last",
        known_at="11-01 09:00",
    )


def test_by_changes_nothing_and_without_messages_there_is_no_feed(draw):
    hospital = draw()
    assert hospital.kpi("feed_fresh", "11-01", "11-02") == []
    hospital.messages("adt", [instant("11-01 08:00")])
    for by in ("hospital", "facility", "unit", "class"):
        hospital.shows(
            "feed_fresh", "11-01", "11-02", "value\n 57600", only="seconds_since_last", by=by
        )

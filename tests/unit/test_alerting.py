"""When an alert opens and closes, step by step; and rules that make no sense are refused."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.cli import parsed
from twin_core.errors import ConfigurationError, UsageError
from twin_core.kpi.alerting import Standing, checked, judged, replayed, rule_named, stepped, values
from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.measuring import KpiRow
from twin_core.settings import AlertSettings, Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def rule(**words):
    return AlertSettings.model_validate({"kpi": "ed_census", "above": 100} | words)


def course(alert, *figures, minutes=10, start=NOON, zone=BERLIN):
    """What happens at each of the figures, ten minutes apart."""
    standing, happened = Standing(), []
    for n, value in enumerate(figures):
        at = start + n * timedelta(minutes=minutes)
        standing, judgement = judged(alert, standing, value, at, zone)
        happened.append(judgement)
    return happened


def test_an_alert_opens_beyond_the_threshold_and_closes_at_it():
    assert course(rule(), 99, 100, 101, 150, 100, 101) == [
        None, None, "opened", None, "closed", "opened",
    ]  # fmt: skip


def test_between_clear_and_threshold_nothing_changes():
    assert course(rule(clear=90), 95, 101, 99, 91, 101, 90, 95) == [
        None, "opened", None, None, None, "closed", None,
    ]  # fmt: skip


def test_below_is_the_mirror_image():
    low = rule(above=None, below=10, clear=15)
    assert course(low, 10, 9, 12, 14, 15, 12) == [None, "opened", None, None, "closed", None]


def test_what_is_not_known_changes_nothing():
    assert course(rule(), None, 101, None, 99) == [None, "opened", None, "closed"]
    assert course(rule(hold_minutes=15), 101, None, 101) == [None, None, "opened"]


def test_a_figure_must_hold_before_an_alert_opens():
    patient = rule(hold_minutes=20)
    assert course(patient, 101, 101, 99, 101, 101, 101) == [None] * 5 + ["opened"]


def test_no_alert_opens_in_the_quiet_hours_but_one_may_close():
    quiet = rule(quiet_hours=("22:00", "06:00"))
    late = datetime(2026, 3, 2, 20, 40, tzinfo=UTC)  # 21:40 in Berlin
    assert course(quiet, 101, 99, 101, 101, start=late) == ["opened", "closed", None, None]
    early = datetime(2026, 3, 2, 4, 40, tzinfo=UTC)  # 05:40 in Berlin
    assert course(quiet, 101, 101, 101, start=early) == [None, None, "opened"]
    assert course(rule(quiet_hours=("12:00", "14:00")), 101, zone=ZoneInfo("UTC")) == [None]
    # 02:30 UTC is 04:30 in summer, and 03:30 in winter.
    night = rule(quiet_hours=("04:00", "05:00"))
    assert course(night, 101, start=datetime(2026, 7, 1, 2, 30, tzinfo=UTC)) == [None]
    assert course(night, 101, start=datetime(2026, 1, 5, 2, 30, tzinfo=UTC)) == ["opened"]


figures = st.lists(st.one_of(st.none(), st.integers(80, 120).map(float)), max_size=40)


@given(figures, st.integers(80, 100), st.integers(0, 40))
def test_openings_and_closings_take_turns_and_follow_from_figures(course_of, clear, hold):
    alert = rule(clear=clear, hold_minutes=hold)
    happened = course(alert, *course_of)
    changes = [(word, value) for word, value in zip(happened, course_of, strict=True) if word]
    assert [word for word, _ in changes[::2]] == ["opened"] * len(changes[::2])
    assert [word for word, _ in changes[1::2]] == ["closed"] * len(changes[1::2])
    assert all(value > 100 if word == "opened" else value <= clear for word, value in changes)


def row(value, unit="A", statistic="ratio", stratum=None):
    return KpiRow(
        facility="H", unit=unit, period_start=NOON, period_end=NOON, stratum=stratum,
        statistic=statistic, numerator=1, denominator=1, value=value, coverage=1,
    )  # fmt: skip


def test_the_headline_of_the_first_statistic_counts_place_by_place():
    rows = [row(5.0), row(None, "B"), row(7.0, "C"), row(9.0, statistic="at_end"),
            row(8.0, stratum="no_bay")]  # fmt: skip
    ed = catalogue()["ed_census"]
    assert values(rule(), ed, rows) == {("H", "A"): 5.0, ("H", "C"): 7.0}
    assert values(rule(units=("C",)), ed, rows) == {("H", "C"): 7.0}
    assert values(rule(statistic="at_end"), ed, rows) == {("H", "A"): 9.0}


def test_a_replay_tells_what_would_have_fired():
    instants = list(stepped(NOON, NOON + timedelta(hours=4), timedelta(hours=1)))
    assert instants == [NOON + timedelta(hours=n) for n in (1, 2, 3, 4)]
    figures_of = dict(zip(instants, (101, 99, 103, 104), strict=True))
    asked = []

    def figures_at(at):
        asked.append(at)
        return {("H", "A"): float(figures_of[at]), ("H", "B"): 1.0}

    first, second = replayed("crowded", rule(), figures_at, instants, BERLIN)
    assert asked == instants
    assert (first.opened_at, first.closed_at, first.opened_value) == (*instants[:2], 101)
    assert (second.unit, second.opened_at, second.closed_at) == ("A", instants[2], None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"above": None}, "above or below"),
        ({"below": 5}, "above or below"),
        ({"clear": 101}, "never close"),
        ({"above": None, "below": 10, "clear": 9}, "never close"),
        ({"by": "hospital", "units": ["A"]}, "units"),
        ({"quiet_hours": ["22:00", "6"]}, "quiet_hours"),
        ({"webhook": "ftp://x/"}, "webhook"),
        ({"webhook": "http://x/"}, "secret"),
        ({"hours": 0}, "hours"),
    ],
)
def test_rules_that_make_no_sense_are_refused(words, said):
    with pytest.raises(ValidationError, match=said):
        rule(**words)


@pytest.mark.parametrize(
    ("words", "said"),
    [({"kpi": "happiness"}, "happiness"), ({"statistic": "odd"}, "odd"),
     ({"kpi": "boarding", "by": "unit", "statistic": "p99"}, "p99")],
)  # fmt: skip
def test_rules_about_what_the_catalogue_lacks_are_refused_by_name(words, said):
    with pytest.raises(ConfigurationError, match=rf"alerts\.crowded.*{said}"):
        checked({"crowded": rule(**words)}, catalogue())


def test_a_rule_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UsageError, match=r"alerts\.other"):
        rule_named({"crowded": rule()}, "other")


def test_the_page_about_alerts_shows_settings_and_commands_that_exist():
    page = (Path(__file__).parents[2] / "docs/how-to/be-alerted.md").read_text("utf-8")
    [written] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    site = Settings.model_validate(tomllib.loads(written))
    checked(site.alerts, catalogue())
    commands = re.findall(r"^wardtwin (alerts .*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for words in commands:
        parsed([word.strip('"') for word in re.findall(r'"[^"]*"|\S+', words)])

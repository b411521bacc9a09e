"""The board's KPIs, kept up to date from messages in any order, are what the table macros count.

Admissions, moves, cancels, merges, purges and late messages of three patients arrive in batches, in
a store somebody watches; and a demonstration hospital does, whose mistakes are taken back.
"""

import sys
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7v2.encode import encode
from api.demo import demo_settings, plan_check
from twin_core import Twin
from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.kept import COUNTED
from twin_core.kpi.live import LiveKpis
from twin_core.kpi.measuring import Window, last_midnight
from twin_core.settings import Settings

for beside in (Path(__file__).parent, Path(__file__).parents[1] / "unit"):
    sys.path.insert(0, str(beside))

from simulated_store import StoppedClock, hear  # noqa: E402
from test_any_arrival_order import START, messages, receipt  # noqa: E402

MACROS = LiveKpis({kpi_id: catalogue()[kpi_id] for kpi_id in COUNTED})


def rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 9)


def assert_agrees(twin: Twin, window: Window, kpis: frozenset[str]) -> None:
    """Hold the kept figures against the macros over the same window."""
    macros = MACROS.measure(twin._database, window)
    measured = twin.kpis_kept(dict.fromkeys(kpis, window))
    assert measured.sequence == twin.sequence()
    for kpi_id, kept in measured.figures.items():
        rows = [r for r in macros[kpi_id] if r.stratum is None]
        expected = {
            r.statistic: tuple(map(rounded, (r.numerator, r.denominator, r.value))) for r in rows
        }
        if kept is None:
            assert not expected, kpi_id
        else:
            assert tuple(map(rounded, kept[1:4])) == expected[kept.statistic], kpi_id


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    histories=st.lists(messages(), min_size=2, max_size=24),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    after=st.sampled_from([0, 6, 72]),
    hours=st.integers(1, 28),
)
def test_any_batches_of_any_messages_are_counted(
    tmp_path_factory, histories, sizes, after, hours
) -> None:
    path: Path = tmp_path_factory.mktemp("kept") / "kept.duckdb"
    # Long after they ended, visits are not kept and are read again where something changes.
    start = START + timedelta(hours=after)
    window = Window(start, start + timedelta(hours=hours))
    left = [receipt(n, events) for n, events in enumerate(histories)]
    # The midnight of occ_midnight is the start of its window.
    kpis = frozenset(COUNTED) - {"occ_midnight"}
    with Twin.open(path) as twin:
        assert_agrees(twin, window, kpis)
        while left:
            for size in sizes:
                group, left = left[:size], left[size:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
            assert_agrees(twin, window, kpis)


def test_a_demonstration_hospital_is_counted(tmp_path) -> None:
    plan = plan_check(days=1.5, seed=7)
    midnight = last_midnight(plan.ends - timedelta(hours=2), ZoneInfo(plan.model.time_zone))
    window = Window(midnight, plan.ends)
    sent = [
        encode(fact, sender=plan.sender, control_id=str(n))
        for n, fact in enumerate(plan.demonstration.facts())
    ]
    clock = StoppedClock(plan.ends)
    settings = demo_settings(plan.model, Settings())
    with Twin.open(tmp_path / "demo.duckdb", settings=settings, clock=clock) as twin:
        # The last third comes before the second, as late messages do.
        third = len(sent) // 3 + 1
        parts = [sent[n : n + third] for n in range(0, len(sent), third)]
        for part in (parts[0], parts[2], parts[1]):
            hear(twin, part)
            assert_agrees(twin, window, frozenset(COUNTED))
        figures = twin.kpis_kept(dict.fromkeys(COUNTED, window)).figures
        # Nobody has been there for a week yet, and few have left since midnight.
        assert sum(one is not None and bool(one.value) for one in figures.values()) >= 6

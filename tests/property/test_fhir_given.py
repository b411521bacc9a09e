"""Whatever the tables hold, what is written from them is valid FHIR."""

import string
from datetime import UTC, date, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.fhir import Release, judge
from adapters.fhir.encode import ENCODERS, encode, in_release, pruned
from adapters.fhir.encode.measure import report
from api.fhir.served import SERVED
from twin_core.kpi import KpiRow
from twin_core.kpi.catalogue import catalogue
from twin_core.store.tables import BY_NAME

TEXTS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.text(alphabet=string.ascii_letters + " /|\t\n", max_size=12),
    st.sampled_from(["", " ", "A", "in-progress", "bd", "wa", "O", "Quantity", "dateTime", "1.5"]),
)
AT = st.one_of(
    st.none(),
    st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
CHOSEN = {
    ("encounter", "status"): "planned arrived triaged in-progress onleave finished cancelled",
    ("encounter_status", "status"): "planned arrived in-progress finished unknown",
    ("appointment", "status"): "proposed pending booked arrived fulfilled cancelled noshow",
    ("observation", "status"): "registered preliminary final amended corrected cancelled",
    ("observation", "comparator"): "< <= >= >",
    ("patient", "birth_date_precision"): "day month year",
    ("device_metric", "status"): "on off standby entered-in-error",
    ("linked", "type"): "ServiceRequest Task Procedure Schedule",
    ("care_identifier", "type"): "reference MR PLAC",
}
IDS = st.integers(0, 9).map("x{}".format)


def column(table: str, name: str, kind: str) -> st.SearchStrategy[object]:
    """What a column may hold; codes that the twin itself assigns are always those."""
    if (table, name) in CHOSEN:
        return st.sampled_from(CHOSEN[table, name].split())
    if name.endswith("_id") or name in ("merged_into", "part_of", "target"):
        return IDS
    by_type = {
        "TIMESTAMPTZ": AT,
        "BOOLEAN": st.one_of(st.none(), st.booleans()),
        "DOUBLE": NUMBERS,
        "BIGINT": st.one_of(st.none(), st.integers(-5, 10_000)),
        "DATE": st.one_of(st.none(), st.dates(date(1900, 1, 1))),
    }
    return by_type.get(kind, TEXTS)


JOINED = {
    "linked": ("target", "type"),
    "observation_source": ("system", "value", "type"),
}
"""Columns of the parts that are no table of their own."""


def rows(table: str) -> st.SearchStrategy[dict[str, object]]:
    known = BY_NAME.get(table)
    columns = [(one.name, one.type) for one in known.columns] if known else []
    columns += [(name, "VARCHAR") for name in JOINED.get(table, ())]
    return st.fixed_dictionaries({name: column(table, name, type_) for name, type_ in columns})


@st.composite
def known(draw: st.DrawFn) -> tuple[str, dict[str, list[dict[str, object]]]]:
    """A resource type, and rows of its tables: one of the first, any number of the others."""
    served = SERVED[draw(st.sampled_from(sorted(SERVED)))]
    parts = {}
    for name in served.parts:
        most = 1 if name == served.main and name != "directory" else 3
        least = 1 if name == served.main else 0
        parts[name] = draw(st.lists(rows(name), min_size=least, max_size=most))
    return served.type, parts


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(known())
def test_every_resource_is_valid(told: tuple[str, dict[str, list[dict[str, object]]]]) -> None:
    kind, parts = told
    resource = pruned(ENCODERS[kind](parts))
    encode(resource)
    assert resource["resourceType"] == kind
    assert judge(resource, Release.R4B) == []
    assert judge(in_release(resource, Release.R5), Release.R5) == []


FIGURES = st.builds(
    KpiRow,
    facility=TEXTS,
    unit=TEXTS,
    period_start=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    period_end=st.just(datetime(2026, 1, 2, tzinfo=UTC)),
    stratum=TEXTS,
    statistic=st.sampled_from(["mean", "median"]),
    numerator=NUMBERS,
    denominator=NUMBERS,
    value=NUMBERS,
    coverage=NUMBERS,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(catalogue())), st.lists(FIGURES, max_size=5))
def test_every_report_is_valid(kpi_id: str, figures: list[KpiRow]) -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    told = pruned(report(catalogue()[kpi_id], "x", start, end, figures))
    encode(told)
    assert judge(told, Release.R4B) == []
    assert judge(in_release(told, Release.R5), Release.R5) == []

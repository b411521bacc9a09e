"""Key figures of a hospital: what each one means, in SQL anyone can read, and how to ask for it."""

from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow, Window, explain, hospital_zone, last_midnight
from twin_core.kpi.tracing import Figure, RowBehind

__all__ = [
    "Definition",
    "Figure",
    "KpiRow",
    "RowBehind",
    "Window",
    "explain",
    "hospital_zone",
    "last_midnight",
]

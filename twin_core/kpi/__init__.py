"""Key figures of a hospital: what each one means, in SQL anyone can read, and how to ask for it."""

from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow, explain

__all__ = ["Definition", "KpiRow", "explain"]

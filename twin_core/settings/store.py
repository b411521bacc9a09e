"""Where the store is, and how it is written and asked."""

from pathlib import Path

from twin_core.settings.section import Section


class StoreSettings(Section):
    """Where the store is and how it is written."""

    path: Path = Path("wardtwin.duckdb")
    """The DuckDB file; its inbox is beside it, with `.inbox` behind the name."""
    memory_limit: str = "256MB"
    """What DuckDB may use in the writing process."""
    commit_window_ms: float = 2.0
    """How long the inbox gathers messages for one durable commit."""
    query_timeout_s: float = 30.0
    """How long an analyst's query may run before it is stopped."""
    query_rows: int = 100_000
    """How many rows an analyst's query may answer with; the rest is cut off."""

"""Where the numbers of a calibrated model come from."""

from datetime import datetime

from twin_core.simulation.model import Part


class Provenance(Part):
    """The window of history a model was calibrated from, in which store, by which version."""

    window_start: datetime
    window_end: datetime
    known_at: datetime | None = None
    """As was known at this instant; as known when it was calibrated without."""
    batches: int = 0
    """How many batches the store had applied."""
    version: str = ""
    """The version of wardtwin that calibrated it."""
    stays: int = 0
    """Stays in the window."""

"""How much of the machine simulations that are asked for over HTTP may take."""

from pydantic import Field

from twin_core.settings.section import Section


class SimulationSettings(Section):
    """Simulations run beside the server, in processes of their own with the lowest priority."""

    at_once: int = Field(default=1, ge=1, le=64)
    """How many run at the same time; others wait their turn."""
    waiting: int = Field(default=20, ge=0, le=1000)
    """How many may wait; more are refused."""
    threads: int = Field(default=1, ge=1, le=256)
    """How many processors one of them uses."""
    replications: int = Field(default=2000, ge=2, le=1_000_000)
    """Replications of one hospital at most; every scenario is one hospital more."""
    days: float = Field(default=366.0, gt=0, le=3660)
    """How long a run may be, its warm-up included."""
    scenarios: int = Field(default=10, ge=1, le=100)
    """Scenarios of one question at most."""
    minutes: float = Field(default=60.0, gt=0)
    """How long one may take before it is ended."""
    keep: int = Field(default=200, ge=1)
    """How many results are kept; the oldest are forgotten first."""

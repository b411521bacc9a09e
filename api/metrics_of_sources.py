"""What is measured of the FHIR servers that the twin reads."""

from collections.abc import Sequence
from typing import Any

from api.exposition import Labels, Measurement
from api.sources.syncing import IN_STEP, SYNCING

_BREAKER = {"closed": 0.0, "half-open": 0.5, "open": 1.0}


def of_sources(read: Sequence[dict[str, Any]]) -> list[Measurement]:
    """Whether the twin is in step with each source, since when it is not, and what came of it."""
    if not read:
        return []
    counted: tuple[tuple[Labels, float], ...] = tuple(
        ({"source": one["source"], "type": kind, "outcome": outcome}, float(number))
        for one in read
        for kind, outcomes in one["tallies"].items()
        for outcome, number in outcomes.items()
    )
    in_step = {IN_STEP, SYNCING}
    return [
        Measurement(
            "wardtwin_source_resources_total",
            "counter",
            "What became of resources read of a FHIR server",
            counted,
        ),
        _gauge(
            "wardtwin_source_in_step",
            "Whether the last sync was complete",
            read,
            [float(one["state"] in in_step) for one in read],
        ),
        _gauge(
            "wardtwin_source_lag_seconds",
            "Time since the last complete sync",
            read,
            [one["lag_seconds"] for one in read],
        ),
        _gauge(
            "wardtwin_source_breaker",
            "Circuit breaker: 0 closed, 1 open",
            read,
            [_BREAKER.get(one["breaker"], 0.0) for one in read],
        ),
    ]


def _gauge(
    name: str, meaning: str, read: Sequence[dict[str, Any]], values: Sequence[float | None]
) -> Measurement:
    samples = tuple(
        ({"source": one["source"]}, float(value))
        for one, value in zip(read, values, strict=True)
        if value is not None
    )
    return Measurement(name, "gauge", meaning, samples)

"""Measurements in the Prometheus text format, version 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Histogram(NamedTuple):
    """How often something fell into each class: upper bounds, counts (one more), and the sum."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


class Measurement(NamedTuple):
    """One metric: its name, kind (counter, gauge or histogram), meaning, and samples by labels."""

    name: str
    kind: str
    meaning: str
    samples: tuple[tuple[Labels, float | Histogram], ...]


def exposition(measured: Iterable[Measurement]) -> str:
    """The measurements as text, one metric after the other."""
    lines = []
    for metric in measured:
        lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, sample in metric.samples:
            lines += _lines(metric.name, labels, sample)
    return "\n".join(lines) + "\n"


def _lines(name: str, labels: Labels, sample: float | Histogram) -> Iterator[str]:
    if not isinstance(sample, Histogram):
        yield f"{name}{_labels(labels)} {_number(sample)}"
        return
    so_far = 0
    for bound, count in zip([*map(repr, sample.bounds), "+Inf"], sample.counts, strict=True):
        so_far += count
        yield f"{name}_bucket{_labels({**labels, 'le': bound})} {so_far}"
    yield f"{name}_sum{_labels(labels)} {_number(sample.total)}"
    yield f"{name}_count{_labels(labels)} {so_far}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)

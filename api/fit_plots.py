"""Goodness of fit as pictures: what was seen beside what the model says, one file for each part."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from api.plots import COLOURS, Plot

if TYPE_CHECKING:
    from twin_core.simulation.calibrate import Calibration
    from twin_core.simulation.calibrate.streams import StreamFit
    from twin_core.simulation.calibrate.wards import UnitFit


def write_plots(calibration: "Calibration", folder: Path) -> list[Path]:
    """Write every plot into a folder; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, plot in plots(calibration):
        file = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}.svg"
        file.write_text(plot.svg(), "utf-8")
        files.append(file)
    return files


def plots(calibration: "Calibration") -> Iterator[tuple[str, Plot]]:
    """A plot for the stays of every unit, and for the hours of every stream."""
    for unit in calibration.units:
        yield f"stay {unit.code}", stay_plot(unit)
    for stream in calibration.streams:
        yield f"arrivals {stream.class_} to {stream.unit}", stream_plot(stream)


def stay_plot(unit: "UnitFit") -> Plot:
    """The share of patients still staying: as observed, whatever was cut, and as fitted."""
    from twin_core.simulation.calibrate.empirical import self_consistent

    steps = self_consistent(unit.observed)
    longest = float(steps.edges[-1])
    plot = Plot(
        f"{unit.code}: stays, {unit.stay.family}", "hours", "still staying", (0, longest), (0, 1)
    )
    plot.steps([(e, 1 - u) for e, u in zip(steps.edges, steps.upto, strict=True)], "observed")
    hours = np.linspace(0, longest, 120)
    fitted = unit.stay.surviving(hours)
    plot.line(list(zip(hours.tolist(), fitted.tolist(), strict=True)), "model", COLOURS[0])
    return plot


def stream_plot(stream: "StreamFit") -> Plot:
    """Patients per hour through the week: counted, and as the model says."""
    counted, rates = stream.counted, stream.rates()
    top = 1.05 * float(max(counted.max(), rates.max(), 1e-9))
    title = f"{stream.class_} to {stream.unit}"
    plot = Plot(title, "hour of the week, from Monday", "per hour", (0, 168), (0, top))
    plot.bars(list(range(169)), counted.tolist())
    plot.steps([(hour, float(rate)) for hour, rate in enumerate(rates)], "model", COLOURS[0])
    return plot

"""`wardtwin calibrate`: a model of the hospital from its own history, with how sure it is."""

import argparse
from pathlib import Path

from api.commands import Call, Command
from api.forecasting import calibration_of, window_arguments

_SHOWN = ("part", "name", "estimate", "low", "high", "n")


def _arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument(
        "--out", metavar="MODEL.toml", type=Path, help="write the model, to be reviewed and run"
    )
    parser.add_argument("--plots", metavar="DIR", type=Path, help="draw every fit as SVG files")


def run(call: Call) -> int:
    """Calibrate a model from a window of history; print its numbers, write it as TOML."""
    options, terminal = call.options, call.terminal
    calibration = calibration_of(call)
    from twin_core.simulation.calibrate.parameters import parameters

    if options.out is not None:
        from twin_core.simulation.calibrate.writing import toml_of

        options.out.write_text(toml_of(calibration), "utf-8")
    if options.plots is not None:
        from api.fit_plots import write_plots

        write_plots(calibration, options.plots)
    found = parameters(calibration)
    if terminal.as_json:
        from api.forecasting import fits

        terminal.json(
            {
                "provenance": calibration.provenance.model_dump(mode="json"),
                "facility": calibration.learnt.facility,
                "left_out": {
                    "keep_their_bed": calibration.courses.visited,
                    "on_the_way_out": calibration.courses.on_the_way_out,
                    "rare": calibration.courses.rare,
                },
                "overflowed": [one._asdict() for one in calibration.diverted],
                "parameters": [one._asdict() for one in found],
                "fits": fits(calibration),
            }
        )
        return 0
    of = calibration.provenance
    terminal.line(
        f"{calibration.learnt.facility}, {of.window_start:%Y-%m-%d %H:%M} to "
        f"{of.window_end:%Y-%m-%d %H:%M} UTC: {of.stays:,} stays in {len(calibration.units)} units."
    )
    rows = [
        one._asdict()
        | {name: format(getattr(one, name), ".4g") for name in ("estimate", "low", "high")}
        for one in found
        if (not one.name[0].isdigit() and not one.name.endswith("day")) or one.name == "per_day"
    ]
    terminal.table(_SHOWN, rows)
    for way in calibration.diverted:
        terminal.line(
            f"Of {way.of} whose bed was asked for in {way.wanted}, {way.patients} were given one "
            f"in {way.given}, after {way.after_hours:.1f} h."
        )
    if options.out is None:
        terminal.line("Write the model with --out MODEL.toml.")
    return 0


COMMAND = Command(
    name="calibrate",
    help="make a model of the hospital from its own history",
    examples=(
        "wardtwin calibrate --out hospital.toml",
        "wardtwin calibrate --from 2026-09-01 --to 2026-11-01 --plots fits",
        "wardtwin simulate hospital.toml --warm-up-days 14 --days 42",
    ),
    arguments=_arguments,
    run=run,
    description=(
        "Rates of arrival, lengths of stay, destinations, hours of leaving, cleaning and beds, "
        "each with its 95% interval and from how many patients it is."
    ),
)

"""What `calibrate`, `simulate --from-now` and `simulate --backtest` share: history in, answers out.

The store gives stays without who the patients are; estimating and simulating happen in the process
that asks, so that a server goes on serving.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.commands import Call, instant
from api.desk import desk
from twin_core.errors import UsageError

if TYPE_CHECKING:
    from twin_core.simulation.calibrate import Calibration, History

_SHOWN = ("unit", "now", "in 24 h", "90%", "in 48 h", "90% ", "in 72 h", "90%  ", "boarding")
_STEPS = (24, 48, 72)


def window_arguments(parser: Any) -> None:
    """Which history is meant."""
    parser.add_argument("--from", dest="start", metavar="T", help="start (default: where feeds do)")
    parser.add_argument("--to", dest="end", metavar="T", help="end (default: now)")
    parser.add_argument("--known-at", metavar="T", help="as was known then (default now)")
    parser.add_argument("--facility", metavar="F", help="the facility (default: the busiest)")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `simulate` takes for forecasts from the store and for testing them on the past."""
    group = parser.add_argument_group("from the hospital's own history (needs a store)")
    group.add_argument(
        "--from-now", action="store_true",
        help="forecast from how the hospital stands: with MODEL as it says, else calibrated",
    )  # fmt: skip
    group.add_argument(
        "--at", metavar="T", help="with --from-now: as it stood then, calibrated from before"
    )
    group.add_argument(
        "--backtest", action="store_true",
        help="forecast from many instants of the past and score what came",
    )  # fmt: skip
    group.add_argument("--report", metavar="FILE.html", type=Path, help="where its report goes")
    group.add_argument(
        "--draws", metavar="N", type=int, default=20,
        help="models drawn as uncertain as the estimates are (default 20; 0: the estimates alone)",
    )  # fmt: skip
    group.add_argument(
        "--every-hours", metavar="H", type=float, default=30.0,
        help="with --backtest: hours from one origin to the next (default 30)",
    )  # fmt: skip
    window_arguments(group)


def history_of(call: Call) -> "History":
    """The history that was asked for, from the program that holds the store or from the store."""
    from twin_core.simulation.calibrate.passing import history_from

    options = call.options
    ends = getattr(options, "at", None) or options.end
    asked = {
        name: instant(text).isoformat()
        for name, text in (("start", options.start), ("end", ends), ("known_at", options.known_at))
        if text is not None
    }
    with desk(call) as answering:
        return history_from(answering.ask("history", **asked, facility=options.facility))


def calibration_of(call: Call) -> "Calibration":
    """The hospital calibrated from the history that was asked for."""
    from twin_core.simulation.calibrate import calibrated

    return calibrated(history_of(call))


def fits(calibration: "Calibration") -> list[dict[str, Any]]:
    """How well every length of time fits, as numbers."""
    return [
        {
            "part": part,
            "family": of.family,
            "events": of.events,
            "ongoing": of.ongoing,
            "late": of.late,
            "distance": of.distance,
            "by_chance": of.critical,
        }
        for part, of in calibration.lengths()
    ]


def from_now(call: Call) -> int:
    """Forecast from how the hospital stands, and print the census to come."""
    from twin_core.simulation.forecasting import forecast

    options, terminal = call.options, call.terminal
    calibration = calibration_of(call)
    model = None
    if options.model is not None:
        from twin_core.simulation.flow.loading import load_flow

        model = load_flow(options.model)
    hours = 24.0 * options.days if options.days is not None else 72.0
    if options.scenario:
        return compared(call, calibration, model, hours)
    with terminal.progress("simulating", options.replications, "replications") as advance:
        ahead = forecast(
            calibration,
            hours=hours,
            replications=options.replications,
            draws=options.draws,
            seed=options.seed,
            stays=options.stays is not None,
            model=model,
            advance=lambda done: advance(min(done, options.replications), ""),
        )
    if options.stays is not None:
        from pyarrow import parquet

        parquet.write_table(ahead.stays(), options.stays)
    if terminal.as_json:
        terminal.json(
            {
                "facility": calibration.learnt.facility,
                "at": ahead.at.isoformat(),
                "hours": hours,
                "replications": ahead.replications,
                "draws": len(ahead.results),
                "seed": options.seed,
                "provenance": calibration.provenance.model_dump(mode="json"),
                "census": ahead.table().to_pylist(),
            }
        )
        return 0
    terminal.line(f"{calibration.learnt.facility} from {ahead.at:%Y-%m-%d %H:%M} UTC on:")
    terminal.table(_SHOWN, [_row(ahead, unit, hours) for unit in ahead.units])
    return 0


def compared(call: Call, calibration: "Calibration", model: Any, hours: float) -> int:
    """Compare scenarios from how the hospital stands, and print what they would change."""
    from api.simulations import compared_text
    from twin_core.simulation import Run, load_scenario
    from twin_core.simulation.forecasting import hour_of_week, standing_models

    options = call.options
    run = Run(
        hours=hours,
        replications=options.replications,
        seed=options.seed,
        hour_of_week=hour_of_week(calibration),
    )
    models = standing_models(calibration, model, options.draws, options.replications, options.seed)
    return compared_text.answered(
        call,
        models,
        [load_scenario(name) for name in options.scenario],
        run,
        {
            "facility": calibration.learnt.facility,
            "at": calibration.history.end.isoformat(),
            "draws": len(models),
            "provenance": calibration.provenance.model_dump(mode="json"),
        },
    )


def _row(ahead: Any, unit: str, hours: float) -> dict[str, Any]:
    at = ahead.units.index(unit)
    census = ahead.census()[:, :, at]
    row = {"unit": unit, "now": f"{census[:, 0].mean():.0f}"}
    for step, shown in zip(_STEPS, ("90%", "90% ", "90%  "), strict=True):
        if step <= hours:
            low, high = ahead.quantiles(unit, step, (0.05, 0.95))
            row |= {f"in {step} h": f"{census[:, step].mean():.1f}", shown: f"{low:.0f}-{high:.0f}"}
    row["boarding"] = f"{ahead.census('boarding')[:, :, at].mean():.1f}"
    return row


def tested(call: Call) -> int:
    """Score forecasts of the past; exit code 1 where the model is worse than a simple forecast."""
    from api.backtest_page import page
    from twin_core.simulation.backtest import Plan, backtest, document, origins

    options, terminal = call.options, call.terminal
    history = history_of(call)
    plan = Plan(
        apart_hours=options.every_hours,
        replications=options.replications,
        draws=options.draws,
        seed=options.seed,
    )
    total = len(list(origins(history, plan)))
    with terminal.progress("testing", total, "origins") as advance:
        found = backtest(history, plan, advance=lambda done: advance(done, ""))
    said = document(found)
    if options.report is not None:
        options.report.write_text(page(found), "utf-8")
        options.report.with_suffix(".json").write_text(json.dumps(said, indent=1), "utf-8")
    if terminal.as_json:
        terminal.json(said)
    else:
        for line in said["verdict"]:
            terminal.line(line)
        columns = ("horizon", "unit", "crps", "persistence", "hour of week", "90%", "50%", "bias")
        terminal.table(columns, [{c: row[c] for c in columns} for row in said["table"]])
    return 1 if said["worse"] else 0


def needs_store(options: argparse.Namespace) -> bool:
    """Whether `simulate` was asked for something that only a store can answer.

    Raises UsageError for two answers at once, or for words that belong to the other kind.
    """
    if options.from_now and options.backtest:
        raise UsageError("--from-now and --backtest are two answers.", do="Ask for one.")
    if options.backtest and options.model is not None:
        raise UsageError(
            "A backtest calibrates its models from the history before every origin.",
            do="Leave out MODEL.",
        )
    wanting = (options.at, options.start, options.end, options.known_at, options.report)
    if not options.from_now and not options.backtest and any(wanting):
        raise UsageError("This needs a store.", do="Add --from-now or --backtest.")
    return bool(options.from_now or options.backtest)

"""`wardtwin simulate`: run a hospital many times, without any store."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from api import forecasting
from api.commands import Call, Command
from api.simulations import decisions
from twin_core.errors import UsageError

_SHOWN = ("unit", "census", "occupancy", "wait", "p95", "waiting", "boarding", "started", "lost")
_USUAL_DAYS = 28.0


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="a TOML file, or a hospital of the package"
    )
    parser.add_argument("--replications", metavar="N", type=int, default=100, help="default 100")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="default 0")
    parser.add_argument("--days", metavar="D", type=float, help="default 28; from now 3")
    parser.add_argument(
        "--warm-up-days", metavar="D", type=float, default=0.0, help="not counted (default 0)"
    )
    parser.add_argument(
        "--weekday", metavar="N", type=int, default=1, choices=range(1, 8),
        help="the weekday on which runs begin at midnight, 1 for Monday (default)",
    )  # fmt: skip
    parser.add_argument(
        "--kpi", metavar="ID", action="append", default=[],
        help="tell this KPI of the catalogue, counted in the simulated stays; repeatable",
    )  # fmt: skip
    parser.add_argument("--stays", metavar="FILE", type=Path, help="write every stay as Parquet")
    parser.add_argument(
        "--scenario", metavar="FILE", action="append", default=[],
        help="compare with what it changes: a TOML file, or a scenario of the package; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--half-width", metavar="MEASURE=H",
        help="with scenarios: add replications until the 95%% interval of this difference (of "
        "UNIT:MEASURE in one unit) is no wider than H on either side",
    )  # fmt: skip
    parser.add_argument(
        "--at-most", metavar="N", type=int, default=10_000,
        help="with --half-width: never more replications (default 10,000)",
    )  # fmt: skip
    parser.add_argument(
        "--all-units", action="store_true", help="with scenarios: units without a change, too"
    )
    parser.add_argument(
        "--schema", nargs="?", const="model", choices=("model", "scenario"),
        help="print the JSON Schema of a model, or of a scenario",
    )  # fmt: skip
    parser.add_argument(
        "--again", metavar="ID",
        help="work out a simulation of the store's server once more, and compare",
    )  # fmt: skip
    parser.add_argument(
        "--validate", metavar="CASE", type=Path, help="run a textbook case (JSON) and compare"
    )
    decisions.arguments(parser)
    forecasting.arguments(parser)


def run(call: Call) -> int:
    """Run a model and print its statistics; or print the schema, or check textbook cases."""
    options = call.options
    if options.schema:
        from twin_core.simulation import FlowModel, Scenario

        described = Scenario if options.schema == "scenario" else FlowModel
        call.terminal.json(described.model_json_schema())
        return 0
    if options.validate is not None:
        return _validate(call, options.validate)
    if forecasting.needs_store(options):
        _note_compiling(call)
        return forecasting.from_now(call) if options.from_now else forecasting.tested(call)
    if options.again is not None:
        return _again(call, options.again)
    if options.model is None:
        raise UsageError("There is no model.", do="Name a TOML file, or `riverside`.")
    return _simulate(call)


def _simulate(call: Call) -> int:
    options, terminal = call.options, call.terminal
    _fit_together(options)
    from twin_core.simulation import Run, load_flow, simulate

    model = load_flow(options.model)
    _note_compiling(call)
    options.days = _USUAL_DAYS if options.days is None else options.days
    asked = Run(
        hours=24 * options.days,
        replications=options.replications,
        seed=options.seed,
        hour_of_week=24.0 * (options.weekday - 1),
        warm_up_hours=24 * options.warm_up_days,
        stays=options.stays is not None or bool(options.kpi),
    )
    if decisions.wanted(options):
        from api.simulations.deciding import decided

        return decided(call, model, asked)
    if options.scenario:
        return _compare(call, model, asked)
    begun = time.perf_counter()
    with terminal.progress("simulating", options.replications, "replications") as advance:
        results = simulate(model, asked, advance=lambda done: advance(done, ""))
    seconds = time.perf_counter() - begun
    if options.stays is not None:
        from pyarrow import parquet

        parquet.write_table(results.stays(), options.stays)
    if options.kpi:
        return _tell_kpis(call, results)
    if terminal.as_json:
        terminal.json(
            {
                "model": options.model,
                "name": model.name,
                "days": options.days,
                "replications": options.replications,
                "seed": options.seed,
                "events": results.events,
                "statistics": results.table().to_pylist(),
            }
        )
        return 0
    terminal.table(_SHOWN, [_row(results, unit.code) for unit in model.units])
    terminal.line(f"{results.events:,} events in {seconds:.1f} s.")
    return 0


def _fit_together(options: argparse.Namespace) -> None:
    """Refuse options of which one would be left unheard."""
    if options.half_width and not options.scenario:
        raise UsageError("--half-width is of a difference.", do="Add --scenario.")
    if options.scenario and (options.kpi or options.stays):
        raise UsageError(
            "--kpi and --stays tell of one hospital, and --scenario compares several.",
            do="Leave out one of them.",
        )


def _tell_kpis(call: Call, results: Any) -> int:
    from twin_core.simulated_kpis import kpis_of

    rows = kpis_of(results, call.options.kpi).to_pylist()
    if call.terminal.as_json:
        call.terminal.json(rows)
        return 0
    shown = ("kpi", "unit", "stratum", "statistic", "mean", "low", "high", "n")
    call.terminal.table(shown, [_rounded(row) for row in rows if row["n"]])
    return 0


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()
    }


def _compare(call: Call, model: Any, asked: Any) -> int:
    from api.simulations import compared_text
    from twin_core.simulation import load_scenario

    options = call.options
    scenarios = [load_scenario(name) for name in options.scenario]
    named = {"model": options.model, "days": options.days}
    return compared_text.answered(call, [model], scenarios, asked, named)


def _again(call: Call, id_: str) -> int:
    """Whether a task gives the answer that is kept of it; 1 where it does not."""
    from api.simulations.answering import answer_to, digest_of
    from api.simulations.ledger import kept
    from twin_core.encryption import read_key
    from twin_core.simulation.versions import versions

    with kept(call.path, read_key(call.settings.encryption)) as ledger:
        before, task = ledger.simulation(id_), ledger.task(id_)
    if before is None or task is None or before.state != "done":
        raise UsageError(
            "There is no answer to compare with." if before else "No simulation has this id.",
            why=f"It is {before.state}." if before else "",
        )
    total = task.run["replications"] * task.hospitals
    with call.terminal.progress("simulating", total, "replications") as advance:
        digest = digest_of(answer_to(task, lambda done: advance(min(done, total), "")))
    now, same = versions(), digest == before.digest
    changed = {name: [was, now.get(name)] for name, was in before.versions.items()
               if now.get(name) != was}  # fmt: skip
    if call.terminal.as_json:
        call.terminal.json({"id": id_, "same": same, "versions_changed": changed})
    else:
        call.terminal.line(_compared(same, changed))
    return 0 if same else 1


def _compared(same: bool, changed: dict[str, Any]) -> str:
    others = "; ".join(f"{name} was {was}, is {now}" for name, (was, now) in changed.items())
    if same:
        return "The same answer, to the last bit." + (f" ({others})" if others else "")
    return f"Another answer: {others or 'though every version is the same'}."


def _note_compiling(call: Call) -> None:
    from twin_core.simulation.kernel.entry import is_compiled

    if not is_compiled():
        call.terminal.note(
            "The kernel is compiled for this machine, once; it takes about a minute."
        )


def _row(results: Any, unit: str) -> dict[str, Any]:
    def shown(statistic: str, form: str = ".1f") -> str:
        mean = results.unit(unit, statistic).mean
        return "" if mean != mean else format(mean, form)

    lost = results.unit(unit, "reneged").mean + results.unit(unit, "turned_away").mean
    return {
        "unit": unit,
        "census": shown("census_mean"),
        "occupancy": shown("occupancy", ".0%"),
        "wait": shown("wait_mean", ".2f"),
        "p95": shown("wait_p95", ".2f"),
        "waiting": shown("queue_mean", ".2f"),
        "boarding": shown("boarding_mean", ".2f"),
        "started": shown("started", ".0f"),
        "lost": f"{lost:.1f}",
    }


def _validate(call: Call, file: Path) -> int:
    from twin_core.simulation.textbook import compared, not_compared

    try:
        case = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON.", why=str(error)) from error
    if not isinstance(case, dict):
        raise UsageError(f"{file} holds no case.", why="It is no JSON object.")
    found = compared(case)
    if others := not_compared(case):
        call.terminal.note(f"Not compared: {', '.join(others)}.")
    if call.terminal.as_json:
        call.terminal.json([one._asdict() | {"agrees": one.agrees} for one in found])
    else:
        call.terminal.table(
            ("case", "quantity", "theory", "simulated", "se", "agrees"),
            [one.row() for one in found],
        )
    return 0 if all(one.agrees for one in found) else 1


COMMAND = Command(
    name="simulate",
    help="run a hospital many times: occupancy, waits and boarding with their spread",
    examples=(
        "wardtwin simulate riverside --warm-up-days 14 --days 42",
        "wardtwin simulate ward.toml --replications 1000 --seed 7 --days 28 --json",
        "wardtwin simulate riverside --kpi occ_hourly --kpi boarding --replications 20",
        "wardtwin simulate riverside --scenario winter --scenario my-ward.toml",
        "wardtwin simulate riverside --scenario winter --half-width boarding=0.2",
        "wardtwin simulate --schema scenario",
        "wardtwin simulate riverside --sensitivity boarding --days 7",
        "wardtwin simulate riverside --scenario surge-ward --best boarding=0.5",
        "wardtwin simulate riverside --fewest-beds MED=50-70 --under ED:boarding=2",
        "wardtwin simulate --from-now --json",
        "wardtwin simulate --backtest --report backtest.html",
        "wardtwin simulate --again 3f1c5a0e9b7d2468 --db hospital.duckdb",
        "wardtwin simulate --validate mmc.json",
    ),
    arguments=_arguments,
    run=run,
)

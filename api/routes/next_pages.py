"""What comes next, as pages: ask what would be in the ward's words, and see the answer as fans.

A question's address holds all that was asked, so that it can be sent; an answer has an address of
its own for as long as it is kept.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from api.access.gate import Shut, read_form
from api.exporting import MEDIA_TYPES, csv_of
from api.routes.asked import the_twin
from api.routes.next_words import FIELDS, TESTED, UNCHANGED, backtest_asked, question
from api.routes.pages import common
from api.routes.simulations import taken
from api.simulations.asked import BACKTEST, CALIBRATED
from api.simulations.backtesting import UnitScore, unit_scores
from api.simulations.desk import SimulationDesk
from api.simulations.ledger import OVER, Simulation
from api.web.fans import census_rows, fans, told_differences
from api.web.rendering import page
from twin_core.errors import TwinError, UsageError
from twin_core.simulation.model import hospital_names

router = APIRouter(include_in_schema=False)

LATEST = 20
MEASURES = {
    "occupancy": "Occupancy",
    "census": "Patients in beds",
    "boarding": "Boarding, waiting for a bed elsewhere",
    "wait": "Wait for a bed",
    "wait_p90": "Wait that nine in ten do not exceed",
    "left_unseen": "Left without being seen",
    "diverted": "Turned away from a full department",
    "cancelled": "Went without a bed",
    "outliers": "Patients in beds of another unit",
    "throughput": "Stays that ended",
    "cost": "Cost",
}
"""What a difference is measured by, in words."""
BASELINES = {
    "persistence": "staying as it is",
    "hour of week": "the usual for the hour of the week",
}
"""The forecasts without a model, in words."""
MEASURED_IN = ("%", "patients", "hours", "patients a day", "currency a day")


@router.get("/next")
async def builder(request: Request) -> Response:
    """The question to ask, as far as the address says it, and the answers there are."""
    asked = {name: request.query_params.get(name, "")[:60] for name in FIELDS}
    return await _builder(request, asked)


@router.post("/next")
async def ask(request: Request) -> Response:
    """Ask what would be, and go where the answer will be."""
    try:
        form, _ = await read_form(request.receive)
    except Shut as shut:
        raise UsageError(shut.said) from None
    asked = {name: form.get(name, "").strip()[:60] for name in FIELDS}
    try:
        found = await taken(request, question(asked))
    except UsageError as error:
        return await _builder(request, asked, fault=error)
    return RedirectResponse(f"/next/{found.id}", status_code=303)


@router.get("/next/{simulation_id}")
def answer(request: Request, simulation_id: str) -> Response:
    """How far a simulation is, or what it found."""
    desk: SimulationDesk = request.app.state.simulations
    found = desk.ledger.simulation(simulation_id)
    if found is None:
        raise HTTPException(404, "No simulation has this id.")
    answered = desk.ledger.answer(simulation_id)
    shown = common(the_twin(request))
    shown |= {
        "here": "next",
        "simulation": found,
        "over": found.state in OVER,
        "progress": desk.progress(simulation_id),
        "baselines": BASELINES,
    }
    if found.kind == BACKTEST:
        return page("backtest.html", **shown, judged=_judging(found, answered))
    # Only forecasts by the hospital's own model are about its past.
    task = desk.ledger.task(simulation_id)
    testable = task is not None and task.calibrated
    return page(
        "answer.html",
        **shown,
        answer=answered,
        fans=list(fans(answered, shown["zone"])) if answered else [],
        testable=testable,
        judged=_newest_backtest(desk) if answered and testable else None,
        differences=told_differences(answered["differences"]) if answered else [],
        measures=MEASURES,
    )


@router.get("/next/{simulation_id}/{table}.csv")
def table(request: Request, simulation_id: str, table: str) -> Response:
    """The rows behind the charts, or all differences, as CSV."""
    desk: SimulationDesk = request.app.state.simulations
    answered = desk.ledger.answer(simulation_id)
    rows = _table(answered, table) if answered is not None else None
    if rows is None:
        raise HTTPException(404, "No simulation has this table.")
    columns = list(rows[0]) if rows else []
    headers = {
        "Content-Disposition": f'attachment; filename="{table}.csv"',
        "Cache-Control": "no-store",
    }
    told = ([row[name] for name in columns] for row in rows)
    return Response(csv_of(columns, told), media_type=MEDIA_TYPES["csv"], headers=headers)


def _table(answered: Mapping[str, Any], table: str) -> list[dict[str, Any]] | None:
    if table == "scores":
        return answered.get("table")
    if table == "differences":
        return answered.get("differences")
    return list(census_rows(answered)) if table == "census" and "hospitals" in answered else None


@router.post("/next/backtest")
async def test_on_the_past(request: Request) -> Response:
    """Score forecasts of the past, and go where the scores will be."""
    try:
        form, _ = await read_form(request.receive)
    except Shut as shut:
        raise UsageError(shut.said) from None
    asked = {name: form.get(name, "").strip()[:60] or usual for name, usual in TESTED.items()}
    try:
        found = await taken(request, backtest_asked(asked))
    except UsageError as error:
        return await _builder(request, {}, fault=error)
    return RedirectResponse(f"/next/{found.id}", status_code=303)


@router.post("/next/{simulation_id}/cancel")
async def cancel(request: Request, simulation_id: str) -> Response:
    """End a simulation, then show it."""
    desk: SimulationDesk = request.app.state.simulations
    await asyncio.to_thread(desk.cancel, simulation_id)
    return RedirectResponse(f"/next/{simulation_id}", status_code=303)


class Judged(NamedTuple):
    """How good forecasts were on the hospital's past: the backtest, and its scores by unit."""

    simulation: Simulation
    answer: dict[str, Any]
    scores: dict[str, UnitScore]

    @property
    def first(self) -> datetime:
        """The first instant that was forecast from."""
        return datetime.fromisoformat(self.answer["origins"][0])

    @property
    def last(self) -> datetime:
        """The last one."""
        return datetime.fromisoformat(self.answer["origins"][-1])


def _judging(simulation: Simulation, answered: dict[str, Any] | None) -> Judged | None:
    return Judged(simulation, answered, unit_scores(answered)) if answered else None


def _newest_backtest(desk: SimulationDesk) -> Judged | None:
    found = desk.ledger.backtest()
    return _judging(found, desk.ledger.answer(found.id)) if found is not None else None


async def _builder(
    request: Request, asked: dict[str, str], *, fault: TwinError | None = None
) -> Response:
    desk: SimulationDesk = request.app.state.simulations
    board = await request.app.state.live.board()
    kept = await asyncio.to_thread(desk.ledger.simulations, LATEST)
    forecast, score = await asyncio.to_thread(_present, desk)
    shared = common(the_twin(request))
    chosen = {name: text for name, text in asked.items() if text}
    shown = page(
        "next.html",
        **shared,
        here="next",
        forecast=forecast,
        fans=list(fans(forecast.answer, shared["zone"])) if forecast is not None else [],
        judged=score,
        tested=TESTED,
        baselines=BASELINES,
        asked={**dict.fromkeys(FIELDS, ""), **UNCHANGED, **chosen},
        units=sorted({unit.unit for unit in board.units if unit.unit}),
        hospitals=hospital_names(),
        calibrated=CALIBRATED,
        limits=desk.settings,
        latest=kept,
        fault=fault,
    )
    shown.status_code = 200 if fault is None else 400
    return shown


class Foreseen(NamedTuple):
    """The newest forecast of the hospital as it stood."""

    simulation: Simulation
    answer: dict[str, Any]

    @property
    def began(self) -> datetime:
        """How the hospital stood at this instant is where it begins."""
        return datetime.fromisoformat(self.answer["start"])


def _present(desk: SimulationDesk) -> tuple[Foreseen | None, Judged | None]:
    """The newest forecast, and how good such forecasts were."""
    found = desk.ledger.forecast()
    answered = desk.ledger.answer(found.id) if found is not None else None
    told = Foreseen(found, answered) if found is not None and answered is not None else None
    return told, _newest_backtest(desk)

"""What comes next, as pages: ask what would be in the ward's words, and see the answer as fans.

A question's address holds all that was asked, so that it can be sent; an answer has an address of
its own for as long as it is kept.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.gate import Shut, read_form
from api.exporting import MEDIA_TYPES, csv_of
from api.routes.asked import the_twin
from api.routes.pages import common
from api.routes.simulations import taken
from api.simulations.asked import CALIBRATED, SimulationAsked
from api.simulations.desk import SimulationDesk
from api.simulations.ledger import OVER
from api.web.chart import Spread
from api.web.reader import t
from api.web.rendering import instant, page
from twin_core.errors import TwinError, UsageError
from twin_core.simulation.model import hospital_names

router = APIRouter(include_in_schema=False)

LATEST = 20
UNCHANGED = {"model": CALIBRATED, "days": "3", "replications": "200", "seed": "0"}
"""A question that nobody has changed yet: the next three days of this hospital."""
FIELDS = (
    *UNCHANGED,
    "close_beds",
    "close_unit",
    "close_days",
    "arrivals",
    "arrivals_days",
    "earlier",
    "surge_beds",
    "surge_for",
    "surge_days",
)
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
MEASURED_IN = ("share", "patients", "hours", "patients a day", "currency a day")

Words = Annotated[str, Query(max_length=60)]


class Fan(NamedTuple):
    """A unit's census to come, and beside it that of a changed hospital where there is one."""

    unit: str
    hours: list[Spread]
    other: list[float] | None
    changed: list[Spread] | None


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
    return page(
        "answer.html",
        **shown,
        here="next",
        simulation=found,
        over=found.state in OVER,
        progress=desk.progress(simulation_id),
        answer=answered,
        fans=list(fans(answered, shown["zone"])) if answered else [],
        differences=told_differences(answered["differences"]) if answered else [],
        measures=MEASURES,
    )


@router.get("/next/{simulation_id}/{table}.csv")
def table(request: Request, simulation_id: str, table: str) -> Response:
    """The rows behind the charts, or all differences, as CSV."""
    desk: SimulationDesk = request.app.state.simulations
    answered = desk.ledger.answer(simulation_id)
    if answered is None or table not in ("census", "differences"):
        raise HTTPException(404, "No simulation has this table.")
    rows = answered["differences"] if table == "differences" else list(census_rows(answered))
    columns = list(rows[0]) if rows else []
    headers = {
        "Content-Disposition": f'attachment; filename="{table}.csv"',
        "Cache-Control": "no-store",
    }
    told = ([row[name] for name in columns] for row in rows)
    return Response(csv_of(columns, told), media_type=MEDIA_TYPES["csv"], headers=headers)


@router.post("/next/{simulation_id}/cancel")
async def cancel(request: Request, simulation_id: str) -> Response:
    """End a simulation, then show it."""
    desk: SimulationDesk = request.app.state.simulations
    await asyncio.to_thread(desk.cancel, simulation_id)
    return RedirectResponse(f"/next/{simulation_id}", status_code=303)


def question(asked: Mapping[str, str]) -> SimulationAsked:
    """What a form asks. Raises UsageError for a number that is none."""
    told = {name: asked.get(name) or usual for name, usual in UNCHANGED.items()}
    edits = scenario(asked)
    return SimulationAsked(
        model=told["model"],
        from_now=told["model"] == CALIBRATED,
        scenarios=[edits] if edits else [],
        days=_number(told["days"]),
        replications=int(_number(told["replications"])),
        seed=int(_number(told["seed"])),
    )


def scenario(asked: Mapping[str, str]) -> dict[str, Any] | None:
    """The edits of a form as a scenario; None where nothing is changed."""
    edits: dict[str, Any] = {}
    names = []
    if beds := asked.get("close_beds"):
        unit = asked.get("close_unit", "")
        edits["close_beds"] = [
            {"unit": unit, "beds": int(_number(beds)), **_lasting(asked.get("close_days"))}
        ]
        names.append(f"{beds} beds closed in {unit}")
    if percent := asked.get("arrivals"):
        edits["arrivals"] = [{"percent": _number(percent), **_lasting(asked.get("arrivals_days"))}]
        names.append(f"{_number(percent):+g} % arrivals")
    if hours := asked.get("earlier"):
        edits["discharge_earlier"] = [{"hours": _number(hours)}]
        names.append(f"discharge {hours} h earlier")
    if beds := asked.get("surge_beds"):
        helped = asked.get("surge_for", "")
        edits["open_unit"] = [
            {
                "unit": "SURGE",
                "beds": int(_number(beds)),
                "takes_from": [helped],
                **_lasting(asked.get("surge_days")),
            }
        ]
        names.append(f"{beds} surge beds for {helped}")
    return {"name": ", ".join(names), **edits} if edits else None


def _lasting(days: str | None) -> dict[str, float]:
    return {"for_days": _number(days)} if days else {}


def _number(text: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise UsageError("A number of the question is none.", do="Write it like 8 or 12.5.")
    return number


async def _builder(
    request: Request, asked: dict[str, str], *, fault: TwinError | None = None
) -> Response:
    desk: SimulationDesk = request.app.state.simulations
    board = await request.app.state.live.board()
    kept = await asyncio.to_thread(desk.ledger.simulations, LATEST)
    chosen = {name: text for name, text in asked.items() if text}
    shown = page(
        "next.html",
        **common(the_twin(request)),
        here="next",
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


def fans(answered: Mapping[str, Any], zone: str) -> Iterator[Fan]:
    """A fan for every unit in which anybody may be, with the first scenario's beside it."""
    as_it_is, *changed = answered["hospitals"]
    labels = hour_labels(answered, zone)
    other = changed[0]["census"] if changed else {}
    codes = [*as_it_is["census"], *(code for code in other if code not in as_it_is["census"])]
    for code in codes:
        spread = as_it_is["census"].get(code) or _nobody(len(labels))
        beside = other.get(code)
        if any(spread["p95"]) or (beside is not None and any(beside["p95"])):
            yield Fan(
                code,
                spreads(labels, spread),
                beside["p50"] if beside is not None else None,
                spreads(labels, beside) if beside is not None else None,
            )


def _nobody(hours: int) -> dict[str, list[float]]:
    return {name: [0.0] * hours for name in ("p05", "p25", "p50", "p75", "p95")}


def spreads(labels: Sequence[str], told: Mapping[str, Sequence[float]]) -> list[Spread]:
    """The hours of a unit as an answer tells them."""
    columns = (told["p05"], told["p25"], told["p50"], told["p75"], told["p95"])
    return [Spread(*hour) for hour in zip(labels, *columns, strict=True)]


def hour_labels(answered: Mapping[str, Any], zone: str) -> list[str]:
    """The hours of an answer: instants where the hospital begins as it stands, else counted."""
    start = answered.get("start")
    if not start:
        split = [divmod(int(hour), 24) for hour in _hours(answered)]
        return [t("day {day}, {hour} h", day=day, hour=hour) for day, hour in split]
    began = datetime.fromisoformat(start)
    return [instant(began + timedelta(hours=hour), zone) for hour in _hours(answered)]


def _hours(answered: Mapping[str, Any]) -> list[float]:
    hours: list[float] = answered["hours"]
    return hours


def told_differences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All differences of the hospital, and those of units whose interval leaves out nought."""
    told = [{**row, "is_clear": _is_clear(row)} for row in rows]
    kept = [row for row in told if row["unit"] is None or row["is_clear"]]
    return sorted(kept, key=lambda row: row["unit"] is not None)


def _is_clear(row: Mapping[str, Any]) -> bool:
    low, high = row["low"], row["high"]
    return low is not None and high is not None and (low > 0 or high < 0)


def census_rows(answered: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for every hospital, unit and hour: what the fans are drawn from."""
    start = answered.get("start")
    began = datetime.fromisoformat(start) if start else None
    for hospital in answered["hospitals"]:
        for what in ("census", "waiting", "boarding"):
            for unit, told in hospital[what].items():
                for at, hour in enumerate(answered["hours"]):
                    yield {
                        "scenario": hospital["scenario"] or "",
                        "what": what,
                        "unit": unit,
                        "hour": hour,
                        "at": began + timedelta(hours=hour) if began else "",
                        **{name: values[at] for name, values in told.items()},
                    }

"""`/v1/simulations`: what-if questions, asked, followed, cancelled, and answered."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response, StreamingResponse

from api.audit.recording import note
from api.openapi import answers, reply
from api.routes.asked import the_principal
from api.routes.bodies import Unread, read_json
from api.simulations.asked import SimulationAsked, Task, task_of
from api.simulations.backtesting import without_history
from api.simulations.desk import Progress, SimulationDesk
from api.simulations.ledger import Simulation
from twin_core.errors import UsageError
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["simulations"])

LONGEST_BODY = 4_000_000
_ASKED = msgspec.json.Decoder(SimulationAsked)


class Simulations(msgspec.Struct, frozen=True, kw_only=True):
    """The latest simulations, the newest first."""

    simulations: list[Simulation]


class SimulationDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation, how far it is, what it was asked, and its answer once there is one.

    `task` holds everything that the answer depends on besides `versions`: the same task, with the
    same versions, gives the same answer to the last bit.
    """

    simulation: Simulation
    progress: Progress | None
    task: dict[str, Any]
    answer: dict[str, Any] | None


@router.post(
    "/simulations",
    status_code=202,
    summary="Ask what would be",
    responses=answers(Simulation, "It was taken", status=202, problems="400 413 503"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/SimulationAsked"},
                    "example": {
                        "model": "riverside",
                        "scenarios": ["winter"],
                        "days": 14,
                        "replications": 50,
                        "seed": 7,
                    },
                }
            },
        }
    },
)
async def ask(request: Request) -> Response:
    """A hospital, and scenarios to compare with it; it runs in a process of its own."""
    asked = await taken(request, _asked(await request.body()))
    answer = reply(asked, status=202)
    answer.headers["Location"] = f"/v1/simulations/{asked.id}"
    return answer


async def taken(request: Request, asked: SimulationAsked) -> Simulation:
    """A simulation that was asked for, noted for the ledger of accesses.

    Raises UsageError for what cannot be simulated, is more than is allowed, or has no room.
    """
    desk: SimulationDesk = request.app.state.simulations
    twin: Twin = request.app.state.twin
    task = await asyncio.to_thread(task_of, asked, desk.settings, lambda: _history(twin))
    found = await asyncio.to_thread(
        desk.ask, task, _title(asked, task), {}, the_principal(request).id
    )
    note(request, objects=(f"simulation/{found.id}",))
    return found


@router.get(
    "/simulations",
    summary="The latest simulations",
    responses=answers(Simulations, "The latest first", problems="503"),
)
def simulations(
    request: Request, limit: Annotated[int, Query(ge=1, le=1000, description="At most")] = 50
) -> Response:
    """What was asked, by whom, and how it stands."""
    desk: SimulationDesk = request.app.state.simulations
    return reply(Simulations(simulations=desk.ledger.simulations(limit)))


@router.get(
    "/simulations/{simulation_id}",
    summary="A simulation and its answer",
    responses=answers(SimulationDetail, "The simulation", problems="404 503"),
)
def simulation(request: Request, simulation_id: str) -> Response:
    """Everything that is kept of it: enough to work it out again."""
    desk: SimulationDesk = request.app.state.simulations
    found, task = desk.ledger.simulation(simulation_id), desk.ledger.task(simulation_id)
    if found is None or task is None:
        raise HTTPException(404, "No simulation has this id.")
    return reply(
        SimulationDetail(
            simulation=found,
            progress=desk.progress(simulation_id),
            task=msgspec.to_builtins(msgspec.structs.replace(without_history(task), learning=None)),
            answer=desk.ledger.answer(simulation_id),
        )
    )


@router.get(
    "/simulations/{simulation_id}/progress",
    summary="How far a simulation is, as it goes",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `progress`; the last one says that it is over",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def progress(request: Request, simulation_id: str) -> Response:
    """Server-sent events, until it is done, failed or cancelled."""
    desk: SimulationDesk = request.app.state.simulations
    if await asyncio.to_thread(desk.ledger.simulation, simulation_id) is None:
        raise HTTPException(404, "No simulation has this id.")
    return StreamingResponse(
        desk.stream(simulation_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post(
    "/simulations/{simulation_id}/cancel",
    summary="End a simulation",
    responses=answers(Simulation, "As it stands then", problems="404 503"),
)
async def cancel(request: Request, simulation_id: str) -> Response:
    """One that is over stays as it is."""
    desk: SimulationDesk = request.app.state.simulations
    await asyncio.to_thread(desk.cancel, simulation_id)
    found = await asyncio.to_thread(desk.ledger.simulation, simulation_id)
    if found is None:
        raise HTTPException(404, "No simulation has this id.")
    return reply(found)


def _asked(body: bytes) -> SimulationAsked:
    if len(body) > LONGEST_BODY:
        raise HTTPException(413, f"A question is no longer than {LONGEST_BODY:,} bytes.")
    try:
        return read_json(body, _ASKED)
    except Unread as error:
        if error.is_json:
            raise UsageError("The question cannot be read.", why=f"{error}.") from None
        raise UsageError(
            "The question is no JSON.", do='Post JSON such as {"model": "riverside"}.'
        ) from None


def _history(twin: Twin) -> dict[str, Any]:
    """The hospital's own history until now, without who the patients are."""
    from twin_core.simulation.calibrate.passing import plain

    return plain(twin.history())


def _title(asked: SimulationAsked, task: Task) -> str:
    if asked.backtest is not None:
        return "Backtest"
    model = asked.model
    if not isinstance(model, str):
        model = model.get("name") or "a model"
    if asked.from_now:
        model = f"{model}, from now"
    names = [str(scenario["name"]) for scenario in task.scenarios]
    return ": ".join([str(model), ", ".join(names)] if names else [str(model)])

"""Answers as msgspec structures, and the OpenAPI document that describes them.

Structures encode several times faster than models, and their JSON Schema comes from the same
types, so the document cannot drift from what is sent.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from api.problems import MEDIA_TYPE, Problem

SUMMARY = "A hospital interoperability twin: state, encounters, KPIs, messages and live changes."
DESCRIPTION = """\
Instants are ISO 8601 with an offset; answers are in UTC. `at` asks for the hospital at an instant,
`known_at` for what the twin knew at an instant: now, then, and then as known earlier are the same
question. Failures are problem details (RFC 9457). Nothing here holds a patient's name.
"""
TAGS = [
    {
        "name": "state",
        "description": "The hospital now, or at any instant, as known at any instant",
    },
    {"name": "encounters", "description": "Visits with their stays and histories"},
    {"name": "appointments", "description": "The schedule, with what every appointment takes"},
    {"name": "observations", "description": "Results, vital signs and device measurements"},
    {"name": "kpis", "description": "The KPI catalogue and its figures"},
    {"name": "alerts", "description": "Figures beyond their thresholds"},
    {"name": "simulations", "description": "What would be, in hospitals that are simulated"},
    {"name": "messages", "description": "What was received, and what became of it"},
    {"name": "feeds", "description": "Listeners, their counts and delays, and who is silent"},
    {"name": "intake", "description": "Messages and counts in"},
    {"name": "live", "description": "Server-sent changes"},
    {"name": "access", "description": "Who the caller is, and emergencies"},
    {"name": "health", "description": "Whether the twin is well"},
]


SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the identity provider, or an API key",
    },
}


def reply(content: Any, status: int = 200) -> Response:
    """A structure, or a list of them, as a JSON answer that nobody caches."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def answers(
    model: Any, description: str, *, example: Any = None, status: int = 200, problems: str = ""
) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for its `responses`; `problems` lists further statuses (`400 404`)."""
    content: dict[str, Any] = {"schema": _components([model])[0][0]}
    if example is not None:
        content["example"] = msgspec.to_builtins(example)
    described: dict[int | str, dict[str, Any]] = {
        status: {"description": description, "content": {"application/json": content}}
    }
    refused = {MEDIA_TYPE: {"schema": _components([Problem])[0][0]}}
    for code in problems.split():
        described[int(code)] = {"description": HTTPStatus(int(code)).phrase, "content": refused}
    return described


def install(app: FastAPI, models: Iterable[Any]) -> None:
    """Serve an OpenAPI document that also holds the schemas of `models` and of what they hold."""
    _, components = _components([Problem, *models])

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(
                title="wardtwin",
                version=app.version,
                summary=SUMMARY,
                description=DESCRIPTION,
                routes=app.routes,
                tags=TAGS,
            )
            described.setdefault("components", {}).setdefault("schemas", {}).update(components)
            described["components"]["securitySchemes"] = SCHEMES
            # Either opens a door, and where [access] is not configured neither is asked for.
            described["security"] = [{}, *({name: []} for name in SCHEMES)]
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _components(models: list[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")

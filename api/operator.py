"""How the program that holds a store answers other programs of the same user; see `api.holder`."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api.audit.operating import recorded
from api.feeds import FeedReport
from api.operations import OPERATIONS
from api.sidecar import Rows
from api.terminal import describe
from api.translating import decode_receipts
from twin_core import Twin
from twin_core.audit import Ledger
from twin_core.errors import StoreError, TwinError, UsageError
from twin_core.kpi.alerting import Alert


def listen(path: Path) -> socket.socket:
    """A socket that only this user may open. Whoever calls this holds the store's lock."""
    if path.exists() and not path.is_socket():
        raise StoreError(f"{path} is in the way.", do="Move it: the server's socket belongs there.")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    listening.listen()
    return listening


def create_operator(
    twin: Twin,
    sql: Callable[[str, str | None], Rows],
    feeds: Callable[[], list[FeedReport]],
    acknowledge: Callable[[str, str], Alert],
    ledger: Ledger,
) -> FastAPI:
    """The app behind the socket: the operations of a store as JSON.

    `sql` and `feeds` answer what the twin alone does not know, and `acknowledge` tells whoever
    follows the alerts. What shows patients or changes the
    store is in the `ledger` before it is answered.
    """
    app = FastAPI(openapi_url=None)

    @app.exception_handler(TwinError)
    async def explain(request: Request, error: TwinError) -> JSONResponse:
        return JSONResponse(describe(error), status_code=400)

    @app.get("/hello")
    def hello() -> Response:
        return _json(
            {
                "settings": twin.settings.model_dump(
                    mode="json", by_alias=True, exclude={"secrets"}
                ),
                "now": twin.clock.now(),
                "pid": os.getpid(),
                "demo": twin.is_demo(),
            }
        )

    @app.post("/ask/{operation}")
    def ask(operation: str, asked: dict[str, Any]) -> Response:
        def answered() -> Any:
            if operation == "sql":
                return sql(asked["sql"], asked.get("profile"))._asdict()
            if operation == "feeds":
                return feeds()
            if operation == "alerts_ack":
                return acknowledge(str(asked["alert_id"]), str(asked["by"]))
            if operation not in OPERATIONS:
                raise UsageError(f"The server does not know {operation}.", do="Restart it.")
            return OPERATIONS[operation](twin, asked)

        why = twin.settings.audit.purpose
        return _json(
            recorded(ledger, operation, asked, answered, twin.query, via="socket", why=why)
        )

    @app.post("/receipts")
    async def receipts(request: Request, from_file: bool = True) -> Response:
        receipts = decode_receipts(await request.body())
        submitted = twin.submit(receipts, from_file=from_file)
        return _json(await asyncio.wrap_future(submitted))

    @app.get("/position")
    def position() -> Response:
        return _json(twin.position())

    return app


def _json(answer: Any) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")

"""`wardtwin serve`: listen to real feeds and show the twin."""

import asyncio
import logging

from api.commands import Call, Command
from api.logs import log_to
from api.serving import Server

log = logging.getLogger(__name__)


def run(call: Call) -> int:
    """Serve until SIGINT or SIGTERM."""
    log_to(call.terminal.err)
    try:
        asyncio.run(_serve(call))
    except KeyboardInterrupt:
        # The interrupt came before the server could listen for it.
        return 0
    return 0


async def _serve(call: Call) -> None:
    async with Server(call.settings) as server:
        _announce(call, server)
        await server.wait()
        call.terminal.note("Stopping: answering what is under way, then closing the store.")


def _announce(call: Call, server: Server) -> None:
    if call.terminal.as_json:
        call.terminal.json(
            {
                "store": str(call.path),
                "mllp_port": server.mllp_port,
                "http_port": server.http_port,
                "url": server.url,
            }
        )
    else:
        host = call.settings.mllp.host
        call.terminal.line(f"Store  {call.path}")
        call.terminal.line(f"MLLP   {host}:{server.mllp_port}")
        call.terminal.line(f"Board  {server.url}")
        call.terminal.line(f"API    {server.url}docs")
    call.terminal.out.flush()


COMMAND = Command(
    name="serve",
    help="listen to MLLP and HTTP, and show the board",
    description=(
        "Open the store, listen for HL7 v2 over MLLP and for HL7 v2 and FHIR over HTTP, and serve\n"
        "the API and the board, on this machine only. Ends cleanly on Ctrl-C and on SIGTERM."
    ),
    examples=(
        "wardtwin serve --db hospital.duckdb",
        "wardtwin serve --config site.toml --mllp-port 6661",
    ),
    run=run,
)

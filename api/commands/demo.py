"""`wardtwin demo`: a living hospital that sends real messages to a real server."""

import argparse

from api.commands import Call, Command
from twin_core.errors import UsageError

SPEED = 60.0


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speed", type=float, default=SPEED, help="hospital seconds per second")
    parser.add_argument("--days", type=float, help="days to back-fill (30), or to check (10)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another hospital life")
    parser.add_argument("--hospital", default="riverside", help="which hospital (riverside)")
    parser.add_argument(
        "--feed-to", metavar="HOST:PORT", help="also feed this MLLP listener with every message"
    )
    parser.add_argument(
        "--check", action="store_true", help="run a bounded period and compare with the truth"
    )


def run(call: Call) -> int:
    """Back-fill and go on living until Ctrl-C; or check, and exit 1 where anything differs."""
    # Imported here, because the server and the hospital take longer to load than any other command.
    from api.demonstrating import check, live

    options = call.options
    if options.speed <= 0 or (options.days is not None and options.days <= 0):
        raise UsageError("A demo needs a speed and a number of days above 0.")
    return check(call) if options.check else live(call)


COMMAND = Command(
    name="demo",
    help="a living demo hospital, with its board",
    description=(
        "Start the server and a simulated hospital that sends it HL7 v2 over MLLP and FHIR over\n"
        "HTTP: 30 days of history first, then live. With --check, prove that the store equals the\n"
        "truth. The demo's store is wardtwin-demo.duckdb in this folder, made anew each time."
    ),
    examples=(
        "wardtwin demo",
        "wardtwin demo --speed 600 --days 7",
        "wardtwin demo --feed-to 127.0.0.1:6661",
        "wardtwin demo --check --days 10",
    ),
    arguments=_arguments,
    run=run,
)

"""`wardtwin feed`: feeds before they go live, and while they are."""

from typing import Any

from api.commands import Call, Command
from api.commands.feed_check import CHECK
from api.desk import desk

_COLUMNS = (
    "feed",
    "state",
    "address",
    "connections",
    "accepted",
    "duplicates",
    "rejected",
    "p50",
    "p99",
    "last_message_at",
)


def list_all(call: Call) -> int:
    """Print every feed; findings (exit 1) where one is silent or its certificate ends."""
    with desk(call) as answering:
        feeds = answering.ask("feeds")
    if call.terminal.as_json:
        call.terminal.json(feeds)
    else:
        call.terminal.table(_COLUMNS, [_row(feed) for feed in feeds])
    warned = [(feed["feed"], text) for feed in feeds for text in feed["warnings"]]
    for name, text in warned:
        call.terminal.note(f"Feed {name}: {text}.")
    return 1 if warned else 0


def _row(feed: dict[str, Any]) -> dict[str, Any]:
    listener = feed["listener"] or {}
    secured = " TLS" if feed["tls"] else ""
    return feed | {
        "address": f"{feed['address']}{secured}" if feed["address"] else None,
        "connections": listener.get("connections"),
        "p50": _within(feed["answered_within_p50_s"]),
        "p99": _within(feed["answered_within_p99_s"]),
    }


def _within(seconds: float | None) -> str | None:
    return None if seconds is None else f"<= {seconds * 1000:g} ms"


COMMAND = Command(
    name="feed",
    help="try a feed before it goes live, and see how every feed is doing",
    examples=("wardtwin feed list", *CHECK.examples),
    commands=(
        Command(
            name="list",
            help="listeners, counts, delays and silences; exit 1 on a warning",
            examples=("wardtwin feed list --db hospital.duckdb",),
            run=list_all,
        ),
        CHECK,
    ),
)

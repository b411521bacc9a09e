"""`wardtwin alerts`: what is beyond its threshold, who knows of it, and how often it would be."""

import argparse

from api.commands import Call, Command
from api.desk import desk
from twin_core.errors import UsageError

_COLUMNS = (
    "alert_id",
    "name",
    "state",
    "facility",
    "unit",
    "opened_at",
    "opened_value",
    "acknowledged_by",
    "closed_at",
)
_FIRINGS = ("name", "facility", "unit", "opened_at", "opened_value", "closed_at")


def _listed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("open", "acknowledged", "closed"))
    parser.add_argument("--limit", metavar="N", type=int, default=100, help="how many at most")


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("alert_id", metavar="ALERT_ID")
    parser.add_argument("--by", metavar="WHO", required=True, help="who knows of it")


def _replayed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the NAME of [alerts.NAME]")
    parser.add_argument("--from", dest="start", metavar="T", help="first instant or day")
    parser.add_argument("--to", dest="end", metavar="T", help="end, exclusive")
    parser.add_argument(
        "--every", metavar="MINUTES", type=float, default=60.0, help="how often to look (60)"
    )
    parser.add_argument(
        "--as-known", action="store_true", help="with what was known at each instant"
    )


def list_all(call: Call) -> int:
    """Print the alerts, the latest first."""
    if call.options.limit < 1:
        raise UsageError("--limit is 1 or more.", do="Leave it out for the latest hundred.")
    with desk(call) as answering:
        rows = answering.ask("alerts_list", state=call.options.state, limit=call.options.limit)
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(_COLUMNS, rows)
    return 0


def acknowledge(call: Call) -> int:
    """Note that somebody knows of an alert."""
    with desk(call) as answering:
        row = answering.ask("alerts_ack", alert_id=call.options.alert_id, by=call.options.by)
    if call.terminal.as_json:
        call.terminal.json(row)
    else:
        call.terminal.table(_COLUMNS, [row])
    return 0


def replay(call: Call) -> int:
    """Print the alerts that a rule of the settings would have opened over a window."""
    options = call.options
    if not options.every > 0:
        raise UsageError("--every is a number of minutes above 0.")
    # A rule is tried before it is in force: the settings of this call count, not the server's.
    rule = call.settings.alerts.get(options.name)
    tried = rule and rule.model_dump(mode="json", exclude={"secret", "webhook"})
    with desk(call) as answering:
        found = answering.ask(
            "alerts_replay",
            name=options.name,
            rule=tried,
            start=options.start,
            end=options.end,
            every=options.every,
            as_known=options.as_known,
        )
    if call.terminal.as_json:
        call.terminal.json(found)
    else:
        call.terminal.table(_FIRINGS, found)
        call.terminal.note(f"{len(found)} alerts.")
    return 0


COMMAND = Command(
    name="alerts",
    help="alerts on KPIs: list, acknowledge, replay over history",
    examples=(
        "wardtwin alerts list --state open",
        "wardtwin alerts ack a0123456789abcdef --by 'bed manager'",
        "wardtwin alerts replay crowded --from 2026-11-01 --to 2026-11-08",
    ),
    commands=(
        Command(
            name="list",
            help="alerts, the latest first",
            examples=("wardtwin alerts list --state open",),
            arguments=_listed,
            run=list_all,
        ),
        Command(
            name="ack",
            help="note that somebody knows of an alert",
            examples=("wardtwin alerts ack a0123456789abcdef --by 'bed manager'",),
            arguments=_one,
            run=acknowledge,
        ),
        Command(
            name="replay",
            help="how often a rule of the settings would have fired",
            examples=("wardtwin alerts replay crowded --from 2026-11-01 --every 30",),
            arguments=_replayed,
            run=replay,
        ),
    ),
)

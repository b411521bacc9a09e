"""What can be asked of a store, as functions from a Twin to plain JSON values.

The holder of a store answers these for other processes, and a command that opens the store itself
calls the very same functions: that is why both print the same.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from api.audit.opening import copied_accesses
from api.audit.operating import local_user
from api.erasing import reported
from api.explaining import explain_message, find_message
from api.feeds import Feeds
from api.outbound import status
from api.retaining import due, run_due
from api.sidecar.rows import plain
from api.simulations.desk import copied_simulations
from api.sources import status as source_status
from api.sources.open_encounters import open_encounters
from api.translating import Reader, retranslated
from twin_core import Twin
from twin_core.errors import UsageError
from twin_core.kpi import Figure, KpiRow
from twin_core.kpi.catalogue import definition
from twin_core.kpi.charting import Baseline
from twin_core.kpi.control import BASELINE
from twin_core.kpi.measuring import explained
from twin_core.kpi.tracing import PAGE
from twin_core.settings import AlertSettings
from twin_core.store.saved import QUERY_NAME, SavedQuery

Parameters = Mapping[str, Any]

LISTED = ("id", "title", "question", "unit", "origin", "replaces", "supplied_by")
"""What a list of KPIs says of each."""


def kpi(twin: Twin, asked: Parameters) -> Any:
    """The rows of one KPI over a window; the last seven whole days where none is given."""
    window = (asked["kpi"], asked.get("start"), asked.get("end"))
    how: dict[str, Any] = {
        "grain": asked.get("grain") or "day",
        "by": asked.get("by") or "unit",
        "known_at": asked.get("known_at"),
    }
    rows: Sequence[KpiRow]
    if asked.get("compare"):
        rows = twin.kpi_compared(*window, **how, compare=asked["compare"])
    else:
        rows = twin.kpi(*window, **how)
    return [plainly(row) for row in rows]


def kpi_changes(twin: Twin, asked: Parameters) -> Any:
    """What messages later than an instant changed in the figures of one KPI."""
    found = twin.kpi_changes(
        asked["kpi"],
        asked.get("start"),
        asked.get("end"),
        known_at=asked["known_at"],
        grain=asked.get("grain") or "day",
        by=asked.get("by") or "unit",
    )
    return [plainly(change) for change in found]


def kpi_chart(twin: Twin, asked: Parameters) -> Any:
    """The run charts of one KPI, with control limits and signals."""
    charts = twin.kpi_charts(
        asked["kpi"],
        asked.get("start"),
        asked.get("end"),
        grain=asked.get("grain") or "day",
        by=asked.get("by") or "unit",
        known_at=asked.get("known_at"),
        statistic=asked.get("statistic"),
        baseline=Baseline(int(asked.get("baseline") or BASELINE)),
    )
    return msgspec.to_builtins(charts)


def kpis(twin: Twin, asked: Parameters) -> Any:
    """The catalogue: the built-in KPIs and the site's own."""
    return [told.model_dump(mode="json", include=set(LISTED)) for told in twin.kpis.values()]


def kpi_explain(twin: Twin, asked: Parameters) -> Any:
    """One KPI in words and in SQL, its figures, and the rows behind them with their messages."""
    meant = Figure(
        facility=asked.get("facility"),
        unit=asked.get("unit"),
        period=asked.get("period"),
        stratum=asked.get("stratum"),
        statistic=asked.get("statistic"),
    )
    question: dict[str, Any] = {
        "grain": asked.get("grain") or "day",
        "by": asked.get("by") or "unit",
        "known_at": asked.get("known_at"),
    }
    kpi_id, limit = str(asked["kpi"]), int(asked.get("limit") or PAGE)
    told = definition(kpi_id, twin.kpis)
    window = twin.window(asked.get("start"), asked.get("end"))
    rows = (
        twin.kpi_rows(kpi_id, *window, **question, figure=meant, limit=limit + 1)
        if told.behind
        else []
    )
    return {
        "id": told.id,
        "words": explained(told),
        "sql": told.rule,
        "start": window.start,
        "end": window.end,
        **question,
        "rows": plainly(rows[:limit]),
        "more": len(rows) > limit,
    }


def state(twin: Twin, asked: Parameters) -> Any:
    """The hospital at an instant, as known at another."""
    at, known_at = _instant(asked.get("at")), _instant(asked.get("known_at"))
    return msgspec.to_builtins(twin.state(at, known_at))


def history(twin: Twin, asked: Parameters) -> Any:
    """What a model is calibrated from: stays over a window, without who the patients are."""
    from twin_core.simulation.calibrate.passing import plain

    read = twin.history(
        _instant(asked.get("end")),
        start=_instant(asked.get("start")),
        known_at=_instant(asked.get("known_at")),
        facility=asked.get("facility"),
    )
    return plain(read)


def quarantine_list(twin: Twin, asked: Parameters) -> Any:
    """The messages that could not be applied, newest first."""
    return [plainly(message) for message in twin.quarantined(int(asked.get("limit") or 100))]


def quarantine_show(twin: Twin, asked: Parameters) -> Any:
    """One message: why it is in quarantine, and its raw bytes as text."""
    message_id = int(asked["message_id"])
    shown: dict[str, Any] = plainly(twin.message(message_id))
    [kept] = twin.query(
        "SELECT faults FROM core.message WHERE message_id = $message_id", {"message_id": message_id}
    )
    shown["faults"] = json.loads(str(kept["faults"] or "[]"))
    shown["kept"] = twin.has_raw(message_id)
    shown["raw"] = twin.raw(message_id).decode("utf-8", "replace") if shown["kept"] else ""
    return shown


def quarantine_replay(twin: Twin, asked: Parameters) -> Any:
    """Translate quarantined messages again, with the settings of now, and try to apply them."""
    wanted = asked.get("message_ids") or [
        message.message_id for message in twin.quarantined(int(asked.get("limit") or 10_000))
    ]
    replayed = [_replayed(twin, int(message_id)) for message_id in wanted]
    twin.wait_applied()
    return replayed


def message_explain(twin: Twin, asked: Parameters) -> Any:
    """A message of the store field by field, what it became and the rows it changed."""
    message_id, phi = int(asked["message_id"]), bool(asked.get("phi"))
    return explain_message(twin, message_id, phi=phi, most=int(asked["most"]))


def message_find(twin: Twin, asked: Parameters) -> Any:
    """Under which id the store knows a message of a sender, if it does."""
    return find_message(
        twin,
        sender=asked["sender"],
        control_id=asked["control_id"],
        digest=asked["digest"],
        raw_sha256=asked["raw_sha256"],
    )


def feeds(twin: Twin, asked: Parameters) -> Any:
    """How every feed is doing, as far as the store alone can tell: a server says more."""
    return msgspec.to_builtins(Feeds(twin).reports())


def backup(twin: Twin, asked: Parameters) -> Any:
    """Copy both halves of the store at one position into a folder, and the ledgers beside it."""
    folder = Path(asked["destination"])
    # Copied first: a ledger may lag behind its store, and must not be ahead of it.
    ledger = [
        *status.copied_ledger(twin, folder),
        *source_status.copied_ledger(twin, folder),
        *copied_simulations(twin, folder),
        *copied_accesses(twin.path, folder),
    ]
    return plainly(twin.backup(folder, ledger))


def sources_list(twin: Twin, asked: Parameters) -> Any:
    """The FHIR servers that are read, and how each is doing."""
    return plainly(source_status.sources(twin))


def source_open_encounters(twin: Twin, asked: Parameters) -> Any:
    """The encounters of a FHIR server that are not over, with the version known of each."""
    return plainly(open_encounters(twin, str(asked["source"])))


def store_id(twin: Twin, asked: Parameters) -> Any:
    """The id of the store, which files beside it carry, too."""
    return source_status.store_id(twin)


def query_list(twin: Twin, asked: Parameters) -> Any:
    """Queries that whoever runs this program may ask by name."""
    return [plainly(one) for one in twin.saved_queries(_owner())]


def query_show(twin: Twin, asked: Parameters) -> Any:
    """A saved query."""
    return plainly(twin.saved_query(_owner(), str(asked["query"])))


def query_keep(twin: Twin, asked: Parameters) -> Any:
    """Keep a query by a name; whoever asks has tried it."""
    name = str(asked["query"])
    if not re.fullmatch(QUERY_NAME, name):
        raise UsageError("A name has letters, digits, . _ - and spaces, 80 at most.")
    query = SavedQuery(
        name=name,
        owner=_owner(),
        shared=bool(asked["shared"]),
        release=str(asked["release"]),
        sql=str(asked["sql"]),
        about=str(asked["about"]),
        saved_at=twin.clock.now(),
    )
    twin.save_query(query)
    return plainly(query)


def query_forget(twin: Twin, asked: Parameters) -> Any:
    """Forget one's own query."""
    twin.forget_query(_owner(), str(asked["query"]))
    return None


def _owner() -> str:
    """Whose queries a program of this machine's user keeps; nobody over HTTP is called so."""
    return f"local {local_user().id}"


def outbound_list(twin: Twin, asked: Parameters) -> Any:
    """The destinations that are fed, and how each is doing."""
    return plainly(status.destinations(twin))


def outbound_show(twin: Twin, asked: Parameters) -> Any:
    """One destination with its parked messages."""
    return plainly(status.destination(twin, str(asked["destination"])))


def outbound_retry(twin: Twin, asked: Parameters) -> Any:
    """Ask for another try of parked messages, and let a stopped destination go on."""
    wanted = [int(message_id) for message_id in asked.get("message_ids") or ()]
    return plainly(status.retry(twin, str(asked["destination"]), wanted))


def deid_publish(twin: Twin, asked: Parameters) -> Any:
    """Write a de-identified release of the store into a file, with the figures of every week."""
    if asked["profile"] != "limited":
        twin.publish_figures()
    published = twin.publish(
        Path(asked["path"]),
        asked["profile"],
        cut_off=_instant(asked.get("cut_off")),
        precision=asked.get("precision") or "hour",
    )
    return msgspec.to_builtins(published)


def retention_show(twin: Twin, asked: Parameters) -> Any:
    """What is kept for how long, and what would be removed now."""
    return plainly(due(twin))


def retention_run(twin: Twin, asked: Parameters) -> Any:
    """Remove what is kept longer than the settings say."""
    return plainly(run_due(twin))


def erase_plan(twin: Twin, asked: Parameters) -> Any:
    """What an erasure of a patient would remove, and what is left for others to remove."""
    return plainly(reported(twin, twin.belongings(str(asked["patient"]))))


def alerts_list(twin: Twin, asked: Parameters) -> Any:
    """Alerts, the latest first."""
    return plainly(twin.alerts(asked.get("state"), limit=int(asked.get("limit") or 100)))


def alerts_ack(twin: Twin, asked: Parameters) -> Any:
    """Note that somebody knows of an alert."""
    return plainly(twin.acknowledge_alert(str(asked["alert_id"]), str(asked["by"])))


def alerts_replay(twin: Twin, asked: Parameters) -> Any:
    """How often a rule would have fired over a window."""
    rule = asked.get("rule")
    firings = twin.replay_alerts(
        str(asked["name"]),
        asked.get("start"),
        asked.get("end"),
        rule=AlertSettings.model_validate(rule) if rule else None,
        every=timedelta(minutes=float(asked["every"])),
        as_known=bool(asked.get("as_known")),
    )
    return plainly(firings)


OPERATIONS: dict[str, Callable[[Twin, Parameters], Any]] = {
    "kpi": kpi,
    "kpi_changes": kpi_changes,
    "kpi_chart": kpi_chart,
    "kpi_explain": kpi_explain,
    "kpis": kpis,
    "state": state,
    "history": history,
    "message_explain": message_explain,
    "message_find": message_find,
    "quarantine_list": quarantine_list,
    "quarantine_show": quarantine_show,
    "quarantine_replay": quarantine_replay,
    "backup": backup,
    "deid_publish": deid_publish,
    "erase_plan": erase_plan,
    "retention_show": retention_show,
    "retention_run": retention_run,
    "feeds": feeds,
    "sources_list": sources_list,
    "source_open_encounters": source_open_encounters,
    "store_id": store_id,
    "query_list": query_list,
    "query_show": query_show,
    "query_keep": query_keep,
    "query_forget": query_forget,
    "outbound_list": outbound_list,
    "outbound_show": outbound_show,
    "outbound_retry": outbound_retry,
    "alerts_list": alerts_list,
    "alerts_ack": alerts_ack,
    "alerts_replay": alerts_replay,
}


def _replayed(twin: Twin, message_id: int) -> dict[str, Any]:
    message = twin.message(message_id)
    received_at = message["received_at"]
    if not isinstance(received_at, datetime):
        raise UsageError(f"Message {message_id} was never received.", do="Send it again.")
    reader = Reader(twin.settings, str(message["feed"]), received_at)
    outcome = retranslated(twin.raw(message_id), str(message["format"]), reader)
    answer = twin.replay(message_id, outcome)
    return {"message_id": message_id, "status": answer.status, "code": answer.code}


def plainly(answer: Any) -> Any:
    """A row of the core (a struct or a named tuple) as plain JSON values."""
    if isinstance(answer, msgspec.Struct):
        answer = msgspec.structs.asdict(answer)
    elif hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if isinstance(answer, Mapping):
        return {str(name): plainly(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plainly(value) for value in answer]
    return plain(answer)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

"""The twin's one front door: open a store, put messages in, ask what is and what was."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

import msgspec

from twin_core.clock import Clock, SystemClock
from twin_core.deid import Profile, rules
from twin_core.deid.live import Aggregates, Limited
from twin_core.deid.publish import Precision
from twin_core.deid.releasing import Published, known_words, publish
from twin_core.encryption import EXPORTS, StoreKey, hand_over, read_key, settle_beside
from twin_core.errors import StoreError, TwinError, UsageError
from twin_core.events import Rejection, Translation
from twin_core.inbox import Answer, Beside, EncodedReceipt, Receipt, Stored, Tally, decode_entries
from twin_core.kpi import alerting, catalogue
from twin_core.kpi.alerting import Alert, Firing, State, alert_of
from twin_core.kpi.changing import KpiChange, changes
from twin_core.kpi.charting import Baseline, KpiChart, charts
from twin_core.kpi.comparing import ComparedRow, compared
from twin_core.kpi.disclosure import due, weekly
from twin_core.kpi.kept import KeptKpis, Measured, Site
from twin_core.kpi.live import Lately, LiveKpis
from twin_core.kpi.measuring import Edge, KpiRow, Window, hospital_zone, measure, window_of
from twin_core.kpi.site import judge, known_kpis
from twin_core.kpi.tracing import PAGE, Figure, RowBehind, rows_behind
from twin_core.kpi.watch import Watch
from twin_core.kpi.weekly_visits import visits_until, weekly_visits
from twin_core.settings import AlertSettings, Settings
from twin_core.state import HospitalState, hospital_state
from twin_core.state.kept import KeptState
from twin_core.store.alerts import alert_rows, one_alert, write_alerts
from twin_core.store.backup import write_manifest
from twin_core.store.database import Database, Row, connect, get_meta, install_views, set_rows
from twin_core.store.erasing import Erasure, carry_out, found, order
from twin_core.store.figures import add_figures, published_until
from twin_core.store.opening import inbox_path, open_store
from twin_core.store.projection import BatchApplied, Projection
from twin_core.store.projector import Projector
from twin_core.store.rebuild import Retranslate, rebuild_store
from twin_core.store.rekeying import rekey
from twin_core.store.replica import copy_changes, copy_tables
from twin_core.store.retention import Kept, RawKind, older, prune
from twin_core.store.saved import SavedQuery, forget, save, saved_queries, saved_query
from twin_core.store.staging import Staging
from twin_core.store.sums import table_sums
from twin_core.store.touched import Touched, touched

if TYPE_CHECKING:
    from twin_core.simulation.calibrate import Calibration, History
    from twin_core.simulation.forecasting import Forecast

__all__ = ["BatchApplied", "QuarantinedMessage", "Twin"]

log = logging.getLogger(__name__)


class QuarantinedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be applied, and why. Its bytes are kept; see `Twin.raw`."""

    message_id: int
    format: str
    feed: str
    sender: str
    control_id: str
    trigger_event: str
    received_at: datetime
    code: str
    reason: str
    origin: str
    faults: list[dict[str, str]]


class Twin:
    """An open store: what hospitals send goes in, what is true comes out.

    >>> with Twin.open("hospital.duckdb") as twin:         # doctest: +SKIP
    ...     twin.kpi("occ_midnight", "2026-11-01", "2026-11-08")
    """

    def __init__(
        self, path: Path, settings: Settings, clock: Clock, *, demo: bool, create: bool
    ) -> None:
        self.path, self.settings, self.clock = path, settings, clock
        self.kpis = known_kpis(settings.kpi.folder)
        """The KPIs by id: the built-in ones and the site's own."""
        alerting.checked(settings.alerts, self.kpis)
        self._watch = Watch(settings.alerts, self.kpis, self._measured_whole)
        self._macros = catalogue.statements(self.kpis, settings.kpi.buildings)
        self.key: StoreKey | None = read_key(settings.encryption)
        """What both halves are encrypted by, if they are."""
        self._database, self._inbox = open_store(
            path,
            settings,
            clock,
            macros=self._macros,
            judge=self._judge,
            demo=demo,
            create=create,
            key=self.key,
        )
        try:
            if self.key is not None:
                settle_beside(path, self.key)
        except TwinError as error:
            # Whoever needs that file refuses it; messages go on being taken meanwhile.
            log.warning("a file beside the store is not sealed: %s", error)
        set_rows(self._database.connection, "facility", _facility_rows(settings))
        set_rows(self._database.connection, "kpi_setting", settings.kpi.rows())
        self._demo = get_meta(self._database.connection, "demo") == "true"
        self._live: dict[str, LiveKpis] = {}
        self._kept = KeptKpis(_site(settings))
        self._publishing = threading.Lock()
        self._present = KeptState()
        self._listeners: list[Callable[[BatchApplied], None]] = [
            self._kept.note,
            self._present.note,
        ]
        projection = Projection(self._database, settings.precedence)
        self._projector = Projector(self._inbox, projection, self._listeners)
        self._projector.catch_up()
        self._inbox.start()
        self._projector.start()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        demo: bool = False,
        create: bool = True,
    ) -> Self:
        """Open a store, making it where there is none; acknowledged messages are applied first.

        Raises StoreBusy, StoreMismatch, StoreVersion, WrongKey, ConfigurationError for a key that
        is missing or unusable, or StoreError: each says what to do.
        """
        return cls(
            Path(path), settings or Settings(), clock or SystemClock(), demo=demo, create=create
        )

    def close(self) -> None:
        """Commit and apply what was accepted, then let go of the files."""
        self._projector.stop()
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- in ----------------------------------------------------------------------------------

    def submit(
        self, receipts: Sequence[Receipt | EncodedReceipt], *, from_file: bool = False
    ) -> "Future[list[Answer]]":
        """Make receipts durable, all or none; the future is done when they are on disk.

        It raises StoreError where nothing was stored: tell the sender to try again. Receipts
        `from_file` are durable as files: a crash before they are applied forgets them, and
        ingesting the file again applies just what is missing.
        """
        return self._inbox.submit(receipts, from_file=from_file)

    def beside(self) -> Beside | None:
        """What another process needs to make receipts of files durable here (`FileIntake`).

        None while one does already. Call `end_beside` when that process is gone.
        """
        return self._inbox.beside(self.key)

    def end_beside(self) -> None:
        """Forget what the other process made durable and did not hand over to `carry`."""
        self._inbox.end_beside()

    def carry(self, stored: Stored) -> None:
        """Apply what another process has made durable of files here."""
        self._inbox.carry(decode_entries(stored.entries), stored.journal)

    def load(self) -> None:
        """Apply larger batches from now on: many messages are to come, and nobody watches."""
        self._database.load()
        self._projector.load()

    def staging(self) -> Staging:
        """The files that are durable here and not applied yet, and how to add to them."""
        return Staging(self._database, self._projector.pause)

    def receive(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """`submit`, and wait for the answers."""
        return self.submit(receipts).result()

    def replay(self, message_id: int, outcome: Translation | Rejection) -> Answer:
        """Try a quarantined message again, with what its adapter makes of it now.

        It keeps its message_id; what it says becomes known now. Raises UsageError where the
        message is not in quarantine.
        """
        message = self.message(message_id)
        if message["status"] != "quarantined":
            raise UsageError(
                f"Message {message_id} is not in quarantine.",
                why=f"Its status is {message['status']}.",
                do="List what is with `wardtwin quarantine list`.",
            )
        receipt = Receipt(
            format=str(message["format"]),
            feed=str(message["feed"]),
            raw=self.raw(message_id),
            outcome=outcome,
            origin=str(message["origin"]),
        )
        return self._inbox.submit([receipt], replay_of=message_id).result()[0]

    def wait_applied(self, position: int | None = None, timeout: float = 60.0) -> None:
        """Wait until a position (by default all that is durable now) can be seen.

        Raises StoreError when the time is up, saying what the projection waits for.
        """
        wanted = self._inbox.high if position is None else position
        if not self._projector.wait(wanted, timeout):
            raise StoreError(
                f"Messages up to {wanted} were not applied within {timeout:g} s.",
                why=self._projector.failure or f"The projection is at {self.position()}.",
            )

    # --- out ---------------------------------------------------------------------------------

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Row]:
        """Rows of the product's own SQL. Analysts' SQL runs in a sidecar, never here."""
        return self._database.query(sql, parameters)

    def kpi(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        grain: str = "day",
        by: str = "unit",
        known_at: Edge | None = None,
    ) -> list[KpiRow]:
        """A KPI over a window, as known now or at an instant.

        A date, or an instant without an offset, is local to the hospital; without a window it is
        the last seven whole days. Raises UsageError for an unknown KPI, grain or grouping.
        """
        window, kpi = self.window(start, end), catalogue.definition(kpi_id, self.kpis)
        return measure(self.query, kpi, *window, grain=grain, by=by, known_at=known_at)

    def kpi_compared(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        grain: str = "day",
        by: str = "unit",
        known_at: Edge | None = None,
        compare: str = "previous",
    ) -> list[ComparedRow]:
        """A KPI over a window, every figure with that of the same period before, or a year ago.

        Windows as in `kpi`. Raises UsageError, too, for another `compare` than previous or year.
        """
        kpi = catalogue.definition(kpi_id, self.kpis)

        def measured(window: Window) -> list[KpiRow]:
            return measure(self.query, kpi, *window, grain=grain, by=by, known_at=known_at)

        window, zone = self.window(start, end), hospital_zone(self.query)
        return compared(measured, window, grain, compare, zone)

    def kpi_changes(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        known_at: Edge,
        grain: str = "day",
        by: str = "unit",
    ) -> list[KpiChange]:
        """What messages later than an instant changed in a KPI's figures over a window.

        Windows and words as in `kpi`; figures that are as they were have no row.
        """
        window, kpi = self.window(start, end), catalogue.definition(kpi_id, self.kpis)
        then = measure(self.query, kpi, *window, grain=grain, by=by, known_at=known_at)
        return changes(then, measure(self.query, kpi, *window, grain=grain, by=by))

    def kpi_charts(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        grain: str = "day",
        by: str = "unit",
        known_at: Edge | None = None,
        statistic: str | None = None,
        baseline: Baseline | None = None,
        rows: Sequence[KpiRow] | None = None,
    ) -> list[KpiChart]:
        """The run charts of a KPI over a window, with control limits and signals, one per place.

        Windows as in `kpi`, whose rows may be given where they have been measured already. Raises
        UsageError, too, for a statistic that the KPI does not have.
        """
        return charts(
            self.query,
            catalogue.definition(kpi_id, self.kpis),
            self.window(start, end),
            grain=grain,
            by=by,
            known_at=known_at,
            statistic=statistic,
            baseline=baseline,
            rows=rows,
        )

    def kpi_rows(
        self,
        kpi_id: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        grain: str = "day",
        by: str = "unit",
        known_at: Edge | None = None,
        figure: Figure | None = None,
        limit: int = PAGE,
        offset: int = 0,
    ) -> list[RowBehind]:
        """The rows behind the figures that `kpi` gives for the same question, with their messages.

        `figure` chooses among the figures. Raises UsageError as `kpi` does, and for a KPI whose
        file tells no rows.
        """
        return rows_behind(
            self.query,
            catalogue.definition(kpi_id, self.kpis),
            *self.window(start, end),
            grain=grain,
            by=by,
            known_at=known_at,
            figure=figure,
            limit=limit,
            offset=offset,
        )

    def kpis_lately(
        self,
        hours: float = 24,
        *,
        by: str = "hospital",
        rest: Callable[[float], None] = lambda took: None,
    ) -> Lately:
        """The whole catalogue over the last hours, in one go and at little cost.

        The rows of each KPI are those of `kpi` over the same window, with grain `all`. KPIs that
        have no inputs yet, or that cannot be told apart `by`, are not in it. It calls `rest` with
        the seconds of each step of its work: who is in no hurry may leave the machine to others.
        """
        now, sequence = self.clock.now(), self.sequence()
        window = Window(now - timedelta(hours=hours), now)
        buildings = self.settings.kpi.buildings
        live = self._live.setdefault(by, LiveKpis(self.kpis, by=by, buildings=buildings))
        return Lately(window, sequence, live.measure(self._database, window, rest))

    def kpis_kept(self, windows: Mapping[str, Window]) -> Measured:
        """KPIs of the board over a window each, counted anew at very little cost after a batch.

        They are those of `twin_core.kpi.kept.COUNTED`. The headline of each is that of `kpi` for
        the hospital with grain `all`; a KPI that the site has written itself is not counted here.
        """
        own = {kpi for kpi, known in self.kpis.items() if known.origin == "site"}
        asked = {kpi: window for kpi, window in windows.items() if kpi not in own}
        if not asked:
            return Measured(self.sequence(), {})
        return self._kept.measure(self._database, asked)

    # --- saved queries -----------------------------------------------------------------------

    def saved_queries(self, owner: str) -> list[SavedQuery]:
        """Questions in SQL that somebody may ask by name, their own first."""
        return saved_queries(self._database, owner)

    def saved_query(self, owner: str, name: str) -> SavedQuery:
        """Their own question of this name, or the shared one; UsageError where there is none."""
        return saved_query(self._database, owner, name)

    def save_query(self, query: SavedQuery) -> None:
        """Keep a question; UsageError where somebody else shares one of its name."""
        with self._projector.pause:
            save(self._database, query)

    def forget_query(self, owner: str, name: str) -> None:
        """Remove one's own question; UsageError where there is none."""
        with self._projector.pause:
            forget(self._database, owner, name)

    # --- alerts ------------------------------------------------------------------------------

    def look_for_alerts(self) -> list[Alert]:
        """Judge every figure that the site watches, now; the alerts that opened or closed by it."""
        at, zone = self.clock.now(), hospital_zone(self.query)
        return self._watch.look(self._database, at, zone, self._write_alerts)

    def alerts(
        self, state: State | None = None, *, kpi_id: str | None = None, limit: int = 100
    ) -> list[Alert]:
        """Alerts, the latest first; of one state, or about one KPI, where that is given."""
        clause = "($kpi::VARCHAR IS NULL OR kpi = $kpi)"
        rows = alert_rows(self._database, clause=clause, asked={"kpi": kpi_id})
        found = [alert_of(row) for row in rows]
        return [alert for alert in found if state in (None, alert.state)][:limit]

    def current_alerts(self) -> list[Alert]:
        """Every alert that is not closed, acknowledged or not, the latest first."""
        return [alert_of(row) for row in alert_rows(self._database, clause="closed_at IS NULL")]

    def alert(self, alert_id: str) -> Alert:
        """One alert. Raises UsageError where there is none."""
        return alert_of(one_alert(self._database, alert_id))

    def acknowledge_alert(self, alert_id: str, by: str) -> Alert:
        """Note that somebody knows of an alert; who does it again is not noted.

        Raises UsageError where there is none.
        """
        self.alert(alert_id)
        noted: Row = {"id": alert_id, "at": self.clock.now(), "by": by}
        self._write_alerts([], [("acknowledged", noted)])
        return self.alert(alert_id)

    def untold_alerts(self) -> list[tuple[Alert, datetime | None]]:
        """Alerts whose webhook does not know the latest of them, and how far it was told."""
        clause = "(told_at IS NULL OR told_at < greatest(opened_at, acknowledged_at, closed_at))"
        rows = alert_rows(self._database, clause=clause)
        return [(alert_of(row), row["told_at"]) for row in reversed(rows)]  # type: ignore[misc]

    def alert_told(self, alert_id: str, until: datetime) -> None:
        """Note how far the webhook of an alert was told."""
        self._write_alerts([], [("told", {"id": alert_id, "at": until})])

    def replay_alerts(
        self,
        name: str,
        start: Edge | None = None,
        end: Edge | None = None,
        *,
        rule: AlertSettings | None = None,
        every: timedelta = timedelta(hours=1),
        as_known: bool = False,
    ) -> list[Firing]:
        """How often a rule would have fired over a window, had it looked `every`.

        The rule is that of the settings, or one to be tried. Figures are as known now, or with
        `as_known` as they were known at each instant. Raises UsageError for a rule that does not
        exist.
        """
        rule = rule or alerting.rule_named(self.settings.alerts, name)
        alerting.checked({name: rule}, self.kpis)
        kpi, hours = self.kpis[rule.kpi], timedelta(hours=rule.hours)

        def figures_at(at: datetime) -> dict[alerting.Place, float]:
            known = at if as_known else None
            rows = self.kpi(kpi.id, at - hours, at, grain="all", by=rule.by, known_at=known)
            return alerting.values(rule, kpi, rows)

        instants = list(alerting.stepped(*self.window(start, end), every))
        return alerting.replayed(name, rule, figures_at, instants, hospital_zone(self.query))

    def _write_alerts(self, opened: list[Row], changed: list[tuple[str, Row]]) -> None:
        # Between two batches: only one transaction at a time may write.
        with self._projector.pause:
            write_alerts(self._database, opened, changed)

    def _measured_whole(self, kpi_id: str, start: datetime, end: datetime, by: str) -> list[KpiRow]:
        return self.kpi(kpi_id, start, end, grain="all", by=by)

    def window(self, start: Edge | None = None, end: Edge | None = None) -> Window:
        """The window that is meant, by default the last seven whole days of the hospital."""
        return window_of(self.query, start, end, self.clock.now())

    def state(self, at: datetime | None = None, known_at: datetime | None = None) -> HospitalState:
        """The hospital at an instant (default now), as known at an instant (default now)."""
        when = at or self.clock.now()
        return hospital_state(self.query, at=when, known_at=known_at, sequence=self.sequence())

    def present(self) -> HospitalState:
        """The hospital now, as `state` gives it, made anew only where something has changed.

        Asked again and again it costs what the batches in between have touched, however large the
        hospital is.
        """
        return self._present.state(self._database, self.clock.now)

    def history(
        self,
        end: datetime | None = None,
        *,
        start: datetime | None = None,
        known_at: datetime | None = None,
        facility: str | None = None,
    ) -> "History":
        """The stays of a facility until `end` (default now), as known at an instant (default now).

        Without `start` they begin where the feed does, at most 91 days before. Raises UsageError
        where there are none.
        """
        from twin_core.simulation.calibrate import read_history

        return read_history(
            self.query,
            end=end or self.clock.now(),
            start=start,
            known_at=known_at,
            facility=facility,
            position=self.sequence(),
        )

    def calibrate(
        self,
        end: datetime | None = None,
        *,
        start: datetime | None = None,
        known_at: datetime | None = None,
        facility: str | None = None,
    ) -> "Calibration":
        """A model of the hospital from its history, which is that of `history`."""
        from twin_core.simulation.calibrate import calibrated

        return calibrated(self.history(end, start=start, known_at=known_at, facility=facility))

    def forecast(
        self,
        hours: float = 72.0,
        *,
        at: datetime | None = None,
        known_at: datetime | None = None,
        replications: int = 400,
        seed: int = 0,
    ) -> "Forecast":
        """The hours after an instant (default now), from how the hospital stood, as known then.

        The model is calibrated from the history before; raises UsageError where there is none.
        """
        from twin_core.simulation.forecasting import forecast

        calibration = self.calibrate(at, known_at=known_at)
        return forecast(calibration, hours=hours, replications=replications, seed=seed)

    def quarantined(self, limit: int = 100) -> list[QuarantinedMessage]:
        """Messages in quarantine, the newest first."""
        rows = self.query(
            "SELECT message_id, format, feed, sender, control_id, trigger_event, received_at,"
            " code, reason, origin, faults FROM core.message WHERE status = 'quarantined'"
            " ORDER BY message_id DESC LIMIT $limit",
            {"limit": limit},
        )
        return [
            msgspec.convert({**row, "faults": json.loads(str(row["faults"]))}, QuarantinedMessage)
            for row in rows
        ]

    def message(self, message_id: int) -> Row:
        """One message as a row of `twin.message`. Raises UsageError where there is none."""
        rows = self.query(
            "SELECT * FROM twin.message WHERE message_id = $message_id", {"message_id": message_id}
        )
        if not rows:
            raise UsageError(f"There is no message {message_id}.")
        return rows[0]

    def raw(self, message_id: int) -> bytes:
        """The bytes of a message exactly as received. Raises UsageError where they are gone."""
        rows = self.query(
            "SELECT raw FROM core.raw WHERE message_id = $message_id", {"message_id": message_id}
        )
        if not rows:
            raise UsageError(
                f"The bytes of message {message_id} are not kept any more.",
                why="Retention or an erasure has removed them; what the message said is kept.",
                do="Where they are needed, ask the sender to send it again.",
            )
        return bytes(rows[0]["raw"])  # type: ignore[call-overload,no-any-return]

    def has_raw(self, message_id: int) -> bool:
        """Whether the bytes of a message are kept."""
        asked = {"message_id": message_id}
        return bool(self.query("SELECT 1 FROM core.raw WHERE message_id = $message_id", asked))

    def older(self, kind: RawKind, before: datetime) -> Kept:
        """How many messages have bytes from before an instant, of quarantine or not."""
        return older(self.query, kind, before)

    def prune(self, kind: RawKind, before: datetime) -> int:
        """Remove the bytes of messages from before an instant; of how many. All else stays."""
        return prune(self._database, kind, before, self._projector.pause)

    def touched(self, message_id: int) -> Touched | None:
        """The rows that a message changed, before and after; None where it was never applied."""
        return touched(self.query, message_id)

    def tallies(self) -> list[Tally]:
        """Messages by feed and outcome since the store was made, duplicates included."""
        return self._inbox.tallies()

    def heard(self) -> dict[str, datetime]:
        """When each feed last sent anything, duplicates included, whenever that was."""
        return self._inbox.heard()

    # --- how it is doing ---------------------------------------------------------------------

    def subscribe(self, listener: Callable[[BatchApplied], None]) -> Callable[[], None]:
        """Be told of every batch, on the projecting thread; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def sequence(self) -> int:
        """Number of the last batch applied."""
        return self._projector.sequence

    def position(self) -> int:
        """Inbox position up to which everything is applied."""
        return self._projector.position

    def lag_seconds(self) -> float:
        """Age of the oldest durable message that cannot be seen yet, in real seconds."""
        return self._inbox.lag_seconds()

    def lags(self) -> dict[str, float]:
        """By feed, the age of its oldest durable message that cannot be seen yet, in seconds."""
        return self._inbox.lags()

    def failure(self) -> str | None:
        """What the projection is waiting for, if it is: a full disk, a broken file."""
        return None if self._projector.alive() else self._projector.failure or "stopped"

    def give_way(self) -> None:
        """Apply with what the processors have left from now on: acknowledging comes first."""
        self._projector.give_way()

    def batch_seconds(self) -> float:
        """How long the last batch took to apply."""
        return self._projector.batch_seconds

    def is_demo(self) -> bool:
        """Whether this store was made by a demonstration and holds no real patients."""
        return self._demo

    def rebuild(
        self,
        retranslate: Retranslate | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Fold the whole journal again, as after an upgrade; return how many events were folded.

        Events come from the journal, or from `retranslate` where the bytes remain. What was known
        when stays what it was. Messages received meanwhile wait, durable, and are applied after.
        """
        self.wait_applied()
        self._projector.stop()
        self._kept.forget()
        self._present.forget()
        self._database.close()
        limit = self.settings.store.memory_limit
        folded = rebuild_store(
            self.path,
            self.settings.precedence,
            memory_limit=limit,
            key=self._database.key,
            retranslate=retranslate,
            progress=progress,
        )
        self._database = Database(self.path, memory_limit=limit, key=self._database.key)
        install_views(self._database.connection, self._macros)
        projection = Projection(self._database, self.settings.precedence)
        self._projector = Projector(self._inbox, projection, self._listeners)
        self._projector.start()
        return folded

    # --- erasure -----------------------------------------------------------------------------

    def belongings(self, wanted: str) -> Erasure:
        """Everything of the patient whom a patient_id or `system|value` names; nothing changes.

        Raises UsageError where the store knows no such patient.
        """
        self.wait_applied()
        with self._projector.pause:
            return found(self._database.cursor(), wanted, self.clock.now())

    def erase(self, erasure: Erasure) -> None:
        """Erase what `belongings` found, for good, and close this store.

        Once it is ordered nothing undoes it: what is interrupted goes on when the store is opened
        again. Raises StoreError where the disk refuses.
        """
        order(self.path, erasure, self.key)
        self.close()
        carry_out(self.path, memory_limit=self.settings.store.memory_limit, key=self.key)

    # --- copies ------------------------------------------------------------------------------

    def replica_snapshot(self, path: Path) -> int:
        """Write what analysts may query, as of one batch, into a new file; return its sequence."""
        sequence = copy_tables(self._database.cursor(), path, key=self._database.key)
        self._furnish(path)
        return sequence

    def replica_changes(self, path: Path) -> int:
        """Bring a file of `replica_snapshot`, open nowhere, up to now; return its sequence."""
        return copy_changes(self._database.cursor(), path, key=self._database.key)

    def limited(self) -> Limited:
        """What writes the live rows without direct identifiers, and lets them follow the store.

        Raises ConfigurationError where the site has no keys.
        """
        return Limited(self._database, self.settings, self.clock, self._macros)

    def aggregates(self) -> Aggregates:
        """What writes the figures that were published without identities, and adds weeks."""

        def refresh() -> tuple[int, datetime | None]:
            return self.sequence(), self.publish_figures()

        return Aggregates(self._database, self.settings.deid.cell, refresh)

    def publish_figures(self) -> datetime | None:
        """Publish the figures of weeks that have ended and settled, once and for all.

        Returns the end of the last week that is published; None where none is.
        """
        self.publish_visits()
        with self._publishing:
            until = published_until(self._database)
            weeks = due(self.query, self.clock.now(), until)
            if weeks is None:
                return until
            kpis = [self.kpis[kpi] for kpi in rules().published if kpi in self.kpis]
            known, cell = known_words(self.settings), self.settings.deid.cell
            rows = list(weekly(self.query, kpis, weeks, cell, known))
            with self._projector.pause:
                add_figures(self._database, rows, weeks.end)
            return weeks.end

    def publish_visits(self) -> None:
        """Publish the visits by unit of weeks that have ended and settled, once and for all."""
        with self._publishing:
            weeks = due(self.query, self.clock.now(), visits_until(self.query))
            if weeks is None:
                return
            known, cell = known_words(self.settings), self.settings.deid.cell
            rows = list(weekly_visits(self.query, weeks, cell, known))
            with self._projector.pause:
                add_figures(self._database, rows)

    def backup(self, folder: Path, beside: Sequence[Path] = ()) -> list[Path]:
        """Copy both halves of the store at one position into a folder; return the files.

        The copies are encrypted as the store is. The last file is the manifest, which tells what
        they hold; it vouches for files `beside` in the folder, too. Raises StoreError where a copy
        differs from what was copied.
        """
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / self.path.name
        inbox = inbox_path(database)
        for file in (database, inbox):
            if file.exists():
                raise StoreError(f"{file} exists already.", do="Choose an empty folder.")
        # While no batch is applied nothing is pruned either, so the inbox covers the database.
        with self._projector.pause:
            cursor, key = self._database.cursor(), self._database.key
            copy_tables(cursor, database, frozenset(), key=key)
            self._inbox.copy_to(inbox)
            copied = table_sums(cursor)
        self._furnish(database)
        for file in (database, inbox):
            file.chmod(0o600)
        manifest = write_manifest(folder, database.name, self.key, self.clock.now(), copied, beside)
        return [database, inbox, *beside, manifest]

    def rekey(self, new_key: StoreKey | None) -> int:
        """Encrypt the store by another key, or by none, and close it; how many rows it has.

        Both halves are written anew, compared, and replaced together: an end in between leaves the
        store whole, under one key or the other. Opened again, it wants the new one.
        """
        self.wait_applied()
        self._projector.stop()
        # What was fetched and not applied is fetched again: it is kept by the old key, or open.
        shutil.rmtree(self.path.with_name(self.path.name + EXPORTS), ignore_errors=True)
        # Whatever ends this in between, the files beside the store open under the key it has then.
        hand_over(self.path, self.key, new_key)
        sums = rekey(self._database, self.key, new_key, self._let_go)
        settle_beside(self.path, new_key)
        return sum(table.rows for table in sums.values())

    def _let_go(self) -> None:
        self._inbox.close()
        for live in self._live.values():
            live.close()
        self._database.close()

    def publish(
        self,
        path: Path,
        profile: Profile,
        *,
        cut_off: datetime | None = None,
        precision: Precision = "hour",
    ) -> Published:
        """Write a de-identified release of this store into a file, in the place of an earlier one.

        It has the figures that `publish_figures` has published by then, and publishes the visits
        by unit and week that are due. Raises ConfigurationError where the site has no keys,
        UsageError for a cut-off to come.
        """
        self.wait_applied()
        self.publish_visits()
        kept = self.kpis if profile == "limited" else {i: self.kpis[i] for i in rules().kpis}
        return publish(
            self._database,
            path,
            profile,
            self.settings,
            self.clock.now(),
            macros=catalogue.statements(kept),
            cut_off=cut_off,
            precision=precision,
        )

    def _judge(self) -> None:
        judge(self.kpis, self.settings.kpi.folder)

    def _furnish(self, path: Path) -> None:
        copy = connect(path, key=self._database.key)
        install_views(copy, self._macros)
        copy.close()


def _facility_rows(settings: Settings) -> list[tuple[str, str, str]]:
    return [(code, f.time_zone, f.name) for code, f in settings.facilities.items()]


def _site(settings: Settings) -> Site:
    zones = {code: ZoneInfo(facility.time_zone) for code, facility in settings.facilities.items()}
    return Site(zones, frozenset(settings.kpi.psychiatric_services))

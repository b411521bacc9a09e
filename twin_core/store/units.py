"""Fold units: the facts and present rows of one family, remembered or read back from the journal.

Memory is a bounded copy. A family that is not remembered is loaded, so that nothing is ever too
late to be applied.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
import pyarrow as pa

from twin_core.events import AnyEvent, Event, Statement, Withdrawn
from twin_core.store.committed import Committed
from twin_core.store.facts import Fact, natural, order_of
from twin_core.store.fold.account import Accounts
from twin_core.store.fold.billed import COLUMNS, BilledVisit
from twin_core.store.fold.patient import repeats
from twin_core.store.fold.rows import EntityRow, nobody_described
from twin_core.store.fold.withdrawn import STANDING, standing
from twin_core.store.nodes import Nodes
from twin_core.store.tables import BY_NAME

ENTITIES_OF: dict[str, tuple[str, ...]] = {
    "p": ("patient", "patient_identifier", "patient_link", "fold_finding"),
    "e": (
        "encounter",
        "encounter_identifier",
        "encounter_status",
        "encounter_class",
        "encounter_milestone",
        "encounter_plan",
        "encounter_tracking",
        "encounter_consultant",
        "stay",
        "fold_finding",
    ),
    "l": ("location", "location_identifier", "location_status", "fold_finding"),
    "d": ("device", "device_identifier", "fold_finding"),
    "o": ("directory",),
    "c": ("source_census",),
    "a": (
        "appointment",
        "appointment_identifier",
        "appointment_patient",
        "appointment_resource",
        "fold_finding",
    ),
    "r": ("observation", "fold_finding"),
    "v": ("device_event",),
    "q": (
        "procedure",
        "service_request",
        "task",
        "schedule",
        "slot",
        "device_metric",
        "care_identifier",
        "encounter_milestone",
        "fold_finding",
    ),
    "b": ("account_identifier", "fold_finding"),
}
"""Which tables a fold unit of each kind writes."""

REMEMBERED_FACTS, LOADED_FACTS = 20_000, 40_000
"""How much of families is remembered, by `Unit.weight`, and how much in a load, whose batches are
larger; one takes some kilobytes."""
_FEW_OWNERS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Instants are asked for as numbers: DuckDB looks its time zone up anew for each that it gives.
_JOURNALLED = (
    "e.payload, e.ordinal, e.message_id, epoch_us(e.recorded_at), epoch_us(m.sent_at),"
    " m.sequence, m.control_id, m.digest, m.format, m.feed"
)
_WHOLE = "SELECT e.* FROM core.event e SEMI JOIN wanted USING (node)"
_SHORT = (
    'SELECT e.*, w.owner, regexp_replace(e.payload, \'"occurred_at":"[^"]*"\', \'\') AS words'
    " FROM core.event e JOIN wanted w USING (node)"
)
_UNREPEATED = """
    WINDOW told AS (PARTITION BY e.owner ORDER BY e.occurred_at)
    QUALIFY (
        e.event = 'PatientDescribed'
        AND e.words = lag(e.words) OVER told AND m.feed = lag(m.feed) OVER told
        AND e.words = lead(e.words) OVER told AND m.feed = lead(m.feed) OVER told
        AND lag(e.occurred_at) OVER told < e.occurred_at
        AND e.occurred_at < lead(e.occurred_at) OVER told
        AND coalesce(lag(e.occurred_at, 2) OVER told < lag(e.occurred_at) OVER told, true)
        AND coalesce(lead(e.occurred_at) OVER told < lead(e.occurred_at, 2) OVER told, true)
    ) IS NOT TRUE"""
"""Without what says of a person what was said before and is said after, each at its own instant."""
_ASKED = {"TIMESTAMPTZ": 'epoch_us("{}")'}
_EVENT = msgspec.json.Decoder(AnyEvent)


class Unit(msgspec.Struct, eq=False):
    """One family while it is remembered: facts in order, and its open versions by row."""

    kind: str
    owner: int
    facts: list[Fact] = []
    rows: list[tuple[EntityRow, int]] = []
    """Its open versions. A list, since hashing rows costs more than folding them."""
    survivors: dict[tuple[str, str], str] | None = None
    accounts: Accounts | None = None
    has_news: bool = True
    """Whether anything was added, since it was folded, but repetitions of the last words."""
    withdrawn: bool = False
    """Whether some resource that it is told by was ever deleted: hardly any."""
    is_short: bool = False
    """Whether of words that were repeated it has the first and the last only."""
    wants_all: bool = False
    """Whether it is short and something came that may lie between those."""

    def standing(self) -> list[Fact]:
        """The facts that it is folded from: all but those that a deletion withdrew."""
        if not self.withdrawn:
            return self.facts
        return STANDING.get(self.kind, standing)(self.facts)

    def load(self, fact: Fact) -> None:
        """Take back a fact of the journal, before all of them are put in order."""
        self.facts.append(fact)
        self.withdrawn = self.withdrawn or type(fact.event) is Withdrawn

    def add(self, fact: Fact) -> None:
        """Put a fact in its place in the order."""
        facts = self.facts
        if type(fact.event) is Withdrawn:
            self.withdrawn = True
        if not facts or facts[-1].order <= fact.order:
            # What a finding says of the last words, it says of their repetition from now on.
            self.has_news = (
                self.has_news
                or not repeats(facts[-1], fact)
                or any(row[0] == "fold_finding" for row, _ in self.rows)
            )
            facts.append(fact)
        else:
            self.has_news = True
            self.wants_all = self.is_short
            insort(facts, fact, key=lambda held: held.order)

    def weight(self) -> int:
        """How much memory it takes, in facts; whom nobody has described takes some, too.

        The rows of messages about one visit are few beside the messages. One fact of results may
        give a hundred rows; of a first load each visit is stated once, and not again for long.
        """
        facts = self.facts
        stated_once = len(facts) == 1 and isinstance(facts[0].event, Statement)
        return 1 + len(facts) + (2 * len(self.rows) if stated_once or self.kind == "r" else 0)

    def absorb(self, other: "Unit") -> None:
        """Take over the facts and rows of a family that turned out to be this one."""
        self.facts = sorted([*self.facts, *other.facts], key=lambda fact: fact.order)
        self.rows = [*self.rows, *other.rows]
        self.withdrawn = self.withdrawn or other.withdrawn
        self.is_short = self.wants_all = self.is_short or other.is_short
        self.survivors = self.accounts = None
        self.has_news = True


class Units:
    """The families at hand, by owner: the number of a family's first node."""

    def __init__(self, committed: Committed, nodes: Nodes) -> None:
        self._committed, self._nodes = committed, nodes
        self._held: dict[int, Unit] = {}
        self._most, self._shortens = REMEMBERED_FACTS, False

    def load(self) -> None:
        """Remember more from now on: much is to come."""
        self._most, self._shortens = LOADED_FACTS, True

    def forget(self) -> None:
        """Drop everything remembered; the journal knows."""
        self._held.clear()

    def keep(self, owners: Set[int]) -> None:
        """Drop all but the units of these owners, whose nodes are not remembered any more."""
        self._held = {owner: unit for owner, unit in self._held.items() if owner in owners}

    def begin(self) -> None:
        """Start a batch with a bounded memory: what was used least recently is dropped."""
        kept: list[tuple[int, Unit]] = []
        facts = 0
        for owner, unit in reversed(self._held.items()):
            facts += unit.weight()
            if facts > self._most:
                self._held = dict(reversed(kept))
                break
            kept.append((owner, unit))

    def fetch(self, kind: str, owners: Iterable[int]) -> list[Unit]:
        """The units of owners, loading those that are not remembered."""
        wanted = list(dict.fromkeys(owners))
        missing = [owner for owner in wanted if owner not in self._held]
        self._load(kind, missing)
        units = []
        for owner in wanted:
            unit = self._held.pop(owner)
            self._held[owner] = unit  # last in the dictionary: most recently used
            units.append(unit)
        return units

    def told_of(self, owners: Iterable[int]) -> None:
        """Forget these last, in the order in which messages told of them.

        Folding fetches units in an order of its own; whoever is told of will be told of again.
        """
        held = self._held
        for owner in owners:
            unit = held.pop(owner, None)
            if unit is not None:
                held[owner] = unit

    def get(self, owner: int) -> Unit:
        """A unit that was fetched in this batch."""
        return self._held[owner]

    def held(self, owner: int) -> bool:
        """Whether a unit is remembered."""
        return owner in self._held

    def drop(self, owner: int) -> None:
        """Forget a unit that another one has absorbed."""
        self._held.pop(owner, None)

    def _load(self, kind: str, owners: list[int]) -> None:
        stored = []
        for owner in owners:
            self._held[owner] = Unit(kind, owner)
            if not self._nodes.is_new(owner):
                stored.append(owner)
        if stored:
            owner_of = {n: owner for owner in stored for n in self._nodes.members(owner)}
            connection = self._committed.about(stored)
            short = self._shortens and kind == "p"
            for node, fact in _facts(connection, owner_of, short=short):
                self._held[owner_of[node]].load(fact)
            for owner in stored:
                self._held[owner].facts.sort(key=lambda fact: fact.order)
            self._rows(connection, kind, stored)
            if short:
                self._mark(stored)

    def _mark(self, owners: list[int]) -> None:
        for owner in owners:
            unit = self._held[owner]
            unit.is_short = True
            # A finding may be about any of several repetitions.
            unit.wants_all = any(row[0] == "fold_finding" for row, _ in unit.rows)
        self.complete(owners)

    def complete(self, owners: Iterable[int]) -> None:
        """Give those units that are short, and may not be, every fact of theirs."""
        units = [self._held[owner] for owner in owners if self._held[owner].wants_all]
        if not units:
            return
        unit_of = {node: unit for unit in units for node in self._nodes.members(unit.owner)}
        connection = self._committed.about([unit.owner for unit in units])
        # Two sources may tell of one resource with the same words: only their messages differ.
        every = {u.owner: {(f.order, f.message_id): f for f in u.facts} for u in units}
        for node, fact in _facts(connection, {n: unit.owner for n, unit in unit_of.items()}):
            every[unit_of[node].owner][fact.order, fact.message_id] = fact
        for unit in units:
            facts = every[unit.owner]
            unit.facts = [facts[order] for order in sorted(facts)]
            unit.is_short = unit.wants_all = False
            unit.survivors, unit.has_news = None, True

    def _rows(self, connection: duckdb.DuckDBPyConnection, kind: str, owners: list[int]) -> None:
        wanted = pa.table({"owner": pa.array(owners, pa.int64())})  # noqa: F841  (read by name)
        # A list in the question is compared with what every group of rows has at least and at
        # most, and whole groups are left out; a join looks at them all.
        few = len(owners) <= _FEW_OWNERS
        those = f"v.owner IN ({', '.join(map(str, owners))}) AND" if few else ""
        joined = "" if few else "SEMI JOIN wanted USING (owner)"
        for name in ENTITIES_OF[kind]:
            columns = BY_NAME[name].columns
            told = [_ASKED.get(column.type, '"{}"').format(column.name) for column in columns]
            instants = [n for n, column in enumerate(columns) if column.type in _ASKED]
            found = connection.execute(
                f"SELECT v.owner, v.version_no, {', '.join(told)} FROM core.{name}_version v"
                f" {joined} WHERE {those} v.known_to = 'infinity'"
            ).fetchall()
            for owner, version_no, *values in found:
                for n in instants:
                    if values[n] is not None:
                        values[n] = _instant(values[n])
                self._held[owner].rows.append(((name, tuple(values)), version_no))


def _facts(
    connection: duckdb.DuckDBPyConnection, owner_of: Mapping[int, int], *, short: bool = False
) -> Iterator[tuple[int, Fact]]:
    """Facts by the nodes they are filed under, each node with its owner, without what repeats."""
    nodes, owners = pa.array(owner_of, pa.int64()), pa.array(owner_of.values(), pa.int64())
    wanted = pa.table({"node": nodes, "owner": owners})  # noqa: F841  (read by name)
    found = connection.execute(
        f"SELECT e.node, {_JOURNALLED} FROM ({_SHORT if short else _WHOLE}) e"
        " JOIN core.message m ON m.message_id = e.message_id"
        f"{_UNREPEATED if short else ''}"
    ).fetchall()
    for node, *journalled in found:
        yield node, _fact(*journalled)


def owners_where(
    connection: duckdb.DuckDBPyConnection, entity: str, column: str, values: Iterable[str]
) -> list[int]:
    """Owners of present rows whose column has one of the values."""
    wanted = pa.table({"wanted": pa.array(sorted(values), pa.string())})
    connection.register("wanted_value", wanted)
    found = connection.execute(
        f"SELECT DISTINCT v.owner FROM core.{entity}_version v"
        f" SEMI JOIN wanted_value w ON v.\"{column}\" = w.wanted WHERE v.known_to = 'infinity'"
    ).fetchall()
    connection.unregister("wanted_value")
    return [owner for (owner,) in found]


def owners_waiting(
    connection: duckdb.DuckDBPyConnection, kind: str, ids: Iterable[str]
) -> dict[str, list[int]]:
    """Owners, by their kind of unit, of findings that nobody has described one of the ids."""
    details = pa.array([nobody_described(kind, one) for one in ids], pa.string())
    wanted = pa.table({"detail": details})  # noqa: F841  (DuckDB reads it by name)
    found = connection.execute(
        "SELECT DISTINCT n.kind, v.owner FROM core.fold_finding_version v"
        " SEMI JOIN wanted w ON v.detail = w.detail JOIN core.node n ON n.node = v.owner"
        " WHERE v.known_to = 'infinity' AND v.kind = 'unresolved_reference'"
    ).fetchall()
    owners: dict[str, list[int]] = {}
    for of, owner in found:
        owners.setdefault(of, []).append(owner)
    return owners


def visits_of(
    connection: duckdb.DuckDBPyConnection, account_ids: Iterable[str], patient_ids: Iterable[str]
) -> list[int]:
    """Owners of the present encounters that belong to one of the accounts and of the patients."""
    found = connection.execute(
        "SELECT DISTINCT owner FROM core.encounter_version WHERE known_to = 'infinity'"
        " AND account_id IN (SELECT unnest($accounts::VARCHAR[]))"
        " AND patient_id IN (SELECT unnest($patients::VARCHAR[]))",
        {"accounts": sorted(account_ids), "patients": sorted(patient_ids)},
    ).fetchall()
    return [owner for (owner,) in found]


def billed_visits(
    connection: duckdb.DuckDBPyConnection, account_ids: Iterable[str]
) -> list[BilledVisit]:
    """The present encounters that belong to one of the accounts, as of the last batch."""
    columns = ", ".join(COLUMNS)
    found = connection.execute(
        f"SELECT owner, {columns} FROM core.encounter_version WHERE known_to = 'infinity'"
        " AND account_id IN (SELECT unnest($accounts::VARCHAR[]))",
        {"accounts": sorted(account_ids)},
    ).fetchall()
    return [BilledVisit(*row) for row in found]


def latest_location_facts(connection: duckdb.DuckDBPyConnection) -> list[Fact]:
    """Every Location statement and deletion in the journal, for the hierarchy at start."""
    found = connection.execute(
        f"SELECT {_JOURNALLED}"
        " FROM core.event e JOIN core.message m USING (message_id)"
        " WHERE e.event = 'LocationStated' OR e.event = 'Withdrawn' AND e.node IN"
        " (SELECT node FROM core.node WHERE kind = 'l') ORDER BY e.event_no"
    ).fetchall()
    return [_fact(*journalled) for journalled in found]


def _fact(
    payload: str,
    ordinal: int,
    message_id: int,
    recorded_us: int,
    sent_us: int,
    sequence: int,
    control_id: str,
    digest: bytes,
    format_: str,
    feed: str,
) -> Fact:
    # One row of the journal joined with its message, back in its place in the order.
    event: Event = _EVENT.decode(payload)
    order = order_of(
        event,
        sent_at=_instant(sent_us),
        sequence=sequence,
        control=natural(control_id),
        digest=digest,
        ordinal=ordinal,
    )
    return Fact(order, event, message_id, _instant(recorded_us), format_, feed)


def _instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def last_known_at(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, datetime | None]:
    """(batch number, inbox position, known_at) of the last batch; zeros in a new store."""
    # All of it: who has fetched one row only still reads, and the store is not taken anew.
    rows = connection.execute(
        "SELECT batch_no, position, known_at FROM core.batch ORDER BY batch_no DESC LIMIT 1"
    ).fetchall()
    return rows[0] if rows else (0, 0, None)

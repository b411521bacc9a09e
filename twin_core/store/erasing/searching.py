"""Finding everything of a person: records, visits, results, messages, and what mentions them.

It begins with the person's identifiers and follows what the journal says of them. A family of
identifiers (a visit, an appointment, an order, a resource) is the person's where it is theirs now;
its numbers are then looked for in turn, until nothing new is found.
"""

import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import duckdb
import msgspec

from twin_core.erased import name_words, names_of
from twin_core.erased.remains import people_in, without
from twin_core.errors import UsageError
from twin_core.events import AnyEvent, EncounterEvent, Event, PatientStated
from twin_core.identifiers import Identifier
from twin_core.store.committed import Committed
from twin_core.store.erasing.found import Erasure, Key
from twin_core.store.erasing.scanning import bytes_with, journalled_with
from twin_core.store.fold.patient import fold_people, identifiers_of
from twin_core.store.messages import payload_of
from twin_core.store.nodes import Nodes
from twin_core.store.subjects import (
    ACCOUNT,
    APPOINTMENT,
    CARE,
    DEVICE_EVENT,
    ENCOUNTER,
    PATIENT,
    RESULT,
)
from twin_core.store.tables import ENTITIES
from twin_core.store.units import Unit, Units, last_known_at

PATIENT_ID = re.compile(r"p[0-9a-f]{24}")
_EVENT = msgspec.json.Decoder(AnyEvent)
_RECORDS = (ENCOUNTER, APPOINTMENT, RESULT, DEVICE_EVENT, CARE)
"""Kinds of records that are somebody's."""
_TELLING = (PATIENT, ENCOUNTER, APPOINTMENT)
"""Kinds whose values are looked for in bytes; a number of an order stands for too much else."""
_OWNED = {
    ENCOUNTER: "SELECT patient_id FROM core.encounter_version",
    APPOINTMENT: "SELECT patient_id FROM core.appointment_patient_version",
}
GONE, THEIRS, SHARED = "gone", "theirs", "shared"
"""A family is the person's, somebody else's, or of nobody alone."""


def found(connection: duckdb.DuckDBPyConnection, wanted: str, ordered_at: datetime) -> Erasure:
    """Everything of the person whom a patient_id or `system|value` names.

    `connection` is one that nobody else uses. Raises UsageError where the store knows no such
    patient.
    """
    return _Search(connection).everything(wanted, ordered_at)


class _Search:
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._gone: dict[str, set[Key]] = defaultdict(set)
        self._events: dict[int, tuple[int, int, Event]] = {}
        """Events that name the person or something of theirs: (node, message_id, event)."""
        self._verdicts: dict[int, str] = {}
        self._family: dict[int, int] = {}
        self._members: dict[int, list[tuple[int, str, Key]]] = {}

    def everything(self, wanted: str, ordered_at: datetime) -> Erasure:
        ids, linked = self._person(wanted)
        erasure = Erasure(
            erasure_id=uuid.uuid4().hex,
            ordered_at=ordered_at,
            patient_ids=sorted(ids),
            linked_ids=sorted(linked),
            position=last_known_at(self._connection)[1],
        )
        self._follow(frozenset(ids))
        self._accounts()
        self._decide(erasure)
        self._number(erasure)
        self._name(erasure)
        self._look_into_queries(erasure)
        self._look_into_bytes(erasure)
        return erasure

    # --- the person --------------------------------------------------------------------------

    def _person(self, wanted: str) -> tuple[set[str], set[str]]:
        """The person's ids, and those of who is linked; their identifiers are gone from now on."""
        named = self._named(wanted)
        committed = Committed(self._connection)
        nodes = Nodes(committed)
        units = Units(committed, nodes)
        nodes.learn([(PATIENT, named)])
        owner = nodes.number(PATIENT, named)
        if nodes.is_new(owner):
            raise _nobody(wanted)
        family = nodes.family(owner)
        (unit,) = units.fetch(PATIENT, (family,))
        survivors = fold_people(unit.standing(), nodes.identifiers(family)).survivors
        me = survivors[named.key]
        keys = {key for key, survivor in survivors.items() if survivor == me}
        keys |= _deleted(unit, keys)
        self._gone[PATIENT] = keys
        others = survivors.keys() - keys
        ids = {survivors[key] for key in keys} | self._known_as(keys, others)
        return ids, {survivors[key] for key in others} - ids

    def _named(self, wanted: str) -> Identifier:
        if PATIENT_ID.fullmatch(wanted):
            row = self._connection.execute(
                "SELECT i.system, i.value FROM core.patient_identifier_version i"
                " JOIN core.node n ON n.kind = 'p' AND n.system = i.system AND n.value = i.value"
                " WHERE i.patient_id = ? ORDER BY i.known_to DESC, i.version_no LIMIT 1",
                [wanted],
            ).fetchone()
            if row is None:
                raise _nobody(wanted)
            return Identifier(*row)
        system, bar, value = wanted.rpartition("|")
        if not bar or not value:
            raise UsageError(
                f"{wanted!r} names no patient.",
                do="Give a patient_id of twin.patient, or an identifier as system|value.",
            )
        return Identifier(system, value)

    def _known_as(self, keys: set[Key], others: Collection[Key]) -> set[str]:
        """Every id that the person was ever known by, and nobody else with them."""
        rows = self._connection.execute(
            "SELECT DISTINCT patient_id, system, value FROM core.patient_identifier_version"
            " WHERE patient_id IN (SELECT patient_id FROM core.patient_identifier_version"
            " WHERE list_contains($values, value))",
            {"values": sorted({value for _, value in keys})},
        ).fetchall()
        known: dict[str, set[Key]] = defaultdict(set)
        for patient_id, system, value in rows:
            known[patient_id].add((system, value))
        return {one for one, its in known.items() if its & keys and its.isdisjoint(others)}

    # --- what is theirs ----------------------------------------------------------------------

    def _follow(self, ids: frozenset[str]) -> None:
        values = {value for _, value in self._gone[PATIENT]}
        while values:
            nodes = self._met(journalled_with(self._connection, values))
            self._learn_families(nodes)
            fresh: set[Key] = set()
            for family in {self._family[node] for node in nodes if node in self._family}:
                kind = self._members[family][0][1]
                if kind not in _RECORDS or self._verdicts.get(family) == GONE:
                    continue
                self._verdicts[family] = verdict = self._judged(kind, family, ids)
                if verdict == GONE:
                    keys = {key for _, _, key in self._members[family]}
                    self._gone[kind] |= keys
                    fresh |= keys
            values = {value for _, value in fresh}

    def _met(self, rows: Iterable[tuple[int, int, int, str]]) -> set[int]:
        met = set()
        for event_no, node, message_id, payload in rows:
            if event_no not in self._events:
                self._events[event_no] = (node, message_id, _EVENT.decode(payload))
            met.add(node)
        return met

    def _learn_families(self, nodes: Iterable[int]) -> None:
        wanted = sorted(node for node in nodes if node not in self._family)
        rows = self._connection.execute(
            "WITH about AS (SELECT DISTINCT coalesce(f.family, n.node) AS family"
            " FROM core.node n LEFT JOIN core.family f USING (node)"
            " WHERE list_contains($nodes, n.node))"
            " SELECT coalesce(f.family, n.node) AS family, n.node, n.kind, n.system, n.value"
            " FROM core.node n LEFT JOIN core.family f USING (node)"
            " WHERE coalesce(f.family, n.node) IN (FROM about) ORDER BY n.node",
            {"nodes": wanted},
        ).fetchall()
        for family, node, kind, system, value in rows:
            if node not in self._family:
                self._family[node] = family
                self._members.setdefault(family, []).append((node, kind, (system, value)))

    def _judged(self, kind: str, family: int, ids: frozenset[str]) -> str:
        members = [node for node, _, _ in self._members[family]]
        if kind in _OWNED:
            rows = self._connection.execute(
                f"{_OWNED[kind]} WHERE list_contains($owners, owner) AND patient_id IS NOT NULL"
                " QUALIFY dense_rank() OVER (ORDER BY known_to DESC, known_from DESC) = 1",
                {"owners": [family, *members]},
            ).fetchall()
            theirs = {patient_id for (patient_id,) in rows}
            if theirs:
                return GONE if theirs <= ids else THEIRS
        rows = self._connection.execute(
            "SELECT event_no, node, message_id, payload FROM core.event"
            " WHERE list_contains($nodes, node)",
            {"nodes": members},
        ).fetchall()
        self._met(rows)
        whose = {self._whose(self._events[row[0]][2]) for row in rows} - {None}
        return GONE if whose == {True} else SHARED

    def _whose(self, event: Event) -> bool | None:
        """Whether an event is the person's; None where it names nobody."""
        people = people_in(event)
        if people:
            return any(map(self._is_gone, people))
        visit = getattr(event, "encounter", None)
        return True if isinstance(visit, Identifier) and self._is_gone(visit) else None

    def _is_gone(self, identifier: Identifier) -> bool:
        return any(identifier.key in keys for keys in self._gone.values())

    def _accounts(self) -> None:
        """Accounts of the person's visits that no event of anybody else names."""
        accounts = {
            event.account.key
            for node, _, event in self._events.values()
            if isinstance(event, EncounterEvent)
            and event.account is not None
            and self._left(event, self._verdict(node)) is None
        }
        if not accounts:
            return
        rows = journalled_with(self._connection, {value for _, value in accounts})
        self._learn_families(self._met(rows))
        for row in rows:
            node, _, event = self._events[row[0]]
            stays = self._left(event, self._verdict(node)) is not None
            if stays and isinstance(event, EncounterEvent) and event.account is not None:
                accounts.discard(event.account.key)
        self._gone[ACCOUNT] |= accounts

    def _verdict(self, node: int) -> str:
        return self._verdicts.get(self._family.get(node, node), "")

    def _left(self, event: Event, verdict: str) -> Event | None:
        if verdict == GONE:
            return None
        return without(event, self._is_gone, keep_record=verdict == THEIRS)

    # --- what becomes of it ------------------------------------------------------------------

    def _decide(self, erasure: Erasure) -> None:
        """Which events go, which change, and what is left of their messages."""
        dropped: Counter[int] = Counter()
        touched: set[int] = set()
        for event_no, (node, message_id, event) in sorted(self._events.items()):
            left = self._left(event, self._verdict(node))
            if left is event:
                continue
            erasure.events[event_no] = None if left is None else payload_of(left)
            touched.add(message_id)
            dropped[message_id] += left is None
        rows = self._connection.execute(
            "SELECT message_id, count(*) FROM core.event WHERE list_contains($ids, message_id)"
            " GROUP BY ALL ORDER BY ALL",
            {"ids": sorted(touched)},
        ).fetchall()
        for message_id, events in rows:
            into = erasure.messages if events == dropped[message_id] else erasure.touched
            into.append(message_id)

    def _number(self, erasure: Erasure) -> None:
        """The nodes that go, the versions that go with them, and who takes their place."""
        erasure.identifiers = sorted(
            (kind, *key) for kind, keys in self._gone.items() for key in keys
        )
        rows = self._connection.execute(
            "SELECT n.node FROM core.node n WHERE list_contains($named, n.kind || '\x1f' ||"
            " n.system || '\x1f' || n.value)",
            {"named": ["\x1f".join(named) for named in erasure.identifiers]},
        ).fetchall()
        gone = {node for (node,) in rows}
        self._learn_families(gone)
        for family in {self._family[node] for node in gone}:
            members = {node for node, _, _ in self._members[family]}
            staying = members - gone
            if staying:
                erasure.renumbered.update(dict.fromkeys(sorted(members & gone), min(staying)))
            else:
                erasure.owners += sorted({family, *members})
        erasure.nodes = sorted(gone)

    def _name(self, erasure: Erasure) -> None:
        """The twin's own ids of what goes, and the words that tell of the person."""
        ids = set(erasure.patient_ids)
        for entity in ENTITIES:
            own, columns = f"{entity.name}_id", [column.name for column in entity.columns]
            if columns[0] != own:
                continue
            whose = " OR list_contains($ids, patient_id)" if "patient_id" in columns else ""
            if entity.name in ("encounter", "stay", "appointment", "device"):
                whose = ""
            rows = self._connection.execute(
                f'SELECT DISTINCT "{own}" FROM core.{entity.name}_version'
                f" WHERE list_contains($owners, owner){whose}",
                {"owners": erasure.owners} | ({"ids": erasure.patient_ids} if whose else {}),
            ).fetchall()
            ids.update(one for (one,) in rows)
        erasure.record_ids = sorted(ids)
        others = self._connection.execute(
            "SELECT DISTINCT value FROM core.patient_identifier_version"
            " WHERE list_contains($ids, patient_id)",
            {"ids": erasure.patient_ids},
        ).fetchall()
        words = {value for kind, _, value in erasure.identifiers if kind in _TELLING}
        erasure.words = sorted(words | {value for (value,) in others if value})

    def _look_into_queries(self, erasure: Erasure) -> None:
        """The person's names, and the queries that somebody saved with them."""
        rows = self._connection.execute(
            "SELECT DISTINCT list_contains($ids, patient_id), family_name, given_name"
            " FROM core.patient_version",
            {"ids": erasure.patient_ids},
        ).fetchall()
        others = name_words(
            *(name for is_theirs, *names in rows if not is_theirs for name in names)
        )
        # A patient may be called Order or Group, as words of SQL are, or Ward.
        ordinary = self._connection.execute(
            "SELECT keyword_name FROM duckdb_keywords()"
            " UNION SELECT column_name FROM duckdb_columns()"
        ).fetchall()
        others |= name_words(*(name for (name,) in ordinary))
        theirs = [(family, given) for is_theirs, family, given in rows if is_theirs]
        erasure.names = names_of(theirs, others)
        saved = self._connection.execute(
            "SELECT owner, name, concat_ws(chr(10), name, sql, about) FROM core.saved_query"
        ).fetchall()
        erasure.queries = sorted(
            (owner, name) for owner, name, said in saved if erasure.names.stand_in(said)
        )

    def _look_into_bytes(self, erasure: Erasure) -> None:
        known = {*erasure.messages, *erasure.touched}
        named = bytes_with(self._connection, "raw", "message_id", erasure.words)
        fresh = sorted({message_id for (message_id,) in named} - known)
        rows = self._connection.execute(
            "SELECT DISTINCT message_id FROM core.event WHERE list_contains($ids, message_id)",
            {"ids": fresh},
        ).fetchall()
        others = {message_id for (message_id,) in rows}
        erasure.messages = sorted({*erasure.messages, *(set(fresh) - others)})
        erasure.touched = sorted({*erasure.touched, *others})
        staged = bytes_with(self._connection, "staged", "file_no, line", erasure.words)
        erasure.staged = sorted((file_no, line) for file_no, line in staged)
        told = self._connection.execute(
            "SELECT min(received_at), list(DISTINCT origin), list(DISTINCT feed) FROM core.message"
            " WHERE list_contains($ids, message_id)",
            {"ids": [*erasure.messages, *erasure.touched]},
        ).fetchone()
        first, origins, feeds = told or (None, None, None)
        erasure.first_received_at = first
        erasure.files = sorted(_files(origins or ()))
        erasure.feeds = sorted(feed for feed in feeds or () if feed)


def _deleted(unit: Unit, keys: Collection[Key]) -> set[Key]:
    """Resources of the person that their source has deleted, so that nothing tells of them."""
    if not unit.withdrawn:
        return set()
    told = {one.key for fact in unit.standing() for one in identifiers_of(fact.event)}
    return {
        fact.event.subject.key
        for fact in unit.facts
        if isinstance(fact.event, PatientStated)
        and fact.event.subject.key not in told
        and any(one.key in keys for one in fact.event.identifiers)
    }


def _files(origins: Iterable[Any]) -> set[str]:
    """The files among where messages came from: a path and an offset."""
    parted = (str(origin).rpartition("@") for origin in origins if origin)
    return {path for path, at, offset in parted if at and offset.isdigit()}


def _nobody(wanted: str) -> UsageError:
    return UsageError(
        "The store knows no such patient.",
        why=f"Nothing was ever received of {wanted}.",
        do="See twin.patient_identifier: an identifier is given as system|value.",
    )

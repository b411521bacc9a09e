"""Visits known only by patient, facility and start: the same visit under a merged patient.

Where a feed sends neither visit nor account number, a visit is named by (patient, facility,
PV1-44). When two patient identifiers turn out to be one family, their visits of one facility and
start are one visit, whichever identifier a message named.
"""

from collections.abc import Iterator, Sequence

import duckdb

from twin_core.events import PatientsLinked, PatientsUnlinked
from twin_core.identifiers import Identifier
from twin_core.store.facts import Fact
from twin_core.store.fold.patient import identifiers_of
from twin_core.store.fold.records import Key, Records
from twin_core.store.nodes import Nodes

Person = tuple[int, int]
"""A family of patient identifiers, and which of the people in it."""


def people_in(
    family: int, facts: Sequence[Fact], identifiers: Sequence[Identifier]
) -> dict[Key, Person]:
    """Who each identifier of a family is: everyone whom any fact but a link tied together.

    What is tied here stays tied, so that the order of arrival does not matter.
    """
    tied = Records(identifiers)
    for fact in facts:
        if not isinstance(fact.event, PatientsLinked | PatientsUnlinked):
            named = identifiers_of(fact.event)
            for other in named[1:]:
                tied.unite(named[0].key, other.key)
    return {i.key: (family, tied.record(i.key)) for i in identifiers}


def same_starts(
    connection: duckdb.DuckDBPyConnection, nodes: Nodes, owner_of: dict[Key, Person]
) -> Iterator[tuple[int, int]]:
    """Pairs of encounter nodes that are one visit, given who each patient identifier is."""
    if not owner_of:
        return
    first: dict[tuple[Person, str, str], Identifier] = {}
    for identifier in _starts(connection, nodes, owner_of):
        system, value, start = _parts(identifier)
        visit = (owner_of[system, value], identifier.system, start)
        held = first.setdefault(visit, identifier)
        if held is not identifier:
            nodes.learn([("e", held), ("e", identifier)])
            yield nodes.number("e", held), nodes.number("e", identifier)


def _starts(
    connection: duckdb.DuckDBPyConnection, nodes: Nodes, owner_of: dict[Key, Person]
) -> Iterator[Identifier]:
    stored = connection.execute(
        "SELECT system, value FROM core.node WHERE kind = 'e' AND type = 'start'"
    ).fetchall()
    created = [(n.system, n.value) for n in nodes.created if n.kind == "e" and n.type == "start"]
    for system, value in [*stored, *created]:
        identifier = Identifier(system, value, "start")
        if _parts(identifier)[:2] in owner_of:
            yield identifier


def _parts(identifier: Identifier) -> tuple[str, str, str]:
    system, _, rest = identifier.value.partition("|")
    value, _, start = rest.rpartition("|")
    return system, value, start

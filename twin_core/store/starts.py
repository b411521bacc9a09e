"""Visits known only by patient, facility and start: the same visit under a merged patient.

Where a feed sends neither visit nor account number, a visit is named by (patient, facility,
PV1-44). When two patient identifiers turn out to be one family, their visits of one facility and
start are one visit, whichever identifier a message named.
"""

from collections.abc import Iterable, Iterator

import duckdb

from twin_core.identifiers import Identifier
from twin_core.store.nodes import Nodes


def same_starts(
    connection: duckdb.DuckDBPyConnection, nodes: Nodes, patients: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """Pairs of encounter nodes that are one visit, among patients of the given families."""
    owner_of: dict[tuple[str, str], int] = {}
    for family in {nodes.family(owner) for owner in patients}:
        if len(nodes.members(family)) > 1:
            owner_of.update({i.key: family for i in nodes.identifiers(family)})
    if not owner_of:
        return
    first: dict[tuple[int, str, str], Identifier] = {}
    for identifier in _starts(connection, nodes, owner_of):
        system, value, start = _parts(identifier)
        visit = (owner_of[system, value], identifier.system, start)
        held = first.setdefault(visit, identifier)
        if held is not identifier:
            nodes.learn([("e", held), ("e", identifier)])
            yield nodes.number("e", held), nodes.number("e", identifier)


def _starts(
    connection: duckdb.DuckDBPyConnection, nodes: Nodes, owner_of: dict[tuple[str, str], int]
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

"""Who a resource comes from: this twin, or another one that is the only one to have spoken of it.

Two twins that read from each other would hand every statement back and forth. A resource that this
twin knows from one other twin alone is given back under that twin's `meta.source`, and a twin
takes nothing in that comes under its own.
"""

import json
from collections.abc import Collection, Mapping

from api.fhir.served import Served
from twin_core.identifiers import TWIN_SOURCE
from twin_core.kpi.measuring import Query

_OWN = "SELECT value AS id FROM core.meta WHERE key = 'store_id'"
_OTHERS = f"SELECT 1 FROM core.message WHERE starts_with(sender, '{TWIN_SOURCE}') LIMIT 1"
_NODES = {"Patient": "p", "Encounter": "e", "Location": "l", "Device": "d", "Appointment": "a"}
"""How core.node calls what a resource type is about; any other's rows are of one node alone."""

# Every message that said anything of a resource, through the identifiers it is known by.
_SPEAKERS = """
WITH known AS (
    SELECT DISTINCT i._id, i.system, i.value FROM ({identifiers}) i
    WHERE i._id IN (SELECT unnest(from_json($ids, '["VARCHAR"]')))
), nodes AS (
    SELECT k._id, n.node FROM core.node n
    JOIN known k ON k.system = n.system AND k.value = n.value WHERE n.kind = '{kind}'
)
SELECT n._id, list_sort(list_distinct(list(m.sender)), 'DESC') AS senders
FROM nodes n JOIN core.event e ON e.node = n.node JOIN core.message m USING (message_id)
GROUP BY n._id
"""


# Of rows that one statement alone gives: every message about its node.
_OF_OWNERS = """
WITH owners AS (
    SELECT DISTINCT _id, owner FROM ({main})
    WHERE _id IN (SELECT unnest(from_json($ids, '["VARCHAR"]')))
)
SELECT o._id, list_sort(list_distinct(list(m.sender)), 'DESC') AS senders
FROM owners o JOIN core.event e ON e.node = o.owner JOIN core.message m USING (message_id)
GROUP BY o._id
"""


def own_source(query: Query) -> str:
    """What `meta.source` of this twin's own view is."""
    rows = query(_OWN, {})
    return f"{TWIN_SOURCE}{rows[0]['id'] if rows else ''}"


def origins(query: Query, served: Served, ids: Collection[str]) -> Mapping[str, str]:
    """`meta.source` of resources by their ids."""
    own = own_source(query)
    found = dict.fromkeys(ids, own)
    kind = _NODES.get(served.type)
    if not ids or not query(_OTHERS, {}):
        return found
    if kind is None:
        sql = _OF_OWNERS.format(main=served.parts[served.main])
    else:
        identifiers = served.parts[f"{served.main}_identifier"]
        sql = _SPEAKERS.format(identifiers=identifiers, kind=kind)
    for row in query(sql, {"ids": json.dumps(sorted(ids))}):
        senders = row["senders"]
        if len(senders) == 1 and senders[0].startswith(TWIN_SOURCE):
            found[row["_id"]] = senders[0]
    return found

"""The page docs/reference/roles.md, written from the tables of roles and doors.

`python -m api.roles_page > docs/reference/roles.md` writes it; a test holds it to the code.
"""

import sys
from collections.abc import Iterator

from api.access.doors import DOORS, KNOWN, OPEN
from api.access.roles import MEANT_FOR, PERMISSIONS, ROLE_NAMES, ROLES

_HEAD = """# Roles

Where `[access]` is configured, every request needs a bearer token of the identity provider, an
API key (`wardtwin keys create`) or a browser session. A role is a job; what it may do is in one
table, which the server asks and this page is written from. Without `[access]`, only this
machine is served, and whoever is on it may do everything.
"""
_ROWS = """## Row scope

A key or a token may be held to facilities and units (`--facility`, `--unit`; the claims that
`access.facilities_claim` and `access.units_claim` name). Its holder sees figures of the whole
hospital, and rows of these units only. A visit with a stay in one of them is theirs, whole; so are
its patient, its results, requests, procedures and tasks, and appointments at one of them.

The board, its stream, `/v1/state`, `/past`, and the lists of visits, appointments and results
leave out the rest and count what they show. So does every answer of a FHIR base, whatever was
asked: reads, versions, histories, searches with all they chain to and include, counts, exports.
Places, organizations, staff, calendars and devices are nobody's, but on whom a device is used is
shown of their patients only. A message is shown to them if all visits and patients that it spoke of
are theirs.

What cannot be told apart by units is refused with a word on what to ask instead: lists of messages
and quarantine, rows behind figures that were not counted by unit, SQL over rows without identities,
exports of what changed since, and acts that concern the whole twin.

## FHIR scopes

A token whose scope speaks of FHIR (`system/Encounter.rs`, `user/*.read`) opens just that below
`/fhir`, whatever its roles. A Bundle needs `*.cud`; a search that includes or chains to other
types needs `*.rs`. Scopes of one patient (`patient/`) and scopes with a query are not enforced
here, and so grant nothing.

## Emergencies

Who has `break-glass` posts a reason to `/v1/break-glass` and may read patients of every unit
for an hour. The ledger has the reason before anything opens, and every access after it says
BTG. A warning in the server's log is the alert.

## Without `patients:read`

Ids of visits are replaced by aliases of the same shape that this server alone can make: a
screen shows that a bed is taken, and nothing leads to the patient.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_roles(), *_table(), _ROWS, *_doors()]) + "\n"


def _roles() -> Iterator[str]:
    yield "| Role | For |\n|---|---|"
    yield from (f"| {role} | {MEANT_FOR[role]} |" for role in ROLE_NAMES)
    yield ""


def _table() -> Iterator[str]:
    yield "## What they may do\n"
    yield f"| Permission | Opens | {' | '.join(ROLE_NAMES)} |"
    yield "|---|---|" + ":-:|" * len(ROLE_NAMES)
    for permission, words in PERMISSIONS.items():
        marks = ("yes" if permission in ROLES[role] else "" for role in ROLE_NAMES)
        yield f"| `{permission}` | {words} | {' | '.join(marks)} |"
    yield ""


def _doors() -> Iterator[str]:
    yield "## What every address needs\n"
    yield "| Address | Permission | In the ledger |\n|---|---|---|"
    for method in ("GET", "POST", "PUT"):
        for door in DOORS[method]:
            words = {OPEN: "none", KNOWN: "any role"}
            needed = words.get(door.permission, f"`{door.permission}`")
            shown = "PUT, PATCH, DELETE" if method == "PUT" else method
            heard = "yes" if door.recorded else "known senders" if door.takes else ""
            yield f"| {shown} `{door.address}` | {needed} | {heard} |"


if __name__ == "__main__":
    sys.stdout.write(page())

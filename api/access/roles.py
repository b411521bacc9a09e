"""Who may do what: one table from role to permission, which documentation and tests read.

A role is a job, a permission is what a door asks for (`api.access.doors`). Nobody has a permission
that no role of theirs lists.
"""

from collections.abc import Iterable
from typing import Literal, get_args

Role = Literal[
    "viewer", "operations", "interface", "analyst", "researcher", "auditor", "administrator"
]
ROLE_NAMES: tuple[Role, ...] = get_args(Role)

PERMISSIONS: dict[str, str] = {
    "hospital:read": "the board, units, beds, KPIs; visits by aliases that lead nowhere",
    "patients:read": "visits, appointments, results and rows behind figures, by their true ids",
    "messages:read": "messages, findings and quarantine, with what is about patients masked",
    "messages:show": "messages with names, numbers and text of patients",
    "messages:write": "sending messages and counts in over HTTP",
    "messages:replay": "trying quarantined messages again",
    "feeds:read": "feeds, listeners and destinations",
    "fhir:read": "reading FHIR resources; a token's SMART scopes narrow it by type",
    "fhir:write": "sending FHIR resources in; a token's SMART scopes narrow it by type",
    "simulations:run": "asking what would be, of a simulated hospital",
    "alerts:write": "noting that somebody knows of an alert",
    "settings:read": "the settings in force and where they came from, secrets as stars",
    "metrics:read": "measurements for Prometheus",
    "docs:read": "the API's description",
    "sql:research": "SQL over releases without identities and over suppressed aggregates",
    "sql:limited": "SQL over rows with real dates and without direct identifiers, live or released",
    "sql:identified": "SQL over the identified store",
    "break-glass": "reading patients for an hour in an emergency, with a reason and an alert",
    "audit:read": "the ledger of accesses",
    "access:manage": "API keys and sessions",
}
"""Every permission, and what it opens."""

_EVERYBODY = ("hospital:read", "docs:read")
ROLES: dict[Role, tuple[str, ...]] = {
    "viewer": _EVERYBODY,
    "operations": (
        *_EVERYBODY,
        "patients:read",
        "messages:read",
        "feeds:read",
        "fhir:read",
        "alerts:write",
        "simulations:run",
        "break-glass",
    ),
    "interface": (
        *_EVERYBODY,
        "feeds:read",
        "messages:read",
        "messages:show",
        "messages:write",
        "messages:replay",
        "fhir:write",
        "settings:read",
        "metrics:read",
    ),
    "analyst": (*_EVERYBODY, "sql:research", "sql:limited", "simulations:run"),
    "researcher": ("docs:read", "sql:research"),
    "auditor": ("docs:read", "audit:read"),
    "administrator": (
        *_EVERYBODY,
        "feeds:read",
        "settings:read",
        "metrics:read",
        "access:manage",
        "audit:read",
    ),
}
"""What each role may do. An administrator runs the twin and sees no patient: who must, gets a
second role, and the ledger shows that."""

MEANT_FOR: dict[Role, str] = {
    "viewer": "a screen on the wall, a manager",
    "operations": "bed management, a charge nurse, a command centre",
    "interface": "interface engineers, and systems that send",
    "analyst": "questions about flow, over rows without identities",
    "researcher": "studies, over released rows without identities",
    "auditor": "data protection, internal audit",
    "administrator": "who runs the server",
}


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """What somebody with these roles may do; a role that does not exist adds nothing."""
    return frozenset(
        permission for role in ROLE_NAMES if role in set(roles) for permission in ROLES[role]
    )

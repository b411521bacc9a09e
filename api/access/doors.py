"""Every address of the API and the board: what it needs, and whether it shows patients.

One row per address. A test holds the table to the application's routes, and an address that is not
here is opened to nobody. What `identified` shows is recorded in the ledger before it leaves.
"""

from re import Pattern
from typing import Literal, NamedTuple

from starlette.routing import compile_path

Act = Literal["read", "search", "create", "update", "delete", "execute", "login", "alert"]
OPEN = ""
"""The permission that everybody has: liveness, style sheets, what a FHIR base can do."""


KNOWN = "known"
"""What everybody has who has shown who they are."""


class Door(NamedTuple):
    """What it takes to open an address."""

    address: str
    """Its template, such as `/v1/encounters/{encounter_id}`."""
    permission: str
    act: Act = "read"
    identified: bool = False
    """Whether its answer is about single patients."""
    administrative: bool = False
    """Whether it changes what the twin holds or does."""
    takes: bool = False
    """Whether it takes in what a sender says, who is recorded where senders are known."""

    @property
    def recorded(self) -> bool:
        """Whether the ledger hears of it even where everything went well."""
        return self.identified or self.administrative


_GET: tuple[Door, ...] = (
    # The board and the hospital: visits stand there by their ids.
    Door("/", "hospital:read", "search", identified=True),
    Door("/units/{facility}/{unit:path}", "hospital:read", "search", identified=True),
    Door("/v1/board", "hospital:read", "search", identified=True),
    Door("/v1/deltas", "hospital:read", "search", identified=True),
    Door("/v1/state", "hospital:read", "search", identified=True),
    Door("/v1/lately", "hospital:read"),
    Door("/past", "hospital:read", "search", identified=True),
    Door("/v1/units", "hospital:read"),
    Door("/v1/units/{facility}/{unit:path}", "hospital:read", "search", identified=True),
    # Figures; the rows behind a figure are visits.
    Door("/kpis", "hospital:read"),
    Door("/kpis/{kpi_id}", "hospital:read"),
    Door("/kpis/{kpi_id}/rows", "patients:read", "search", identified=True),
    Door("/v1/kpis", "hospital:read"),
    Door("/v1/kpis/{kpi_id}", "hospital:read"),
    Door("/v1/kpis/{kpi_id}/changes", "hospital:read"),
    Door("/v1/kpis/{kpi_id}/chart", "hospital:read"),
    Door("/v1/kpis/{kpi_id}/rows", "patients:read", "search", identified=True),
    Door("/alerts", "hospital:read"),
    Door("/v1/alerts", "hospital:read"),
    Door("/v1/alerts/stream", "hospital:read"),
    # What would be: counts of simulated patients. The task names who was there by ids that lead
    # nowhere without the store.
    Door("/next", "hospital:read"),
    Door("/next/{simulation_id}", "hospital:read"),
    Door("/next/{simulation_id}/{table}.csv", "hospital:read"),
    Door("/v1/simulations", "hospital:read"),
    Door("/v1/simulations/{simulation_id}", "hospital:read"),
    Door("/v1/simulations/{simulation_id}/progress", "hospital:read"),
    # Patients, one row each.
    Door("/visits/{encounter_id}", "patients:read", identified=True),
    Door("/v1/encounters", "patients:read", "search", identified=True),
    Door("/v1/encounters/{encounter_id}", "patients:read", identified=True),
    Door("/v1/appointments", "patients:read", "search", identified=True),
    Door("/v1/appointments/{appointment_id}", "patients:read", identified=True),
    Door("/v1/observations", "patients:read", "search", identified=True),
    # Messages: what came and what became of it.
    Door("/messages", "messages:read", "search", identified=True),
    Door("/messages/{message_id}", "messages:read", identified=True),
    Door("/quarantine", "messages:read", "search", identified=True),
    Door("/quarantine/{message_id}", "messages:read", identified=True),
    Door("/v1/messages", "messages:read", "search", identified=True),
    Door("/v1/messages/{message_id}", "messages:read", identified=True),
    Door("/v1/messages/{message_id}/explain", "messages:read", identified=True),
    Door("/v1/quarantine", "messages:read", "search", identified=True),
    Door("/v1/findings", "messages:read", "search", identified=True),
    Door("/feeds", "feeds:read"),
    Door("/v1/feeds", "feeds:read"),
    Door("/v1/outbound", "feeds:read"),
    Door("/v1/outbound/{name}", "feeds:read"),
    # De-identified releases; their rows are about single persons all the same.
    Door("/v1/sql/releases", "sql:research"),
    Door("/v1/sql/schema", "sql:research"),
    Door("/v1/sql/queries", "sql:research"),
    Door("/v1/sql/queries/{name}", "sql:research"),
    Door("/sql", "sql:research"),
    # The server itself.
    Door("/docs", "docs:read"),
    Door("/openapi.json", "docs:read"),
    Door("/metrics", "metrics:read"),
    Door("/login", OPEN),
    Door("/login/provider", OPEN),
    Door("/login/callback", OPEN, "login"),
    Door("/v1/access/me", KNOWN),
    Door("/v1/views", KNOWN),
    Door("/v1/audit", "audit:read", "search", administrative=True),
    Door("/audit", "audit:read", "search", administrative=True),
    Door("/settings", "settings:read"),
    Door("/health/live", OPEN),
    Door("/health/ready", OPEN),
    Door("/static/{path:path}", OPEN),
    # FHIR: a scope decides further, by resource type.
    Door("/fhir/{release}/metadata", OPEN),
    Door("/fhir/{release}/.well-known/smart-configuration", OPEN),
    Door("/fhir/{release}", "fhir:read", "search", identified=True),
    Door("/fhir/{release}/{path:path}", "fhir:read", "search", identified=True),
)

_POST: tuple[Door, ...] = (
    Door("/v1/hl7v2", "messages:write", "create", takes=True),
    Door("/v1/sql", "sql:research", "execute", identified=True),
    Door("/v1/sql/queries/{name}", "sql:research", "execute", identified=True),
    Door("/sql", "sql:research", "execute", identified=True),
    Door("/sql/queries", "sql:research", "update", administrative=True),
    Door("/sql/queries/{name}", "sql:research", "execute", identified=True),
    Door("/sql/queries/{name}/forget", "sql:research", "update", administrative=True),
    Door("/v1/census", "messages:write", "create", takes=True),
    Door("/next", "simulations:run", "execute"),
    Door("/next/backtest", "simulations:run", "execute"),
    Door("/next/{simulation_id}/cancel", "simulations:run", "execute"),
    Door("/v1/simulations", "simulations:run", "execute"),
    Door("/v1/simulations/{simulation_id}/cancel", "simulations:run", "execute"),
    Door("/audit/verify", "audit:read", "execute", administrative=True),
    Door("/login", OPEN, "login"),
    Door("/logout", OPEN, "login"),
    Door("/v1/break-glass", "break-glass", "alert"),
    Door("/v1/quarantine/{message_id}/replay", "messages:replay", "update", administrative=True),
    Door("/quarantine/{message_id}/replay", "messages:replay", "update", administrative=True),
    Door("/alerts/{alert_id}/acknowledge", "alerts:write", "update", administrative=True),
    Door("/v1/alerts/{alert_id}/acknowledge", "alerts:write", "update", administrative=True),
    # Notifications show by themselves whose they are.
    Door("/hooks/{source}", OPEN, "create"),
    Door("/hooks/{source}/{kind}/{id_}", OPEN, "create"),
    Door("/fhir/{release}/_search", "fhir:read", "search", identified=True),
    Door("/fhir/{release}/{kind}/_search", "fhir:read", "search", identified=True),
    Door("/fhir/{release}", "fhir:write", "create", takes=True),
    Door("/fhir/{release}/{path:path}", "fhir:write", "create", takes=True),
)

_CHANGING: tuple[Door, ...] = (
    Door("/v1/views/{name:path}", KNOWN, "update"),
    Door("/v1/sql/queries/{name}", "sql:research", "update", administrative=True),
    Door("/hooks/{source}", OPEN, "update"),
    Door("/hooks/{source}/{kind}/{id_}", OPEN, "update"),
    Door("/fhir/{release}", "fhir:write", "update", takes=True),
    Door("/fhir/{release}/{path:path}", "fhir:write", "update", takes=True),
)

DOORS: dict[str, tuple[Door, ...]] = {
    "GET": _GET,
    "HEAD": _GET,
    "POST": _POST,
    "PUT": _CHANGING,
    "PATCH": _CHANGING,
    "DELETE": _CHANGING,
}
"""The doors of every method, in the order in which they are tried."""


def _compiled(doors: tuple[Door, ...]) -> tuple[tuple[Pattern[str], Door], ...]:
    return tuple((compile_path(door.address)[0], door) for door in doors)


_PATTERNS = {method: _compiled(doors) for method, doors in DOORS.items()}


def door_of(method: str, path: str) -> Door | None:
    """The door that a request stands before, or None for an address that nobody listed."""
    found = found_door(method, path)
    return found[0] if found else None


def found_door(method: str, path: str) -> tuple[Door, dict[str, str]] | None:
    """The door that a request stands before, and what the address names."""
    for pattern, door in _PATTERNS.get(method, ()):
        if match := pattern.match(path):
            return door, match.groupdict()
    return None

"""How long a site keeps what it does not need to know the hospital by."""

from pydantic import Field

from twin_core.settings.section import Section


class RetentionSettings(Section):
    """What is removed by age. Events, versions and figures stay; unset keeps all of a kind."""

    messages_days: int | None = Field(default=None, ge=1)
    """The bytes of applied messages as received; without them a rebuild takes their events."""
    quarantine_days: int | None = Field(default=None, ge=1)
    """The bytes of quarantined messages; without them there is no replay."""
    parked_days: int | None = Field(default=None, ge=1)
    """Messages parked for a destination that does not take them."""
    audit_text_days: int | None = Field(default=None, ge=1)
    """Queries, addresses and reasons beside the ledger of accesses; its entries stay."""
    every_hours: float = Field(default=24.0, gt=0)
    """How often `serve` removes what is due, beginning with its start."""

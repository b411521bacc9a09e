"""What an erasure removes, as it is written down before anything is removed."""

from datetime import datetime

import msgspec

from twin_core.erased import Names

Key = tuple[str, str]


class Erasure(msgspec.Struct, kw_only=True):
    """Everything of one patient in one store. It names the patient, and is gone with them."""

    erasure_id: str
    ordered_at: datetime
    patient_ids: list[str]
    """Of the person: the surviving record and those that were merged into it."""
    linked_ids: list[str]
    """Patients who are linked with the person and remain: a link does not make them one."""
    record_ids: list[str] = []
    """The twin's ids of the person and of everything of theirs."""
    identifiers: list[tuple[str, str, str]] = []
    """Kind (the letters of `subjects`), system and value."""
    words: list[str] = []
    """Values by which bytes are known to be about the person."""
    names: Names = Names()
    """By which words texts that somebody typed name the person."""
    queries: list[tuple[str, str]] = []
    """Saved queries that name the person, as (owner, name)."""
    events: dict[int, str | None] = {}
    """Events that go (None), and those of others that mention the person, as they stay."""
    messages: list[int] = []
    """Messages that were about the person alone."""
    touched: list[int] = []
    """Messages about others that name the person too: they lose their bytes."""
    nodes: list[int] = []
    owners: list[int] = []
    """Owners of versions that go."""
    renumbered: dict[int, int] = {}
    """Owners whose first node goes while others of the family stay, and who follows them."""
    staged: list[tuple[int, int]] = []
    """Lines that are staged, as (file, line)."""
    position: int = 0
    """How far the inbox was applied."""
    first_received_at: datetime | None = None
    files: list[str] = []
    """Files that the messages were read from: they are not the twin's to remove."""
    feeds: list[str] = []
    """Feeds that the messages came by."""

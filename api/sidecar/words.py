"""What the two sides of the pipe say to each other."""

from typing import Literal

import msgspec


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One query on one file, with its limits."""

    path: str
    opened: int
    """Changes whenever the file at `path` was replaced, so that the child opens it anew."""
    sql: str
    rows: int
    timeout_s: float
    memory_limit: str
    key: str | None = None
    """What the file is encrypted by, if it is."""
    form: Literal["rows", "arrow"] = "rows"
    release: bool = False
    """No query, but to let go of the file, so that the parent may write it."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: columns and rows, or what went wrong and whose fault it was."""

    columns: tuple[str, ...] = ()
    content: bytes = b"[]"
    """The rows as JSON text, a list of objects, or as an Arrow IPC stream."""
    cut: bool = False
    """There were more rows than the cap."""
    fault: str = ""
    blame: str = ""
    """`query`: the statement is wrong or refused. `limits`: it ran out of time or memory.
    `store`: the file cannot be opened."""

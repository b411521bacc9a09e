"""The hospital twin: one durable store of what is happening, and what follows from it.

`Twin` opens a store, receives messages and answers. It is loaded when first asked for, so that
adapters can use the words of this package without loading a database.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin_core.twin import BatchApplied, QuarantinedMessage, Twin

__all__ = ["BatchApplied", "QuarantinedMessage", "Twin"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from twin_core import twin

        return getattr(twin, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Places in a message, and the rows of a feed's `triggers`."""

import re
from typing import NamedTuple, Self

_FIELD_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:-([1-9]\d{0,2})(?:\.([1-9]\d{0,2}))?)?", re.ASCII)


_CONDITION = re.compile(r"([A-Z0-9^]+)(?:\s+([A-Z0-9.-]+)\s*(?:(!?=)\s*(.*))?)?", re.ASCII)


_TRIGGER = re.compile(r"(?:[A-Z]{3}\^)?[A-Z][A-Z0-9]{2}", re.ASCII)


class FieldPath(NamedTuple):
    """A place in a message as the standard writes it: `ZPV`, `ZPV-3`, `PV1-3.1`."""

    segment: str
    field: int = 0
    """0 stands for every field."""
    component: int = 0
    """0 stands for every component."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The path that a text names. Raises ValueError for any other text."""
        found = _FIELD_PATH.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no field, such as ZPV, ZPV-3 or PV1-3.1")
        return cls(found[1], int(found[2] or 0), int(found[3] or 0))


class TriggerRule(NamedTuple):
    """One row of a feed's `triggers`: an event as sent, where it applies, and what is meant."""

    sent: str
    meant: str
    """`A02`, `ADT^A02`, or `ignore`."""
    field: FieldPath | None = None
    against: FieldPath | str = ""
    """What the field is compared with: another field, or a text."""
    differs: bool = True
    """Whether the rule applies where they differ, rather than where they are equal."""

    @classmethod
    def parse(cls, key: str, meant: str) -> Self:
        """A row of the table. Raises ValueError for one that says nothing usable."""
        found = _CONDITION.fullmatch(key.strip())
        if found is None or not _TRIGGER.fullmatch(found[1]):
            raise ValueError(
                f"{key!r} is no trigger event, such as 'A08', 'ADT^A08', 'A08 PV1-2=N' or "
                "'A08 PV1-6!=PV1-3'"
            )
        if meant != "ignore" and not _TRIGGER.fullmatch(meant):
            raise ValueError(f"{meant!r} is no trigger event, such as 'A02', and not 'ignore'")
        if found[2] is None:
            return cls(found[1], meant)
        field, other = FieldPath.parse(found[2]), (found[4] or "").strip()
        if not field.field:
            raise ValueError(f"{key!r} names a segment; name a field of it")
        against: FieldPath | str = other
        if re.fullmatch(r"[A-Z][A-Z0-9]{2}-\d[\d.]*", other):
            against = FieldPath.parse(other)
        return cls(found[1], meant, field, against, found[3] != "=")

"""The ledger of accesses: its keys, and where its checkpoints are kept."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from twin_core.settings.section import Section, is_loopback


class AuditSettings(Section):
    """The ledger of accesses beside the store, and where its signed checkpoints are kept."""

    keys: Path | None = None
    """The file of the keys; beside the store with `.audit.keys` behind the name where unset."""
    checkpoints: tuple[str, ...] = ()
    """Folders, or URLs to PUT to, that keep checkpoints: another disk, bucket or machine."""
    checkpoint_entries: int = Field(default=1_000, ge=1)
    """A checkpoint after so many entries."""
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    """A checkpoint so long after the first entry that has none."""
    purpose: Literal["HOPERAT", "TREAT", "HRESCH", "HPAYMT"] = "HOPERAT"
    """Why rows are read where nobody says otherwise, as a code of HL7 v3 PurposeOfUse."""

    @field_validator("checkpoints")
    @classmethod
    def _reachable(cls, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
        for place in checkpoints:
            if "://" not in place:
                continue
            url = urlsplit(place)
            if url.scheme not in ("https", "http") or not url.hostname:
                raise ValueError(f"{place!r} is no folder and no http or https URL")
            if url.scheme == "http" and not is_loopback(url.hostname):
                raise ValueError(f"{place!r} would send checkpoints unprotected; use https")
        return checkpoints

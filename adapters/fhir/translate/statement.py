"""What every statement of a FHIR resource has: when it was made, by whom, about what."""

from datetime import datetime
from typing import NamedTuple

from twin_core.identifiers import Identifier


class Stated(NamedTuple):
    """The frame of one resource's statement."""

    occurred_at: datetime
    source: str
    subject: Identifier
    version: str

"""HL7 v2: messages in over MLLP or from anywhere, their events and answers out.

`translate` and `acknowledge` are pure; `MllpListener` and `MllpSender` are the edges.
"""

from adapters.hl7v2.acknowledge import acknowledge, is_acknowledgement
from adapters.hl7v2.batch import (
    Acknowledged,
    acknowledge_batch,
    batch_header,
    ends_as_batch,
    is_batch,
)
from adapters.hl7v2.counting import DELAY_BOUNDS_S, ListenerStatus, OpenConnection
from adapters.hl7v2.encode import encode
from adapters.hl7v2.explain import explain
from adapters.hl7v2.listener import MllpListener
from adapters.hl7v2.mllp import FrameDecoder, framed
from adapters.hl7v2.modes import Answering, answering_to
from adapters.hl7v2.sender import MllpSender
from adapters.hl7v2.translate import FeedTranslator, translate
from adapters.hl7v2.validate import explain_reject, validate

__all__ = [
    "DELAY_BOUNDS_S",
    "Acknowledged",
    "Answering",
    "FeedTranslator",
    "FrameDecoder",
    "ListenerStatus",
    "MllpListener",
    "MllpSender",
    "OpenConnection",
    "acknowledge",
    "acknowledge_batch",
    "answering_to",
    "batch_header",
    "encode",
    "ends_as_batch",
    "explain",
    "explain_reject",
    "framed",
    "is_acknowledgement",
    "is_batch",
    "translate",
    "validate",
]

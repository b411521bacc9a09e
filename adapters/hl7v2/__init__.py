"""HL7 v2: messages in over MLLP or from anywhere, their events and answers out.

`translate` and `acknowledge` are pure; `MllpListener` and `MllpSender` are the edges.
"""

from adapters.hl7v2.acknowledge import acknowledge
from adapters.hl7v2.batch import Acknowledged, acknowledge_batch, batch_header, is_batch
from adapters.hl7v2.encode import encode
from adapters.hl7v2.listener import ListenerStatus, MllpListener
from adapters.hl7v2.mllp import FrameDecoder, framed
from adapters.hl7v2.sender import MllpSender
from adapters.hl7v2.translate import FeedTranslator, translate
from adapters.hl7v2.validate import explain_reject, validate

__all__ = [
    "Acknowledged",
    "FeedTranslator",
    "FrameDecoder",
    "ListenerStatus",
    "MllpListener",
    "MllpSender",
    "acknowledge",
    "acknowledge_batch",
    "batch_header",
    "encode",
    "explain_reject",
    "framed",
    "is_batch",
    "translate",
    "validate",
]

"""A batch that came in one piece: its messages taken one by one, and the batch that answers it."""

import io
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from adapters.files import BATCH, Found, read_batches
from adapters.hl7v2 import (
    Acknowledged,
    acknowledge,
    acknowledge_batch,
    answering_to,
    is_acknowledgement,
)
from api.translating import Reader
from twin_core.clock import Clock
from twin_core.events import Rejection
from twin_core.inbox import Answer, Receipt

Submit = Callable[[list[Receipt]], Awaitable[list[Answer]]]


class Part(NamedTuple):
    """A message or an envelope of a batch, with what is to be stored of it."""

    found: Found
    receipt: Receipt | None
    """None for an envelope that is in order, and for an acknowledgement."""


class Answered(NamedTuple):
    """The response batch, and what became of how many messages and envelopes."""

    batch: bytes
    became: Counter[str]


def read_batch(raw: bytes, reader: Reader, origin: str) -> list[Part]:
    """The parts of a batch in their order; acknowledgements in it are taken and not answered."""
    return [
        Part(found, _to_store(found, reader, origin))
        for found in read_batches(io.BytesIO(raw), reader.settings.limits)
    ]


async def take_batch(parts: list[Part], submit: Submit, clock: Clock) -> Answered:
    """Store the parts of a batch as one, and answer as each message's MSH-15 and MSH-16 ask."""
    receipts = [part.receipt for part in parts if part.receipt is not None]
    answers = iter(await submit(receipts))
    now, ack_id = clock.now(), uuid.uuid4().hex[:16]
    became: Counter[str] = Counter()
    answered: list[Acknowledged] = []
    for found, receipt in parts:
        answer = None if receipt is None else next(answers)
        if answer is not None:
            became[answer.status] += 1
        if found.format == BATCH:
            answered.append(Acknowledged(envelope=found.raw, faults=found.faults))
        elif receipt is not None and answer is not None:
            accept, application, _ = answering_to(found.raw, answer.code)
            if code := application or accept:
                outcome = receipt.outcome
                faults = outcome.faults if isinstance(outcome, Rejection) else ()
                own_id = f"{ack_id}.{became.total()}"
                told = acknowledge(found.raw, code, faults, now=now, ack_id=own_id)
                answered.append(Acknowledged(answer=told))
    return Answered(acknowledge_batch(answered, now=now, ack_id=ack_id), became)


def summary(became: Counter[str]) -> str:
    """What became of a batch, as a header says it."""
    counts: Iterable[str] = (f"{n} {status}" for status, n in became.items())
    return ", ".join(counts) or "nothing"


def _to_store(found: Found, reader: Reader, origin: str) -> Receipt | None:
    for receipt in reader.receipts(found, origin):
        return None if is_acknowledgement(receipt.outcome) else receipt
    return None

"""Sending HL7 v2 files to any listener, message by message, with the answers held against them."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from adapters.files.read import Found
from adapters.hl7v2.answers import (
    Acknowledgement,
    answers_success,
    answers_twice,
    control_id_of,
)
from adapters.hl7v2.conversation import Conversation
from twin_core.errors import FeedError

KEPT_REJECTS = 1_000
SILENCE_S = 1.0
"""How long a message that asks for no answer is given for a refusal to come all the same."""


class Target(NamedTuple):
    """Where files are sent, and how patiently."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    timeout_s: float = 30.0
    rate: float = 0.0
    """Messages per second at most; 0 for as fast as they are acknowledged."""


class Rejected(NamedTuple):
    """A message that the receiver did not accept."""

    file: str
    offset: int
    control_id: str
    code: str
    fault: str
    text: str


class Sent:
    """What was sent so far, and what was answered."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers: Counter[str] = Counter()
        self.unmatched = 0
        """Answers that were about no message under way: late ones, or none at all."""
        self.rejected: list[Rejected] = []

    def stray(self, came: Acknowledgement | None) -> None:
        """Count an answer that was not about the message under way."""
        self.unmatched += 1

    @property
    def refused(self) -> int:
        """Messages that were answered with an error or a reject."""
        return sum(n for code, n in self.answers.items() if code[-1:] in "ER" and code)


async def send_files(
    messages: Iterable[tuple[str, Found]],
    target: Target,
    sent: Sent,
    told: Callable[[Sent], None] = lambda sent: None,
) -> None:
    """Send every message in order, each when the one before it was acknowledged.

    A connection that breaks is opened again once per message, and the message sent again under its
    control id. FeedError where that does not help. `sent` counts as it goes.
    """
    loop = asyncio.get_running_loop()
    conversation = await _opened(target)
    try:
        due = loop.time()
        for file, found in messages:
            if target.rate:
                await asyncio.sleep(max(due - loop.time(), 0.0))
                due = max(due, loop.time() - 1.0) + 1.0 / target.rate
            try:
                answer = await _answered(conversation, found.raw, target, sent)
            except FeedError:
                await conversation.close()
                conversation = await _opened(target)
                try:
                    answer = await _answered(conversation, found.raw, target, sent)
                except FeedError as error:
                    raise _given_up(error, file, found) from error
            _count(sent, file, found, answer)
            told(sent)
    finally:
        await conversation.close()


def _given_up(error: FeedError, file: str, found: Found) -> FeedError:
    return FeedError(
        error.what,
        why=f"The message at offset {found.offset} of {file} was sent twice without an answer, and "
        "nothing behind it was sent. Whether it was stored is not known.",
        do="Look at the receiver, then send it and those behind it again: under the same control "
        "ids, what was stored before can be told as a duplicate.",
    )


async def _opened(target: Target) -> Conversation:
    return await Conversation.open(
        target.host,
        target.port,
        tls=target.tls,
        server_name=target.server_name,
        timeout_s=target.timeout_s,
    )


async def _answered(
    conversation: Conversation, raw: bytes, target: Target, sent: Sent
) -> Acknowledgement | None:
    """The last word on a message; None where it asks for none and none came."""
    control_id = control_id_of(raw)
    expected = answers_success(raw)
    timeout_s = target.timeout_s if expected else min(SILENCE_S, target.timeout_s)
    try:
        answer = await conversation.deliver(raw, control_id, timeout_s, sent.stray)
        if answer.code == "CA" and answers_twice(raw):
            sent.answers["CA"] += 1
            answer = await conversation.answer(control_id, timeout_s, sent.stray)
    except FeedError:
        if expected or conversation.ended:
            raise
        return None
    return answer


def _count(sent: Sent, file: str, found: Found, answer: Acknowledgement | None) -> None:
    sent.sent += 1
    if answer is None:
        sent.answers["none"] += 1
        return
    sent.answers[answer.code] += 1
    if answer.code[-1] != "A" and len(sent.rejected) < KEPT_REJECTS:
        sent.rejected.append(
            Rejected(file, found.offset, answer.control_id, answer.code, answer.fault, answer.text)
        )

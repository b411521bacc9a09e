"""The listening process: takes HL7 v2 messages in while another process projects and serves.

    python -m api.intake        (started by `wardtwin serve`; not for people)

Reading messages and making them durable keeps one core busy, folding them another; two processes
let both run. This one only writes the inbox. It is told on standard input where the store is and
how it is set, says on standard output which port it listens on and how it is doing, and ends when
its input ends, so it never outlives the server that started it.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from adapters.hl7v2 import MllpListener
from api.collector import calm_collector
from api.logs import log_to
from twin_core.clock import SystemClock
from twin_core.errors import TwinError
from twin_core.inbox import Answer, Inbox, Receipt
from twin_core.settings import Settings

STATUS_S = 0.5
SWITCH_S = 0.001


class InboxIntake:
    """What a listener needs of a twin: its settings, its clock, and durable intake."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self.settings, self.clock = settings, SystemClock()
        self._inbox = inbox

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """Make receipts durable; see `Twin.submit`."""
        return self._inbox.submit(receipts)


async def listen(told: dict[str, Any]) -> None:
    """Listen until standard input ends. Raises FeedError or StoreError before the first message."""
    settings = Settings.model_validate(told["settings"])
    inbox = Inbox(Path(told["inbox"]), SystemClock(), window_ms=settings.store.commit_window_ms)
    inbox.start()
    listener = MllpListener(InboxIntake(settings, inbox), str(told["feed"]))
    try:
        await listener.start()
        say({"port": listener.port})
        calm_collector()
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
        while not ended.done():
            await asyncio.wait([ended], timeout=STATUS_S)
            say(status_of(listener))
        await listener.close()
    finally:
        inbox.close()


def status_of(listener: MllpListener) -> dict[str, Any]:
    """A listener's counters as JSON words."""
    status = listener.status()._asdict()
    last = status["last_message_at"]
    return status | {"last_message_at": last.isoformat() if last else None}


def say(words: dict[str, Any]) -> None:
    """One line to the server; nobody listens any more once it is gone."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Run until the server that started it is gone."""
    log_to(sys.stderr)
    # The thread that has just made messages durable must not wait long for the one that reads.
    sys.setswitchinterval(SWITCH_S)
    told = json.loads(sys.stdin.buffer.readline() or b"{}")
    try:
        asyncio.run(listen(told))
    except TwinError as error:
        say({"error": type(error).__name__, "what": error.what, "why": error.why, "do": error.do})
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

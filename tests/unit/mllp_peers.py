"""Both ends of an MLLP listener in tests: a twin that answers when it is told to, and a sender."""

import asyncio
import contextlib
import re
import threading
from concurrent.futures import Future

from adapters.hl7v2 import framed
from twin_core.clock import SystemClock
from twin_core.errors import StoreError
from twin_core.events import Rejection
from twin_core.inbox import Answer, opened
from twin_core.settings import MllpSettings, Settings


class Recorder:
    """A twin that keeps receipts in memory and answers when it is told to, from another thread."""

    def __init__(self, **mllp):
        self.settings = Settings(mllp=MllpSettings(port=0, **mllp))
        self.clock = SystemClock()
        self.receipts = []
        self.waiting = []
        self.held = False
        self.failure = None

    def submit(self, receipts):
        if isinstance(self.failure, StoreError) and self.failure.retry_may_help:
            raise self.failure
        future = Future()
        receipts = [opened(receipt) for receipt in receipts]
        self.receipts += receipts
        if self.held:
            self.waiting.append((future, receipts))
        else:
            threading.Thread(target=self._resolve, args=(future, receipts)).start()
        return future

    def release(self, newest_first=False):
        waiting, self.waiting = self.waiting, []
        for future, receipts in reversed(waiting) if newest_first else waiting:
            self._resolve(future, receipts)

    def _resolve(self, future, receipts):
        if self.failure is not None:
            future.set_exception(self.failure)
            return
        future.set_result([self._answer(receipt.outcome) for receipt in receipts])

    def _answer(self, outcome):
        if isinstance(outcome, Rejection):
            return Answer(status="rejected", code=outcome.code)
        return Answer(status="accepted", code="AA", position=len(self.receipts))


class Projecting(Recorder):
    """A recorder whose positions grow, so that messages can be applied one by one."""

    def __init__(self, feed=None, **mllp):
        super().__init__(**mllp)
        self.given = 0
        if feed:
            self.settings = self.settings.model_copy(update={"feeds": {"main": feed}})

    def _answer(self, outcome):
        answer = super()._answer(outcome)
        if answer.position is None:
            return answer
        self.given += 1
        return type(answer)(status=answer.status, code=answer.code, position=self.given)


class Sender:
    """A plain socket that collects answers as they come."""

    def __init__(self, reader, writer):
        self.writer, self.answers = writer, []
        self._task = asyncio.create_task(self._collect(reader))

    async def _collect(self, reader):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.answers.append(await reader.readuntil(b"\x1c\r"))

    def send(self, *raws):
        self.writer.write(b"".join(map(framed, raws)))

    def codes(self):
        return [tuple(re.search(rb"\rMSA\|(..)\|([^\r|]*)", a).groups()) for a in self.answers]

    @property
    def ended(self):
        return self._task.done()


async def until(condition, timeout_s=60.0):
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.01)


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 120))

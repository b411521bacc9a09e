"""Feeding a started server: stock-taking, back-fill, then live at the speed of the clock."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from adapters.hl7v2.sender import MllpSender
from api.demo.feeding import Feeder, Stream, Tally
from api.demo.inventory import post_census, post_inventory
from api.demo.perturb import Post, Shares
from api.demo.plan import DemoPlan
from api.terminal import Terminal
from twin_core import Twin
from twin_core.clock import HospitalClock
from twin_core.simulation.demonstration import Demonstration

PACE_S = 0.25
"""The longest the live feed sleeps before it looks at the clock again."""
SAY_EVERY_S = 0.5
REMEMBER = timedelta(days=2)
"""A live demo forgets the truth about visits that ended longer ago than this."""
HTTP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class DemoServer:
    """Where a started server is reached, its store, and the clock they share with the demo."""

    twin: Twin
    clock: HospitalClock
    mllp_host: str
    mllp_port: int
    http_base_url: str


@dataclass(slots=True)
class Fed:
    """What a demo did: answers, perturbations, and how long the back-fill took."""

    tally: Tally = field(default_factory=Tally)
    perturbations: Counter[str] = field(default_factory=Counter)
    resources: int = 0
    backfill_seconds: float = 0.0


class Demo:
    """One demo under way: a plan, a server, and the terminal that shows how it goes."""

    def __init__(
        self, plan: DemoPlan, server: DemoServer, terminal: Terminal, shares: Shares | None = None
    ) -> None:
        self.plan, self._server, self._terminal = plan, server, terminal
        self.fed = Fed()
        post = Post(plan.sender, plan.chance, plan.connections, shares)
        self.fed.perturbations = post.counts
        self._stream = Stream(post.deliver(plan.demonstration.facts()))
        self._midnight = _next_midnight(plan.demonstration, plan.demonstration.start)

    async def backfill(self, *, to_the_end: bool = False) -> None:
        """Send everything up to the end of the plan as fast as it is acknowledged.

        `to_the_end` sends what is delivered later as well: late messages of a bounded simulation.
        """
        plan, server, began = self.plan, self._server, time.monotonic()
        server.clock.advance_to(plan.clock_starts)
        self.fed.tally.began = began
        # The weeks before the start hold only the admissions of patients already there.
        whole = (plan.ends - plan.demonstration.start).total_seconds()
        async with self._client() as client, self._feeder() as feeder:
            self.fed.resources = await post_inventory(client, plan.model, plan.clock_starts)
            with self._terminal.progress(
                "back-fill", round(whole), "seconds of hospital time"
            ) as advance:
                said_at = time.monotonic()
                while (dispatch := self._stream.peek()) is not None:
                    if dispatch.at > plan.ends and not to_the_end:
                        break
                    await self._census(client, dispatch.at)
                    server.clock.advance_to(dispatch.at)
                    await feeder.put(self._stream.take())
                    if time.monotonic() - said_at > SAY_EVERY_S:
                        said_at = time.monotonic()
                        done = (dispatch.at - plan.demonstration.start).total_seconds()
                        advance(round(min(max(done, 0.0), whole)), self._note())
                await feeder.all_answered()
        server.clock.advance_to(plan.ends)
        self.fed.backfill_seconds = time.monotonic() - began

    async def live(self, speed: float) -> None:
        """Send each message when the clock, `speed` times as fast as real, comes to it."""
        clock = self._server.clock
        self.fed.tally.began, before = time.monotonic(), self.fed.tally.sent
        clock.run(speed)
        async with self._client() as client, self._feeder() as feeder:
            with self._terminal.progress("live", 0, "messages") as advance:
                while (dispatch := self._stream.peek()) is not None:
                    ahead = (dispatch.at - clock.now()).total_seconds() / speed
                    if ahead > 0:
                        advance(self.fed.tally.sent, self._note(self.fed.tally.sent - before))
                        await asyncio.sleep(min(ahead, PACE_S))
                        continue
                    await self._census(client, dispatch.at)
                    await feeder.put(self._stream.take())

    async def _census(self, client: httpx.AsyncClient, until: datetime) -> None:
        demonstration = self.plan.demonstration
        while self._midnight <= min(until, demonstration.now()):
            census = demonstration.truth.census(self._midnight)
            await post_census(client, self.plan.model, self._midnight, census)
            if demonstration.until is None:
                demonstration.truth.forget_before(self._midnight - REMEMBER)
            self._midnight = _next_midnight(demonstration, self._midnight)

    def _client(self) -> httpx.AsyncClient:
        # Loopback only: the environment's proxies have no part in it.
        return httpx.AsyncClient(
            base_url=self._server.http_base_url, timeout=HTTP_TIMEOUT_S, trust_env=False
        )

    def _feeder(self) -> Feeder:
        return Feeder(self._connected, self.plan.connections, self.fed.tally)

    async def _connected(self) -> MllpSender:
        return await MllpSender.connect(self._server.mllp_host, self._server.mllp_port)

    def _note(self, lately: int | None = None) -> str:
        tally = self.fed.tally
        counted = tally.sent if lately is None else lately
        rate = counted / max(time.monotonic() - tally.began, 1e-9)
        return (
            f"{self._server.clock.now().astimezone(self.plan.model.zone):%d %b %H:%M}"
            f" · {tally.sent:,} sent · {rate:,.0f} acknowledged/s"
            f" · lag {self._server.twin.lag_seconds():.1f} s · {tally.rejected():,} rejected"
        )


async def run_demo(
    plan: DemoPlan,
    server: DemoServer,
    terminal: Terminal,
    *,
    speed: float = 60.0,
) -> None:
    """Back-fill the plan, say where to look, and feed live until cancelled.

    Raises FeedError where the server refuses the hospital's inventory or hangs up.
    """
    demo = Demo(plan, server, terminal)
    terminal.note(
        f"{plan.model.name} (invented): back-filling until {plan.ends:%Y-%m-%d %H:%M} UTC."
    )
    terminal.note(f"Board:  {server.http_base_url}")
    terminal.note(f"MLLP:   {server.mllp_host}:{server.mllp_port}")
    await demo.backfill()
    tell(demo, terminal)
    terminal.note(f"Live at {speed:g} times real time. Ctrl-C ends it.")
    await demo.live(speed)


def tell(demo: Demo, terminal: Terminal) -> None:
    """Say what the back-fill came to."""
    fed = demo.fed
    terminal.note(
        f"Back-fill: {fed.tally.sent:,} messages and {fed.resources:,} resources in "
        f"{fed.backfill_seconds:.1f} s ({fed.tally.sent / max(fed.backfill_seconds, 1e-9):,.0f} "
        f"messages/s), {fed.tally.rejected():,} rejected."
    )
    for surprise in fed.tally.unexpected:
        terminal.note(f"Unexpected: {surprise}")


def _next_midnight(demonstration: Demonstration, after: datetime) -> datetime:
    local = after.astimezone(demonstration.model.zone)
    day = (local + timedelta(days=1)).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=demonstration.model.zone)
    return midnight.astimezone(after.tzinfo)

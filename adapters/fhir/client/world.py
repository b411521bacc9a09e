"""What a client needs of the world: the time, sleep and chance, so that tests can bring their own.

The clock is the machine's, by which tokens expire and Retry-After dates are meant.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random, SystemRandom
from typing import NamedTuple

from twin_core.clock import Clock, SystemClock


class World(NamedTuple):
    """Time and chance as a client of servers meets them."""

    clock: Clock
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    chance: Random


def real_world() -> World:
    """The machine's own."""
    return World(SystemClock(), time.monotonic, asyncio.sleep, SystemRandom())

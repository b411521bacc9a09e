"""Five hundred viewers of the board's event stream, served by one core.

    python tests/bench/viewers.py [--viewers 500] [--seconds 20] [--rate 20]

The server with all its processes is bound to the last core; the viewers and the feed are in this
process. Every message moves a patient of a hospital of 250 beds. Counted are the viewers that got
every change until the last, the time from a message's first byte to the change at a viewer, and
what the server's processes used of their core.
"""

import asyncio
import contextlib
import os
import time
from itertools import pairwise

import room  # beside this file


async def measure(viewers: int, seconds: float, rate: float) -> None:
    """Fill a hospital, let viewers in, move patients, and print what came."""
    hospital = room.Hospital(units=12, beds=21)
    with room.served(core=(os.cpu_count() or 1) - 1) as server:
        feed = await room.Feed.open(server.mllp_port)
        await feed.fill(hospital)
        await room.settled(server, len(hospital.where))
        watching = [room.Viewer() for _ in range(viewers)]
        began = time.monotonic()
        tasks = [asyncio.create_task(one.watch(server.http_port)) for one in watching]
        while any(one.sequence < 0 for one in watching):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        joined_s = time.monotonic() - began
        used, began = server.cpu_s(), time.monotonic()
        sent_at = []
        async for _ in room.paced(rate, seconds):
            sent_at.append(await feed.send(hospital.movement().raw))
        took = time.monotonic() - began
        used = server.cpu_s() - used
        await asyncio.sleep(3.0)  # the last change is on its way for less
        board = await room.request(server.http_port, "/v1/board")
        last = int(board.split(b'"sequence":', 1)[1].split(b",", 1)[0])
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await feed.close()
    current = sum(one.sequence >= last for one in watching)
    changes = [sorted(one.heard_at.values()) for one in watching]
    gaps = [later - heard for of in changes for heard, later in pairwise(of)]
    spread = [
        max(heard) - min(heard)
        for sequence in watching[0].heard_at
        if len(heard := [w.heard_at[sequence] for w in watching if sequence in w.heard_at]) > 1
    ]
    print(f"{len(sent_at)} messages in {took:.1f} s to {viewers} viewers; {room.load()}")
    print(f"all joined in {joined_s:.1f} s; {sum(w.events for w in watching):,} events received")
    room.told("viewers that have the last change", f"{current}", f"{viewers}", current == viewers)
    refetched = sum(one.refetched for one in watching)
    room.told("viewers given up and told to ask again", f"{refetched}", "0", refetched == 0)
    room.told("share of the core in use", f"{used / took:.0%}", "100%", used / took < 1.0)
    print(f"from one change to the next at a viewer: median {room.middle(gaps) * 1e3:.0f} ms,"
          f" p95 {room.p95(gaps) * 1e3:.0f} ms")  # fmt: skip
    print(f"from the first viewer to the last of one change: median {room.middle(spread) * 1e3:.0f}"
          f" ms, p95 {room.p95(spread) * 1e3:.0f} ms")  # fmt: skip


def main() -> None:
    """Read the options, and measure."""
    asked = room.options(__doc__, viewers=500)
    asyncio.run(measure(asked.viewers, asked.seconds, asked.rate))


if __name__ == "__main__":
    main()

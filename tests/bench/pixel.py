"""From a message's first byte at the MLLP port to the pixel that shows it, and the first page.

    python tests/bench/pixel.py [--viewers 50] [--seconds 20] [--rate 20]

One viewer is Chromium, the others read the event stream. Every message moves a patient of a
hospital of 250 beds into a bed that was free; an observer in the page notes when the bed's tile has
changed and been painted: after the next frame, when the task that follows it runs. Both clocks are
this machine's. A message whose bed is not seen to change is counted as lost. One viewer of the
stream notes the beds, too, which tells how much of the time is the server's and how much is the
browser's.
"""

import asyncio
import contextlib
import json
import shutil
import time
from typing import Any

import room  # beside this file

FIRST_PAGE_BYTES, FIRST_PAGE_REQUESTS = 80_000, 12
LATENCY_MS = 250.0
OBSERVE = """() => {
    window.painted = [];
    const after = new MessageChannel();
    let waiting = [];
    after.port1.onmessage = () => {
        const at = performance.timeOrigin + performance.now();
        for (const [unit, bed] of waiting) window.painted.push([unit, bed, at]);
        waiting = [];
    };
    const observer = new MutationObserver((changes) => {
        const seen = new Set();
        for (const change of changes) {
            const tile = change.target;
            if (seen.has(tile) || !tile.title.includes(": occupied")) continue;
            seen.add(tile);
            const unit = tile.closest("[data-unit]").dataset.unit;
            if (!waiting.length) requestAnimationFrame(() => after.port2.postMessage(0));
            waiting.push([unit, tile.title.split(":")[0]]);
        }
    });
    observer.observe(document.getElementById("units"), {
        subtree: true, attributes: true, attributeFilter: ["title"],
    });
}"""


class Noting(room.Viewer):
    """A viewer that notes when the stream told of which bed that it is occupied."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[Any]] = []
        self._known: dict[tuple[str, str], list[str]] = {}

    def _line(self, line: bytes) -> None:
        super()._line(line)
        if not line.startswith(b"data: {"):
            return
        at = time.time() * 1e3
        for unit in json.loads(line[6:]).get("units", ()):
            for bed in unit["beds"]:
                place, who = (unit["key"], bed["label"]), bed.get("who", [])
                if who and self._known.get(place) != who:
                    self.told.append([*place, at])
                self._known[place] = who


async def measure(viewers: int, seconds: float, rate: float) -> None:
    """Fill a hospital, open the board, move patients, and print when it was seen."""
    from playwright.async_api import async_playwright

    hospital = room.Hospital(units=12, beds=21)
    with room.served() as server:
        feed = await room.Feed.open(server.mllp_port)
        await feed.fill(hospital)
        await room.settled(server, len(hospital.where))
        noting = Noting()
        watching = [noting, *(room.Viewer() for _ in range(viewers - 2))]
        tasks = [asyncio.create_task(one.watch(server.http_port)) for one in watching]
        async with async_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=list(room.CHROMIUM_FLAGS)
            )
            page = await browser.new_page(viewport={"width": 1600, "height": 1000})
            weight, requests = await _first_page(page, server.url)
            await page.evaluate(OBSERVE)
            sent: dict[tuple[str, str], list[float]] = {}
            used, began = server.cpu_s(), time.monotonic()
            async for _ in room.paced(rate, seconds):
                move = hospital.movement()
                at = await feed.send(move.raw)
                sent.setdefault((move.unit, move.bed), []).append(at)
            took = time.monotonic() - began
            used = server.cpu_s() - used
            await asyncio.sleep(3.0)
            painted = await page.evaluate("window.painted")
            await browser.close()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await feed.close()
    delays, lost = matched(sent, painted)
    print(f"{len(delays) + lost} messages in {took:.1f} s, {viewers} viewers; {room.load()};"
          f" the server used {used / took:.0%} of a core")  # fmt: skip
    worst = room.p95(delays)
    room.told(
        "byte in to pixel, p95", f"{worst:.0f} ms", f"{LATENCY_MS:.0f} ms", worst < LATENCY_MS
    )
    print(f"median {room.middle(delays):.0f} ms, longest {max(delays, default=0):.0f} ms")
    streamed, _ = matched(sent, noting.told)
    print(f"byte in to event stream: median {room.middle(streamed):.0f} ms,"
          f" p95 {room.p95(streamed):.0f} ms")  # fmt: skip
    room.told("messages not seen on the page", f"{lost}", "0", lost == 0)
    room.told("first page, compressed", f"{weight:,} B", f"{FIRST_PAGE_BYTES:,} B",
              weight < FIRST_PAGE_BYTES)  # fmt: skip
    room.told("requests of the first page", f"{requests}", f"{FIRST_PAGE_REQUESTS}",
              requests <= FIRST_PAGE_REQUESTS)  # fmt: skip


async def _first_page(page: Any, url: str) -> tuple[int, int]:
    """Open the board; the bytes that came until it was live, the stream's aside, and requests."""
    asked: list[str] = []
    weight = 0
    network = await page.context.new_cdp_session(page)
    await network.send("Network.enable")
    streams: set[str] = set()

    def answered(event: dict[str, Any]) -> None:
        if event["response"]["mimeType"] == "text/event-stream":
            streams.add(event["requestId"])

    def received(event: dict[str, Any]) -> None:
        nonlocal weight
        if event["requestId"] not in streams:
            weight += event["encodedDataLength"]

    network.on("Network.responseReceived", answered)
    network.on("Network.loadingFinished", received)
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(url)
    await page.locator('#link[data-state="live"]').wait_for()
    return weight, len(asked)


def matched(
    sent: dict[tuple[str, str], list[float]], painted: list[list[Any]]
) -> tuple[list[float], int]:
    """Milliseconds from each message to its bed's change, and how many beds did not change."""
    seen: dict[tuple[str, str], list[float]] = {}
    for unit, bed, at in painted:
        seen.setdefault((unit, bed), []).append(at)
    delays, lost = [], 0
    for place, moments in sent.items():
        changes = seen.get(place, [])
        for at in moments:
            later = next((one for one in changes if one >= at * 1e3), None)
            if later is None:
                lost += 1
            else:
                delays.append(later - at * 1e3)
    return delays, lost


def main() -> None:
    """Read the options, and measure."""
    asked = room.options(__doc__, viewers=50)
    asyncio.run(measure(asked.viewers, asked.seconds, asked.rate))


if __name__ == "__main__":
    main()

"""A board of two thousand beds: does it scroll and take input while the hospital moves?

    python tests/bench/large_board.py [--beds 2000] [--seconds 15] [--rate 20]

Chromium shows the board while every message moves a patient. Meanwhile the wheel is turned and
words are typed into the search field. Counted are keys that did not arrive in the field, turns of
the wheel that did not scroll, how long input waited until the page took it, and tasks that kept the
page busy for more than 50 ms.
"""

import argparse
import asyncio
import shutil
from typing import Any

import room  # beside this file

INPUT_MS = 100.0
"""Up to here a page is felt to answer at once (RAIL, the response goal)."""
OBSERVE = """() => {
    window.waits = []; window.tasks = []; window.wheels = 0;
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) {
            if (["keydown", "wheel", "input"].includes(one.name)) {
                window.waits.push([one.name, one.processingStart - one.startTime, one.duration]);
            }
        }
    }).observe({ type: "event", durationThreshold: 16 });
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) window.tasks.push(one.duration);
    }).observe({ type: "longtask" });
    window.handled = [];
    for (const name of ["keydown", "wheel"]) {
        addEventListener(name, (event) => {
            window.handled.push(performance.now() - event.timeStamp);
            if (name === "wheel") window.wheels += 1;
        }, { passive: true, capture: true });
    }
}"""
WORD = "w01 "


async def measure(beds: int, seconds: float, rate: float) -> None:
    """Fill the hospital, open the board, move patients, scroll and type; print what it was like."""
    from playwright.async_api import async_playwright

    hospital = room.Hospital(units=beds // 25, beds=25)
    with room.served() as server:
        feed = await room.Feed.open(server.mllp_port)
        await feed.fill(hospital)
        await room.settled(server, len(hospital.where))
        async with async_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=list(room.CHROMIUM_FLAGS)
            )
            page = await browser.new_page(viewport={"width": 1600, "height": 1000})
            await page.goto(server.url)
            await page.locator('#link[data-state="live"]').wait_for()
            tiles = await page.locator("li.bed:not(.key)").count()
            await page.evaluate(OBSERVE)
            moving = asyncio.create_task(_move(feed, hospital, rate, seconds))
            typed, wheels, stuck = await _use(page, seconds)
            await moving
            said = await page.evaluate(
                "({waits: window.waits, tasks: window.tasks, handled: window.handled,"
                " wheels: window.wheels,"
                " field: document.querySelector('[name=find]').value})"
            )
            await browser.close()
        await feed.close()
    print(f"{tiles} beds, {rate:g} messages/s for {seconds:g} s; {room.load()}")
    missing = typed - len(said["field"])
    room.told("keys that did not arrive", f"{missing} of {typed}", "0", missing == 0)
    lost = wheels - said["wheels"]
    room.told("turns of the wheel that did not arrive", f"{lost} of {wheels}", "0", lost == 0)
    room.told("turns after which the page stood still", f"{stuck}", "0", stuck == 0)
    worst = room.p95(said["handled"])
    room.told("input waited for the page, p95", f"{worst:.0f} ms", f"{INPUT_MS:.0f} ms",
              worst < INPUT_MS)  # fmt: skip
    longest = max(said["tasks"], default=0)
    print(f"median {room.middle(said['handled']):.0f} ms, longest {max(said['handled']):.0f} ms")
    print(f"{len(said['tasks'])} tasks over 50 ms, the longest {longest:.0f} ms")
    frames = [duration for _, _, duration in said["waits"]]
    print(f"input that took over 16 ms to the next frame: {len(frames)}, p95 {room.p95(frames):.0f}"
          " ms")  # fmt: skip


async def _move(feed: room.Feed, hospital: room.Hospital, rate: float, seconds: float) -> None:
    async for _ in room.paced(rate, seconds):
        await feed.send(hospital.movement().raw)


async def _use(page: Any, seconds: float) -> tuple[int, int, int]:
    """Turn the wheel and type in turns: keys typed, turns of the wheel, turns without effect."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    typed = wheels = stuck = 0
    await page.mouse.move(600, 600)
    while loop.time() < ends:
        await page.evaluate("scrollTo(0, 0)")
        for _ in range(8):
            before = await page.evaluate("scrollY")
            await page.mouse.wheel(0, 240)
            wheels += 1
            await page.wait_for_timeout(60)
            stuck += before == await page.evaluate("scrollY")
        await page.locator("[name=find]").focus()
        # Typed and taken away again, so that every bed is there for the next turn of the wheel.
        for key in WORD:
            await page.keyboard.press(key if key != " " else "Space")
        typed += len(WORD)
        if loop.time() < ends:
            for _ in WORD:
                await page.keyboard.press("Backspace")
            typed -= len(WORD)
    return typed, wheels, stuck


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beds", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=20.0, help="messages per second")
    asked = parser.parse_args()
    asyncio.run(measure(asked.beds, asked.seconds, asked.rate))


if __name__ == "__main__":
    main()

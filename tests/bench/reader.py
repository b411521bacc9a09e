"""How many ADT messages per CPU-second the reader and translator take, beside two other readers.

    python tests/bench/reader.py [--messages 20000]

All three read the same generated messages in one run and extract the same facts: PID-3, PID-5,
PID-7, PV1-2, PV1-3, PV1-19, PV1-44 and EVN-2. Ours also builds events and the digest.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import hl7

from adapters.hl7v2.translate import translate
from twin_core.events import Translation
from twin_core.settings import FeedSettings, LimitSettings

_TRIGGERS = ("A01", "A02", "A03", "A04", "A08", "A11", "A13", "A21")
_WARDS = ("ICU", "MED1", "MED2", "SURG", "ED", "PAED")


def generated(count: int, seed: int = 20261101) -> list[bytes]:
    """Ordinary ADT messages of some hospital, all different."""
    draw = random.Random(seed)
    start = datetime(2026, 11, 1, tzinfo=UTC)
    return [_message(draw, number, start) for number in range(count)]


def _message(draw: random.Random, number: int, start: datetime) -> bytes:
    sent = start + timedelta(seconds=7 * number)
    admitted = sent - timedelta(minutes=draw.randrange(20_000))
    trigger = draw.choice(_TRIGGERS)
    place = f"{draw.choice(_WARDS)}^{draw.randrange(100, 130)}^{draw.choice('AB')}^HOSP"
    person = draw.randrange(100_000, 999_999)
    visit = [""] * 53
    visit[:4] = ["PV1", "1", draw.choice("IEO"), place]
    visit[7], visit[10], visit[14] = "1234^DOC^ANN^^^DR", "MED", "7"
    visit[19], visit[44] = f"V{person}^^^HOSP^VN", f"{admitted:%Y%m%d%H%M%S}"
    if trigger == "A03":
        visit[36], visit[45] = "01", f"{sent:%Y%m%d%H%M%S}"
    lines = (
        f"MSH|^~\\&|ADT1|HOSP|TWIN|HOSP|{sent:%Y%m%d%H%M%S}||ADT^{trigger}^ADT_{trigger}"
        f"|M{number:08}|P|2.5.1",
        f"EVN|{trigger}|{sent:%Y%m%d%H%M%S}||||{sent:%Y%m%d%H%M%S}",
        f"PID|1||{person}^^^HOSP^MR~{person + 7}^^^NATION^NI||TESTER{person}^ADA^B||"
        f"19{draw.randrange(20, 99)}0{draw.randrange(1, 9)}1{draw.randrange(9)}|F|||"
        "1 NOWHERE ST^^TESTVILLE^NH^03601^USA||555-0100|||S||ACC" + str(person),
        "|".join(visit),
        "",
    )
    return "\r".join(lines).encode()


def ours(messages: Sequence[bytes], settings: FeedSettings, limits: LimitSettings) -> None:
    """Reader and translator, as the listener calls them."""
    received_at = datetime(2027, 1, 1, tzinfo=UTC)
    for raw in messages:
        outcome = translate(
            raw, feed="bench", settings=settings, limits=limits, received_at=received_at
        )
        if not isinstance(outcome, Translation) or not outcome.events:
            raise SystemExit(f"The benchmark's own message was not applied: {outcome}")


def with_python_hl7(messages: Sequence[bytes]) -> None:
    """python-hl7: parse and extract."""
    for raw in messages:
        message = hl7.parse(raw.decode("utf-8"))
        pid, pv1, evn = message.segment("PID"), message.segment("PV1"), message.segment("EVN")
        _ = [str(pid[n]) for n in (3, 5, 7)]
        _ = [str(pv1[n]) for n in (2, 3, 19, 44)]
        _ = str(evn[2])


def with_hl7apy(messages: Sequence[bytes]) -> None:
    """hl7apy: parse and extract."""
    from hl7apy.parser import parse_message

    for raw in messages:
        message = parse_message(raw.decode("utf-8"), find_groups=False)
        pid, pv1 = message.pid, message.pv1
        _ = [pid.pid_3.to_er7(), pid.pid_5.to_er7(), pid.pid_7.to_er7()]
        _ = [f.to_er7() for f in (pv1.pv1_2, pv1.pv1_3, pv1.pv1_19, pv1.pv1_44)]
        _ = message.evn.evn_2.to_er7()


def per_cpu_second(run: Callable[[], None], count: int, rounds: int) -> float:
    """Messages per CPU-second, the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return count / best


def main() -> None:
    """Print the three rates and the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=20_000)
    count = arguments.parse_args().messages
    messages = generated(count)
    zoned, limits = FeedSettings(time_zone="Europe/Berlin"), LimitSettings()
    few, fewest = messages[: max(1, count // 20)], messages[: max(1, count // 200)]
    fast = per_cpu_second(lambda: ours(messages, zoned, limits), count, 3)
    slow = per_cpu_second(lambda: with_python_hl7(few), len(few), 2)
    slowest = per_cpu_second(lambda: with_hl7apy(fewest), len(fewest), 2)
    print(f"wardtwin   {fast:10,.0f} messages per CPU-second")
    print(f"python-hl7 {slow:10,.0f} messages per CPU-second, ratio {fast / slow:.1f}")
    print(f"hl7apy     {slowest:10,.0f} messages per CPU-second, ratio {fast / slowest:.0f}")


if __name__ == "__main__":
    main()

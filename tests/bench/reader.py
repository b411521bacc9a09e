"""How many ADT messages per CPU-second the reader and translator take, beside two other readers.

    python tests/bench/reader.py [--messages 10000]

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
    """Ordinary ADT messages of some hospital, all different, of about 900 bytes each."""
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
    visit[7] = visit[9] = visit[17] = "1234^DOC^ANN^^^DR"
    visit[10], visit[14], visit[18] = "MED", "7", "S"
    visit[19], visit[44] = f"V{person}^^^HOSP^VN", f"{admitted:%Y%m%d%H%M%S}"
    if trigger == "A03":
        visit[36], visit[45] = "01", f"{sent:%Y%m%d%H%M%S}"
    stamp = f"{sent:%Y%m%d%H%M%S}"
    lines = (
        f"MSH|^~\\&|ADT1|HOSP|TWIN|HOSP|{stamp}||ADT^{trigger}^ADT_{trigger}"
        f"|M{number:08}|P|2.5.1|||AL|NE||UNICODE UTF-8",
        f"EVN|{trigger}|{stamp}|||1234^DOC^ANN^^^DR|{stamp}",
        f"PID|1||{person}^^^HOSP^MR~{person + 7}^^^NATION^NI||TESTER{person}^ADA^B||"
        f"19{draw.randrange(20, 99)}0{draw.randrange(1, 9)}1{draw.randrange(9)}|F||2106-3^^HL70005|"
        f"1 NOWHERE ST^^TESTVILLE^NH^03601^USA^H||555-0100^PRN^PH|555-0101^WPN^PH|en|S||A{person}",
        "PD1|||FAMILY PRACTICE^^12345|9876^GP^GREGORY^^^DR",
        "NK1|1|TESTER^BEN|SPO^SPOUSE^HL70063|1 NOWHERE ST^^TESTVILLE^NH^03601^USA|555-0102",
        "|".join(visit),
        "PV2||1^SEMI-PRIVATE|^CHEST PAIN||||||||3",
        "AL1|1|DA|^PENICILLIN|SV|RASH",
        "DG1|1||R07.9^CHEST PAIN^I10|||A",
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


def per_cpu_second(
    runs: dict[str, tuple[Callable[[], None], int]], rounds: int
) -> dict[str, float]:
    """Messages per CPU-second of every reader: the best of some rounds, taken in turns."""
    best = dict.fromkeys(runs, 0.0)
    for _ in range(rounds):
        for name, (run, count) in runs.items():
            started = time.process_time()
            run()
            best[name] = max(best[name], count / (time.process_time() - started))
    return best


def main() -> None:
    """Print the three rates and how they compare."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=10_000)
    count = arguments.parse_args().messages
    messages = generated(count)
    zoned, limits = FeedSettings(time_zone="Europe/Berlin"), LimitSettings()
    few, fewest = messages[: max(1, count // 40)], messages[: max(1, count // 400)]
    runs: dict[str, tuple[Callable[[], None], int]] = {
        "wardtwin": (lambda: ours(messages, zoned, limits), count),
        "python-hl7": (lambda: with_python_hl7(few), len(few)),
        "hl7apy": (lambda: with_hl7apy(fewest), len(fewest)),
    }
    rates = per_cpu_second(runs, rounds=5)
    for name, rate in rates.items():
        ratio = rates["wardtwin"] / rate
        print(
            f"{name:10} {rate:10,.0f} messages per CPU-second, wardtwin is {ratio:,.1f} times that"
        )


if __name__ == "__main__":
    main()

"""How many SIU messages per CPU-second the reader and translator take, beside python-hl7.

    python tests/bench/scheduling.py [--messages 6000]

Both read the same generated messages in one run. python-hl7 parses and takes out the fields of SCH,
PID and the resource segments that the translator reads; ours also builds events and the digest.
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

_TRIGGERS = ("S12", "S12", "S13", "S14", "S15", "S18", "S26")
_CLINICS = ("ORTHO", "CARD", "DERM", "GYM", "XRAY")
_STATUSES = {"S15": "Cancelled", "S26": "Noshow"}


def generated(count: int, seed: int = 20261101) -> list[bytes]:
    """Ordinary SIU messages of some hospital, all different, of about 1,000 bytes each."""
    draw = random.Random(seed)
    start = datetime(2026, 11, 1, tzinfo=UTC)
    return [_message(draw, number, start) for number in range(count)]


def _message(draw: random.Random, number: int, start: datetime) -> bytes:
    sent = start + timedelta(seconds=7 * number)
    begins = sent.replace(minute=0, second=0) + timedelta(hours=draw.randrange(1, 2_000))
    ends = begins + timedelta(minutes=30)
    trigger, clinic = draw.choice(_TRIGGERS), draw.choice(_CLINICS)
    person, status = draw.randrange(100_000, 999_999), _STATUSES.get(trigger, "Booked")
    from_at, to_at = f"{begins:%Y%m%d%H%M%S}", f"{ends:%Y%m%d%H%M%S}"
    times = f"{from_at}|||30|min^Minutes^ISO||{status}"
    lines = (
        f"MSH|^~\\&|SCHED|HOSP|TWIN|HOSP|{sent:%Y%m%d%H%M%S}||SIU^{trigger}^SIU_S12"
        f"|M{number:08}|P|2.5.1|||AL|NE||UNICODE UTF-8",
        f"SCH|P{number}^CLIN|F{number}^HOSP|||SCHED1|ROUTINE^Routine|FOLLOWUP^Follow-up^HL70276"
        f"|NORMAL^Normal^HL70277|30|min^Minutes^ISO|^^30^{from_at}^{to_at}|1234^DOC^ANN^^^DR"
        f"|555-0100|||1234^DOC^ANN^^^DR|||||1234^DOC^ANN^^^DR|||||{status}^{status}^HL70278",
        f"TQ1|1||||||{from_at}|{to_at}|R^Routine",
        f"PID|1||{person}^^^HOSP^MR~{person + 7}^^^NATION^NI||TESTER{person}^ADA^B||"
        f"19{draw.randrange(20, 99)}0{draw.randrange(1, 9)}1{draw.randrange(9)}|F||2106-3^^HL70005|"
        f"1 NOWHERE ST^^TESTVILLE^NH^03601^USA^H||555-0100^PRN^PH|555-0101^WPN^PH|en|S||A{person}",
        f"PV1|1|O|{clinic}^^^HOSP||||1234^DOC^ANN^^^DR|||MED|||||||||V{person}^^^HOSP^VN",
        "RGS|1|A",
        f"AIS|1|A|{draw.choice(('CONSULT', 'FOLLOW', 'XR'))}^Consultation^L|{times}",
        f"AIG|1|A|EQ{draw.randrange(40)}^Equipment^L|EQ^Equipment^L||||{times}",
        f"AIL|1|A|{clinic}^{draw.randrange(1, 30)}^^HOSP|C^Clinic^HL70305||{times}",
        f"AIP|1|A|{draw.randrange(5000)}^DOC^ANN^^^DR^^^HOSP|CON^Consultant^L||{times}",
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
        sch, pid, pv1 = (message.segment(name) for name in ("SCH", "PID", "PV1"))
        _ = [str(sch[n]) for n in (1, 2, 6, 7, 8, 9, 11, 25)]
        _ = [str(pid[n]) for n in (3, 5, 7)]
        _ = str(pv1[19])
        for name, positions in (("AIS", (3, 4, 7)), ("AIG", (3, 8)), ("AIL", (3, 6))):
            segment = message.segment(name)
            _ = [str(segment[n]) for n in positions]
        _ = str(message.segment("AIP")[3])


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
    """Print both rates and how they compare."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=6_000)
    count = arguments.parse_args().messages
    messages = generated(count)
    zoned, limits = FeedSettings(time_zone="Europe/Berlin"), LimitSettings()
    few = messages[: max(1, count // 40)]
    runs: dict[str, tuple[Callable[[], None], int]] = {
        "wardtwin": (lambda: ours(messages, zoned, limits), count),
        "python-hl7": (lambda: with_python_hl7(few), len(few)),
    }
    rates = per_cpu_second(runs, rounds=5)
    for name, rate in rates.items():
        ratio = rates["wardtwin"] / rate
        print(
            f"{name:10} {rate:10,.0f} messages per CPU-second, wardtwin is {ratio:,.1f} times that"
        )


if __name__ == "__main__":
    main()

"""How fast results (ORU^R01) are translated, beside python-hl7 reading the same messages.

    python tests/bench/results.py [--messages 4000] [--rounds 5]

Both take turns on the same messages in one process, so that a busy machine is busy for both. The
messages have one to five OBX, three on average, and about 900 bytes; a device's message has a
hundred OBX. Times are CPU seconds; the best round of each counts.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import hl7

from adapters.hl7v2 import translate
from twin_core.events import Translation
from twin_core.settings import FeedSettings, LimitSettings

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
FEED, LIMITS = FeedSettings(time_zone="UTC"), LimitSettings()
PANEL = (
    ("718-7^Hemoglobin^LN", "g/dL^^UCUM", "12.0-16.0"),
    ("789-8^Erythrocytes^LN", "10*6/uL^^UCUM", "3.9-5.2"),
    ("6690-2^Leukocytes^LN", "10*3/uL^^UCUM", "4.0-10.0"),
    ("777-3^Platelets^LN", "10*3/uL^^UCUM", "150-400"),
    ("2951-2^Sodium^LN", "mmol/L^^UCUM", "135-145"),
)


def panel(number: int) -> bytes:
    """A laboratory's message of one to five results."""
    visit = [""] * 20
    visit[:4] = ["PV1", "1", "I", "ICU^12^A^NORTH"]
    visit[7] = visit[8] = visit[17] = "1234^DOC^ANN^^^DR"
    visit[10], visit[18], visit[19] = "MED", "S", f"V{number}^^^NORTH^VN"
    order = [""] * 26
    order[:5] = ["OBR", "1", f"P{number}^WARD", f"F{number}^LAB", "58410-2^CBC panel^LN"]
    order[6] = order[14] = "20261101070500"
    order[7], order[16], order[22], order[25] = (
        "20261101071500",
        "1234^DOC^ANN^^^DR",
        "20261101080400",
        "F",
    )
    lines = [
        rf"MSH|^~\&|LAB|NORTH|TWIN|NORTH|20261101080500||ORU^R01^ORU_R01|M{number}|P|2.5.1",
        f"PID|1||47{number}^^^NORTH^MR~{number + 7}^^^NATION^NI||TESTER{number}^ADA^B||19500101|F||"
        "2106-3^^HL70005|1 NOWHERE ST^^TESTVILLE^NH^03601^USA^H||555-0100^PRN^PH|555-0101^WPN^PH",
        "|".join(visit),
        f"ORC|RE|P{number}^WARD|F{number}^LAB||CM||||20261101070500|||1234^DOC^ANN^^^DR",
        "|".join(order),
    ]
    for at, (code, unit, reference) in enumerate(PANEL[: 1 + number % 5], 1):
        value = f"{number % 90 + at}.{number % 10}"
        lines.append(
            f"OBX|{at}|NM|{code}||{value}|{unit}|{reference}|N|||F|||20261101071500"
            "|NLAB^NORTH LABORATORY^L|77^TECH^TOM"
        )
    lines.append("NTE|1|L|Sample was slightly haemolysed.")
    return ("\r".join(lines) + "\r").encode()


def monitor(number: int) -> bytes:
    """A device's message of a hundred measurements."""
    at = f"2026110108{number % 60:02}{number // 60 % 60:02}"
    device = "0012210000000001^^0012210000000001^EUI-64"
    lines = [
        rf"MSH|^~\&|MON|NORTH|TWIN|NORTH|{at}||ORU^R01^ORU_R01|D{number}|P|2.6",
        f"PID|1||47{number % 40}^^^NORTH^MR",
        f"OBR|1|A{number}^MON|B{number}^MON|182777000^monitoring of patient^SCT|||{at}",
        f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{device}",
    ]
    for metric in range(100):
        code = f"{147842 + metric}^MDC_METRIC_{metric}^MDC|1.1.1.{metric}"
        value = 60 + (number + metric) % 50
        lines.append(f"OBX|{metric + 2}|NM|{code}|{value}|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R")
    return ("\r".join(lines) + "\r").encode()


def translated(messages: Sequence[bytes]) -> None:
    """The twin's own work."""
    for raw in messages:
        outcome = translate(raw, feed="lab", settings=FEED, limits=LIMITS, received_at=NOW)
        if not isinstance(outcome, Translation) or not outcome.events:
            raise SystemExit("a message was not translated")


def parsed(messages: Sequence[bytes]) -> None:
    """What is compared with: only reading, no meaning."""
    for raw in messages:
        hl7.parse(raw.decode())


def seconds(work: Callable[[Sequence[bytes]], None], messages: Sequence[bytes]) -> float:
    began = time.process_time()
    work(messages)
    return (time.process_time() - began) / len(messages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name, make, share in (("1 to 5 OBX", panel, 1), ("100 OBX", monitor, 20)):
        messages = [make(number) for number in range(options.messages // share)]
        few = messages[:: max(1, 20 // share)]
        translated(few)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(seconds(translated, messages))
            theirs.append(seconds(parsed, few))
        best, other = min(ours), min(theirs)
        print(
            f"{name}: {1 / best:,.0f} messages per CPU second ({best * 1e6:.0f} us each); "
            f"python-hl7 reads {1 / other:,.0f} ({other * 1e6:.0f} us): {other / best:.1f} times"
        )


if __name__ == "__main__":
    main()

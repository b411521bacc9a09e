"""Pairs of a message and what it means: `fixtures/hl7v2/x.hl7` and `x.events.json`.

The second file holds the kinds of findings and either the events or the reject that the message
must give, and under `feed` the settings of its feed where they matter. A new case is two files.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7v2 import translate
from adapters.hl7v2.translate import FeedTranslator
from adapters.hl7v2.triggers import TRANSLATORS
from twin_core.events import Rejection, Translation, decode_events, encode_events
from twin_core.settings import FeedSettings, LimitSettings

PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
RECEIVED_AT = datetime(2026, 11, 1, 8, 5, 2, tzinfo=UTC)
NAMES = sorted(path.stem for path in PAIRS.glob("*.hl7"))


def _meaning(name: str) -> tuple[dict[str, Any], Translation | Rejection]:
    expected = json.loads((PAIRS / f"{name}.events.json").read_text("utf-8"))
    outcome = translate(
        (PAIRS / f"{name}.hl7").read_bytes(),
        feed="main",
        settings=FeedSettings.model_validate(expected.get("feed", {})),
        limits=LimitSettings(),
        received_at=RECEIVED_AT,
    )
    return expected, outcome


@pytest.mark.parametrize("name", NAMES)
def test_a_message_means_what_its_pair_says(name: str) -> None:
    expected, outcome = _meaning(name)
    if "rejected" in expected:
        assert isinstance(outcome, Rejection)
        [fault] = outcome.faults
        refused = {"code": outcome.code, "where": fault.where, "table_0357": fault.code}
        assert refused == expected["rejected"]
        return
    assert isinstance(outcome, Translation), outcome
    assert json.loads(encode_events(outcome.events)) == expected["events"]
    assert sorted(finding.kind for finding in outcome.findings) == expected["findings"]
    assert decode_events(encode_events(outcome.events)) == outcome.events


def test_every_trigger_event_that_is_applied_has_a_pair() -> None:
    assert {name[:3].upper() for name in NAMES} >= {event[4:] for event in TRANSLATORS}


@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_what_a_feed_remembers_of_other_messages_changes_no_meaning(zone: str | None) -> None:
    feed, limits = FeedSettings(time_zone=zone), LimitSettings()
    raws = [(PAIRS / f"{name}.hl7").read_bytes() for name in NAMES]
    # The same resource at the same times, said by a segment that has something odd about it.
    booked = (PAIRS / "s12_booked.hl7").read_bytes()
    raws += [booked.replace(b"\rAI", b"\rAIS|1|?|X^Y||20990101||5|fortnights||Maybe\rAI", 1)] * 2
    for sender, group in ((b"HOSP", b"1"), (b"OTHER", b"1"), (b"HOSP", b"2"), (b"HOSP", b"1|D")):
        ail = b"AIL|1||GYM^1||||20261102|||30|min"
        lines = [*booked.split(b"\r")[:2], b"RGS|" + group, ail]
        raws.append(b"\r".join(lines).replace(b"|HOSP|TWIN", b"|" + sender + b"|TWIN"))
    # The same fields from another sender, and what looks the same in other delimiters.
    raws += [
        b"|".join([*(parts := raw.split(b"|", 4))[:3], b"ELSE", parts[4]]) for raw in raws[::2]
    ]
    raws += [raw.replace(b"^", b"!").replace(b"~", b"^") for raw in raws[::5]]
    forgetful = [FeedTranslator("main", feed, limits).translate(raw, RECEIVED_AT) for raw in raws]
    remembering = FeedTranslator("main", feed, limits)
    for _ in range(2):
        assert [remembering.translate(raw, RECEIVED_AT) for raw in raws] == forgetful
    assert [remembering.translate(raw, RECEIVED_AT) for raw in raws[::-1]] == forgetful[::-1]

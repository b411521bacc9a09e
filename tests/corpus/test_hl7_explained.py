"""Public HL7 v2 messages, explained: marked where they are wrong, and without the people in them.

Read from a folder beside the project; skipped where it is absent.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.explained_text import explanation_lines
from api.explaining import explain_bytes
from twin_core.events import Rejection
from twin_core.settings import Settings

CORPUS = Path(__file__).parents[2] / "../shared/corpus/hl7v2/messages.jsonl"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PERSONAL = {"PID": (5, 6, 7, 9, 11, 13, 14, 19), "NK1": (2, 4, 5), "GT1": (3, 5), "NTE": (3,)}
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside the project")


def messages() -> list[bytes]:
    lines = CORPUS.read_text("utf-8").strip().split("\n")
    return [json.loads(line)["raw"].encode("latin-1") for line in lines]


def test_every_message_is_explained_and_marked_within_80_columns() -> None:
    for raw in messages()[::7]:
        explanation, outcome = explain_bytes(
            raw, feed="adt", settings=Settings(), received_at=NOW, phi=False, most=5_000
        )
        lines = [line.text for line in explanation_lines(explanation)]
        assert max(map(len, lines)) <= 80
        told = " ".join(line.strip() for line in lines)
        for fault in outcome.faults if isinstance(outcome, Rejection) else ():
            assert f"!! {fault.where}, code {fault.code}" in told


def test_nobody_is_shown() -> None:
    """Names, dates and addresses, found by splitting at bars, are in no field about a person."""
    compared = 0
    for raw in messages()[3::7]:
        if not raw.startswith(b"MSH|^~\\&"):
            continue
        explanation, _ = explain_bytes(
            raw, feed="adt", settings=Settings(), received_at=NOW, phi=False, most=5_000
        )
        assert explanation.content is not None
        shown: dict[tuple[str, int], str] = {}
        for segment in explanation.content.segments:
            for field in segment.fields:
                at = (segment.segment, field.number)
                shown[at] = f"{shown.get(at, '')} {field.value}"
        for line in re.split(r"[\r\n]+", raw.decode("latin-1")):
            fields = line.split("|")
            for number in PERSONAL.get(fields[0], ()):
                for part in re.split(r"[\^~&]", fields[number]) if number < len(fields) else ():
                    if re.search(r"[A-WYZa-wyz0-8]", part):
                        compared += 1
                        assert part not in shown.get((fields[0], number), "")
    assert compared > 300

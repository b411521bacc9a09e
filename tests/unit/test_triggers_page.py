"""The page of trigger events says what the translators do, for every trigger event there is."""

import json
from functools import partial
from pathlib import Path

import pytest

from adapters.hl7v2.codes import TRIGGER_EVENTS
from adapters.hl7v2.names import TRIGGER_NAMES
from adapters.hl7v2.triggers import KEPT_BECAUSE, TRANSLATORS
from api.triggers_page import does, events_of, filed_under, page
from twin_core import events

ROOT = Path(__file__).parents[2]
PAIRS = ROOT / "fixtures" / "hl7v2"
WRITE = "python -m api.triggers_page > docs/reference/triggers.md"


def test_the_triggers_page_is_what_the_code_says() -> None:
    written = (ROOT / "docs/reference/triggers.md").read_text("utf-8")
    assert written == page(), f"a trigger event changed: run `{WRITE}` (also after a rebase)"


def test_every_trigger_event_has_a_row_and_a_name() -> None:
    text = page()
    for message_type, triggers in TRIGGER_EVENTS.items():
        section = text.split(f"## {message_type}\n")[1].split("\n## ")[0]
        rows = [line[2:5] for line in section.splitlines() if line.startswith("| ")][1:]
        assert rows == sorted(triggers)
        assert triggers <= set(TRIGGER_NAMES), "name it in adapters/hl7v2/names.py"


def test_a_trigger_event_is_either_applied_or_kept() -> None:
    [kept] = {line for line in page().splitlines() if line.startswith("| A19 |")}
    assert "*kept*" in kept
    assert "a query asks" in kept
    assert not set(KEPT_BECAUSE) & set(TRANSLATORS)
    [applied] = {line for line in page().splitlines() if line.startswith("| A02 |")}
    assert "PV1-6 to PV1-3" in applied
    assert "`Transferred`" in applied


@pytest.mark.parametrize("path", sorted(PAIRS.glob("*.events.json")), ids=lambda path: path.stem)
def test_a_message_becomes_only_events_that_its_row_names(path: Path) -> None:
    expected = json.loads(path.read_text("utf-8"))
    kinds = {event["event"] for event in expected.get("events", ())} - {"PatientDescribed"}
    trigger_event = path.stem[:3].upper()
    for translator in [t for name, t in TRANSLATORS.items() if name.endswith(trigger_event)]:
        assert kinds <= {kind.__name__ for kind in events_of(translator)}


def test_a_translator_must_say_what_it_does() -> None:
    def silent() -> None: ...

    def told() -> None:
        """A01, A04: the patient is here."""

    with pytest.raises(ValueError, match="A01"):
        does(silent, "A01")
    assert does(told, "A04") == "The patient is here."
    assert does(partial(told), "A05") == "A01, A04: the patient is here."


def test_events_are_filed_under_what_they_are_about() -> None:
    assert filed_under(events.Admitted) == "encounter"
    assert filed_under(events.PatientsMerged) == "patient"
    assert filed_under(events.BedStatusChanged) == "location"
    assert filed_under(events.EncounterStated) == "encounter"

"""What a feed's settings lack, as lines of TOML that may be pasted under its table."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from adapters.disclosure import masked, passes
from adapters.hl7v2.codes import ACT_CODES, CLASSES, TRIGGER_EVENTS
from twin_core.settings import FeedSettings

if TYPE_CHECKING:
    from api.checking import Report

_FORMS = {"classes": "PV1-2", "services": "PV1-10", "authorities": "CX.4", "systems": "CX.5"}


class Shown(NamedTuple):
    """What of a sender's codes may be shown: what is known, or cannot be a name."""

    known: frozenset[str]
    phi: bool

    def of(self, setting: str, code: str) -> str:
        """The code for a map, or its shape; of a bed, part by part."""
        name = _FORMS.get(setting, "PV1-3")
        return "^".join(
            part if self.phi or passes(part, name, known=self.known) else masked(part)
            for part in code.split("^")
        )


_CODES = 20
"""Most codes of one map that are suggested."""


def suggestions(
    report: "Report", sent: Counter[tuple[str, str]], settings: FeedSettings, shown: "Shown"
) -> list[str]:
    """Lines for [feeds.NAME], each saying what the sample showed; nothing of it is certain."""
    kinds = {finding.code for finding in report.findings}
    refused = {reject.table_0357 for reject in report.rejects}
    lines: list[str] = []
    if "no_time_zone" in kinds:
        lines.append('time_zone = "UTC"  # the zone of the sender\'s clock, such as Europe/Berlin')
    if "guessed_charset" in kinds:
        lines.append('charset = "windows-1252"  # what the bytes were read as')
    if "202" in refused:
        ids = [name for name in sorted(report.processing_ids) if name != "(none)"]
        lines.append(f"processing_ids = {_listed(ids)}  # only if these are real patients")
    if report.lenient_would_take:
        of = f"{report.lenient_would_take} of {report.rejected}"
        lines.append(f'strictness = "lenient"  # takes {of} that were rejected')
    lines += _triggers(report)
    lines += _maps(sent, settings, shown)
    dropped = [field for segment in report.site_segments for field in segment.dropped]
    if dropped:
        lines.append(f"keep = {_listed([*settings.keep, *dropped])}  # in twin.message_field")
    return lines


def _triggers(report: "Report") -> Iterator[str]:
    for counted in report.triggers:
        kind, _, trigger = counted.trigger_event.partition("^")
        if counted.rejected and trigger and trigger not in TRIGGER_EVENTS.get(kind, ()):
            name = _quoted(counted.trigger_event)
            yield f'triggers.{name} = "ignore"  # or the event meant; messages: {counted.rejected}'


def _maps(sent: Counter[tuple[str, str]], settings: FeedSettings, shown: "Shown") -> Iterator[str]:
    for setting, note in _NOTES.items():
        known: dict[str, str] = getattr(settings, setting)
        lacking = [
            (code, n)
            for (name, code), n in sorted(sent.items(), key=lambda one: (-one[1], one[0]))
            if name == setting and code not in known and _is_wanted(setting, code, known)
        ]
        for code, n in lacking[:_CODES]:
            shape = shown.of(setting, code)
            if shape != code:
                yield f"# {setting}: {_quoted(shape)} is masked, --show-phi shows it; messages: {n}"
                continue
            line = f"{setting}.{_quoted(code)} = {_quoted(_meant(setting, code))}"
            yield f"{line}  # {note}messages: {n}"


_NOTES = {
    "units": "",
    "facilities": "",
    "beds": "",
    "classes": "table 0004 does not have it; ",
    "services": "",
    "authorities": "",
    "systems": "identifiers of this type without an authority; ",
}


def _is_wanted(setting: str, code: str, known: dict[str, str]) -> bool:
    if setting == "classes":
        return code not in CLASSES and code not in ACT_CODES
    # Without a map a code stands for itself, which needs no line; numberings of one's own do.
    return bool(known) or setting == "systems"


def _meant(setting: str, code: str) -> str:
    """What the code stands for as long as nobody says otherwise."""
    if setting == "beds":
        return code.replace("^", "/")
    if setting == "classes":
        return "AMB"
    if setting == "authorities":
        return f"urn:wardtwin:authority:{code}"
    return f"urn:example:{code}" if setting == "systems" else code


def _listed(texts: list[str]) -> str:
    return "[" + ", ".join(_quoted(text) for text in texts) + "]"


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(text)

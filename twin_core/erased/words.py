"""The words of a message that nobody could read: enough to see whose numbers stand in it.

A reject has no events, so whom it is about can be told from its bytes only. Words are taken as
HL7 v2 delimits them (components, fields) and as JSON does (strings, and the `Type/id` at the end of
a reference), in whatever charset.
"""

import re
from collections.abc import Iterable, Iterator

LEAST_TELLING = 5
"""Characters of a word that is taken to name somebody; shorter ones stand for too much else."""
NUMBER = "="
"""Before a word that stands where a person's number does, where it may be as short as it likes."""

_CHARSETS = ("utf-8", "latin-1")
_HL7 = re.compile(r"[\x00-\x1f|^~&]+")
_FINER = re.compile(r"[\x00-\x20|^~&\"'<>,;={}()\[\]\\]+")
_NUMBERS = re.compile(r"(?:^|[\r\n])\s*(PID|NK1|MRG)\|([^\r\n]*)")
_OF_PEOPLE = {"PID": (2, 3, 4, 21), "NK1": (33,), "MRG": (1, 4)}
"""Fields with numbers of people: the patient's, the mother's, those of the next of kin."""
_VALUE = re.compile(r'"value"\s*:\s*"((?:[^"\\]|\\.)*)"')
_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SENT = {r"\F\ "[:3]: "|", r"\S\ "[:3]: "^", r"\R\ "[:3]: "~", r"\T\ "[:3]: "&", r"\E\ "[:3]: "\\"}


def words_in(raw: bytes) -> frozenset[str]:
    """Every word of a message that may name somebody: long ones, and numbers of people."""
    found: set[str] = set()
    numbers: set[str] = set()
    for text in dict.fromkeys(_texts(raw)):
        found.update(_words(text))
        numbers.update(_numbers(text))
    long = {word for word in found if len(word) >= LEAST_TELLING}
    return frozenset(long | {NUMBER + number for number in numbers if number})


def telling(words: Iterable[str]) -> frozenset[str]:
    """The words of `words_in` by which a message names a person of these numbers."""
    return frozenset(
        form
        for word in words
        if word
        for form in (word, NUMBER + word)
        if form is not word or len(word) >= LEAST_TELLING
    )


def _texts(raw: bytes) -> Iterator[str]:
    if b"\x00" in raw:
        for charset in ("utf-16-le", "utf-16-be"):
            yield raw.decode(charset, "replace")
    for charset in _CHARSETS:
        yield raw.decode(charset, "replace")


def _words(text: str) -> Iterator[str]:
    for part in _HL7.split(text):
        yield _sent(part).strip()
    yield from _FINER.split(text)
    for string in _JSON.findall(text):
        said = unescaped(string)
        yield said
        yield from _FINER.split(said)
        parts = [part for part in said.split("/_history/")[0].split("/") if part]
        yield "/".join(parts[-2:])


def _numbers(text: str) -> Iterator[str]:
    for segment, rest in _NUMBERS.findall(text):
        fields = rest.split("|")
        for field in _OF_PEOPLE[segment]:
            for repetition in fields[field - 1].split("~") if field <= len(fields) else ():
                yield _sent(repetition.split("^")[0].split("&")[0]).strip()
    for value in _VALUE.findall(text):
        yield unescaped(value)


def unescaped(text: str) -> str:
    """A text without the escapes of JSON."""
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(escape: re.Match[str]) -> str:
    code, letter = escape.groups()
    return chr(int(code, 16)) if code else _PLAIN.get(letter, letter)


def _sent(part: str) -> str:
    for escape, character in _SENT.items():
        part = part.replace(escape, character)
    return part

"""The words of a message that nobody could read: enough to see whose numbers stand in it.

A reject has no events, so whom it is about can be told from its bytes only. Words are taken as
HL7 v2 delimits them (components, fields) and as JSON does (strings, and the `Type/id` at the end of
a reference), in whatever charset.
"""

import re
from collections.abc import Iterator

LEAST_TELLING = 5
"""Characters of a word that is taken to name somebody; shorter ones stand for too much else."""

_CHARSETS = ("utf-8", "latin-1")
_HL7 = re.compile(r"[\x00-\x1f|^~&]+")
_FINER = re.compile(r"[\x00-\x20|^~&\"'<>,;={}()\[\]\\]+")
_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SENT = {r"\F\ "[:3]: "|", r"\S\ "[:3]: "^", r"\R\ "[:3]: "~", r"\T\ "[:3]: "&", r"\E\ "[:3]: "\\"}


def words_in(raw: bytes) -> frozenset[str]:
    """Every word of a message that is long enough to name somebody."""
    found: set[str] = set()
    for text in dict.fromkeys(_texts(raw)):
        found.update(_words(text))
    return frozenset(word for word in found if len(word) >= LEAST_TELLING)


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
        said = _ESCAPE.sub(_unescaped, string)
        yield said
        yield from _FINER.split(said)
        parts = [part for part in said.split("/_history/")[0].split("/") if part]
        yield "/".join(parts[-2:])


def _unescaped(escape: re.Match[str]) -> str:
    code, letter = escape.groups()
    return chr(int(code, 16)) if code else _PLAIN.get(letter, letter)


def _sent(part: str) -> str:
    for escape, character in _SENT.items():
        part = part.replace(escape, character)
    return part

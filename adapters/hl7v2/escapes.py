"""ER7 escape sequences, undone after splitting so that an escaped delimiter never splits."""

import re

_FORMATTING = {".br": "\n", ".sp": "\n", ".fi": "", ".nf": "", ".in": "", ".ti": "", ".sk": " "}
# Only what the standard defines is matched, so that a lone escape character in front of an escape
# sequence does not swallow it.
_SEQUENCE = r"[FSTREPHN]|X(?:[0-9A-Fa-f]{2})+|\.(?:br|sp|fi|nf|in|ti|sk)[+-]?\d{0,3}"


class Escapes:
    """The escape sequences of one set of delimiters, in one character set."""

    __slots__ = ("_codec", "_letters", "_pattern")

    def __init__(self, delimiters: str, codec: str) -> None:
        field, component, repetition, escape, subcomponent, truncation = tuple(delimiters)
        self._codec = codec
        self._letters = {
            "F": field,
            "S": component,
            "T": subcomponent,
            "R": repetition,
            "E": escape,
            "P": truncation,
            "H": "",
            "N": "",
        }
        mark = re.escape(escape)
        self._pattern = re.compile(f"{mark}({_SEQUENCE}){mark}", re.ASCII)

    def undo(self, text: str) -> str:
        """The text that was meant. What is no escape sequence stays as it was sent."""
        return self._pattern.sub(self._meant, text)

    def _meant(self, found: re.Match[str]) -> str:
        sequence = found[1]
        meant = self._letters.get(sequence)
        if meant is not None:
            return meant
        if sequence[0] == "X":
            return self._from_bytes(bytes.fromhex(sequence[1:]))
        return _FORMATTING[sequence[:3]]

    def _from_bytes(self, encoded: bytes) -> str:
        try:
            return encoded.decode(self._codec)
        except UnicodeDecodeError:
            return encoded.decode("iso8859-1")


def hides_a_nul(text: str, escape: str) -> bool:
    """Whether an escape sequence of the text stands for a NUL, which would cut text short."""
    mark = re.escape(escape)
    found = re.compile(f"{mark}X((?:[0-9A-Fa-f]{{2}})+){mark}", re.ASCII).finditer(text)
    return any(0 in bytes.fromhex(match[1]) for match in found)

"""Whether somebody said something: a reason that nobody can read is none."""

import unicodedata

_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\U00013441\U00013442")
"""Letters and figures, to Unicode, that are drawn as nothing: fillers of Hangul, and the blanks of
hieroglyphs. All else that looks blank (spaces, joiners, tags, marks, Braille without a dot) is
neither a letter nor a figure."""


def letters_said(text: str) -> int:
    """How many letters and figures of a text can be seen."""
    plain = unicodedata.normalize("NFKC", text)
    return sum(one.isalnum() and one not in _BLANK_LETTERS for one in plain)

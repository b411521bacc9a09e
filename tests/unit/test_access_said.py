"""What counts as a reason: letters or figures that somebody can see."""

import sys
import unicodedata

import pytest

from api.access.said import letters_said

# Unicode's Default_Ignorable_Code_Point, and what is drawn as an empty place.
DRAWN_AS_NOTHING = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810)),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *(0x2800, 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC)),
    *(0x13441, 0x13442, *range(0x1BCA0, 0x1BCA4), 0x16FE4, 0x1D159, *range(0x1D173, 0x1D17B)),
    *range(0xE0000, 0xE1000),
]


def test_what_is_drawn_as_nothing_says_nothing():
    assert [hex(one) for one in DRAWN_AS_NOTHING if letters_said(chr(one) * 3)] == []


def test_spaces_marks_controls_and_what_has_no_meaning_say_nothing():
    kinds = ("Z", "M", "C", "P", "S")
    mute = [
        one for one in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(one)[0] in kinds
    ]
    # Signs that stand for letters, such as the one for a telephone, do say something.
    said = [one for one in mute if letters_said(one)]
    assert all(any(map(str.isalnum, unicodedata.normalize("NFKC", one))) for one in said)
    assert len(said) < 1_000


@pytest.mark.parametrize(
    "reason", ["arrest", "Реанимация", "急救蘇", "심정지", "توقف القلب", "3 B", "①②③"]
)
def test_letters_and_figures_of_any_script_do(reason):
    assert letters_said(reason) >= 2

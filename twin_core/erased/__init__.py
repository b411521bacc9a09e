"""Who was erased, by keyed marks that name nobody, and what is left of what others say.

A mark is an HMAC-SHA-256 of an identifier under a key that is kept outside the store. So a message
that comes again is known as one about an erased patient, and the marks tell nobody who that was.
"""

from twin_core.erased.marks import Marks, made_key, read_mark_key
from twin_core.erased.names import Names, name_words, names_of
from twin_core.erased.remains import about, patients_in, without
from twin_core.erased.words import LEAST_TELLING, telling, words_in

__all__ = [
    "LEAST_TELLING",
    "Marks",
    "Names",
    "about",
    "made_key",
    "name_words",
    "names_of",
    "patients_in",
    "read_mark_key",
    "telling",
    "without",
    "words_in",
]

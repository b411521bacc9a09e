"""A person's names as somebody may have typed them: in a query, an address, a reason, a title.

A number is one person's; a name may be that of many, and a word of the language besides. So a text
is taken to name the person where it has a name that nobody else in the store has, or the family
name and a given name together.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from urllib.parse import unquote_plus

import msgspec

from twin_core.erased.words import LEAST_TELLING, unescaped

_WORD = re.compile(r"[^\W\d_]+")


class Names(msgspec.Struct, frozen=True):
    """By which words a text names a person."""

    own: frozenset[str] = frozenset()
    """Words of their names that stand for nobody and nothing else."""
    whole: frozenset[frozenset[str]] = frozenset()
    """Family and given name, which name them together."""

    def stand_in(self, said: str) -> bool:
        """Whether a text, an address or JSON names the person."""
        if not self.own and not self.whole:
            return False
        forms = {said, unescaped(said)}
        words = set(name_words(*forms, *map(unquote_plus, forms)))
        return not words.isdisjoint(self.own) or any(name <= words for name in self.whole)


def names_of(told: Iterable[tuple[str | None, str | None]], others: Collection[str]) -> Names:
    """The names of a person of these family and given names, where others have these words."""
    own: set[str] = set()
    whole: set[frozenset[str]] = set()
    for family, given in told:
        words = name_words(family), name_words(given)
        own.update(word for word in set().union(*words) if len(word) >= LEAST_TELLING)
        if all(words):
            whole.add(frozenset().union(*words))
    return Names(frozenset(own.difference(others)), frozenset(whole))


def name_words(*names: str | None) -> set[str]:
    """The words of names without case and accents, as names are searched for."""
    plain = unicodedata.normalize("NFKD", " ".join(name or "" for name in names))
    bare = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return set(_WORD.findall(bare.casefold()))

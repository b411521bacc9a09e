"""Pseudonyms and shifts: the same for the same patient under the same keys, unguessable without.

A pseudonym is HMAC-SHA-256 (RFC 2104, FIPS 198-1) over the kind of thing and its identifier, a
shift is a number of whole weeks from HMAC-SHA-256 over the surviving patient under a second key.
Who learns one key learns nothing of the other.
"""

import hmac
from datetime import timedelta
from typing import NamedTuple

SEPARATOR = "\x1f"
"""Between kind and identifier: a control character, which neither holds."""
DIGITS = 24
"""Hexadecimal digits of a pseudonym, which are 96 bits."""
SHIFT_DIGITS = 15
"""Hexadecimal digits that the weeks are taken from: below 2^60, exact in a signed 64-bit number."""
_REMEMBERED = 200_000


class Keys(NamedTuple):
    """Two secrets of at least 32 bytes that are not the same."""

    pseudonym: bytes
    shift: bytes

    def __repr__(self) -> str:
        return f"Keys({fingerprint(self)})"


def fingerprint(keys: Keys) -> str:
    """Which keys these are, without telling them: it is written into whatever they made."""
    both = hmac.digest(keys.pseudonym, b"pseudonym", "sha256") + hmac.digest(
        keys.shift, b"shift", "sha256"
    )
    return hmac.digest(both, b"wardtwin codebook", "sha256").hex()[:16]


class Codebook:
    """The pseudonyms and shifts of one pair of keys; nothing of it is ever stored."""

    def __init__(self, keys: Keys, *, shift_weeks: int) -> None:
        self.keys, self.shift_weeks = keys, shift_weeks
        self._codes: dict[tuple[str, str], str] = {}
        self._shifts: dict[str, timedelta] = {}

    def code(self, kind: str, identifier: str) -> str:
        """The pseudonym of an identifier: `DIGITS` hexadecimal digits."""
        return self.digest(kind, identifier)[:DIGITS]

    def digest(self, kind: str, identifier: str) -> str:
        """All 64 hexadecimal digits behind a pseudonym."""
        found = self._codes.get((kind, identifier))
        if found is None:
            text = f"{kind}{SEPARATOR}{identifier}".encode("utf-8", "surrogatepass")
            found = hmac.digest(self.keys.pseudonym, text, "sha256").hex()
            if len(self._codes) >= _REMEMBERED:
                self._codes.clear()
            self._codes[kind, identifier] = found
        return found

    def weeks(self, patient: str) -> int:
        """How many weeks before the truth a patient's instants are told: 1 to `shift_weeks`."""
        text = f"patient{SEPARATOR}{patient}".encode("utf-8", "surrogatepass")
        digits = hmac.digest(self.keys.shift, text, "sha256").hex()[:SHIFT_DIGITS]
        return 1 + int(digits, 16) % self.shift_weeks

    def shift(self, patient: str) -> timedelta:
        """The weeks as what is added to an instant."""
        found = self._shifts.get(patient)
        if found is None:
            found = timedelta(weeks=-self.weeks(patient))
            if len(self._shifts) >= _REMEMBERED:
                self._shifts.clear()
            self._shifts[patient] = found
        return found

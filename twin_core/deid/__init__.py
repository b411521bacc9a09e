"""De-identification: what may leave the identified store, under which keys, and at what risk.

`rules.toml` is the allow-list, `codebook` makes pseudonyms and shifts from keys that are kept
outside every database, `publish` makes releases from rules and codebook, `risk` measures them.
"""

from twin_core.deid.codebook import Codebook, Keys, fingerprint
from twin_core.deid.keys import drawn_keys, has_keys, read_keys
from twin_core.deid.rules import Profile, Rules, rules

__all__ = [
    "Codebook",
    "Keys",
    "Profile",
    "Rules",
    "drawn_keys",
    "fingerprint",
    "has_keys",
    "read_keys",
    "rules",
]

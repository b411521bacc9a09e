"""ZIP codes: three digits where more than 20,000 people live, none elsewhere.

`sparse_zip3.csv` lists the areas of 20,000 or fewer people by the census that counted them; an
area that any listed census found sparse is treated as sparse (45 CFR 164.514(b)(2)(i)(B)).
"""

import csv
import re
from functools import cache
from importlib.resources import files

_ZIP = re.compile(r"\d{5}(?:-?\d{4})?", re.ASCII)
SPARSE = "000"
"""What the first three digits of a sparse area become."""


@cache
def sparse_zip3() -> frozenset[str]:
    """The first three digits of the areas where 20,000 people or fewer live."""
    text = (files("twin_core.deid") / "sparse_zip3.csv").read_text("ascii")
    return frozenset(row["zip3"] for row in csv.DictReader(text.splitlines()))


def zip3(postal_code: str) -> str | None:
    """What may be told of a postal code; None of one that is no US ZIP code.

    >>> zip3("02138-1234"), zip3("03601"), zip3("SW1A 1AA")
    ('021', '000', None)
    """
    if not _ZIP.fullmatch(postal_code.strip()):
        return None
    first = postal_code.strip()[:3]
    return SPARSE if first in sparse_zip3() else first

"""Where a server's own links lead: made absolute, kept at the server that was configured.

Servers behind a proxy often write links with the name they know themselves by. What such a link
says after the base is asked of the configured base instead, so that credentials never travel to an
address that somebody else chose.
"""

from urllib.parse import urlsplit

from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.client.manners import origin, resolved


def next_page(link: str, *, asked: str, told: str, base: str, known_as: str = "") -> str:
    """The address of the next page.

    `asked` is what this page was asked by and `told` its self link; `known_as` is the base as the
    server's CapabilityStatement has it. Raises Untrustworthy for a link that leads elsewhere.
    """
    # Relative links are relative to the base (HL7 FHIR, Bundle.link), but some servers mean the
    # page they stand on; both agree where the link begins with the query.
    absolute = resolved(f"{base}/" if not link.startswith("?") else asked, link)
    if origin(absolute) == origin(base):
        return absolute
    for other in (known_as, _base_of(told, asked, base)):
        rest = absolute[len(other) :]
        if other and absolute.startswith(other) and rest[:1] in ("/", "?", ""):
            return base + rest
    raise Untrustworthy(
        "A link to the next page leads to another server.",
        why=f"It leads to {urlsplit(absolute).hostname}.",
        do="Set the source's url to the address that the server writes in its links.",
    )


def rebased(address: str, *, base: str, known_as: str) -> str:
    """An address that a server gave, below the configured base where it is below its own."""
    rest = address[len(known_as) :]
    below = known_as and address.startswith(known_as) and rest[:1] in ("/", "?", "")
    return base + rest if below and origin(address) != origin(base) else address


def _base_of(told: str, asked: str, base: str) -> str:
    """The base as the server knows itself: its self link without what was asked below the base."""
    path = urlsplit(asked).path.removeprefix(urlsplit(base).path)
    known = told.partition("?")[0]
    return known[: -len(path)] if path and known.endswith(path) else ""

"""What every table of settings is, and checks that several of them share."""

from ipaddress import IPv6Address, ip_address
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

Strictness = Literal["lenient", "standard", "strict"]


class Section(BaseModel):
    """A table of settings: frozen, and refusing keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def checked_charset(charset: str, is_known: bool) -> str:
    """The character set, where it is one of HL7 table 0211 known here. Raises ValueError."""
    if not is_known:
        raise ValueError(
            f"{charset!r} is no character set of HL7 table 0211 known here, such as "
            "UNICODE UTF-8, 8859/1 or ASCII"
        )
    return charset


def checked_zone(zone: str | None) -> str | None:
    """The IANA time zone, where there is one of that name. Raises ValueError."""
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no IANA time zone, such as Europe/Berlin") from None
    return zone

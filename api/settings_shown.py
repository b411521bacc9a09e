"""The settings in force as somebody may see them: every value with its origin, secrets as stars."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

from twin_core.settings import Settings

STARS = "********"


def flattened(settings: Settings, origins: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Every setting as (key, value as shown, origin), in the order of the settings' tables."""
    for key, value in _leaves(settings):
        yield key, shown(value), _origin(key, origins)


def shown(value: Any) -> Any:
    """A value without its secrets: those of an address are its user and what stands behind `?`."""
    if isinstance(value, SecretStr):
        return STARS
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    if isinstance(value, str) and "://" in value:
        return _address(value)
    return str(value) if isinstance(value, Path) else value


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        return STARS
    _, at, host = url.netloc.rpartition("@")
    kept = url._replace(
        netloc=f"{STARS}@{host}" if at else host,
        query=STARS if url.query else "",
        fragment=STARS if url.fragment else "",
    )
    return urlunsplit(kept)


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        below = {
            field.alias or name: getattr(value, name)
            for name, field in type(value).model_fields.items()
        }
    elif isinstance(value, dict) and value:
        below = value
    else:
        yield at, value
        return
    for key, inner in below.items():
        yield from _leaves(inner, f"{at}.{key}" if at else str(key))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    # A list or a table may have been set as a whole, above the value that is shown.
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if (origin := origins.get(".".join(parts[:length]))) is not None:
            return origin
    return "default"

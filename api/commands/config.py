"""`wardtwin config show`: every setting, its value, and where it came from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from api.commands import Call, Command
from twin_core.settings import Loaded

STARS = "********"


def show(call: Call) -> int:
    """Print every value with its origin; secrets as stars."""
    rows = [
        {"setting": key, "value": value, "origin": origin}
        for key, value, origin in flattened(call.loaded)
    ]
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(("setting", "value", "origin"), rows)
    return 0


def flattened(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """Every setting as (key, value as shown, origin), in the order of the settings' tables."""
    for key, value in _leaves(loaded.settings):
        yield key, _shown(value), _origin(key, loaded.origins)


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


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return STARS
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _origin(key: str, origins: dict[str, str]) -> str:
    # A list or a table may have been set as a whole, above the value that is shown.
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if (origin := origins.get(".".join(parts[:length]))) is not None:
            return origin
    return "default"


COMMAND = Command(
    name="config",
    help="show the settings and where they came from",
    examples=("wardtwin config show", "wardtwin config show --config site.toml --json"),
    commands=(
        Command(
            name="show",
            help="every value with its origin; secrets as stars",
            examples=("wardtwin config show --http-port 8081",),
            run=show,
        ),
    ),
)

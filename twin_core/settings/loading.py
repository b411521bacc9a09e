"""Settings in layers: built-in default < TOML file < environment < command-line flags."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from twin_core.errors import ConfigurationError
from twin_core.settings.deid import DeidSettings
from twin_core.settings.encryption import EncryptionSettings
from twin_core.settings.kpi import KpiSettings
from twin_core.settings.site import Settings

PREFIX = "WARDTWIN_"


class Loaded(BaseModel):
    """Settings with the origin of every value that is not a default (`http.port` -> `flag`)."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    origins: dict[str, str]


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Settings from a TOML file, an environment and flags (`{"http.port": 8081}`), in that order.

    Raises ConfigurationError naming the key, the origin and what is wrong with it.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers: list[tuple[str, Mapping[tuple[str, ...], Any]]] = []
    if file is not None:
        layers.append((f"file {file}", _flatten(_read_toml(file))))
    layers.append(("environment", _from_environ(environ or {})))
    layers.append(("flag", {tuple(k.split(".")): v for k, v in (flags or {}).items()}))
    for origin, values in layers:
        for path, setting in values.items():
            _put(merged, path, setting)
            origins[".".join(path)] = origin
    try:
        return Loaded(settings=Settings.model_validate(merged), origins=origins)
    except ValidationError as error:
        raise _explained(error, origins) from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"The settings file {file} cannot be read.", why=error.strerror or str(error)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML.", why=str(error)) from error


def _flatten(table: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, setting in table.items():
        # An empty table says something, too: [feeds.lab] configures a feed by its name alone.
        if isinstance(setting, dict) and setting:
            flat.update(_flatten(setting, (*at, key)))
        else:
            flat[(*at, key)] = setting
    return flat


def _from_environ(environ: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX) and "__" in name:
            path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
            found[path] = text.split(",") if text and _is_list(path) else text
    return found


_LISTS = {
    "peers",
    "clients",
    "processing_ids",
    "keep",
    "movement",
    "status",
    "class",
    "demographics",
    "feeds",
    "excluded_feeds",
    "triggers",
    "types",
    "deletes",
    "other_origins",
    "checkpoints",
    *(
        name
        for section in (KpiSettings, DeidSettings, EncryptionSettings)
        for name, field in section.model_fields.items()
        if isinstance(field.default, tuple)
    ),
    "hosts",
    "proxies",
}


def _is_list(path: tuple[str, ...]) -> bool:
    return path[-1] in _LISTS


def _put(table: dict[str, Any], path: tuple[str, ...], setting: Any) -> None:
    for key in path[:-1]:
        below = table.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigurationError(f"The setting {'.'.join(path)} is below a plain value.")
        table = below
    table[path[-1]] = setting


def _explained(error: ValidationError, origins: Mapping[str, str]) -> ConfigurationError:
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"])
        said = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{key} (from {_origin(key, origins)}): {said}" if key else said)
    return ConfigurationError(
        "The settings are not usable.",
        why="; ".join(problems) + ".",
        do="See docs/reference/settings.md.",
    )


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Where a key was set; a section that does not exist came from wherever a key of it was."""
    return next((o for k, o in origins.items() if f"{k}.".startswith(f"{key}.")), "default")

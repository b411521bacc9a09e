"""Reading a scenario from TOML: one of the package, or a file."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twin_core.errors import ConfigurationError
from twin_core.simulation.flow.loading import reasons_of
from twin_core.simulation.scenario.edits import Scenario


def known_scenarios() -> list[str]:
    """The scenarios of the package, by name."""
    folder = resources.files("twin_core.simulation") / "scenarios"
    names = (file.name for file in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_scenario(name: str | Path) -> Scenario:
    """A scenario by its name in the package, or from a file.

    Raises ConfigurationError with the reason and the place.
    """
    try:
        read = tomllib.loads(_text(name))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} is no TOML.", why=f"{error}.") from error
    return scenario_from(read, str(name))


def scenario_from(read: Mapping[str, Any], name: str) -> Scenario:
    """The scenario that a document describes; it is called as its file where it has no name.

    Raises ConfigurationError with every reason and its place.
    """
    try:
        return Scenario.model_validate({"name": Path(name).stem} | dict(read))
    except ValidationError as error:
        raise ConfigurationError(
            f"{name} describes no scenario.",
            why=f"{reasons_of(error, read)}.",
            do="`wardtwin simulate --schema scenario` prints what a scenario may say.",
        ) from error


def _text(name: str | Path) -> str:
    if str(name) in known_scenarios():
        file = resources.files("twin_core.simulation") / "scenarios" / f"{name}.toml"
        return file.read_text("utf-8")
    try:
        return Path(name).read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"There is no scenario {str(name)!r}.",
            why=f"{error.strerror}.",
            do=f"Name a TOML file, or one of {', '.join(known_scenarios())}.",
        ) from error

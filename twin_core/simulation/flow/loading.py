"""Reading a hospital's flow from TOML: one of the package, or a file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twin_core.errors import ConfigurationError
from twin_core.simulation.flow.from_demo import flow_of
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.model import Hospital, hospital_text


def load_flow(name: str | Path) -> FlowModel:
    """The flow of a hospital by its name in the package, or from a file.

    A file that describes a demonstration hospital is read as the flow it describes.
    Raises ConfigurationError with the reason and the place.
    """
    try:
        read = tomllib.loads(hospital_text(name))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} is no TOML.", why=str(error)) from error
    return flow_from(read, str(name))


def flow_from(read: Mapping[str, Any], name: str) -> FlowModel:
    """The flow that a document describes.

    Raises ConfigurationError with every reason and its place.
    """
    try:
        if "patient_numbers" in read:
            return flow_of(Hospital.model_validate(read))
        return FlowModel.model_validate(read)
    except ValidationError as error:
        raise ConfigurationError(
            f"{name} does not describe a hospital that can be.",
            why=f"{reasons_of(error, read)}.",
            do="`wardtwin simulate --schema` prints what a model may say.",
        ) from error


def reasons_of(error: ValidationError, read: Mapping[str, Any]) -> str:
    """Every reason for which a document was refused, each with its place in it."""
    errors = error.errors()
    # A list is said to be too short when one of its items was refused, too.
    inside = {one["loc"][:depth] for one in errors for depth in range(1, len(one["loc"]))}
    return "; ".join(
        _reason(one, read)
        for one in errors
        if not (one["type"] == "too_short" and one["loc"] in inside)
    )


def _reason(error: Any, read: Mapping[str, Any]) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    place = _place(error["loc"], read)
    return f"{place}: {said}" if place else said


def _place(where: tuple[str | int, ...], read: Any) -> str:
    """`units[2] (MED).beds` for a way into the document."""
    place, at = "", read
    for part in where:
        if isinstance(part, int):
            at = at[part] if isinstance(at, list | tuple) and part < len(at) else None
            code = at.get("code") if isinstance(at, dict) else None
            place += f"[{part + 1}]" + (f" ({code})" if code else "")
        else:
            at = at.get(part) if isinstance(at, dict) else None
            place += f".{part}" if place else part
    return place

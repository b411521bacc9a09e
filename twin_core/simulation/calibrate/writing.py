"""A calibrated model as TOML that a charge nurse can review: every number says where it is from."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from twin_core.simulation.calibrate.fitting import Calibration
from twin_core.simulation.calibrate.lengths import LengthFit
from twin_core.simulation.calibrate.parameters import Parameter, parameters
from twin_core.simulation.calibrate.streams import StreamFit
from twin_core.simulation.calibrate.wards import UnitFit
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.model import Part

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDE = 96
_TABLES = ("units", "classes", "arrivals", "routes", "closures", "present")


def toml_of(calibration: Calibration) -> str:
    """The model with what its numbers were estimated from, and how sure they are, as comments."""
    model, found = calibration.model, parameters(calibration)
    lines = [*_head(calibration), *_plain_fields(model)]
    for stream, arrivals in zip(calibration.streams, model.arrivals, strict=True):
        lines += ["", *_of_stream(stream, found), *_of_booked(stream, calibration)]
        lines += ["[[arrivals]]", *_fields(arrivals)]
    for of, unit in zip(calibration.units, model.units, strict=True):
        lines += ["", *_of_unit(of, found), *_diverted(of.code, calibration)]
        lines += ["[[units]]", *_fields(unit)]
    for part in model.classes:
        lines += ["", "[[classes]]", *_fields(part)]
    for route in model.routes:
        of = calibration.unit(route.unit)
        lines += ["", *_of_route(of, route.class_, found), "[[routes]]", *_fields(route)]
    return "\n".join(lines) + "\n"


def _head(calibration: Calibration) -> Iterator[str]:
    history, courses = calibration.learnt, calibration.courses
    yield f"# {history.facility}, as its history from {history.start:%Y-%m-%d %H:%M} to"
    yield f"# {history.end:%Y-%m-%d %H:%M} (UTC) shows it. Read it, correct it, run it:"
    yield "# wardtwin simulate THIS_FILE"
    yield "# An interval holds the true number with 95% probability, if the family fits."
    for names, why in (
        (courses.visited, "patients keep their bed while they are there"),
        (courses.on_the_way_out, "patients only pass there as they leave"),
        (courses.rare, "hardly any stay"),
    ):
        if names:
            yield f"# Not a unit here: {', '.join(names)} ({why})."
    yield ""


def _of_stream(of: StreamFit, found: Sequence[Parameter]) -> Iterator[str]:
    part = f"{of.class_} to {of.unit}"
    yield f"# {of.n} came: {_interval(_named(found, part, 'per_day'))} a day."
    sure = f"by chance alone with p = {of.dispersion_p:.2g}"
    yield f"# Days differ {of.dispersion:.2f} times as much as Poisson, {sure}."


def _of_booked(of: StreamFit, calibration: Calibration) -> Iterator[str]:
    """How many of a stream are known before: a forecast lets these come when they are booked."""
    unknown = [calibration.booked.not_yet_known(of.class_, of.unit, day) for day in (0, 6)]
    if unknown[0] < 1:
        yield f"# Booked a day before: {1 - unknown[0]:.0%}; a week before: {1 - unknown[1]:.0%}."


def _of_unit(of: UnitFit, found: Sequence[Parameter]) -> Iterator[str]:
    yield f"# {of.code}: at most {of.most_in_bed} patients in bed at once."
    yield from _of_length("stay", f"{of.code} stay", of.stay, found)
    shares = [one for one in found if one.part == f"{of.code} then"]
    yield f"# then: {of.then.n} stays; " + ", ".join(
        f"{one.name} {one.low:.1%}-{one.high:.1%}" for one in shares
    )
    if of.leaving is not None:
        yield f"# discharge: the hours of the day at which {of.leaving.n} patients left."
    for name, length in (("cleaning", of.cleaning), ("patience", of.patience)):
        if length is not None:
            yield from _of_length(name, f"{of.code} {name}", length, found)


def _diverted(unit: str, calibration: Calibration) -> Iterator[str]:
    """Who overflowed: what the rule was read from, or the ways that are too few for one."""
    ways = [one for one in calibration.diverted if one.wanted == unit]
    if ways:
        said = ", ".join(f"{w.patients} in {w.given} after {w.after_hours:.1f} h" for w in ways)
        yield f"# Of {ways[0].of} whose bed was asked for here, others were given one: {said}."
        if calibration.unit(unit).overflow is None:
            yield "# Routes have them where they went; a rule would be `overflow`, for you to say."


def _of_route(of: UnitFit, class_: str, found: Sequence[Parameter]) -> Iterator[str]:
    route = of.routes[class_]
    part = f"{class_} in {of.code}"
    if route.stay is not None:
        yield from _of_length("stay", f"{part} stay", route.stay, found)
    if route.then is not None:
        yield f"# then: {route.then.n} stays; differs from the unit's by more than chance."
    for name, length in route.stay_if.items():
        yield from _of_length(f"stay if {name}", f"{part} stay if {name}", length, found)


def _of_length(name: str, part: str, of: LengthFit, found: Sequence[Parameter]) -> Iterator[str]:
    seen = f"{of.events} seen to end, {of.ongoing} still going on, {of.late} begun before"
    far = f"distance {of.distance:.3f}, by chance to {of.critical:.3f}"
    yield f"# {name}: {of.family}, {seen}; {far}."
    said = [one for one in found if one.part == part]
    if said:
        yield "#   " + ", ".join(f"{one.name} {_interval(one)}" for one in said)


def _named(found: Sequence[Parameter], part: str, name: str) -> Parameter:
    return next(one for one in found if one.part == part and one.name == name)


def _interval(of: Parameter) -> str:
    return f"{of.estimate:.4g} ({of.low:.4g} to {of.high:.4g})"


def _plain_fields(model: FlowModel) -> Iterator[str]:
    for name, value in model.model_dump(mode="json", exclude_unset=True).items():
        if name not in _TABLES and name != "calibrated_from" and value not in ({}, []):
            yield f"{name} = {written(value)}"
    if model.calibrated_from is not None:
        yield from ("", "[calibrated_from]")
        yield from _fields(model.calibrated_from)


def _fields(part: Part) -> Iterator[str]:
    for name, value in part.model_dump(by_alias=True, exclude_unset=True).items():
        if value is not None and value != () and value != {}:
            yield f"{_key(name)} = {written(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def written(value: Any) -> str:
    """A value as TOML writes it; long lists go over several lines."""
    if isinstance(value, Mapping):
        inside = (f"{_key(k)} = {written(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(inside) + " }"
    if isinstance(value, list | tuple):
        return _listed([written(item) for item in value])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _listed(items: list[str]) -> str:
    flat = "[" + ", ".join(items) + "]"
    if len(flat) <= _WIDE:
        return flat
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) > _WIDE:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "[\n" + "\n".join([*lines, line]) + "\n]"

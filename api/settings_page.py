"""The page docs/reference/settings.md, written from the settings themselves.

`python -m api.settings_page > docs/reference/settings.md` writes it; a test holds it to the code.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from twin_core.settings import (
    AlertSettings,
    FacilitySettings,
    FeedSettings,
    OutboundSettings,
    Section,
    Settings,
    SourceSettings,
)

_HEAD = """# Settings

Settings are layered: built-in default, then the TOML file given with `--config` (or in the
environment variable `WARDTWIN_CONFIG`), then the environment, then flags; the later wins.
The environment variable of `port` in `[http]` is `WARDTWIN_HTTP__PORT`: section and key joined by
two underscores. `wardtwin config show` prints every value in force and where it came from.

A key that does not exist is an error (exit code 3), never ignored.
"""
_NAMED: dict[str, tuple[str, type[Section]]] = {
    "feeds": ("NAME", FeedSettings),
    "facilities": ("CODE", FacilitySettings),
    "outbound": ("NAME", OutboundSettings),
    "sources": ("NAME", SourceSettings),
    "alerts": ("NAME", AlertSettings),
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if name in _NAMED:
            key, named = _NAMED[name]
            yield from _section(f"{name}.{key}", named)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _section(name, field.annotation)
        elif below := _below(field):
            yield from _section(name, below)


def _section(name: str, model: type[Section]) -> Iterator[str]:
    yield f"## [{name}]\n"
    yield f"{_first_line(model)}\n"
    yield "| Key | Kind | Default | Meaning |\n|---|---|---|---|"
    notes = _notes(model)
    for key, field in model.model_fields.items():
        if _below(field) is not None:
            continue
        shown = (field.alias or key, _kind(field), _default(field), notes.get(key, ""))
        yield "| `{}` | {} | {} | {} |".format(*shown)
    yield ""
    for key, field in model.model_fields.items():
        if below := _below(field):
            yield from _section(f"{name}.{key}", below)


def _below(field: FieldInfo) -> type[Section] | None:
    """The table of settings that a setting may hold."""
    choices = get_args(field.annotation)
    return next((c for c in choices if isinstance(c, type) and issubclass(c, Section)), None)


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").split("\n")[0]


def _kind(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    if len(choices) == 1 and choices[0] in names:
        return names[choices[0]]
    if choices and all(isinstance(choice, str) for choice in choices):
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    written = str(annotation)
    if "dict[" in written:
        return "table of lists of text" if "tuple[" in written else "table of text"
    if "tuple[" in written:
        return "list of text"
    return "secret text" if "Secret" in written else "path" if "Path" in written else "text"


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "needed" if field.is_required() else "none"
    if default is None or default in ("", (), {}):
        return "none"
    return f"`{', '.join(default) if isinstance(default, tuple) else default}`"


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """The strings below the fields in the source: the one place where a setting is explained."""
    [written] = ast.parse(inspect.getsource(model)).body
    assert isinstance(written, ast.ClassDef)  # noqa: S101  (a model is written as one class)
    notes = {}
    for field, below in pairwise(written.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            notes[ast.unparse(field.target)] = " ".join(text.split()).replace("|", "\\|")
    return notes


if __name__ == "__main__":
    sys.stdout.write(page())

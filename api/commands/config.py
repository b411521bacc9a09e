"""`wardtwin config show`: every setting, its value, and where it came from."""

from api.commands import Call, Command
from api.settings_shown import flattened


def show(call: Call) -> int:
    """Print every value with its origin; secrets as stars."""
    rows = [
        {"setting": key, "value": value, "origin": origin}
        for key, value, origin in flattened(call.settings, call.loaded.origins)
    ]
    if call.terminal.as_json:
        call.terminal.json(rows)
    else:
        call.terminal.table(("setting", "value", "origin"), rows)
        _say_encryption(call)
    return 0


def _say_encryption(call: Call) -> None:
    # Loaded here: settings are shown without DuckDB, too.
    from twin_core.store.cipher import is_encrypted

    said = {None: "is not there yet", True: "is encrypted", False: "is not encrypted"}
    call.terminal.note(f"The store {call.path} {said[is_encrypted(call.path)]}.")


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

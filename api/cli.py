"""The command line `wardtwin`: one parser, one way out, one place where errors become exit codes.

Exit codes: 0 ok, 1 findings, 2 usage, 3 configuration, 4 feed, 5 store, 130 interrupted.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn, TextIO

from api.commands import COMMANDS, Call, Command
from api.terminal import Terminal
from twin_core.errors import TwinError, UsageError

INTERRUPTED = 130


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run one command and return its exit code; expected failures are explained, never raised."""
    if arguments is None:
        # A process of its own: whatever it writes beside a store is nobody else's to read, the
        # logs of DuckDB and of SQLite as well, which are made anew after each checkpoint.
        os.umask(0o077)
    words = list(sys.argv[1:] if arguments is None else arguments)
    environ = os.environ if environ is None else environ
    out, err = out or sys.stdout, err or sys.stderr
    terminal = Terminal(out, err, environ=environ, as_json="--json" in words)
    try:
        options = parsed(words)
        terminal = Terminal(
            out,
            err,
            environ=environ,
            as_json=given(options, "json"),
            no_color=given(options, "no_color"),
        )
        status = options.run(Call(options, terminal, environ))
        out.flush()
        return int(status)
    except TwinError as error:
        terminal.fail(error)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the answer had enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        terminal.note("Interrupted.")
        return INTERRUPTED
    except RuntimeError as error:
        # What DuckDB makes of it where it comes in the middle of a statement.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        terminal.note("Interrupted.")
        return INTERRUPTED


def given(options: argparse.Namespace, name: str) -> bool:
    """Whether a global switch was given, before or after the command."""
    return bool(getattr(options, name, False))


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; raises UsageError for one that makes no sense."""
    named = [name for name in COMMANDS if name in words]
    if named and "--help" not in words and "-h" not in words:
        try:
            return parser(named).parse_args(words)
        except UsageError:
            # Parsed once more below, so that the complaint knows every command there is.
            pass
    return parser().parse_args(words)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are UsageErrors, so that they take the one way out."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.", do=f"Run `{self.prog} --help` for what is."
        )


def parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, with the global flags at every level.

    Only the modules of `commands` are loaded: the whole twin takes longer to load than one command
    needs.
    """
    everywhere = _global_flags()
    top: argparse.ArgumentParser = _Parser(
        prog="wardtwin",
        description="A hospital interoperability twin: HL7 v2 and FHIR in, one audited store out.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"wardtwin {_version()}")
    below = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in commands:
        command: Command = importlib.import_module(f"api.commands.{name}").COMMAND
        add_command(below, command, everywhere)
    return top


def add_command(
    below: "argparse._SubParsersAction[argparse.ArgumentParser]",
    command: Command,
    everywhere: argparse.ArgumentParser,
) -> None:
    """Add one command, or a command with commands of its own."""
    added = below.add_parser(
        command.name,
        help=command.help,
        description=command.description or command.help,
        epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
        allow_abbrev=False,
    )
    command.arguments(added)
    if command.commands:
        deeper = added.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for inner in command.commands:
            add_command(deeper, inner, everywhere)
    else:
        added.set_defaults(run=command.run)


def _global_flags() -> argparse.ArgumentParser:
    # SUPPRESS keeps a flag given before the command from being reset by the command's default.
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = flags.add_argument_group("everywhere")
    group.add_argument(
        "--db", metavar="PATH", type=Path, help="the store (default wardtwin.duckdb)"
    )
    group.add_argument("--config", metavar="FILE", type=Path, help="settings as TOML")
    group.add_argument("--mllp-port", metavar="N", type=int, help="port of the MLLP listener")
    group.add_argument("--http-port", metavar="N", type=int, help="port of the API and the board")
    group.add_argument("--json", action="store_true", help="answer as JSON")
    group.add_argument("--no-color", action="store_true", help="no colour (or set NO_COLOR)")
    return flags


def _overview() -> str:
    return (
        "examples:\n"
        "  wardtwin demo                              a living hospital, and a board to watch it\n"
        "  wardtwin serve --db hospital.duckdb        listen to real feeds\n"
        "  wardtwin ingest --db hospital.duckdb DIR   read messages from files\n"
        '  wardtwin sql "FROM twin.stay LIMIT 5"      ask the store\n\n'
        "exit codes: 0 ok, 1 findings, 2 usage, 3 configuration, 4 feed, 5 store"
    )


def _version() -> str:
    try:
        return version("wardtwin")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())

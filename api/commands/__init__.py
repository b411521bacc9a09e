"""The commands of `wardtwin`, one module each; every module offers one `COMMAND`."""

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from api.terminal import Terminal
from twin_core.errors import UsageError
from twin_core.settings import MAIN_FEED, Loaded, Settings, load

COMMANDS = (
    "demo",
    "serve",
    "ingest",
    "sql",
    "kpi",
    "state",
    "calibrate",
    "simulate",
    "quarantine",
    "hl7",
    "feed",
    "doctor",
    "config",
    "rebuild",
    "backup",
    "restore",
    "store",
    "deid",
    "send",
    "outbound",
    "fhir",
    "audit",
    "retention",
    "erase",
    "alerts",
    "keys",
)

_FLAGS = {"db": "store.path", "mllp_port": "mllp.port", "http_port": "http.port"}


class Call:
    """One use of the command line: what was asked, where the answer goes, and the settings."""

    def __init__(
        self, options: argparse.Namespace, terminal: Terminal, environ: Mapping[str, str]
    ) -> None:
        self.options, self.terminal, self.environ = options, terminal, environ

    @cached_property
    def loaded(self) -> Loaded:
        """Settings from the file, the environment and the flags, and where each came from."""
        named = getattr(self.options, "config", None) or self.environ.get("WARDTWIN_CONFIG")
        flags = {
            setting: getattr(self.options, flag)
            for flag, setting in _FLAGS.items()
            if hasattr(self.options, flag)
        }
        return load(Path(named) if named else None, self.environ, flags)

    @property
    def settings(self) -> Settings:
        """The settings of this call."""
        return self.loaded.settings

    @property
    def path(self) -> Path:
        """The store this call is about."""
        return self.settings.store.path


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """For commands that take nothing but the global flags."""


class Command(NamedTuple):
    """A command: its name, its help, how it is used, and what it does."""

    name: str
    help: str
    examples: tuple[str, ...]
    run: Callable[[Call], int] | None = None
    arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    description: str = ""
    commands: "tuple[Command, ...]" = ()


def instant(text: str) -> datetime:
    """An instant as typed: ISO 8601; UTC where no offset is given.

    Raises UsageError for anything else.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no instant.",
            do="Write it as 2026-11-01, 2026-11-01T08:00Z or 2026-11-01T09:00+01:00.",
        ) from None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def feed_named(call: Call, name: str | None) -> str:
    """The feed that was asked for, the main one where none was.

    Raises UsageError for a name that is not among the feeds, where settings configure any.
    """
    feeds = call.settings.feeds
    if name is None or name == MAIN_FEED or not feeds or name in feeds:
        return name or MAIN_FEED
    raise UsageError(
        f"There is no feed {name!r} in the settings.",
        do=f"Configured are {', '.join(sorted({MAIN_FEED, *feeds}))}.",
    )


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, `[::1]:2575` included. Raises UsageError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text!r} is no address.", do="Write it as HOST:PORT.")
    return host, int(port)

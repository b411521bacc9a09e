"""What a person or a script sees: answers on standard output, everything else on standard error.

Colour appears only on a terminal and never where NO_COLOR is set. Long work shows a bar on a
terminal and plain lines elsewhere.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec

from twin_core.errors import TwinError, UsageError

Advance = Callable[[int, str], None]
"""Report progress: how many are done in all, and a note."""

_LINE_EVERY_S = 5.0


class Terminal:
    """Where a command writes to, and in which form."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        environ: Mapping[str, str],
        as_json: bool = False,
        no_color: bool = False,
    ) -> None:
        self.out, self.err, self.as_json = out, err, as_json
        self._may_color = not (no_color or environ.get("NO_COLOR") or environ.get("TERM") == "dumb")

    def line(self, text: str = "") -> None:
        """One line of the answer."""
        self.out.write(text + "\n")

    def json(self, answer: Any) -> None:
        """The answer as one JSON document."""
        self.out.write(to_json(answer) + "\n")

    def json_line(self, answer: Any) -> None:
        """One JSON document on one line, at once: for programs that read on while this one runs."""
        self.out.write(msgspec.json.encode(answer).decode() + "\n")
        self.out.flush()

    def document(self, content: bytes, *, text: bool) -> None:
        """A file as the answer; UsageError for bytes where only text can be shown."""
        if text:
            self.out.write(content.decode())
        elif self.out.isatty() or not hasattr(self.out, "buffer"):
            raise UsageError("This format is not text.", do="Name a file with --out.")
        else:
            self.out.flush()
            self.out.buffer.write(content)

    def table(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """The answer as an aligned table, with a count below it."""
        for number, text in enumerate(_aligned(columns, rows)):
            self.line(self.styled(text, "1", self.out) if number == 0 else text)
        self.line(f"({len(rows):,} row{'' if len(rows) == 1 else 's'})")

    def note(self, text: str) -> None:
        """One line beside the answer, on standard error."""
        self.err.write(text + "\n")
        self.err.flush()

    def fail(self, error: TwinError) -> None:
        """Say what happened, why, and what to do; with --json as one JSON object."""
        if self.as_json:
            self.note(to_json({"error": describe(error)}))
            return
        head = self.styled("error:", "1;31", self.err)
        self.note("\n       ".join([f"{head} {error.what}", *filter(None, (error.why, error.do))]))

    def styled(self, text: str, code: str, stream: TextIO) -> str:
        """The text in a colour, where the stream is a terminal that wants it."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colors(stream) else text

    def colors(self, stream: TextIO) -> bool:
        """Whether this stream shows colours."""
        return self._may_color and stream.isatty()

    @contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """Show progress of long work: a bar on a terminal, plain lines elsewhere."""
        if self.err.isatty():
            with _bar(self, label, total) as advance:
                yield advance
        else:
            yield _plain_lines(self, label, total, unit)


def describe(error: TwinError) -> dict[str, Any]:
    """An error as a JSON object."""
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "why": error.why,
        "do": error.do,
        "exit_code": error.exit_code,
        "retry_may_help": error.retry_may_help,
    }


def to_json(answer: Any) -> str:
    """JSON with two spaces of indent, so that it reads well and compares line by line."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def _aligned(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    texts = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[at]) for line in texts)) if texts else len(column)
        for at, column in enumerate(columns)
    ]
    numeric = [
        any(_is_number(row.get(column)) for row in rows)
        and all(row.get(column) is None or _is_number(row.get(column)) for row in rows)
        for column in columns
    ]
    for line in [list(columns), ["-" * width for width in widths], *texts]:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, dict | list):
        return msgspec.json.encode(cell).decode()
    # A cell is one line and moves no cursor, whatever a message put into it.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(cell))


def _plain_lines(terminal: Terminal, label: str, total: int, unit: str) -> Advance:
    said_at = time.monotonic()

    def advance(done: int, note: str) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _LINE_EVERY_S:
            said_at = time.monotonic()
            how_far = f"{done / total:.0%}" if total else f"{done:,} {unit}"
            terminal.note(f"{label}: {how_far} {note}".rstrip())

    return advance


@contextmanager
def _bar(terminal: Terminal, label: str, total: int) -> Iterator[Advance]:
    # Imported here because it takes longer to load than most commands take to run.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=terminal.err, no_color=not terminal.colors(terminal.err))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=total or None, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)

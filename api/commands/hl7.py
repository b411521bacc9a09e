"""`wardtwin hl7`: HL7 v2 messages explained, from files or from the store."""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from adapters.files import BATCH, Source, find_files, read_messages
from adapters.hl7v2.explain import MOST_PARTS
from api.commands import Call, Command, feed_named
from api.desk import Desk, desk
from api.explained_text import explanation_lines
from api.explaining import Explanation, Known, explain_bytes
from twin_core.errors import UsageError
from twin_core.events import Rejection, Translation

FIRST = 5
"""How many messages of a file are explained where it is not said."""

_ALL_PARTS = sys.maxsize


class _Explained(NamedTuple):
    """An explanation with what a person should be told beside it."""

    explanation: Explanation
    note: str = ""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="a file, or - for standard input")
    parser.add_argument("--feed", metavar="NAME", help="feed whose settings apply (default adt)")
    parser.add_argument(
        "--message", metavar="N", type=int, help="only the Nth message of the file, from 1"
    )
    parser.add_argument(
        "--limit", metavar="N", type=int, default=FIRST, help=f"how many at most ({FIRST})"
    )
    parser.add_argument(
        "--message-id", metavar="ID", type=int, help="a message of the store instead of a file"
    )
    parser.add_argument(
        "--show-phi", action="store_true", help="show names, numbers and text of patients too"
    )


def explain(call: Call) -> int:
    """Explain messages; findings (exit 1) where any of them is rejected."""
    if (call.options.file is None) == (call.options.message_id is None):
        raise UsageError(
            "What to explain is not clear.",
            do="Name one file (- for standard input), or a message of the store by --message-id.",
        )
    explained = list(_of_store(call) if call.options.file is None else _of_file(call))
    if call.terminal.as_json:
        call.terminal.json([one.explanation for one in explained])
    else:
        _print(call, explained)
    return 1 if any(_is_rejected(one.explanation) for one in explained) else 0


def _of_store(call: Call) -> Iterator[_Explained]:
    with desk(call) as answering:
        yield _Explained(_stored(call, answering, call.options.message_id))


def _of_file(call: Call) -> Iterator[_Explained]:
    if not hasattr(call.options, "db"):
        yield from (_Explained(explanation) for explanation, _, _ in _read(call))
        return
    with desk(call) as answering:
        for explanation, outcome, raw in _read(call):
            yield _beside_store(call, answering, explanation, outcome, raw)


def _read(call: Call) -> Iterator[tuple[Explanation, Translation | Rejection, bytes]]:
    """The wanted messages of the file, by the settings of this call."""
    number, limit = call.options.message, call.options.limit
    if (number is not None and number < 1) or limit < 1:
        raise UsageError("Messages are counted from 1.")
    settings, feed = call.settings, feed_named(call, call.options.feed)
    source = _source(call.options.file)
    found = (one for one in read_messages(source, settings.limits) if one.format != BATCH)
    start, stop = (0, limit) if number is None else (number - 1, number)
    wanted = list(islice(found, start, stop))
    if not wanted:
        what = "no message" if number is None else f"no message {number}"
        raise UsageError(f"The file has {what}.")
    for one in wanted:
        explanation, outcome = explain_bytes(
            one.raw,
            feed=feed,
            settings=settings,
            received_at=datetime.now(UTC),
            phi=call.options.show_phi,
            most=_most(call),
        )
        yield explanation, outcome, one.raw
    if number is None and next(found, None) is not None:
        call.terminal.note(
            f"The file has more than {limit} messages; --message N explains one, --limit N more."
        )


def _source(path: str) -> Source:
    if Path(path).is_dir():
        raise UsageError(
            f"{path} is a folder.", do="Name one file; `wardtwin feed check` reads folders."
        )
    return next(find_files([path], "hl7"))


def _beside_store(
    call: Call,
    answering: Desk,
    explanation: Explanation,
    outcome: Translation | Rejection,
    raw: bytes,
) -> _Explained:
    """A message of a file with what the store knows of it."""
    named = outcome.envelope if isinstance(outcome, Translation) else outcome
    answer = answering.ask(
        "message_find",
        sender=named.sender,
        control_id=named.control_id,
        digest="" if isinstance(outcome, Rejection) else outcome.envelope.digest.hex(),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
    )
    if answer is None:
        return _Explained(explanation, "The store does not hold this message.")
    known = msgspec.convert(answer, Known)
    if known.is_same:
        return _Explained(_stored(call, answering, known.message_id))
    return _Explained(
        explanation,
        f"The store holds another message under this control id: --message-id {known.message_id}.",
    )


def _stored(call: Call, answering: Desk, message_id: int) -> Explanation:
    answer = answering.ask(
        "message_explain", message_id=message_id, phi=call.options.show_phi, most=_most(call)
    )
    return msgspec.convert(answer, Explanation)


def _most(call: Call) -> int:
    """JSON is complete however long a message is; what a person reads is not."""
    return _ALL_PARTS if call.terminal.as_json else MOST_PARTS


def _is_rejected(explanation: Explanation) -> bool:
    verdict, message = explanation.verdict, explanation.message
    if verdict is not None:
        return verdict.status == "rejected"
    return message is not None and message.status == "quarantined"


def _print(call: Call, explained: list[_Explained]) -> None:
    terminal = call.terminal
    for number, one in enumerate(explained):
        if number:
            terminal.line()
            terminal.line("=" * 80)
        for line in explanation_lines(one.explanation):
            styled = terminal.styled(line.text, line.style, terminal.out) if line.style else ""
            terminal.line(styled or line.text)
        if one.note:
            terminal.line()
            terminal.line(one.note)


COMMAND = Command(
    name="hl7",
    help="HL7 v2 messages explained field by field",
    examples=(
        "wardtwin hl7 explain message.hl7",
        "wardtwin hl7 explain --message-id 4711 --db hospital.duckdb",
    ),
    commands=(
        Command(
            name="explain",
            help="each field by name, the events a message becomes, the rows it changed",
            description=(
                "Show each segment and field by the names of the standard, what is wrong where it\n"
                "is wrong, the events the message becomes and, with --db, what became of it and\n"
                "which rows it changed. Values about patients are masked unless --show-phi is\n"
                "given. Exits with 1 where a message is rejected."
            ),
            examples=(
                "wardtwin hl7 explain adt.hl7 --message 3",
                "wardtwin hl7 explain adt.hl7 --db hospital.duckdb --json",
                "wardtwin hl7 explain --message-id 4711 --show-phi",
            ),
            arguments=_arguments,
            run=explain,
        ),
    ),
)

"""`wardtwin send`: HL7 v2 files to any MLLP listener, each answer held against its message."""

import argparse
import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from api.commands import Call, Command, address
from twin_core.errors import FeedError, UsageError

if TYPE_CHECKING:
    import ssl

    from adapters.files.read import Found
    from api.sending import Sent

_COLUMNS = ("file", "offset", "control_id", "code", "fault", "text")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="FILE", nargs="+", help="files or folders; - is stdin")
    parser.add_argument("--to", metavar="HOST:PORT", required=True, help="the listener")
    parser.add_argument("--rate", metavar="N", type=float, default=0.0, help="messages per second")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=30.0, help="how long an answer may take (30)"
    )
    tls = parser.add_argument_group("TLS")
    tls.add_argument("--tls", action="store_true", help="connect by TLS 1.2 or newer")
    tls.add_argument("--tls-authority", metavar="PEM", help="who vouches for the listener")
    tls.add_argument("--tls-certificate", metavar="PEM", help="this side's certificate")
    tls.add_argument("--tls-key", metavar="PEM", help="the certificate's key")
    tls.add_argument("--tls-name", metavar="NAME", help="the name the listener's certificate has")


def run(call: Call) -> int:
    """Send and count; findings (exit 1) where something was rejected."""
    # Imported here, because other commands need no network.
    from api.sending import Sent, Target, send_files

    options = call.options
    host, port = address(options.to)
    if options.rate < 0 or options.timeout <= 0:
        raise UsageError("A rate is 0 or more, and a timeout above 0.")
    target = Target(
        host, port, _tls(call), options.tls_name, timeout_s=options.timeout, rate=options.rate
    )
    sent, began = Sent(), time.monotonic()
    with call.terminal.progress("sending", 0, "messages") as advance:
        sending = send_files(_messages(call), target, sent, lambda so_far: advance(so_far.sent, ""))
        try:
            asyncio.run(sending)
        except FeedError:
            _tell(call, sent, time.monotonic() - began)
            raise
    _tell(call, sent, time.monotonic() - began)
    return 1 if sent.refused else 0


def _tls(call: Call) -> "ssl.SSLContext | None":
    options = call.options
    named = (options.tls_authority, options.tls_certificate, options.tls_key, options.tls_name)
    if not options.tls and not any(named):
        return None
    from adapters.hl7v2.conversation import tls_context

    return tls_context(options.tls_authority, options.tls_certificate, options.tls_key)


def _messages(call: Call) -> "Iterator[tuple[str, Found]]":
    from adapters.files.find import find_files
    from adapters.files.read import read_messages

    for source in find_files(call.options.paths):
        for found in read_messages(source, call.settings.limits):
            if found.format == "hl7v2":
                yield source.path, found


def _tell(call: Call, sent: "Sent", seconds: float) -> None:
    answers = dict(sorted(sent.answers.items()))
    if call.terminal.as_json:
        call.terminal.json(
            {
                "sent": sent.sent,
                "answers": answers,
                "unmatched_answers": sent.unmatched,
                "seconds": round(seconds, 3),
                "rejected": [rejected._asdict() for rejected in sent.rejected],
            }
        )
        return
    if sent.rejected:
        call.terminal.table(_COLUMNS, [rejected._asdict() for rejected in sent.rejected])
    said = ", ".join(f"{count:,} {code}" for code, count in answers.items()) or "nothing answered"
    rate = sent.sent / max(seconds, 1e-9)
    call.terminal.line(f"{sent.sent:,} acknowledged in {seconds:.1f} s ({rate:,.0f}/s): {said}")
    if sent.unmatched:
        call.terminal.line(f"{sent.unmatched:,} answers were about no message under way")


COMMAND = Command(
    name="send",
    help="send HL7 v2 files to a listener over MLLP",
    description=(
        "Send every HL7 v2 message of the files, in order, and hold each acknowledgement against\n"
        "its message by MSA-2. Exit code 1 where a message was rejected, 4 where the listener is\n"
        "not reached or does not answer."
    ),
    examples=(
        "wardtwin send admissions.hl7 --to 127.0.0.1:2575",
        "wardtwin send archive/ --to engine.example:6661 --rate 50 --tls-authority ca.pem",
    ),
    arguments=_arguments,
    run=run,
)

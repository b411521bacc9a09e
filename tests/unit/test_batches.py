"""Batch files (chapter 2.10.3): envelopes that count right, wrong, or not at all."""

import io
import json
import re
from datetime import UTC, datetime

import pytest

from adapters.files import BATCH, Source, read_batches, read_messages
from adapters.hl7v2 import Acknowledged, acknowledge_batch, ends_as_batch, is_batch
from api.cli import main
from api.translating import Reader
from twin_core.settings import LimitSettings, Settings

NOW = datetime(2026, 11, 1, 8, 5, 2, tzinfo=UTC)
FHS = "FHS|^~\\&|LAB|HOSP|TWIN|HUB|20261101||nightly||F1"
BHS = "BHS|^~\\&|LAB|HOSP|TWIN|HUB|20261101||nightly||B1"
BHS2 = BHS.replace("B1", "B2")
ODD = "BHS$%~\\&$LAB%1$HOSP$$$20261101$$$$B%9"


def msh(number):
    return f"MSH|^~\\&|LAB|HOSP|||20261101||ADT^A08|{number}|P|2.5\rEVN|A08|20261101"


A, B, C = msh(1), msh(2), msh(3)

FILES = {
    # name: (segments, (where, reason) of every fault in file order)
    "complete": ([FHS, BHS, A, B, "BTS|2", "FTS|1"], []),
    "several batches": ([FHS, BHS, A, "BTS|1", BHS2, B, C, "BTS|2", "FTS|2"], []),
    "no counts": ([FHS, BHS, A, "BTS", "FTS"], []),
    "cleared counts": ([FHS, BHS, A, 'BTS|""', "FTS|"], []),
    "leading zeros and a comment": ([BHS, A, "BTS|0001|all of them"], []),
    "empty batch": ([BHS, "BTS|0"], []),
    "batch without a file": ([BHS, A, B, "BTS|2"], []),
    "file without batches": ([FHS, A, B, "FTS|1"], []),
    "file without batches, counting none": ([FHS, A, B, "FTS|0"], []),
    "empty file": ([FHS, "FTS|0"], []),
    "trailer only": ([A, B, "BTS|2"], []),
    "messages before a batch": ([FHS, A, BHS, B, "BTS|1", "FTS|2"], []),
    "two files in one": ([FHS, BHS, A, "BTS|1", "FTS|1", FHS, BHS, B, "BTS|1", "FTS|1"], []),
    "one message missing": (
        [BHS, A, "BTS|2"],
        [("BTS^1^1", "The count is 2, but 1 message was found.")],
    ),
    "one message too many": (
        [FHS, BHS, A, B, C, "BTS|2", "FTS|1"],
        [("BTS^1^1", "The count is 2, but 3 messages were found.")],
    ),
    "only the second batch is wrong": (
        [FHS, BHS, A, "BTS|1", BHS2, B, "BTS|5", "FTS|2"],
        [("BTS^2^1", "The count is 5, but 1 message was found.")],
    ),
    "one batch missing": (
        [FHS, BHS, A, "BTS|1", "FTS|2"],
        [("FTS^1^1", "The count is 2, but 1 batch was found.")],
    ),
    "no number": (
        [BHS, A, "BTS|many"],
        [("BTS^1^1", "The count is not a number; 1 message was found.")],
    ),
    "negative": (
        [BHS, A, "BTS|-1"],
        [("BTS^1^1", "The count is not a number; 1 message was found.")],
    ),
    "cut short": (
        [FHS, BHS, A, B],
        [
            ("BHS^1", "The batch has no BTS; it may have been cut short. Send it whole."),
            ("FHS^1", "The file has no FTS; it may have been cut short. Send it whole."),
        ],
    ),
    "first batch without a trailer": (
        [FHS, BHS, A, BHS2, B, "BTS|1", "FTS|2"],
        [("BHS^1", "The batch has no BTS; it may have been cut short. Send it whole.")],
    ),
    "batch ends with the file": (
        [FHS, BHS, A, "FTS|1"],
        [("BHS^1", "The batch has no BTS; it may have been cut short. Send it whole.")],
    ),
    "trailers of nothing": (
        ["BTS", "FTS"],
        [
            ("BTS^1", "The batch ends without having begun."),
            ("FTS^1", "The file ends without having begun (FHS)."),
        ],
    ),
    "other delimiters": (
        [ODD, A, "BTS$2$none"],
        [("BTS^1^1", "The count is 2, but 1 message was found.")],
    ),
    "text between messages is not counted": (
        [BHS, A, "\x1crubbish\r\x1c", B, "BTS|2"],
        [],
    ),
}


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"], ids=["CR", "LF", "CRLF"])
@pytest.mark.parametrize("name", FILES)
def test_envelopes_are_checked_and_their_messages_taken(name, end):
    segments, expected = FILES[name]
    content = end.join(segments).replace("\r", end).encode() + end.encode()
    stream = io.BufferedReader(io.BytesIO(content))
    found = list(read_messages(Source("-", "hl7", 0), None, stream))
    at_fault = [part for part in found if part.format == BATCH]
    assert [(f.where, f.reason) for part in at_fault for f in part.faults] == expected
    messages = [part.raw for part in found if part.raw.startswith(b"MSH")]
    assert len(messages) == sum(segment.startswith("MSH") for segment in segments)


def test_an_envelope_at_fault_becomes_a_reject_that_names_the_batch():
    stream = io.BytesIO("\r".join([ODD, A, "BTS$2"]).encode())
    reader = Reader(Settings(), "lab", NOW)
    found = [part for part in read_batches(stream, LimitSettings()) if part.faults]
    [receipt] = [receipt for part in found for receipt in reader.receipts(part, "night.hl7")]
    assert receipt.raw == (ODD + "\rBTS$2").encode()
    assert receipt.origin == f"night.hl7@{len(ODD) + 1 + len(A) + 1}"
    outcome = receipt.outcome
    assert (outcome.code, outcome.sender, outcome.control_id) == ("AE", "LAB%1|HOSP", "B%9")


@pytest.mark.parametrize(
    ("raw", "batch"),
    [
        (b"FHS|^~\\&|", True),
        (b"\xef\xbb\xbf\r\nBHS|^~\\&|", True),
        (b"MSH|^~\\&|", False),
        (b"", False),
    ],
)
def test_a_batch_is_told_by_its_first_segment(raw, batch):
    assert is_batch(raw) is batch


@pytest.mark.parametrize(
    ("raw", "batch"),
    [
        (b"MSH|^~\\&|\rPID|1\rBTS|1\r", True),
        (b"MSH|^~\\&|\nPID|1\nBTS|1\nFTS|1", True),
        (b"MSH$^~\\&$\r\nFTS$1\r\n\r\n", True),
        (b"MSH|^~\\&|\rBTS", True),
        (b"MSH|^~\\&|\rBTS|1\rPID|1\r", False),
        (b"MSH|^~\\&|\rNTE|1||BTS|1\r", False),
        (b"MSH|^~\\&|\rBTSX|1\r", False),
        (b"MSH|^~\\&|\rZBTS|1\r", False),
        (b"", False),
    ],
)
def test_or_by_its_last_one_since_headers_may_be_left_out(raw, batch):
    assert ends_as_batch(raw) is batch


ACK = b"MSH|^~\\&|TWIN\rMSA|AA|1\r"
RESPONSES = {
    "complete": ("FHS BHS A A BTS|2 FTS|1", "F1 B1"),
    "several batches": ("FHS BHS A BTS|1 BHS A A BTS|2 FTS|2", "F1 B1 B2"),
    "empty batch": ("BHS BTS|0", "B1"),
    "file without batches": ("FHS BHS A A BTS|2 FTS|1", "F1"),
    "batch without a file": ("BHS A A BTS|2", "B1"),
    "trailer only": ("BHS A A BTS|2", ""),
    "cut short": ("FHS BHS A A BTS|2 FTS|1", "F1 B1"),
    "batch ends with the file": ("FHS BHS A BTS|1 FTS|1", "F1 B1"),
    "messages before a batch": ("FHS BHS A BTS|1 BHS A BTS|1 FTS|2", "F1 B1"),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_the_answer_mirrors_the_envelopes_and_counts_right(name):
    segments, faults = FILES[name]
    stream = io.BytesIO("\r".join(segments).encode())
    parts = [
        Acknowledged(envelope=part.raw, faults=part.faults)
        if part.format == BATCH
        else Acknowledged(answer=ACK)
        for part in read_batches(stream, LimitSettings())
    ]
    answer = acknowledge_batch(parts, now=NOW, ack_id="X")
    said = answer.replace(ACK, b"A\r").decode().split("\r")[:-1]
    shape = " ".join("|".join(line.split("|")[:2]) if "TS|" in line else line[:3] for line in said)
    referred = " ".join(line.split("|")[11] for line in said if "|HUB|" in line)
    assert (shape, referred) == RESPONSES[name]
    told = " ".join(line for line in said if line.startswith(("BTS", "FTS")))
    assert all(reason in told for _, reason in faults)
    # The answer is itself a batch whose counts are right.
    again = list(read_batches(io.BytesIO(answer), LimitSettings()))
    assert not [part for part in again if part.faults]


def test_names_with_delimiters_are_escaped_in_the_answer():
    parts = [Acknowledged(envelope=b"BHS$%~\\&$A|B%C$H^1$T$U$$$$$X|1")]
    answer = acknowledge_batch(parts, now=NOW, ack_id="X").decode()
    assert answer.split("|")[4] == "A\\F\\B^C"
    assert re.search(r"\|X\\F\\1\r", answer)


def test_ingest_takes_the_messages_and_ends_with_one(tmp_path):
    night = tmp_path / "night.hl7"
    night.write_bytes("\r".join([BHS, A, B, "BTS|3"]).encode())
    out = io.StringIO()
    words = ["ingest", str(night), "--db", str(tmp_path / "x.duckdb"), "--json"]
    status = main(words, environ={}, out=out, err=out)
    counted = json.loads(out.getvalue())
    assert (status, counted["rejected"]) == (1, 3)  # the envelope, and two A08 without a PID
    shown = io.StringIO()
    words = ["quarantine", "list", "--db", str(tmp_path / "x.duckdb"), "--json"]
    assert main(words, environ={}, out=shown, err=shown) == 0
    listed = [one for one in json.loads(shown.getvalue()) if one["trigger_event"] == "BHS"]
    assert [(one["control_id"], one["reason"]) for one in listed] == [
        ("B1", "BTS^1^1: The count is 3, but 2 messages were found.")
    ]

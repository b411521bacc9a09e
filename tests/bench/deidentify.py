"""Resources and messages de-identified per CPU second, beside only reading and writing the JSON.

Run `python tests/bench/deidentify.py`. The corpus is read where it lies; without it a small fixture
is repeated.
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.fhir import deidentify as fhir
from adapters.hl7v2 import deidentify as hl7
from adapters.hl7v2.unit_codes import valid_ucum
from twin_core.deid import Codebook, drawn_keys
from twin_core.settings import LimitSettings

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared/corpus"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def main() -> None:
    book = Codebook(drawn_keys(), shift_weeks=26)
    _resources(fhir.Deidentifier(fhir.Site(book, "shifted", NOW, is_unit=valid_ucum)))
    _messages(hl7.Deidentifier(hl7.Site(book, "shifted", NOW), LimitSettings()))


def _resources(deidentifier: fhir.Deidentifier) -> None:
    files = sorted((CORPUS / "fhir/synthea-37").glob("*.ndjson"))
    files = files or [ROOT / "fixtures/deid/input/stream.ndjson"]
    lines = [line for file in files for line in file.read_bytes().splitlines() if line.strip()]
    lines *= max(1, 10_000 // len(lines))
    begun = time.process_time()
    for line in lines:
        msgspec.json.encode(msgspec.json.decode(line))
    read = time.process_time() - begun
    begun = time.process_time()
    for line in lines:
        msgspec.json.encode(deidentifier.resource(msgspec.json.decode(line)))
    took = time.process_time() - begun
    print(
        f"resources: {len(lines) / took:,.0f}/s of CPU, "
        f"{took / read:.1f} times as long as reading and writing them"
    )


def _messages(deidentifier: hl7.Deidentifier) -> None:
    corpus = CORPUS / "hl7v2/messages.jsonl"
    if corpus.exists():
        rows = (json.loads(line)["raw"] for line in corpus.read_text("utf-8").splitlines())
        messages = [row.encode("latin-1") for row in rows]
    else:
        messages = [(ROOT / "fixtures/deid/input/admission.hl7").read_bytes()] * 1_000
    deidentifier.message(messages[0])  # loads the tables of HL7
    begun = time.process_time()
    for message in messages:
        deidentifier.message(message)
    print(f"messages: {len(messages) / (time.process_time() - begun):,.0f}/s of CPU")


if __name__ == "__main__":
    main()

"""What was done to a ledger's file beside its chain: its end, its tables, its lists and texts."""

import base64
import contextlib
import hashlib
from collections.abc import Iterable

from twin_core.audit.checkpoint import Forged
from twin_core.audit.file import own_shape
from twin_core.audit.findings import Finding, Kept, Verdict
from twin_core.audit.keys import AuditKeys
from twin_core.audit.merkle import Frontier
from twin_core.audit.reading import LedgerReader
from twin_core.audit.tips import heard_tip


def unremembered(
    verdict: Verdict, kept: Kept, noted: str | None, *, lost: bool
) -> Iterable[Finding]:
    """Where nothing tells any more where the ledger ended."""
    last = verdict.last
    if last and noted is None:
        yield Finding("truncation", last, last, "the ledger does not say where it ends")
    elif noted is not None:
        with contextlib.suppress(Forged):
            end = heard_tip(noted, kept.ledger_id, kept.public).seq
            if end < last:
                said = f"the ledger says that it ends at entry {end}"
                yield Finding("insertion", end + 1, last, said)
    if last and lost:
        said = "the file beside it that remembers where it ends is missing"
        yield Finding("truncation", last, last, said)


def misshapen(reader: LedgerReader, verdict: Verdict) -> Iterable[Finding]:
    """What was added to the file or taken from it, and what would keep checkpoints back."""
    found, own = reader.shape(), own_shape()
    for kind, name in sorted(found.keys() | own.keys()):
        if found.get((kind, name)) != own.get((kind, name)):
            said = "missing" if (kind, name) not in found else "not that of a ledger"
            yield Finding("schema", 0, 0, f"the {kind} {name} is {said}")
    frontiers = reader.frontiers()
    for size, note, subtrees in frontiers:
        if not _stands_for(size, subtrees, note):
            said = "what its next checkpoint is grown from is not what was checkpointed"
            yield Finding("checkpoint", 0, size, said)
    largest = max((size for size, *_ in frontiers), default=0)
    for keeper, size in reader.delivered().items():
        if size > largest:
            said = (
                f"checkpoints up to {size} are noted as kept, and there are none behind {largest}"
            )
            yield Finding("checkpoint", largest + 1, size, f"{said} ({_safe(keeper)})")


def _stands_for(size: int, subtrees: bytes, note: str) -> bool:
    """Whether subtrees have the size and the root of their checkpoint."""
    try:
        told = note.splitlines()[1:3]
        root = base64.b64encode(Frontier.decoded(size, subtrees).root()).decode()
    except ValueError:
        return False
    return told == [str(size), root]


def _safe(keeper: str) -> str:
    """Where checkpoints are kept, without the query, in which a presigned URL has its secret."""
    return keeper.partition("?")[0]


def beside(reader: LedgerReader, verdict: Verdict, keys: AuditKeys | None) -> Iterable[Finding]:
    """What was done to the lists and the texts beside the chain."""
    lists = dict(reader.patient_lists())
    for digest, seq in verdict.patients_digests.items():
        listed = lists.get(digest)
        if listed is None or hashlib.sha256(listed.encode()).hexdigest() != digest:
            yield Finding("patients", seq, seq, "the list of its patients is not what it was")
    if keys is None or reader.has_closed_texts:
        return
    texts = reader.all_texts()
    for seq, digest in verdict.text_digests.items():
        # A text may be gone: erasing it is allowed, and leaves the digest behind.
        if seq in texts and keys.text_digest(texts[seq]) != digest:
            yield Finding("text", seq, seq, "the text beside it is not what it was")

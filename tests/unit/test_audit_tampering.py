"""A ledger that was tampered with is found out, and where: a thousand times for each way."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from twin_core.audit import AuditKeys, Checkpoint, Kept, Row, judged, signed
from twin_core.audit.checkpoint import FIRST_SIGNATURES, next_signatures, origin_of
from twin_core.audit.file import first_link, next_link
from twin_core.audit.merkle import Frontier
from twin_core.audit.tips import Tip, told_tip

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEDGER = "5e1d"
KEYS = AuditKeys(b"s" * 32, b"n" * 32)
THIEF = AuditKeys(b"S" * 32, b"N" * 32)
SIZE = 20
ROUNDS = 1_000


def chained(bodies: list[bytes], keys: AuditKeys) -> list[Row]:
    """Rows as a ledger with these keys would hold them; written apart from the ledger's own code
    so that both must agree on what a chain is."""
    rows, link = [], first_link(LEDGER)
    for seq, body in enumerate(bodies, start=1):
        link = next_link(link, body)
        rows.append(Row(seq, body, link, keys.sign(link)))
    return rows


def body(seq: int, said: str = "") -> bytes:
    at = (NOON + timedelta(seconds=seq)).isoformat()
    return msgspec.json.encode({"seq": seq, "at": at, "what": f"GET /v1/state {said}"})


def note(rows: list[Row], size: int) -> str:
    tree, signatures = Frontier(), FIRST_SIGNATURES
    for row in rows[:size]:
        tree.append(row.body)
        signatures = next_signatures(signatures, row.signature)
    link = rows[size - 1].link
    checkpoint = Checkpoint(origin_of(LEDGER), size, tree.root(), NOON, link, signatures)
    return signed(checkpoint, KEYS)


WHOLE = chained([body(seq) for seq in range(1, SIZE + 1)], KEYS)
NOTES = [note(WHOLE, size) for size in (15, SIZE)]
AUDITOR = Kept(LEDGER, KEYS.public(), NOTES)
"""Who has the public key and the checkpoints, but not the keys."""
LATE = AUDITOR._replace(notes=NOTES[:-1])
"""The same before the last checkpoint was made."""

Tampered = tuple[list[Row], int, int]
"""The rows, and between which numbers something was done."""


def numbered(rows: list[Row]) -> list[Row]:
    return [row._replace(seq=seq) for seq, row in enumerate(rows, start=1)]


def renumbered(bodies: list[bytes]) -> list[bytes]:
    told = [msgspec.json.decode(one) for one in bodies]
    return [msgspec.json.encode({**one, "seq": seq}) for seq, one in enumerate(told, start=1)]


def modification(chance: random.Random) -> Tampered:
    at = chance.randrange(SIZE)
    row, way = WHOLE[at], chance.randrange(4)
    if way == 0:
        spot = chance.randrange(len(row.body))
        flipped = bytes([row.body[spot] ^ (1 << chance.randrange(8))])
        changed = row._replace(body=row.body[:spot] + flipped + row.body[spot + 1 :])
    elif way == 1:
        changed = row._replace(body=body(at + 1, "nothing to see"))
    elif way == 2:
        changed = row._replace(body=b"")
    else:
        before = WHOLE[at - 1].link if at else first_link(LEDGER)
        other = body(at + 1, "relinked")
        changed = Row(row.seq, other, next_link(before, other), row.signature)
    return [*WHOLE[:at], changed, *WHOLE[at + 1 :]], at + 1, at + 1


def deletion(chance: random.Random) -> Tampered:
    first = chance.randrange(SIZE - 1)
    last = min(SIZE - 1, first + chance.choice((1, 1, 2, 5)))
    rows = WHOLE[:first] + WHOLE[last:]
    return (numbered(rows) if chance.random() < 0.5 else rows), first + 1, last


def insertion(chance: random.Random) -> Tampered:
    at = chance.randrange(SIZE + 1)
    said = chance.choice((body(at + 1, "put in"), WHOLE[chance.randrange(SIZE)].body, b"{}"))
    before = WHOLE[at - 1].link if at else first_link(LEDGER)
    added = Row(at + 1, said, next_link(before, said), THIEF.sign(next_link(before, said)))
    rows = [*WHOLE[:at], added, *WHOLE[at:]]
    return (numbered(rows) if chance.random() < 0.8 else rows), at, at + 2


def reordering(chance: random.Random) -> Tampered:
    one, other = sorted(chance.sample(range(SIZE), 2))
    rows = list(WHOLE)
    if chance.random() < 0.5:
        rows[one], rows[other] = rows[other], rows[one]
    else:
        rows[one : other + 1] = [*rows[one + 1 : other + 1], rows[one]]
    return numbered(rows), one + 1, other + 1


def truncation(chance: random.Random) -> Tampered:
    left = chance.randrange(SIZE)
    return WHOLE[:left], left + 1, SIZE


def re_chaining(chance: random.Random) -> Tampered:
    at = chance.randrange(SIZE)
    bodies = [row.body for row in WHOLE]
    way = chance.randrange(4)
    if way == 0:
        bodies[at] = body(at + 1, "another story")
    elif way == 1:
        del bodies[at]
    elif way == 2:
        bodies.insert(at, body(at + 1, "a further story"))
    else:
        other = chance.randrange(SIZE)
        if other == at:
            other = (at + 1) % SIZE
        bodies[at], bodies[other] = bodies[other], bodies[at]
        at = min(at, other)
    # Even who stole the keys cannot change what is kept elsewhere.
    keys = chance.choice((THIEF, KEYS))
    return chained(renumbered(bodies), keys), at + 1, SIZE


WAYS: tuple[Callable[[random.Random], Tampered], ...] = (
    modification,
    deletion,
    insertion,
    reordering,
    truncation,
    re_chaining,
)


def test_a_whole_ledger_has_no_findings():
    verdict = judged(WHOLE, AUDITOR)
    assert verdict.findings == ()
    assert (verdict.entries, verdict.covered, verdict.checkpoints) == (SIZE, SIZE, 2)
    assert judged(WHOLE, LATE).findings == ()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_tampering_is_found_where_it_was_done(way):
    chance = random.Random(f"{way.__name__} 1")
    for _ in range(ROUNDS):
        rows, first, last = way(chance)
        findings = judged(rows, AUDITOR).findings
        assert findings, (way.__name__, first, last)
        assert any(found.first <= last and first <= found.last for found in findings), (
            first,
            last,
            findings,
        )


@pytest.mark.parametrize("way", [modification, insertion], ids=lambda way: way.__name__)
def test_what_no_checkpoint_covers_yet_is_signed(way):
    chance = random.Random(3)
    rounds = (way(chance) for _ in range(ROUNDS // 4))
    late = [rows for rows, first, last in rounds if first >= 15]
    assert late
    assert all(judged(rows, LATE).findings for rows in late)


def test_a_signature_that_was_changed_below_a_checkpoint_is_found():
    chance = random.Random("signature")
    for _ in range(ROUNDS):
        at = chance.randrange(SIZE)
        row, way = WHOLE[at], chance.randrange(4)
        spot = chance.randrange(64)
        flipped = (
            row.signature[:spot] + bytes([row.signature[spot] ^ 1]) + row.signature[spot + 1 :]
        )
        other = WHOLE[(at + 1) % SIZE].signature
        signature = (flipped, b"", other, THIEF.sign(row.link))[way]
        rows = [*WHOLE[:at], row._replace(signature=signature), *WHOLE[at + 1 :]]
        [found] = judged(rows, AUDITOR).findings
        assert found[:3] == ("modification", at + 1, at + 1)


def test_a_checkpoint_that_vouches_for_no_signatures_has_them_asked_one_by_one():
    tree = Frontier()
    for row in WHOLE:
        tree.append(row.body)
    early = signed(Checkpoint(origin_of(LEDGER), SIZE, tree.root(), NOON, WHOLE[-1].link), KEYS)
    assert judged(WHOLE, Kept(LEDGER, KEYS.public(), [early])).findings == ()
    rows = [WHOLE[0]._replace(signature=b""), *WHOLE[1:]]
    [found] = judged(rows, Kept(LEDGER, KEYS.public(), [early])).findings
    assert found[:3] == ("modification", 1, 1)


def test_an_end_cut_off_behind_the_last_checkpoint_is_missed():
    chance = random.Random("tail")
    tip = told_tip(LEDGER, Tip(SIZE, WHOLE[-1].link), KEYS)
    assert judged(WHOLE, LATE._replace(tips=[tip])).findings == ()
    for _ in range(ROUNDS):
        left = chance.randrange(15, SIZE)
        [found] = judged(WHOLE[:left], LATE._replace(tips=[tip])).findings
        assert found[:3] == ("truncation", left + 1, SIZE)
    anew = chained([body(seq, "anew") for seq in range(1, SIZE + 3)], KEYS)
    [found] = judged(anew, Kept(LEDGER, KEYS.public(), (), [tip])).findings
    assert found[:3] == ("re-chaining", SIZE, SIZE)


@pytest.mark.parametrize(
    "line",
    [
        told_tip(LEDGER, Tip(SIZE - 1, WHOLE[-2].link), THIEF),
        told_tip("another", Tip(SIZE, WHOLE[-1].link), KEYS),
        told_tip(LEDGER, Tip(SIZE, WHOLE[-1].link), KEYS).replace('"seq":20', '"seq":19'),
        "",
        "{}",
    ],
)
def test_an_end_that_the_ledger_did_not_sign_does_not_count(line):
    [found] = judged(WHOLE, AUDITOR._replace(tips=[line])).findings
    assert found.kind == "checkpoint"


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (modification, "modification"),
        (truncation, "truncation"),
        (re_chaining, "re-chaining"),
        (reordering, "reordering"),
        (deletion, "deletion"),
        (insertion, "insertion"),
    ],
    ids=lambda told: told if isinstance(told, str) else "",
)
def test_most_are_called_by_their_name(way, kind):
    chance = random.Random(f"{kind} 2")
    rounds = [way(chance) for _ in range(200)]
    named = [any(f.kind == kind for f in judged(rows, AUDITOR).findings) for rows, *_ in rounds]
    assert sum(named) > 0.6 * len(named)


def test_a_checkpoint_by_another_key_does_not_count():
    tree = Frontier()
    for row in WHOLE:
        tree.append(row.body)
    forged = signed(Checkpoint(origin_of(LEDGER), SIZE, tree.root(), NOON, WHOLE[-1].link), THIEF)
    [found] = judged(WHOLE, AUDITOR._replace(notes=[*NOTES, forged])).findings
    assert found.kind == "checkpoint"


def test_without_witnesses_an_end_cut_off_cannot_be_seen():
    """Why checkpoints are kept elsewhere: the chain alone is satisfied."""
    assert judged(WHOLE[:-3], Kept(LEDGER, KEYS.public())).findings == ()


def test_the_root_is_that_of_rfc_6962():
    """Against the RFC's recursive definition (2.1), for every size up to 70."""

    def mth(leaves: list[bytes]) -> bytes:
        import hashlib

        if not leaves:
            return hashlib.sha256(b"").digest()
        if len(leaves) == 1:
            return hashlib.sha256(b"\x00" + leaves[0]).digest()
        k = 1
        while k * 2 < len(leaves):
            k *= 2
        return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()

    tree = Frontier()
    leaves: list[bytes] = []
    for n in range(70):
        assert tree.root() == mth(leaves)
        assert Frontier.decoded(tree.size, tree.encoded()).root() == tree.root()
        leaves.append(f"entry {n}".encode())
        tree.append(leaves[-1])

"""A load gives the store that one message after the other gives.

In a load one batch is folded while the one before it is written, rows of the journal come from the
process that reads, and of repeated descriptions of a person the first and the last are read back.
"""

import random
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from adt_oracle import Message
from identity_histories import PATIENTS, histories, hours
from test_identity_semantics import drawn, receipts

from twin_core import Twin
from twin_core.clock import SystemClock
from twin_core.events import (
    Demographics,
    NotedFinding,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientsMerged,
)
from twin_core.inbox import FileIntake, Receipt
from twin_core.store.journal import journalled
from twin_core.store.tables import ENTITIES

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def contents(twin: Twin) -> dict[str, list[dict[str, object]]]:
    """Present rows of every entity and of the journal, without what tells how they came."""
    held = {}
    for entity in ENTITIES:
        named = ", ".join(f'"{c.name}"' for c in entity.columns if c.name != "found_at")
        held[entity.name] = twin.query(
            f"SELECT {named} FROM core.{entity.name}_version WHERE known_to = 'infinity'"
            " ORDER BY ALL"
        )
    for name, asked in {
        "event": "e.* EXCLUDE (node, event_no, recorded_at), n.kind, n.system, n.value"
        " FROM core.event e JOIN core.node n USING (node)",
        "message": "* EXCLUDE (batch_no, received_at) FROM core.message",
        "raw": "* FROM core.raw",
        "message_finding": "* EXCLUDE (found_at) FROM core.message_finding",
    }.items():
        held[name] = twin.query(f"SELECT {asked} ORDER BY ALL")
    return held


def told(receipt: Receipt, number: int) -> Receipt:
    """A receipt with bytes of its own, every third one with a finding."""
    outcome = receipt.outcome
    if number % 3 == 0:
        finding = NotedFinding(kind="odd", detail=f"number {number}")
        outcome = msgspec.structs.replace(outcome, findings=(finding,))
    return msgspec.structs.replace(receipt, raw=b"raw %d" % number, outcome=outcome)


def one_by_one(path: Path, sent: list[Receipt]) -> dict[str, list[dict[str, object]]]:
    with Twin.open(path) as twin:
        for receipt in sent:
            twin.receive([receipt])
            twin.wait_applied()
        return contents(twin)


def loaded(path: Path, sent: list[Receipt], sizes: random.Random) -> tuple:
    """What a load gives whose chunks have random sizes; another process prepared most of them."""
    with Twin.open(path) as twin:
        twin.load()
        beside = twin.beside()
        assert beside is not None
        intakes = [FileIntake(beside, SystemClock(), *made) for made in ([journalled], [])]
        while sent:
            size = sizes.randint(1, 6)
            chunk, sent = sent[:size], sent[size:]
            twin.carry(intakes[sizes.random() < 0.2].take(chunk))
            if sizes.random() < 0.2:
                twin.wait_applied()
        twin.wait_applied()
        for intake in intakes:
            intake.close()
        twin.end_beside()
        assert twin.failure() is None
        return contents(twin)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, and next to nothing that is remembered from one to the next."""
    monkeypatch.setattr("twin_core.store.projector.LOAD_ENTRIES", 4)
    monkeypatch.setattr("twin_core.store.projector.LOAD_WORTH", 4)
    monkeypatch.setattr("twin_core.store.units.LOADED_FACTS", 4)
    monkeypatch.setattr("twin_core.store.nodes.REMEMBERED", 9)


@st.composite
def repeated(draw: st.DrawFn) -> list[Receipt]:
    """Persons of whom the same is said over and over, by two feeds, with few changes between."""
    said, feeds = [], []
    words = [Demographics(sex=sex, family_name=name) for sex in ("male", "female") for name in "AB"]
    for _ in range(draw(st.integers(1, 8))):
        one, other = draw(st.permutations(PATIENTS[:3]))[:2]
        listed = draw(st.sampled_from(((one,), (one,), (one, other))))
        told, feed = draw(st.sampled_from(words)), draw(st.sampled_from(("adt", "adt", "lab")))
        begins = draw(st.integers(0, 12))
        for step in range(draw(st.integers(1, 6))):
            # Every other run shares its instants with others.
            at = hours(begins + step * draw(st.sampled_from((1, 1.01))))
            said.append(PatientDescribed(occurred_at=at, patient=listed, demographics=told))
            feeds.append(feed)
        if draw(st.booleans()):
            at = hours(draw(st.integers(0, 14)))
            said.append(
                PatientIdentifiersMoved(occurred_at=at, identifiers=(one,), target=other)
                if draw(st.booleans())
                else PatientsMerged(occurred_at=at, source=one, target=other)
            )
            feeds.append(feed)
    messages = [Message(event, event.occurred_at, control, 1) for control, event in enumerate(said)]
    return [
        msgspec.structs.replace(receipt, feed=feed)
        for receipt, feed in zip(receipts(messages), feeds, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=QUIET,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(repeated(), st.integers(0, 10_000))
def test_what_is_said_over_and_over_is_loaded_as_if_all_of_it_were_at_hand(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Receipt], seed: int
) -> None:
    chance = random.Random(seed)
    late = chance.sample(sent, k=len(sent) // 4)
    sent = [receipt for receipt in sent if receipt not in late] + late
    folder = tmp_path_factory.mktemp("load")
    alone = one_by_one(folder / "one.duckdb", sent)
    assert loaded(folder / "load.duckdb", sent, chance) == alone


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=QUIET,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(histories(longest=40), st.integers(0, 10_000))
def test_a_load_gives_what_one_message_after_the_other_gives(
    tmp_path_factory: pytest.TempPathFactory, said: list, seed: int
) -> None:
    note(drawn(said))
    chance = random.Random(seed)
    sent = [told(receipt, number) for number, receipt in enumerate(receipts(said))]
    if chance.random() < 0.5:
        chance.shuffle(sent)
    folder = tmp_path_factory.mktemp("load")
    alone = one_by_one(folder / "one.duckdb", sent)
    assert loaded(folder / "load.duckdb", sent, chance) == alone


@pytest.mark.usefixtures("small")
def test_what_becomes_known_late_is_folded_among_all_that_was_said(tmp_path: Path) -> None:
    one, other, third = PATIENTS[:3]
    said = [
        PatientDescribed(occurred_at=hours(at), patient=listed)
        for listed in ((one, other), (third,))
        for at in range(8)
    ]
    # Four of eight descriptions list it after that with what it was moved away from.
    moved = PatientIdentifiersMoved(occurred_at=hours(3.5), identifiers=(one,), target=one)
    sent = receipts(
        [
            Message(event, event.occurred_at, control, 1)
            for control, event in enumerate([*said, moved])
        ]
    )
    held = loaded(tmp_path / "load.duckdb", sent, random.Random(1))
    assert [row["kind"] for row in held["fold_finding"]] == ["identifier_moved_before"] * 4
    assert held == one_by_one(tmp_path / "one.duckdb", sent)

"""Messages of the demo on their way: what is done to them, and what is not."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from adapters.hl7v2.encode import Sender
from adapters.hl7v2.translate import translate
from api.demo.perturb import UNTOUCHED, Post, Shares
from api.demo.plan import plan_check
from twin_core.events import EventCancelled, Rejection
from twin_core.settings import FeedSettings, LimitSettings

DAYS = 3


def plan():
    return plan_check(days=DAYS, seed=11)


def posted(shares: Shares | None = None):
    made = plan()
    post = Post(made.sender, Random(2), 8, shares)
    return list(post.deliver(made.demonstration.facts())), post.counts


@pytest.fixture(scope="module")
def perturbed():
    return posted()


def heard(dispatch):
    return translate(
        dispatch.raw,
        feed="adt",
        settings=FeedSettings(),
        limits=LimitSettings(),
        received_at=datetime(2026, 12, 31, tzinfo=UTC),
    )


def test_untouched_messages_are_one_for_each_fact_in_order_of_sending():
    dispatches, counts = posted(UNTOUCHED)
    facts = sorted(plan().demonstration.facts(), key=lambda fact: fact.sent_at)
    assert [d.at for d in dispatches] == [fact.sent_at for fact in facts]
    assert not counts
    assert len({heard(d).envelope.control_id for d in dispatches}) == len(dispatches)


def test_untouched_messages_of_a_visit_share_a_connection():
    dispatches, _ = posted(UNTOUCHED)
    used = Counter()
    for visit, connection in {
        (heard(d).events[-1].encounter[0].value, d.connection)
        for d in dispatches
        if b"PV1|1|N" not in d.raw and b"|ADT^A17^" not in d.raw and b"\rPV1" in d.raw
    }:
        used[visit] += 1
        assert 0 <= connection < 8
    assert max(used.values()) == 1


def test_every_perturbation_happens_and_is_counted(perturbed):
    dispatches, counts = perturbed
    assert set(counts) >= {
        "duplicate", "late", "overtaken", "other connection", "line feeds", "Z segment",
        "cancel without EVN-6", "reused control id",
    }  # fmt: skip
    facts = len(list(plan().demonstration.facts()))
    extra = counts["duplicate"] + counts["training message"] + counts["unreadable message"]
    assert len(dispatches) == facts + extra


def test_deliveries_are_in_order_of_time(perturbed):
    assert all(a.at <= b.at for a, b in pairwise(perturbed[0]))


def test_only_the_unusable_are_refused():
    shares = Shares(training=0.05, unreadable=0.05)
    dispatches, counts = posted(shares)
    refused = Counter()
    for dispatch in dispatches:
        outcome = heard(dispatch)
        if isinstance(outcome, Rejection):
            refused[outcome.code] += 1
            assert outcome.code == dispatch.hoped
        else:
            assert dispatch.hoped == "AA"
    assert refused == {"AR": counts["training message"], "AE": counts["unreadable message"]}


def test_a_duplicate_has_the_digest_of_its_first_and_a_reused_id_has_not(perturbed):
    dispatches, counts = perturbed
    digests = Counter()
    bodies = Counter()
    for dispatch in dispatches:
        if dispatch.hoped == "AA":
            envelope = heard(dispatch).envelope
            digests[envelope.control_id, envelope.digest] += 1
    for control_id, _ in digests:
        bodies[control_id] += 1
    assert sum(digests.values()) - len(digests) == counts["duplicate"]
    assert sum(bodies.values()) - len(bodies) == counts["reused control id"]


def test_what_is_said_does_not_depend_on_how_it_is_sent():
    def said(shares):
        dispatches, _ = posted(shares)
        outcomes = (heard(d) for d in dispatches if d.hoped == "AA")
        return {repr(event) for outcome in outcomes for event in outcome.events}

    rough = Shares(silent_cancel=0, training=0, unreadable=0)
    assert said(rough) == said(UNTOUCHED)


def test_some_cancels_do_not_say_what_they_cancel():
    dispatches, counts = posted()
    cancels = Counter()
    seen = set()
    for dispatch in dispatches:
        if dispatch.hoped != "AA" or (outcome := heard(dispatch)).envelope.digest in seen:
            continue
        seen.add(outcome.envelope.digest)
        for event in outcome.events:
            if isinstance(event, EventCancelled):
                cancels[event.cancelled_at is None] += 1
    assert cancels[True] == counts["cancel without EVN-6"]
    assert cancels[False] > 0


def test_late_messages_arrive_hours_later():
    dispatches, counts = posted(Shares(late=1.0))
    assert counts["late"] >= len(list(plan().demonstration.facts())) * 0.99
    for dispatch in dispatches[:200]:
        outcome = heard(dispatch)
        if not isinstance(outcome, Rejection) and b"|T|" not in dispatch.raw:
            assert dispatch.at >= outcome.envelope.sent_at
    assert isinstance(plan().sender, Sender)
    assert timedelta(hours=1) <= max(
        d.at - heard(d).envelope.sent_at for d in dispatches[:50] if d.hoped == "AA"
    )

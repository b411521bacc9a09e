"""Whatever arrives: line endings change nothing, chunks change nothing, nothing raises."""

import random
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.hl7v2 import FrameDecoder, acknowledge, framed, translate
from adapters.hl7v2.er7 import Message, read, read_any
from adapters.hl7v2.refusal import Refused
from twin_core.events import Rejection, Translation
from twin_core.settings import FeedSettings, LimitSettings

NOW = datetime(2026, 11, 1, 8, 5, tzinfo=UTC)
FEED, LIMITS = FeedSettings(), LimitSettings()
PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
MESSAGES = [path.read_bytes() for path in sorted(PAIRS.glob("*.hl7"))]
ENDINGS = st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\r", b"\n\n", b"\r\n\r\n"])


def outcome(raw):
    return translate(raw, feed="main", settings=FEED, limits=LIMITS, received_at=NOW)


def answered(raw, code="AR"):
    return acknowledge(raw, code, (), now=NOW, ack_id="1")


@given(st.sampled_from(MESSAGES), st.data())
def test_any_line_endings_give_the_same_translation(raw, data):
    lines = raw.replace(b"\r\n", b"\r").replace(b"\n", b"\r").rstrip(b"\r").split(b"\r")
    ended = [line + data.draw(ENDINGS) for line in lines[:-1]]
    last = data.draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n"]))
    assert outcome(b"".join(ended) + lines[-1] + last) == outcome(raw)


@given(st.sampled_from(MESSAGES))
def test_when_a_message_is_sent_again_its_digest_stays(raw):
    first, again = outcome(raw), outcome(raw.replace(b"|20261101080500", b"|20261101093000", 1))
    if isinstance(first, Translation):
        assert isinstance(again, Translation)
        assert first.envelope.digest == again.envelope.digest


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_answered(raw):
    assert isinstance(outcome(raw), Rejection)
    assert answered(raw).split(b"\r")[1].startswith(b"MSA|AR|")


@given(
    st.binary(max_size=200), st.sampled_from([b"MSH|^~\\&|", b"MSH|^~\\&|A|B|||1||ADT^A01|1|P|"])
)
def test_a_header_followed_by_random_bytes_never_raises(raw, header):
    assert isinstance(outcome(header + raw), Translation | Rejection)
    lines = answered(header + raw).split(b"\r")
    assert [line[:4] for line in lines] == [b"MSH|", b"MSA|", b""]


def damage(raw: bytes, draw: random.Random) -> bytes:
    """A message with a few bytes of it lost, or others in their place."""
    damaged = bytearray(raw)
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(damaged))
        damaged[at : at + draw.randrange(3)] = draw.choice(
            [
                b"",
                b"|",
                b"^",
                b"~",
                b"\\",
                b"&",
                b"\r",
                b"\n",
                b'""',
                b"\xff",
                b"\x00",
                b"9" * 9,
                b"\x1c",
                b"\\X00\\",
                b"\rPID|1||42\r",
                b"~~~~",
            ]
        )
    return bytes(damaged)


def read_by(reader, raw, limits, *, lenient):
    """What a reader makes of the bytes: all that a message has, or why it is refused."""
    try:
        found = reader(raw, charset="utf-8", limits=limits, lenient=lenient)
    except Refused as refusal:
        return refusal.answer, refusal.faults
    known = [getattr(found, name) for name in Message.__struct_fields__ if name != "tail"]
    return [*known, found.after_header()]


TIGHT = LimitSettings(segments=6, fields=40, repetitions=3, field_bytes=400)


@settings(max_examples=300)
@given(
    st.sampled_from(MESSAGES),
    st.integers(0, 2**32),
    ENDINGS,
    st.sampled_from([LIMITS, TIGHT]),
    st.booleans(),
)
def test_the_short_way_reads_what_the_rules_for_any_message_read(
    raw, seed, ending, limits, lenient
):
    draw = random.Random(seed)
    if draw.random() < 0.8:
        raw = damage(raw, draw)
    raw = raw.replace(b"\r", ending)
    short, long = (read_by(one, raw, limits, lenient=lenient) for one in (read, read_any))
    assert short == long


@settings(max_examples=300)
@given(st.sampled_from(MESSAGES), st.integers(0, 2**32))
def test_damaged_messages_never_raise_and_never_forge_an_answer(raw, seed):
    damaged = damage(raw, random.Random(seed))
    result = outcome(damaged)
    assert isinstance(result, Translation | Rejection)
    answer = answered(damaged)
    assert [line[:4] for line in answer.split(b"\r")] == [b"MSH|", b"MSA|", b""]
    assert not {0x0B, 0x1C} & set(answer)


@given(
    st.lists(
        st.binary(min_size=1, max_size=40).map(
            lambda b: b.replace(b"\x1c", b"").replace(b"\x0b", b"")
        )
    ),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_frames_survive_any_chunking(messages, sizes):
    stream = b"".join(framed(message) for message in messages)
    decoder, found, at, turn = FrameDecoder(1000), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    if (last := decoder.settle()) is not None:
        found.append(last)
    assert found == messages
    assert decoder.dropped == 0


@given(
    st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"A", b"MSH|"])), st.integers(1, 9)
)
def test_any_bytes_give_the_same_frames_in_any_chunks(parts, size):
    stream = b"".join(parts)

    def decoded(step):
        decoder, found = FrameDecoder(10_000), []
        for at in range(0, len(stream), step):
            decoder.feed(stream[at : at + step])
            while (frame := decoder.next_frame()) is not None:
                found.append(frame)
        return found, decoder.settle(), decoder.dropped

    assert decoded(size) == decoded(len(stream) or 1)


FRAMED = st.sampled_from(
    [b"\x0bA\x1c\r", b"\x0bMSH|1\x1c\r", b"\x0b\x1c\r", b"\x0b", b"\x1c", b"\r", b"A"]
)


@given(st.lists(st.lists(FRAMED)), st.integers(0, 4), st.sampled_from([1, 2, 10_000]))
@example([[b"\x0b"], [b"\x0bA\x1c\r"]], 1, 10_000)
def test_frames_taken_together_are_those_taken_one_by_one(chunks, most, limit):
    one, all_at_once = FrameDecoder(limit), FrameDecoder(limit)
    for chunk in chunks:
        for decoder in (one, all_at_once):
            decoder.feed(b"".join(chunk))
        found = []
        while len(found) < most and (frame := one.next_frame()) is not None:
            found.append(frame)
        assert all_at_once.next_frames(most) == found
    for decoder in (one, all_at_once):
        while decoder.next_frame() is not None:
            pass
    assert one.progress == all_at_once.progress
    assert one.settle() == all_at_once.settle()
    assert (one.dropped, one.pending) == (all_at_once.dropped, all_at_once.pending)

"""MLLP framing: what is one frame, what is none, and what is dropped."""

import pytest

from adapters.hl7v2.mllp import FrameDecoder, Progress, framed


def frames(stream, size=1 << 20, limit=1000):
    decoder = FrameDecoder(limit)
    found = []
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    last = decoder.settle()
    return (found if last is None else [*found, last]), decoder


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("stream", "expected", "dropped"),
    [
        (b"\x0bA\x1c\r", [b"A"], 0),
        (b"\x0bA\x1c\r\x0bB\x1c\r", [b"A", b"B"], 0),
        (b"\x0bA\x1c\x0bB\x1c\r", [b"A", b"B"], 0),
        (b"\x0bA\x1c\n\x0bB\x1c\r\n", [b"A", b"B"], 0),
        (b"\x0bA\x1c", [b"A"], 0),
        (b"\x0b\x1c\r", [b""], 0),
        (b"junk\x0bA\x1c\rmore\r\n\x0bB\x1c\r", [b"A", b"B"], 8),
        (b"A\x1c\r", [], 2),
        (b"\x0bA\x1cB\x1c\r", [b"A\x1cB"], 0),
        (b"\x0bA\x0bB\x1c\r", [b"A\x0bB"], 0),
        (b"\x0bA\x1c\x1c\r", [b"A\x1c"], 0),
        (b"\x0bA\r", [], 0),
        (b"", [], 0),
    ],
)
def test_frames_are_the_same_however_they_arrive(stream, expected, dropped, size):
    found, decoder = frames(stream, size)
    assert found == expected
    assert decoder.dropped == dropped


def test_a_frame_of_the_largest_size_is_taken_and_a_larger_one_is_not():
    assert frames(framed(b"A" * 1000))[0] == [b"A" * 1000]
    found, decoder = frames(framed(b"A" * 1001))
    assert found == []
    assert decoder.progress is Progress.OVERSIZE


@pytest.mark.parametrize("size", [1, 7, 400])
def test_a_frame_without_an_end_is_known_to_be_too_long_as_soon_as_it_is(size):
    decoder = FrameDecoder(1000)
    decoder.feed(b"\x0b")
    fed = 0
    while decoder.next_frame() is None and decoder.progress is not Progress.OVERSIZE:
        decoder.feed(b"A" * size)
        fed += size
    assert fed <= 1000 + size


def test_giving_up_keeps_the_head_and_forgets_the_rest():
    decoder = FrameDecoder(10)
    decoder.feed(b"\x0bMSH|and much more")
    assert decoder.next_frame() is None
    assert decoder.give_up(4) == b"MSH|"
    assert decoder.pending == 0

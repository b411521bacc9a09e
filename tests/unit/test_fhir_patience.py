"""How long a client waits: what servers ask for in every shape seen, back-off, breaker, pace."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from fhir_peer import Time

from adapters.fhir.client.breaker import LONGEST_REST_S, Breaker
from adapters.fhir.client.pace import Pace
from adapters.fhir.client.patience import asked_pause, backoff, retry_after

NOW = datetime(2026, 11, 21, 22, 17, 8, tzinfo=UTC)
EPOCH_S = int(NOW.timestamp())

ASKED = [
    ({"retry-after": "120"}, 120.0),
    ({"retry-after": " 0 "}, 0.0),
    ({"retry-after": "1.9"}, 1.0),
    ({"retry-after": "Sat, 21 Nov 2026 22:18:08 GMT"}, 60.0),
    ({"retry-after": "Saturday, 21-Nov-26 22:18:08 GMT"}, 60.0),
    ({"retry-after": "Sat, 21 Nov 2026 22:00:00 GMT"}, 0.0),
    ({"retry-after": str(EPOCH_S + 30)}, 30.0),
    ({"retry-after": str((EPOCH_S + 30) * 1000)}, 30.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "9" * 400}, None),
    ({"retry-after": "²"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "Sat, 99 Nov 2026 22:18:08 GMT"}, None),
    ({"retry-after": ""}, None),
    ({}, None),
    # draft-ietf-httpapi-ratelimit-headers in its present shape, and in two that came before it
    ({"ratelimit": '"requests";r=0;t=59'}, 59.0),
    ({"ratelimit": '"requests";r=3;t=59'}, None),
    ({"ratelimit": '"minute";r=0;t=59, "day";r=0;t=3600'}, 3600.0),
    ({"ratelimit": '"minute";r=0;t=59, "day";r=500;t=3600'}, 3600.0),
    ({"ratelimit": "limit=100, remaining=0, reset=7"}, 7.0),
    ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH_S + 9)}, 9.0),
    ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "9"}, None),
    ({"ratelimit": "nonsense"}, None),
    ({"retry-after": "soon", "ratelimit": '"requests";r=0;t=59'}, 59.0),
    ({"retry-after": "5", "ratelimit": '"requests";r=0;t=59'}, 5.0),
]


@pytest.mark.parametrize(("headers", "pause_s"), ASKED)
def test_what_a_server_asks_for(headers, pause_s):
    assert asked_pause(headers, NOW) == pause_s


@given(st.text(max_size=40))
def test_no_text_is_an_accident(text):
    pause_s = retry_after(text, NOW)
    assert pause_s is None or pause_s >= 0


@given(st.integers(1, 1000), st.integers())
def test_back_off_grows_to_its_limit_and_never_beyond(attempt, seed):
    pause_s = backoff(attempt, Random(seed), first_s=0.5, longest_s=60)
    whole = min(0.5 * 2 ** (attempt - 1), 60)
    assert whole / 2 <= pause_s <= whole


def test_back_off_differs_between_those_who_failed_together():
    assert len({backoff(4, Random(seed)) for seed in range(50)}) == 50


def test_a_breaker_opens_rests_and_tries_once():
    breaker = Breaker(failures=3, rest_s=60)
    for _ in range(2):
        breaker.fail(0)
    assert breaker.admit(0)
    breaker.fail(0)
    assert (breaker.state(0), breaker.admit(59), breaker.wait_s(10)) == ("open", False, 50)
    assert breaker.admit(60)
    assert not breaker.admit(60), "only one may try"
    breaker.fail(61)
    assert (breaker.wait_s(61), breaker.admit(61)) == (120, False), "it rests twice as long"
    assert breaker.admit(181)
    breaker.succeed()
    assert (breaker.state(181), breaker.admit(181), breaker.failures) == ("closed", True, 0)


def test_a_breaker_that_never_hears_good_news_rests_no_longer_than_its_limit():
    breaker, now = Breaker(failures=1, rest_s=60), 0.0
    breaker.fail(now)
    for _ in range(30):
        now += breaker.wait_s(now)
        assert breaker.admit(now)
        breaker.fail(now)
        breaker.abandon()
        assert not breaker.admit(now)
    assert breaker.wait_s(now) == LONGEST_REST_S


def test_one_success_in_between_keeps_a_breaker_closed():
    breaker = Breaker(failures=3, rest_s=60)
    for _ in range(20):
        breaker.fail(0)
        breaker.fail(0)
        breaker.succeed()
    assert breaker.state(0) == "closed"


def test_a_try_that_tells_nothing_lets_the_next_one_try():
    breaker = Breaker(failures=1, rest_s=60)
    breaker.fail(0)
    assert breaker.admit(60)
    breaker.abandon()
    assert breaker.admit(60)


def test_requests_are_spaced_and_held():
    time = Time()
    pace = Pace(2.0, 4, time.monotonic, time.sleep)
    sent = []

    async def ask():
        async with pace.turn():
            sent.append(time.monotonic())

    async def all_of_them():
        for _ in range(4):
            await ask()
        pace.hold(30)
        await ask()

    asyncio.run(all_of_them())
    assert sent[:4] == [0, 0.5, 1.0, 1.5]
    assert sent[4] == 31.5


def test_no_more_than_so_many_are_under_way():
    time, under_way, most = Time(), 0, 0
    pace = Pace(0, 3, time.monotonic, time.sleep)

    async def ask():
        nonlocal under_way, most
        async with pace.turn():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1

    async def all_of_them():
        await asyncio.gather(*(ask() for _ in range(20)))

    asyncio.run(all_of_them())
    assert most == 3

"""Parts of the API by themselves: the breaker, rate limits, memory."""

import pytest

from serving.api.access import RateLimits
from serving.api.answers import SMALLEST_PACKED, send
from serving.api.breaker import Breaker
from serving.api.shelf import Memory


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_after_failures_in_a_row_and_tries_after_growing_pauses() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, first_pause=1, longest_pause=3, clock=clock)
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert (breaker.is_open, breaker.allows()) == (False, True)
    breaker.failed()
    for pause in (1, 2, 3, 3):
        assert (breaker.is_open, breaker.allows()) == (True, False)
        clock.now += pause - 0.1
        assert not breaker.allows()
        clock.now += 0.1
        # One may try; the others wait for how that ends.
        assert (breaker.allows(), breaker.allows()) == (True, False)
        breaker.failed()
    breaker.succeeded()
    assert (breaker.is_open, breaker.allows()) == (False, True)


def test_a_key_has_its_rate_and_a_burst_and_no_say_in_another_s() -> None:
    clock = Clock()
    limits = RateLimits(rate=2, clock=clock)
    assert [limits.wait("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limits.wait("b") == 0
    clock.now += 0.5
    assert [limits.wait("a"), limits.wait("a")] == [0, 0.5]
    clock.now += 1_000
    assert [limits.wait("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_a_slow_rate_lets_one_through() -> None:
    clock = Clock()
    limits = RateLimits(rate=0.1, clock=clock)
    assert (limits.wait("a"), limits.wait("a")) == (0, 10)


def test_memory_forgets_what_was_asked_for_longest_ago() -> None:
    memory = Memory(limit_bytes=10)
    memory.everybodys[b"all"] = ("r1", b"x" * 100)
    for name in (b"a", b"b", b"c"):
        memory.add(name, "r1", b"1234")
    assert [memory.get(name) for name in (b"a", b"b", b"all")] == [
        None,
        ("r1", b"1234"),
        ("r1", b"x" * 100),
    ]
    memory.add(b"b", "r2", b"12")
    memory.add(b"d", "r2", b"1234")
    assert [memory.get(name) for name in (b"b", b"c", b"d")] == [
        ("r2", b"12"),
        ("r1", b"1234"),
        ("r2", b"1234"),
    ]
    memory.add(b"e", "r2", b"1")
    assert memory.get(b"c") is None


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00, *", False),
        ("*", True),
        ("*;q=0", False),
        ("xgzip", False),
        ("identity", False),
    ],
)
def test_an_answer_is_packed_where_the_client_takes_it(accepted: str, is_packed: bool) -> None:
    body = b"x" * SMALLEST_PACKED
    sent = send([(b"accept-encoding", accepted.encode())], body, b"no-store")
    assert (dict(sent.headers).get(b"content-encoding") == b"gzip") == is_packed
    assert (sent.body != body) == is_packed

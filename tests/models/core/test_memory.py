from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from models.core.memory import Memory


def making(made: list[str], value: str) -> Callable[[], str]:
    def make() -> str:
        made.append(value)
        return value

    return make


def test_the_values_last_asked_for_are_kept() -> None:
    memory, made = Memory[str](2), list[str]()
    assert [memory.get(key, making(made, key)) for key in "abaca"] == list("abaca")
    assert made == ["a", "b", "c"]
    memory.get("b", making(made, "b"))
    assert made == ["a", "b", "c", "b"]


def test_two_threads_make_a_value_once() -> None:
    memory, made, both = Memory[str](1), list[str](), Barrier(2)

    def ask(_: int) -> str:
        both.wait()
        return memory.get("a", making(made, "a"))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == ["a", "a"]
    assert made == ["a"]


def test_what_could_not_be_made_is_made_again() -> None:
    memory, made = Memory[str](1), list[str]()

    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memory.get("a", fail)
    assert memory.get("a", making(made, "a")) == "a"

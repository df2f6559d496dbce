"""Several lists as one."""

from serving.format.records import Item
from serving.mixing import by_score, by_turns


def shelf(about: str, **scores: float) -> tuple[Item, ...]:
    return tuple(
        Item(rank, item, None, score, "together", f"goes with {about}")
        for rank, (item, score) in enumerate(scores.items(), start=1)
    )


ONE, OTHER = shelf("one", a=5.0, b=3.0, c=2.0), shelf("other", b=4.0, d=2.0)


def found(items: tuple[Item, ...]) -> list[tuple[int, str, float, str]]:
    return [(item.rank, item.item_id, item.score, item.reason) for item in items]


def test_lists_take_turns_and_name_each_item_once() -> None:
    assert found(by_turns([ONE, OTHER])) == [
        (1, "a", 5.0, "goes with one"),
        (2, "b", 4.0, "goes with other"),
        (3, "d", 2.0, "goes with other"),
    ]


def test_scores_add_up_and_the_best_reason_stays() -> None:
    assert found(by_score([ONE, OTHER])) == [
        (1, "b", 7.0, "goes with other"),
        (2, "a", 5.0, "goes with one"),
        (3, "c", 2.0, "goes with one"),
    ]
    assert by_score([(), OTHER]) == by_turns([(), OTHER]) == OTHER
    assert by_score([()]) == ()


def test_lists_count_by_their_weights_and_go_on_as_long_as_they_last() -> None:
    assert found(by_score([ONE, OTHER], 9, weights=[1.0, 0.25])) == [
        (1, "a", 5.0, "goes with one"),
        (2, "b", 4.0, "goes with one"),
        (3, "c", 2.0, "goes with one"),
        (4, "d", 0.5, "goes with other"),
    ]
    # Of equal sums the lower id comes first.
    assert [item.item_id for item in by_score([OTHER, shelf("third", a=2.0)], 3)] == ["b", "a", "d"]
    assert [item.item_id for item in by_turns([ONE, OTHER], 4)] == ["a", "b", "d", "c"]

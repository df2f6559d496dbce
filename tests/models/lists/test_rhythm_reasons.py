import pytest

from models.lists.reasons import rhythm


@pytest.mark.parametrize(
    ("purchases", "gap", "since", "sentence"),
    [
        (1, float("nan"), 8, "You bought it once, 8 days ago"),
        (2, 9.0, 8, "You bought it twice, last 8 days ago"),
        (3, 9.2, 8, "You buy it every 9 days, last 8 days ago: due tomorrow"),
        (3, 9.2, 9, "You buy it every 9 days, last 9 days ago: due today"),
        (3, 9.2, 10, "You buy it every 9 days, last 10 days ago: due since yesterday"),
        (5, 7.0, 1, "You buy it every 7 days, last 1 day ago: due in 6 days"),
        (5, 7.0, 21, "You buy it every 7 days, last 21 days ago: due since 14 days"),
        (5, 7.0, 22, "You buy it every 7 days, last 22 days ago"),
        (9, 0.4, 1, "You buy it every day, last 1 day ago: due today"),
    ],
)
def test_a_rhythm_in_words(purchases: int, gap: float, since: int, sentence: str) -> None:
    assert rhythm(purchases, gap, since) == sentence

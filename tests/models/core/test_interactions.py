from datetime import date

import numpy as np
import pandas as pd
import pytest

from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import Interactions, index_of

EVENTS = pd.DataFrame(
    {
        "user_id": ["b", "a", "b", "b"],
        "item_id": ["y", "x", "y", "z"],
        "event_date": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]),
        "quantity": [1.0, 2.0, 3.0, 4.0],
        "value": [1.5, None, 2.5, 3.5],
    }
)


def test_events_become_indices_into_sorted_vocabularies() -> None:
    built = Interactions.from_frame(EVENTS)
    assert built.user_ids.tolist() == ["a", "b"]
    assert built.item_ids.tolist() == ["x", "y", "z"]
    assert built.user.tolist() == [1, 0, 1, 1]
    assert built.item.tolist() == [1, 0, 1, 2]
    assert built.day.tolist() == [19723, 19724, 19725, 19726]
    assert built.quantity.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(built.value, np.array([1.5, np.nan, 2.5, 3.5], np.float32))
    assert np.isnan(built.discount).all()


def test_a_discount_is_read_where_there_is_one() -> None:
    built = Interactions.from_frame(EVENTS.assign(discount=pd.Series([0.5, None, 0.0, 1.0])))
    np.testing.assert_array_equal(built.discount, np.array([0.5, np.nan, 0, 1], np.float32))
    late = built.between(date(2024, 1, 2), date(2024, 1, 4))
    np.testing.assert_array_equal(late.discount, np.array([np.nan, 0], np.float32))


def test_orders_count_up_by_when_they_began() -> None:
    events = EVENTS.assign(
        order_id=pd.Series(["9", "7", "7", None], dtype=object),
        event_time=pd.to_datetime(
            ["2024-01-01 12:00", "2024-01-02 10:00", "2024-01-02 09:00", "2024-01-04 08:00"]
        ),
    )
    built = Interactions.from_frame(events)
    assert built.order.tolist() == [0, 1, 1, 2]
    assert built.between(date(2024, 1, 2), date(2024, 1, 4)).order.tolist() == [1, 1]


def test_without_ids_an_order_is_a_day() -> None:
    twice = pd.concat([EVENTS, EVENTS.head(1)])
    assert Interactions.from_frame(twice).order.tolist() == [0, 1, 2, 3, 0]


def test_a_given_vocabulary_keeps_ids_without_events() -> None:
    built = Interactions.from_frame(EVENTS, user_ids=["c", "b", "a", "a"], item_ids="zyxw")
    assert built.user_ids.tolist() == ["a", "b", "c"]
    assert built.item_ids.tolist() == ["w", "x", "y", "z"]
    assert built.item.tolist() == [2, 1, 2, 3]


def test_an_id_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises(DataError, match="1 different values of item_id are not in the vocabulary"):
        Interactions.from_frame(EVENTS, item_ids=["x", "y"])


def test_a_missing_id_is_an_error() -> None:
    with pytest.raises(DataError, match="user_id is null in 1 rows"):
        Interactions.from_frame(EVENTS.assign(user_id=pd.Series(["b", None, "b", "b"])))


def test_index_of_says_which_ids_are_unknown() -> None:
    ids = np.array(["a", "b"], dtype=object)
    assert index_of(ids, ["b", "zz", "a"]).tolist() == [1, -1, 0]


def test_cuts_in_time_are_half_open_and_keep_the_vocabulary() -> None:
    built = Interactions.from_frame(EVENTS)
    assert built.before(date(2024, 1, 3)).item.tolist() == [1, 0]
    window = built.between(date(2024, 1, 2), date(2024, 1, 4))
    assert window.item.tolist() == [0, 1]
    assert window.item_ids.tolist() == ["x", "y", "z"]


def test_matrix_sums_the_weights_of_a_pair() -> None:
    built = Interactions.from_frame(EVENTS)
    assert built.matrix().toarray().tolist() == [[1, 0, 0], [0, 2, 1]]
    assert built.matrix(built.quantity).toarray().tolist() == [[2, 0, 0], [0, 4, 4]]


def test_decay_halves_with_each_half_life() -> None:
    built = Interactions.from_frame(EVENTS)
    assert built.decay(date(2024, 1, 5), 1).tolist() == [0.0625, 0.125, 0.25, 0.5]


def test_a_context_aligns_frames_and_cuts_events() -> None:
    built = Context.build(
        Interactions.from_frame(EVENTS),
        as_of=date(2024, 1, 3),
        user_attributes=pd.DataFrame({"user_id": ["zz", "b"], "age": ["1", "2"]}),
        item_features=pd.DataFrame({"item_id": ["z", "x"], "sellable": [True, False]}),
    )
    assert built.interactions.item.tolist() == [1, 0]
    assert built.user_attributes["age"].isna().tolist() == [True, False]
    assert built.sellable.tolist() == [False, False, True]
    assert len(built.user_features) == 2


def test_without_a_sellable_column_what_was_sold_before_is_sellable() -> None:
    built = Context.build(Interactions.from_frame(EVENTS), as_of=date(2024, 1, 3))
    assert built.sellable.tolist() == [True, True, False]


def test_what_is_excluded_was_not_sellable_on_an_earlier_night_either() -> None:
    built = Context.build(
        Interactions.from_frame(EVENTS),
        as_of=date(2024, 1, 3),
        item_features=pd.DataFrame({"item_id": ["x", "y"], "department": ["FUEL", None]}),
        excluded_departments=["FUEL"],
    )
    assert built.excluded.tolist() == [True, False, False]
    assert built.sellable.tolist() == [False, True, False]
    assert built.earlier(date(2024, 1, 2)).sellable.tolist() == [False, True, False]


def test_a_context_refuses_events_of_its_own_day() -> None:
    events = Interactions.from_frame(EVENTS)
    known = Context.build(events, as_of=date(2024, 1, 3))
    with pytest.raises(ValueError, match="holds events of that day or later"):
        Context(
            events,
            known.as_of,
            known.user_features,
            known.user_attributes,
            known.item_features,
            known.sellable,
            known.excluded,
        )


def test_a_context_refuses_frames_with_an_id_twice() -> None:
    twice = pd.DataFrame({"item_id": ["x", "x"]})
    with pytest.raises(DataError, match="item_id: 1 rows repeat an id"):
        Context.build(Interactions.from_frame(EVENTS), as_of=date(2024, 1, 3), item_features=twice)

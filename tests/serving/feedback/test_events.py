import json
from datetime import UTC, datetime

import msgspec
import pytest

from serving.feedback.events import Event, EventBatch, line
from serving.format.recommendations import Recommended

RECOMMENDATION = "2024-03-02-bbbbbbbb.all.user.candidate.0badcafe"
PLAIN = {
    "event_id": "web-1",
    "event_type": "click",
    "user_id": "ann",
    "item_id": "i1",
    "event_time": "2024-03-02T12:00:00+02:00",
}


def read(**changed: object) -> Event:
    content = {"events": [{**PLAIN, **changed}]}
    (event,) = msgspec.json.decode(json.dumps(content), type=EventBatch).events
    return event


def test_a_line_says_what_the_recommendation_id_says() -> None:
    event = read(recommendation_id=RECOMMENDATION, position=3, value=1.5)
    received = datetime(2024, 3, 2, 10, 0, 1, tzinfo=UTC)
    assert json.loads(line(event, received)) == {
        "event_id": "web-1",
        "event_type": "click",
        "user_id": "ann",
        "item_id": "i1",
        "event_time": "2024-03-02T10:00:00.000000Z",
        "value": 1.5,
        "quantity": None,
        "surface": "all",
        "position": 3,
        "tier": "user",
        "release": "2024-03-02-bbbbbbbb",
        "recommendation_id": RECOMMENDATION,
        "arm": "candidate",
        "propensity": None,
        "received_at": "2024-03-02T10:00:01.000000Z",
    }


@pytest.mark.parametrize("text", [None, "", "mine", RECOMMENDATION + "0", "a.b.c.d.e"])
def test_an_id_that_is_not_ours_says_nothing(text: str | None) -> None:
    content = json.loads(line(read(recommendation_id=text), datetime(2024, 3, 2, tzinfo=UTC)))
    assert (content["surface"], content["release"], content["arm"]) == (None, None, None)
    assert content["recommendation_id"] == text


def test_a_recommendation_id_comes_back() -> None:
    for arm in ("candidate", None):
        said = Recommended("2024-03-02-bbbbbbbb", "all", "context", arm, "0badcafe")
        assert Recommended.parse(str(said)) == said


def test_a_line_is_one_line_whatever_the_ids_are() -> None:
    text = 'é "\u2028\\ },{ x'
    content = line(read(user_id=text, item_id=text), datetime(2024, 3, 2, tzinfo=UTC))
    assert content.count(b"\n") == 1
    assert json.loads(content)["user_id"] == text


@pytest.mark.parametrize(
    "changed",
    [
        {"event_id": ""},
        {"event_id": "x" * 101},
        {"event_id": "a b"},
        {"event_id": "a\n"},
        {"event_type": "view"},
        {"user_id": ""},
        {"user_id": "x" * 513},
        {"user_id": "a\x00b"},
        {"item_id": "a\nb"},
        {"item_id": "a\n"},
        {"item_id": 7},
        {"event_time": "2024-03-02T12:00:00"},
        {"event_time": "yesterday"},
        {"position": 0},
        {"position": 1001},
        {"position": True},
        {"value": 1e13},
        {"more": 1},
    ],
)
def test_what_is_not_as_declared_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(**changed)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    text = json.dumps({"events": [{**PLAIN, "value": "N"}]}).replace('"N"', number)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=EventBatch)

"""Items' details, and what follows from a few items: baskets, newcomers.

The surfaces of items and baskets are declared by the test.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving.format.details import details_key, encode_details
from serving.format.records import Item, Record, encode, key, summarise
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.stored_lists import NEW, SHOP, decide, make_release, one_list

SURFACES = """
    Surface("beside", keyed_by="item", ranked_by="beside", doc="what goes with an item",
            filter_seen=True, fills_up=False),
    Surface("lacking", keyed_by="basket", ranked_by="beside", doc="what a basket lacks",
            fallbacks=("popular", "fallback"))
"""


def beside(about: str, *, size: int = 2, **scores: float) -> Record:
    items = [
        Item(rank, item, item.title(), score, "pairs", f"goes with {about}")
        for rank, (item, score) in enumerate(scores.items(), start=1)
    ]
    record_key = key("beside", about)
    return record_key, encode(record_key, items, size)


def details(item: str, *values: Any) -> Record:
    record_key = details_key(item)
    return record_key, encode_details(record_key, *values)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("api")
    manifest, records = make_release(NEW, spare=2)
    records = sorted(
        [
            *records,
            beside("milk", bread=5.0, butter=3.0, jam=2.5, tea=1.0),
            beside("bread", butter=4.0, milk=3.0, jam=2.0),
            beside("beer", size=1, crisps=9.0),
            details("milk", "Milk, 1 l", "DAIRY", 1.25),
            details("ü!", None, None, None),
            one_list("beer shelf", "popular", "category=beer"),
            one_list("the north", "popular", "store_id=north"),
        ]
    )
    summary = summarise(records)
    manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        publish(store, manifest, records, keep=5)
    with ApiServer(folder, surfaces=SURFACES, requests_per_second=1_000.0) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ApiServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    content: dict[str, Any] = answer.json()
    return content


def ids(content: dict[str, Any]) -> list[str]:
    return [one["item_id"] for one in content["items"]]


def test_a_basket_gets_what_goes_with_several_of_its_items(client: httpx.Client) -> None:
    content = ask(client, "/v1/baskets", items=["milk", "bread", "milk"])
    assert content.pop("recommendation_id").startswith(f"{NEW}.lacking.item.-.")
    assert content == {
        "release": NEW,
        "surface": "lacking",
        "tier": "item",
        "arm": None,
        "degraded": None,
        "next": None,
        "items": [
            # 3 beside milk and 4 beside bread; what is in the basket is not in its list.
            {
                "rank": 1,
                "item_id": "butter",
                "title": "Butter",
                "score": 7.0,
                "source": "pairs",
                "reason": "goes with bread",
            },
            {
                "rank": 2,
                "item_id": "jam",
                "title": "Jam",
                "score": 4.5,
                "source": "pairs",
                "reason": "goes with milk",
            },
        ],
    }


def test_a_basket_s_list_is_full_as_long_as_there_are_candidates(client: httpx.Client) -> None:
    def basket(**more: Any) -> list[str]:
        return ids(ask(client, "/v1/baskets", items=["milk", "bread"], **more))

    assert basket(exclude=["butter"]) == ["jam", "tea"]
    assert basket(n=1) == ["butter"]
    assert basket(exclude=["butter", "jam"]) == ["tea"]
    again = ask(client, "/v1/baskets", items=["milk", "bread"], surface="lacking")
    assert ids(again) == ["butter", "jam"]


@pytest.mark.parametrize(
    ("more", "tier", "title"),
    [
        ({}, "global", f"title 1 of {NEW}"),
        ({"context": "store_id=north"}, "context", "title 1 of the north"),
    ],
)
def test_a_basket_of_which_nothing_is_known_gets_the_next_of_its_chain(
    client: httpx.Client, more: dict[str, str], tier: str, title: str
) -> None:
    content = ask(client, "/v1/baskets", items=["moon"], **more)
    assert (content["tier"], content["items"][0]["title"]) == (tier, title)
    # What sells may be in the basket: it is left out there too.
    content = ask(client, "/v1/baskets", items=["moon", "i1"], **more)
    assert ids(content)[0] == "i2"


def test_denied_and_dismissed_items_are_in_no_basket_s_list(
    server: ApiServer, client: httpx.Client
) -> None:
    event = {
        "event_id": "d",
        "event_type": "dismissal",
        "user_id": "ann",
        "item_id": "butter",
        "event_time": "2024-03-02T10:00:00Z",
    }
    assert client.post("/v1/events", json={"events": [event]}).status_code == 202
    assert ids(ask(client, "/v1/baskets", items=["milk", "bread"], user="ann")) == ["jam", "tea"]
    assert ids(ask(client, "/v1/baskets", items=["milk", "bread"], user="bob"))[0] == "butter"
    with open_store(server.store, SHOP) as store:
        decide(store, "denied", "jam")
        try:
            basket = ask(client, "/v1/baskets", items=["milk", "bread"], user="bob")
            assert ids(basket) == ["butter", "tea"]
        finally:
            decide(store, "allowed", "jam")


def test_a_newcomer_s_items_count_by_their_weights(client: httpx.Client) -> None:
    def newcomer(**more: Any) -> list[str]:
        return ids(ask(client, "/v1/newcomers", **more))

    plain = [{"item": "milk"}, {"item": "bread"}]
    assert newcomer(items=plain) == newcomer(items=plain, surface="beside") == ["butter", "jam"]
    # 5.0 + 0, 0.3 + 4, of which bread is known to them.
    heavy = [{"item": "milk", "weight": 1}, {"item": "beer", "weight": 0.2}]
    assert newcomer(items=heavy) == ["bread", "butter"]
    assert newcomer(items=[{"item": "milk", "weight": 0.1}, {"item": "beer"}])[0] == "crisps"
    # One item twice says as much as once with twice the weight.
    twice = [{"item": "beer"}, {"item": "milk", "weight": 1}, {"item": "milk", "weight": 1}]
    assert newcomer(items=twice, n=3) == newcomer(
        items=[{"item": "beer"}, {"item": "milk", "weight": 2}], n=3
    )


@pytest.mark.parametrize(
    ("known", "tier", "title"),
    [
        ({}, "global", f"title 1 of {NEW}"),
        ({"items": [{"item": "moon"}]}, "global", f"title 1 of {NEW}"),
        ({"contexts": ["store_id=moon", "category=beer"]}, "context", "title 1 of beer shelf"),
        (
            {"contexts": ["store_id=north", "category=beer"]},
            "context",
            "title 1 of the north",
        ),
    ],
)
def test_a_newcomer_of_whom_less_is_known_gets_what_sells(
    client: httpx.Client, known: dict[str, Any], tier: str, title: str
) -> None:
    content = ask(client, "/v1/newcomers", **known)
    assert (content["tier"], content["items"][0]["title"]) == (tier, title)


def test_an_item_is_described_as_the_release_says(server: ApiServer, client: httpx.Client) -> None:
    answer = client.get("/v1/items/milk")
    assert answer.json() == {
        "release": NEW,
        "item_id": "milk",
        "title": "Milk, 1 l",
        "category": "DAIRY",
        "price": 1.25,
    }
    assert answer.headers["cache-control"] == "private, max-age=30"
    again = client.get("/v1/items/milk", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    plain = {"release": NEW, "item_id": "ü!", "title": None, "category": None, "price": None}
    assert client.get("/v1/items/%C3%BC!").json() == plain
    for unknown in ("moon", "a%20b", "%C3%BC"):
        refused = client.get(f"/v1/items/{unknown}")
        assert refused.status_code == 404
        assert refused.json()["type"] == "urn:topshelf:problem:unknown-item"
    # An item that is denied may stand in somebody's history: it can be shown.
    with open_store(server.store, SHOP) as store:
        decide(store, "denied", "milk")
        try:
            assert client.get("/v1/items/milk").json() == answer.json()
        finally:
            decide(store, "allowed", "milk")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/baskets", {"items": []}, 400),
        ("/v1/baskets", {"items": ["a"] * 51}, 400),
        ("/v1/baskets", {"items": ["a"], "surface": "beside"}, 404),
        ("/v1/baskets", {"items": ["a"], "context": "no"}, 400),
        ("/v1/newcomers", {"items": [{"item": "a", "weight": 0}]}, 400),
        ("/v1/newcomers", {"items": [{"item": "a", "weight": -1}]}, 400),
        ("/v1/newcomers", {"items": [{"item": "a"}], "surface": "all"}, 404),
        ("/v1/newcomers", {"contexts": ["x=y"] * 21}, 400),
        ("/v1/batch", {"requests": [{"surface": "lacking"}]}, 404),
    ],
)
def test_what_is_no_basket_or_newcomer_is_refused(
    client: httpx.Client, path: str, body: dict[str, Any], status: int
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_memory_answers_while_the_store_is_gone(server: ApiServer, client: httpx.Client) -> None:
    milk = client.get("/v1/items/milk").json()
    basket = ask(client, "/v1/baskets", items=["milk", "bread"])
    store, away = server.folder / "store", server.folder / "away"
    store.rename(away)
    try:
        assert client.get("/v1/items/milk").json() == milk
        assert client.get("/v1/items/sun").status_code == 503
        remembered = ask(client, "/v1/baskets", items=["milk", "bread"])
        assert remembered.pop("degraded") in ("damaged_release", "store_down")
        assert remembered | {"degraded": None} == basket
    finally:
        away.rename(store)
    deadline = time.monotonic() + 20
    while ask(client, "/v1/baskets", items=["milk", "bread"])["degraded"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)

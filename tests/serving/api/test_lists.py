import time
from typing import Any

import httpx
import pytest

from serving.format.records import checksum_of, key
from serving.publishing import rollback
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.serving.api.conftest import put_release
from tests.stored_lists import NEW, NEWER, NEWEST, OLD, SHOP, decide


def item(rank: int, number: int, release: str = NEW) -> dict[str, Any]:
    return {
        "rank": rank,
        "item_id": f"i{number}",
        "title": f"title {number} of {release}",
        "score": 1 / number,
        "source": "counts",
        "reason": "bought often",
    }


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["item_id"] for one in answer.json()["items"]]


def checksum(server: ApiServer, list_name: str, subject: str) -> str:
    record_key = key(list_name, subject)
    with open_store(server.store, SHOP) as store:
        (value,) = store.read([record_key]).values
    assert value is not None
    return checksum_of(value)


def test_a_user_gets_their_list_with_its_release_tier_reasons_and_id(
    server: ApiServer, client: httpx.Client
) -> None:
    answer = client.get("/v1/users/ann/discover")
    assert answer.json() == {
        "release": NEW,
        "recommendation_id": f"{NEW}.discover.user.-.{checksum(server, 'discover', 'ann')}",
        "surface": "discover",
        "tier": "user",
        "arm": None,
        "degraded": None,
        "next": None,
        "items": [item(1, 1), item(2, 2), item(3, 3)],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "tier", "title"),
    [
        ("/v1/users/nobody/all", "global", f"title 1 of {NEW}"),
        (
            "/v1/users/nobody/all?context=store_id%3Dnorth",
            "context",
            f"title 1 of the north, {NEW}",
        ),
        ("/v1/users/nobody/all?context=store_id=moon", "global", f"title 1 of {NEW}"),
        ("/v1/users/ann/all?context=store_id=north", "user", f"title 1 of {NEW}"),
        ("/v1/popular?context=store_id=north", "context", f"title 1 of the north, {NEW}"),
        ("/v1/popular", "global", f"title 1 of {NEW}"),
        ("/v1/trending?context=store_id=north", "context", f"title 1 of the north, {NEW}"),
        ("/v1/new", "global", f"title 1 of {NEW}"),
    ],
)
def test_who_has_no_list_gets_the_next_of_its_chain(
    client: httpx.Client, path: str, tier: str, title: str
) -> None:
    content = client.get(path).json()
    assert (content["tier"], content["items"][0]["title"]) == (tier, title)


def test_spare_places_take_those_of_items_left_out(server: ApiServer, client: httpx.Client) -> None:
    answer = client.get("/v1/users/ann/all", params={"exclude": ["i1", "i3", "not there"]})
    assert answer.json()["items"] == [item(1, 2), item(2, 4), item(3, 5)]
    with open_store(server.store, SHOP) as store:
        decide(store, "denied", "i2")
        try:
            assert ids(client.get("/v1/users/ann/all")) == ["i1", "i3", "i4"]
            assert ids(client.get("/v1/users/ann/all?exclude=i1")) == ["i3", "i4", "i5"]
            assert ids(client.get("/v1/users/ann/all?exclude=i1&exclude=i3")) == ["i4", "i5"]
        finally:
            decide(store, "allowed", "i2")


def test_pages_stay_on_the_release_that_they_began_with(
    server: ApiServer, client: httpx.Client
) -> None:
    first = client.get("/v1/users/bob/all?n=2").json()
    assert first["items"] == [item(1, 1), item(2, 2)]
    with open_store(server.store, SHOP) as store:
        put_release(store, NEWER)
        try:
            wait_for(client, NEWER)
            second = client.get("/v1/users/bob/all", params={"n": 2, "cursor": first["next"]})
            assert second.json() == first | {"next": None, "items": [item(3, 3)]}
            # Of another user, the same place of the same release is another list.
            other = client.get("/v1/users/ann/all", params={"cursor": first["next"]})
            assert other.status_code == 410
            assert other.json()["type"] == "urn:topshelf:problem:cursor-expired"
            # Once a person took the release back, none of its pages is shown any more.
            rollback(store, OLD)
            wait_for(client, OLD)
            taken = client.get("/v1/users/bob/all", params={"n": 2, "cursor": first["next"]})
            assert taken.status_code == 410
            rollback(store, NEWER)
            wait_for(client, NEWER)
            store.update(lambda pointer: pointer.without([NEW]))
            store.drop([NEW])
            gone = client.get("/v1/users/bob/all", params={"n": 2, "cursor": first["next"]})
            assert gone.status_code == 410
        finally:
            put_release(store, NEW)
            rollback(store, NEW)
    wait_for(client, NEW)


def wait_for(client: httpx.Client, release: str) -> None:
    deadline = time.monotonic() + 5
    while client.get("/v1/release").json()["release"] != release:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "WzFd",
        "W10",
        "bnVsbA",
        "e30",
        "WyIuLi8uLi8uLi9ldGMiLCAiYWEiLCAxLCAxXQ",
        "%00",
        "=" * 9,
    ],
)
def test_a_cursor_that_is_none_is_refused(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/v1/users/bob/all", params={"cursor": cursor})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_answer_that_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/v1/users/ann/all")
    tag = first.headers["etag"]
    again = client.get("/v1/users/ann/all", headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    changed = client.get("/v1/users/ann/all?exclude=i1", headers={"if-none-match": tag})
    assert changed.status_code == 200


def test_a_long_answer_is_packed_for_clients_that_take_it(client: httpx.Client) -> None:
    requests = {"requests": [{"surface": "all", "user": "ann"}] * 9}
    plain = client.post("/v1/batch", json=requests, headers={"accept-encoding": "identity"})
    packed = client.post("/v1/batch", json=requests, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert packed.content == plain.content


def test_a_batch_answers_in_the_order_asked(client: httpx.Client) -> None:
    asked = [
        {"surface": "discover", "user": "cy", "n": 1},
        {"surface": "popular", "context": "store_id=north"},
        {"surface": "all", "user": "nobody", "exclude": ["i1"]},
    ]
    answers = client.post("/v1/batch", json={"requests": asked}).json()["answers"]
    assert answers[0] == client.get("/v1/users/cy/discover?n=1").json()
    assert answers[1] == client.get("/v1/popular?context=store_id=north").json()
    assert answers[2] == client.get("/v1/users/nobody/all?exclude=i1").json()


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [{"surface": "all", "user": "ann"}] * 101}, "requests"),
        ({"requests": [{"surface": "all", "user": ""}]}, "requests[0].user"),
        ({"requests": [{"surface": "all", "user": "a", "n": 0}]}, "requests[0].n"),
        ({"requests": [{"surface": "all", "user": "a", "colour": "secret"}]}, ""),
        ({}, ""),
        ([], ""),
        ("secret", ""),
    ],
)
def test_a_batch_that_is_not_as_declared_is_refused(
    client: httpx.Client, body: object, where: str
) -> None:
    answer = client.post("/v1/batch", json=body)
    assert answer.status_code == 400
    assert where in answer.text
    assert "secret" not in answer.text
    assert "colour" not in answer.text


def test_a_batch_needs_what_its_surface_is_keyed_by(client: httpx.Client) -> None:
    answer = client.post("/v1/batch", json={"requests": [{"surface": "all"}]})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "requests[0]: this surface needs user.",
    )


@pytest.mark.parametrize("path", ["/v1/users/ann/popular", "/v1/users/ann/x", "/v1/items/i1/all"])
def test_a_surface_that_is_not_keyed_so_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:topshelf:problem:unknown-surface"


def test_the_release_that_serves_is_told(client: httpx.Client) -> None:
    assert client.get("/v1/release").json() == {
        "release": NEW,
        "run_date": NEW[:10],
        "model_version": "topshelf/7",
        "lists": {"all": 3, "discover": 3, "fallback": 1},
        "candidate": None,
        "share": 0.0,
        "trouble": False,
    }


def test_in_a_rollout_the_answer_names_the_arm(server: ApiServer, client: httpx.Client) -> None:
    with open_store(server.store, SHOP) as store:
        put_release(store, NEWEST, share=50)
        try:
            deadline = time.monotonic() + 5
            while client.get("/v1/release").json()["candidate"] != NEWEST:
                assert time.monotonic() < deadline
            pointer = store.pointer()
            arms = set()
            for user in ("ann", "bob", "cy", "u1", "u2", "u3", "u4", "u5"):
                content = client.get(f"/v1/users/{user}/all").json()
                assert content["release"] == pointer.serving(user)[0]
                arm = "candidate" if content["release"] == NEWEST else "current"
                assert content["arm"] == arm
                assert f".{arm}." in content["recommendation_id"]
                arms.add(arm)
            assert arms == {"candidate", "current"}
        finally:
            store.update(lambda pointer: pointer.withdrawing(NEWEST))


def test_a_release_that_is_damaged_lets_the_one_before_answer(
    server: ApiServer, client: httpx.Client
) -> None:
    with open_store(server.store, SHOP) as store:
        put_release(store, "2024-03-05-eeeeeeee")
        wait_for(client, "2024-03-05-eeeeeeee")
        try:
            (server.folder / "store/releases/2024-03-05-eeeeeeee.json").unlink()
            content = client.get("/v1/users/ann/all").json()
            assert content["release"] in (NEW, OLD)
            assert content["degraded"] == "damaged_release"
        finally:
            rollback(store, NEW)
    wait_for(client, NEW)


def test_the_request_id_comes_back_or_is_made(client: httpx.Client) -> None:
    given = client.get("/v1/users/ann/all", headers={"x-request-id": "mine-1.2_3"})
    assert given.headers["x-request-id"] == "mine-1.2_3"
    for odd in ("a b", "x" * 65, "", "<script>"):
        made = client.get("/v1/users/ann/x", headers={"x-request-id": odd})
        assert made.headers["x-request-id"] != odd
        assert made.json()["instance"].endswith(made.headers["x-request-id"])

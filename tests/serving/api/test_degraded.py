"""Never an empty shelf: a store that is slow, down, flushed, damaged, or was never filled."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.publishing import publish
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.redis_server import RedisServer
from tests.stored_lists import NEW, NEWER, OLD, SHOP, decide, flipped, make_release, put

Content = dict[str, Any]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        ApiServer(tmp_path_factory.mktemp("api"), store=redis.address) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture
def healthy(redis: RedisServer, client: httpx.Client) -> Iterator[httpx.Client]:
    """The server whose Redis holds a release, as it has seen; Ann's list was asked for."""
    put_release(redis, NEW)
    with open_store(redis.address, SHOP) as store:
        current = store.pointer().current
    until(lambda: client.get("/readyz").status_code == 200)
    until(lambda: served(client, "ann") == (current, None))
    yield client
    redis.go_on()
    if redis.process.poll() is not None:
        redis.start()


def put_release(redis: RedisServer, release: str, *, denied: str | None = None) -> None:
    with open_store(redis.address, SHOP) as store:
        publish(store, *make_release(release, spare=1), keep=5)
        if denied is not None:
            decide(store, "denied", denied)


def ask(client: httpx.Client, user: str) -> Content:
    answer = client.get(f"/v1/users/{user}/all")
    assert answer.status_code == 200, answer.text
    content: Content = answer.json()
    assert len(content["items"]) == 3
    return content


def served(client: httpx.Client, user: str) -> tuple[str, str | None]:
    content = ask(client, user)
    return content["release"], content["degraded"]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_before_anything_is_published_the_server_lives_but_is_not_ready(
    client: httpx.Client,
) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    answer = client.get("/v1/users/ann/all")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:topshelf:problem:nothing-to-serve"
    assert client.get("/v1/release").status_code == 503


def test_the_first_release_makes_it_ready(redis: RedisServer, client: httpx.Client) -> None:
    put_release(redis, OLD)
    until(lambda: client.get("/readyz").status_code == 200)
    assert ask(client, "ann")["release"] == OLD


def test_a_store_that_hangs_is_given_up_and_then_left_alone(
    redis: RedisServer, healthy: httpx.Client
) -> None:
    before = ask(healthy, "ann")
    redis.hang()
    slow = ask(healthy, "ann")
    assert slow == before | {"degraded": "store_slow"}
    # Of whom nothing is in memory: everybody's list.
    stranger = ask(healthy, "cy")
    assert (stranger["tier"], stranger["degraded"]) == ("global", "store_slow")
    until(lambda: ask(healthy, "ann")["degraded"] == "store_down")
    figures = healthy.get("/metrics").text
    assert "topshelf_breaker_open 1.0" in figures
    assert 'degraded="store_slow",status="200",surface="all",tier="user"' in figures
    assert healthy.get("/readyz").status_code == 200
    answer = healthy.get("/v1/users/ann/all")
    assert answer.headers["cache-control"] == "no-store"
    redis.go_on()
    until(lambda: served(healthy, "cy") == (before["release"], None))
    assert ask(healthy, "cy")["tier"] == "user"


def test_a_store_that_is_down_and_comes_back_empty_is_answered_for(
    redis: RedisServer, healthy: httpx.Client
) -> None:
    before = ask(healthy, "ann")
    page = healthy.get("/v1/users/ann/all?n=1").json()
    redis.kill()
    assert ask(healthy, "ann") == before | {"degraded": "store_down"}
    # A page of the same list goes on; of a list that is not in memory there is none.
    next_page = healthy.get("/v1/users/ann/all", params={"n": 2, "cursor": page["next"]}).json()
    assert next_page["items"] == before["items"][1:]
    redis.start()
    assert ask(healthy, "ann")["items"] == before["items"]
    put_release(redis, NEWER)
    until(lambda: served(healthy, "ann") == (NEWER, None))


def test_a_store_that_is_flushed_is_answered_for(redis: RedisServer, healthy: httpx.Client) -> None:
    before = ask(healthy, "ann")
    redis.flush()
    until(lambda: ask(healthy, "ann")["degraded"] is not None)
    assert ask(healthy, "ann")["items"] == before["items"]
    assert ask(healthy, "nobody")["tier"] == "global"


def test_denied_items_stay_hidden_while_the_store_is_down(
    redis: RedisServer, healthy: httpx.Client
) -> None:
    put_release(redis, NEW, denied="i1")
    until(lambda: ask(healthy, "ann")["items"][0]["item_id"] == "i2")
    redis.kill()
    for user in ("ann", "nobody"):
        content = ask(healthy, user)
        assert content["degraded"] is not None
        assert content["items"][0]["item_id"] == "i2"


def test_what_is_asked_for_at_once_is_read_together_and_each_gets_their_own(
    healthy: httpx.Client,
) -> None:
    users = [*("ann", "bob", "cy") * 20, "nobody"]
    alone = {user: ask(healthy, user) for user in set(users)}
    page = healthy.get("/v1/users/ann/all?n=1").json()
    rest = f"/v1/users/ann/all?cursor={page['next']}"
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(partial(ask, healthy), users)
        pages = [pool.submit(healthy.get, rest) for _ in range(20)]
        assert all(answer == alone[user] for user, answer in zip(users, answers, strict=True))
        assert all(one.result().json()["items"] == alone["ann"]["items"][1:] for one in pages)


@pytest.fixture
def lmdb(tmp_path: Path) -> Iterator[tuple[ApiServer, httpx.Client]]:
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        put(store, NEW)
    with ApiServer(tmp_path) as server, server.client() as client:
        yield server, client


def test_an_lmdb_folder_that_vanishes_breaks_and_comes_back(
    lmdb: tuple[ApiServer, httpx.Client],
) -> None:
    server, client = lmdb
    store = server.folder / "store"
    before = ask(client, "ann")

    shutil.move(store, server.folder / "away")
    until(lambda: ask(client, "ann")["degraded"] is not None)
    assert ask(client, "ann")["items"] == before["items"]
    shutil.move(server.folder / "away", store)
    until(lambda: ask(client, "ann")["degraded"] is None)

    pointer = store / "CURRENT"
    whole = pointer.read_bytes()
    pointer.write_bytes(next(flipped(whole)))
    until(lambda: ask(client, "ann")["degraded"] == "store_down")
    pointer.write_bytes(whole)
    until(lambda: ask(client, "ann") == before)

    with open_store(server.store, SHOP) as other:
        put(other, NEWER)
    until(lambda: ask(client, "ann")["release"] == NEWER)
    for path in (store / "releases").glob(f"{NEWER}.*"):
        path.unlink()
    content = ask(client, "ann")
    assert (content["release"], content["degraded"]) == (NEW, "damaged_release")


def test_a_damaged_deny_list_lets_memory_answer_by_the_last_that_was_known(
    lmdb: tuple[ApiServer, httpx.Client],
) -> None:
    server, client = lmdb
    with open_store(server.store, SHOP) as store:
        decide(store, "denied", "i1")
    assert client.get("/v1/users/ann/all").json()["items"][0]["item_id"] == "i2"
    denied = server.folder / "store/DENIED"
    denied.write_bytes(next(flipped(denied.read_bytes())))
    content = client.get("/v1/users/ann/all").json()
    assert (content["degraded"], content["items"][0]["item_id"]) == ("store_down", "i2")


def test_a_killed_worker_is_replaced_while_others_answer(tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        put(store, NEW)
    with ApiServer(tmp_path, workers=2) as server:
        until(lambda: server.log.read_text().count("Started worker-") == 2)
        workers = server.worker_ids()
        os.kill(workers[0], signal.SIGKILL)
        failed = 0
        for _ in range(40):
            try:
                with server.client() as client:
                    ask(client, "ann")
            except httpx.TransportError:
                failed += 1  # What was under way with the killed one.
            time.sleep(0.01)
        assert failed <= 20
        until(lambda: server.log.read_text().count("Started worker-") == 3)
        assert server.worker_ids() != workers
        with server.client() as client:
            assert "topshelf_requests_total" in client.get("/metrics").text

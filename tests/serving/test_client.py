import os
import signal
import socket
from collections.abc import Iterator

import pytest

from serving.client import Client, RefusedError
from serving.format.records import Item
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.stored_lists import NEW, SHOP, item, put

EVENT = {
    "event_id": "a",
    "event_type": "click",
    "user_id": "ann",
    "item_id": "i1",
    "event_time": "2024-03-02T10:00:00Z",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("api")
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        put(store, NEW, spare=1)
    with ApiServer(folder, requests_per_second=1_000.0) as running:
        yield running


@pytest.fixture
def client(server: ApiServer) -> Iterator[Client]:
    with Client(server.url, server.key, deadline_seconds=5) as client:
        yield client


def test_a_list_is_typed(client: Client) -> None:
    shelf = client.user("ann", "all")
    assert (shelf.release, shelf.tier, shelf.degraded) == (NEW, "user", None)
    assert shelf.items == (item(NEW, 1), item(NEW, 2), item(NEW, 3))


def test_pages_and_exclusions_pass_through(client: Client) -> None:
    first = client.user("ann", "all", count=2, exclude=["i2"])
    assert [one.item_id for one in first.items] == ["i1", "i3"]
    second = client.user("ann", "all", count=2, exclude=["i2"], cursor=first.next)
    assert [(one.rank, one.item_id) for one in second.items] == [(3, "i4")]


@pytest.mark.parametrize("user", ["a b", "ü", "100%", "?", "#", "a&b=c"])
def test_any_user_may_be_asked_for(client: Client, user: str) -> None:
    assert client.user(user, "all").tier == "global"


def test_events_are_sent_once(client: Client) -> None:
    assert client.send([EVENT]) == (1, 0)
    assert client.send([EVENT, EVENT | {"event_id": "b"}]) == (1, 1)


def test_what_is_wrong_is_told(client: Client) -> None:
    with pytest.raises(RefusedError, match=r"404 No such surface\. There is: all, discover"):
        client.user("ann", "nothing")
    with pytest.raises(RefusedError, match="400 The request is not valid"):
        client.send([{"event_id": "a"}])


def test_a_server_that_is_not_there_leaves_the_fallback() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(address, "no key", fallback=["x", "y", "z"]) as client:
        shelf = client.user("ann", "all", count=1, exclude=["x"])
        assert (shelf.degraded, shelf.items) == ("client", (Item(1, "y", None, 0.0, "client", ""),))


def test_a_server_that_goes_away_leaves_everybody_s_list_and_nobody_else_s(
    server: ApiServer,
) -> None:
    with Client(server.url, server.key, deadline_seconds=5, fallback=["x"]) as client:
        everybodys = client.user("a stranger", "discover").items
        client.user("ann", "all")
        server.process.send_signal(signal.SIGSTOP)
        for worker in server.worker_ids():
            os.kill(worker, signal.SIGSTOP)
        try:
            client._deadline = 0.3
            assert client.user("bob", "discover").items == everybodys
            assert [one.item_id for one in client.user("bob", "all").items] == ["x"]
        finally:
            for worker in server.worker_ids():
                os.kill(worker, signal.SIGCONT)
            server.process.send_signal(signal.SIGCONT)

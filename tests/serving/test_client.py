import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

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


PLACE = {"rank": 1, "item_id": "i", "title": "t", "score": 1.0, "source": "s", "reason": "r"}
SHELF = {
    "release": NEW,
    "recommendation_id": "r",
    "surface": "all",
    "tier": "user",
    "arm": None,
    "degraded": None,
    "next": None,
    "items": [PLACE],
}
PAGE = b"<html>Bad gateway</html>"


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """A server that gives these answers in turn, the last one for ever; its address."""
    left = [*answers]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 (the library's name)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_error_of_the_server_s_is_tried_again() -> None:
    later = {**SHELF, "new_field": 1, "items": [PLACE | {"image": "u"}]}
    with (
        answering((500, PAGE), (502, PAGE), (200, json.dumps(later).encode())) as address,
        Client(address, "k", deadline_seconds=10, jitter=lambda: 0.1) as client,
    ):
        # What a later server says besides is left alone.
        assert client.user("ann", "all").items == (Item(1, "i", "t", 1.0, "s", "r"),)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, PAGE), (502, PAGE), (200, PAGE), (200, b"[]"), (200, b'{"items": [7]}'), (302, b"")],
)
def test_what_is_no_answer_of_the_api_leaves_the_fallback(status: int, body: bytes) -> None:
    with (
        answering((status, body)) as address,
        Client(address, "k", deadline_seconds=0.1, fallback=["x"]) as client,
    ):
        shelves = [
            client.user("ann", "all"),
            client.item_list("i", "beside"),
            client.basket(["i"]),
            client.newcomer({"i": 1.0}),
        ]
        assert [(one.degraded, one.items[0].item_id) for one in shelves] == [("client", "x")] * 4
        assert client.item("i") is None


@pytest.mark.parametrize(("status", "body"), [(500, PAGE), (200, PAGE), (507, b"{}")])
def test_events_that_are_not_taken_are_told(
    status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.client.SEND_SECONDS", 0.2)
    with (
        answering((status, body)) as address,
        Client(address, "k") as client,
        pytest.raises(RefusedError, match=f"{status} The API takes no events"),
    ):
        client.send([EVENT])


def test_a_proxy_s_refusal_is_told_in_its_words() -> None:
    with (
        answering((403, PAGE)) as address,
        Client(address, "k") as client,
        pytest.raises(RefusedError, match="403 Forbidden"),
    ):
        client.user("ann", "all")


def test_baskets_newcomers_and_items_are_asked_for(client: Client) -> None:
    assert (
        client.basket(["i1"], user="ann", count=2).items
        == client.newcomer({"i1": 2.0}, contexts=["store_id=north"], count=2).items
    )
    assert [one.item_id for one in client.basket(["i1"], exclude=["i2"]).items] == ["i3", "i4"]
    with pytest.raises(RefusedError, match="404 No such item"):
        client.item("i1")
    with pytest.raises(RefusedError, match="404 No such surface"):
        client.item_list("i1", "nothing")

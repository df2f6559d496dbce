"""Events by HTTP: acknowledged when they are on the disk, once each, acted on at once."""

import json
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.stored_lists import SHOP, put

KILLS = 4
SEED = 3
TODAY = datetime.now(UTC).date()
# Of a night to come, so that what is bought today is not known to it.
RELEASE = f"{TODAY}-aaaaaaaa"


def event(event_id: str, **more: Any) -> dict[str, Any]:
    plain = {
        "event_id": event_id,
        "event_type": "click",
        "user_id": "ann",
        "item_id": "i1",
        "event_time": "2024-03-02T10:00:00Z",
    }
    return plain | more


def send(client: httpx.Client, *events: dict[str, Any]) -> httpx.Response:
    return client.post("/v1/events", json={"events": events})


def landed(folder: Path) -> list[dict[str, Any]]:
    """The lines that the night takes in once the server has ended."""
    files = sorted((folder / "landing/feedback").glob("[!_]*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


@pytest.fixture
def server(tmp_path: Path) -> ApiServer:
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        put(store, RELEASE, spare=2)
    return ApiServer(tmp_path, requests_per_second=10_000.0)


def test_events_are_taken_once_and_land_with_what_was_shown(server: ApiServer) -> None:
    with server, server.client() as client:
        shown = client.get("/v1/users/ann/all").json()["recommendation_id"]
        first = send(client, event("a", recommendation_id=shown, position=2), event("b"))
        assert (first.status_code, first.json()) == (202, {"accepted": 2, "duplicates": 0})
        again = send(client, event("b"), event("c", event_type="impression"))
        assert again.json() == {"accepted": 1, "duplicates": 1}
        figures = client.get("/metrics").text
        assert 'topshelf_events_total{type="click"} 2.0' in figures
        assert 'topshelf_events_total{type="impression"} 1.0' in figures
        assert "topshelf_duplicate_events_total 1.0" in figures
        assert "topshelf_event_lag_seconds_count 3.0" in figures
    lines = landed(server.folder)
    assert [line["event_id"] for line in lines] == ["a", "b", "c"]
    assert {name: lines[0][name] for name in ("surface", "tier", "release", "position")} == {
        "surface": "all",
        "tier": "user",
        "release": RELEASE,
        "position": 2,
    }


def test_lists_are_served_while_events_cannot_be_kept(server: ApiServer) -> None:
    # A file where the folder should be: as unwritable as a folder can be to who is root.
    landing = server.folder / "landing"
    landing.write_bytes(b"")
    with server, server.client() as client:
        assert items(server, "ann") == ["i1", "i2", "i3"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.text) == (200, "ready\nevents cannot be kept\n")
        refused = send(client, event("a", event_type="dismissal"))
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:topshelf:problem:events-not-kept"
        landing.unlink()
        assert send(client, event("a", event_type="dismissal")).json()["accepted"] == 1
        assert items(server, "ann") == ["i2", "i3", "i4"]
    assert [line["event_id"] for line in landed(server.folder)] == ["a"]


def test_one_wrong_event_lets_none_of_the_batch_in(server: ApiServer) -> None:
    with server, server.client() as client:
        answer = send(client, event("a"), event("b", event_type="stare"))
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"in": "body", "name": "events[1].event_type", "message": "Invalid enum value …"}
        ]
        assert send(client, *(event(str(number)) for number in range(1_001))).status_code == 400
        assert send(client).status_code == 400
    assert landed(server.folder) == []


def test_what_is_dismissed_or_bought_is_gone_at_the_next_answer_of_any_worker(
    server: ApiServer,
) -> None:
    server.workers = 2
    with server:
        until_started(server, 2)
        send_once(server, event("d", event_type="dismissal", item_id="i2"))
        for _ in range(10):
            assert items(server, "ann") == ["i1", "i3", "i4"]
        send_once(server, event("p", event_type="purchase", item_id="i1"))
        for _ in range(10):
            assert items(server, "ann") == ["i3", "i4", "i5"]
        assert items(server, "bob") == ["i1", "i2", "i3"]
        with server.client() as client:
            answers = client.post(
                "/v1/batch",
                json={"requests": [{"surface": "all", "user": user} for user in ("ann", "bob")]},
            ).json()["answers"]
            assert [answer["items"][0]["item_id"] for answer in answers] == ["i3", "i1"]


def until_started(server: ApiServer, workers: int) -> None:
    deadline = time.monotonic() + 20
    while server.log.read_text().count("Started worker") < workers:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def send_once(server: ApiServer, one: dict[str, Any]) -> None:
    with server.client() as client:
        assert send(client, one).status_code == 202


def items(server: ApiServer, user: str) -> list[str]:
    """A connection of its own each time, so that either worker may answer."""
    with server.client() as client:
        content = client.get(f"/v1/users/{user}/all").json()
    return [item["item_id"] for item in content["items"]]


def test_no_event_is_lost_or_doubled_whenever_the_server_is_killed(server: ApiServer) -> None:
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    acknowledged: list[str] = []
    number = 0
    for _ in range(KILLS):
        with server:
            timer = threading.Timer(rng.uniform(0.05, 0.4), server.kill)
            timer.start()
            with server.client() as client:
                while True:
                    batch = [event(f"e{number + place}") for place in range(20)]
                    try:
                        answer = send(client, *batch)
                    except httpx.TransportError:
                        break  # Nobody knows: the same events are sent again.
                    assert answer.status_code == 202
                    acknowledged += [one["event_id"] for one in batch]
                    number += 20
            timer.join()
    with server, server.client() as client:
        batch = [event(f"e{number + place}") for place in range(20)]
        assert send(client, *batch).status_code == 202
        acknowledged += [one["event_id"] for one in batch]
    assert Counter(line["event_id"] for line in landed(server.folder)) == Counter(acknowledged)
    assert len(acknowledged) > KILLS * 20

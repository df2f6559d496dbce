"""One server a module: LMDB, two releases with spare places, and a list of a context."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from serving.format.records import summarise
from serving.publishing import publish
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.api_server import ApiServer
from tests.stored_lists import NEW, OLD, SHOP, make_release, one_list


def put_release(store: Store, name: str, *, share: float = 100.0) -> None:
    """The lists of three users and everybody, of 3 and 2 spare places, and one of the north."""
    manifest, records = make_release(name, spare=2)
    records = sorted(
        [*records, one_list(f"the north, {name}", "popular", "store_id=north", spare=2)]
    )
    summary = summarise(records)
    manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
    publish(store, manifest, records, keep=5, share=share)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder: Path = tmp_path_factory.mktemp("api")
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        put_release(store, OLD)
        put_release(store, NEW)
    with ApiServer(folder) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ApiServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client

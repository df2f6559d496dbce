"""The `curl` lines of docs/api.md, one by one, against a server."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.project import ROOT
from tests.stored_lists import NEW, SHOP, put

(BLOCK,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL)
LINES = BLOCK.splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("api")
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        put(store, NEW)
    with ApiServer(folder) as running:
        yield running


def test_there_are_examples() -> None:
    assert len(LINES) >= 8


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_answered(server: ApiServer, line: str) -> None:
    environment = os.environ | {"API": server.url, "KEY": server.key}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout

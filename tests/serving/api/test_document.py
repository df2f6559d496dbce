"""The OpenAPI document that is checked in; `topshelf api-doc > docs/openapi.json` writes it."""

import json

import httpx
import pytest

from serving.api.access import needed
from serving.api.app import document
from tests.api_server import ApiServer
from tests.project import ROOT

DOCUMENT = json.loads(document())
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


def test_the_document_that_is_checked_in_is_the_api_s() -> None:
    assert (ROOT / "docs/openapi.json").read_bytes() == document()


def test_the_server_gives_it_to_anybody(server: ApiServer) -> None:
    assert httpx.get(f"{server.url}/v1/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_needs_a_key_with_the_scope_that_it_names(
    server: ApiServer, path: str, method: str
) -> None:
    scope = needed(path)
    assert scope is not None
    assert DOCUMENT["paths"][path][method]["security"] == [{"key": [scope]}]
    url = path.replace("{user}", "ann").replace("{item}", "i1").replace("{surface}", "all")
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer topshelf_00000000_" + "x" * 43}, 401),
        ({"authorization": f"Basic {server.key}"}, 401),
        ({"authorization": f"Bearer {server.key}x"}, 401),
    ):
        answer = httpx.request(method, server.url + url, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert server.key not in server.log.read_text()

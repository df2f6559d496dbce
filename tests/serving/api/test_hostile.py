"""Requests that mean harm: no 5xx that input caused, nothing secret in answers or logs."""

import http.client
import json
import random
import socket
import string
import time
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest

from serving.api.edge import LARGEST_BODY_BYTES
from tests.api_server import ApiServer

HEAD = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n"
SEED = 7


def raw(server: ApiServer, request: bytes, *, wait: float = 5) -> bytes:
    """The answer to bytes as they are; empty where the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        connection.sendall(request)
        answer = b""
        while True:
            try:
                chunk = connection.recv(65536)
            except ConnectionResetError:
                return answer
            if not chunk:
                return answer
            answer += chunk


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1") else 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/..%2f..%2fetc%2fpasswd/all",
        "/v1/users/../../etc/passwd/all",
        "/v1/users/a%00b/all",
        "/v1/users/%ff%fe/all",
        "/v1/users/%F0%9F%92%A9/all",
        "/v1/users/%ED%A0%80/all",
        "/v1/users/" + "x" * 513 + "/all",
        "/v1/users/" + "x" * 9_000 + "/all",
        "/v1/users/ann/all?n=" + "9" * 4_000,
        "/v1/users/ann/all?n=-1",
        "/v1/users/ann/all?n=1e3",
        "/v1/users/ann/all?n=1&n=2",
        "/v1/users/ann/all?n=NaN",
        "/v1/users/ann/all?" + "exclude=x&" * 101,
        "/v1/users/ann/all?" + "a=b&" * 3_000,
        "/v1/users/ann/all?exclude=" + "x" * 20_000,
        "/v1/users/ann/all?context=" + "x" * 600,
        "/v1/users/ann/all?context=%00=%00",
        "/v1/users/ann/all?context==",
        "/v1/users/ann/all?context=a%3Db%0A",
        "/v1/users/ann/all?%",
        "/v1/users/ann/%0d%0aSet-Cookie:x=1",
        "/v1/users//all",
        "//v1/users/ann/all",
        "/v1/events",
        "/v1/users/ann/all/",
        "/schema",
        "/schema/openapi.json",
        "/docs",
        "*",
        "http://elsewhere/v1/users/ann/all",
    ],
)
def test_no_path_makes_an_error_of_ours(server: ApiServer, path: str) -> None:
    answer = raw(server, (HEAD.format(path, server.key) + "\r\n").encode())
    assert status(answer) < 500, answer
    assert b"Set-Cookie" not in answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[" * 100_000,
        b'{"requests":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"requests":[{"surface":"all","user":"\\ud800"}]}',
        b'{"requests":[{"surface":"all","user":"\xff"}]}',
        b'{"requests":[{"surface":"all","user":7}]}',
        b'{"requests":[{"surface":"all","user":"a","n":1e400}]}',
        b'{"requests":[{"surface":"all","user":"a","n":true}]}',
        b'{"requests":[{"surface":"__class__","user":"a"}]}',
        b'{"requests":[{"surface":"all","user":"a","user":"b"}]}',
        b'{"requests":{"0":1}}',
        b'{"events":[{"event_id":"a"}]}',
        b"\x00" * 1000,
        b"\x1f\x8b\x08\x00",
    ],
)
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/events"])
def test_no_body_makes_an_error_of_ours(server: ApiServer, path: str, body: bytes) -> None:
    with server.client() as client:
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_has_a_greatest_size_declared_or_not(server: ApiServer) -> None:
    with server.client() as client:
        large = b" " * (LARGEST_BODY_BYTES + 1)
        chunks = (b" " * 65_536 for _ in range(LARGEST_BODY_BYTES // 65_536 + 2))
        for content in (large, chunks):
            with suppress(httpx.TransportError):  # The server may hang up while it is sent to.
                assert client.post("/v1/events", content=content).status_code == 413
    assert httpx.get(f"{server.url}/livez").status_code == 200


def test_heads_have_a_greatest_size(server: ApiServer) -> None:
    head = HEAD.format("/v1/users/ann/all", server.key)
    many = "".join(f"X-{number}: y\r\n" for number in range(5_000))
    long = "X-Long: " + "y" * 200_000 + "\r\n"
    for more in (many, long):
        with suppress(BrokenPipeError):
            assert status(raw(server, (head + more + "\r\n").encode())) in (0, 400, 431)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_no_broken_request_makes_an_error_of_ours(server: ApiServer, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        assert status(connection.recv(65536)) < 500
    assert httpx.get(f"{server.url}/livez").status_code == 200


def test_a_thousand_random_requests(server: ApiServer) -> None:
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    alphabet = string.printable + "é\u2028\U0001f4a9\x00"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)

    def text(longest: int = 30) -> str:
        return "".join(rng.choices(alphabet, k=rng.randrange(longest)))

    seen = set()
    for _ in range(1_000):
        words = [quote(text()) for _ in range(4)]
        path = rng.choice(
            [
                f"/v1/users/{words[0].replace('/', '')}/all?{words[1]}={words[2]}&n={words[3]}",
                f"/v1/popular?context={words[0]}&cursor={words[1]}&exclude={words[2]}",
                f"/v1/users/u{words[0].replace('/', '')}/discover",
                f"/v1/{words[0]}/{words[1]}",
                f"/{words[0]}",
                "/v1/batch",
                "/v1/events",
            ]
        )
        method = rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
        content = json.dumps({text(): [text(), rng.random()], "requests": [{"surface": text()}]})
        body = content.encode() if method in ("POST", "PUT") else None
        headers = {"authorization": f"Bearer {server.key}"}
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
        except (ConnectionError, http.client.HTTPException):
            # Hung up on after the answer before, whose body the server had not read to its end.
            connection.close()
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
        answer.read()
        seen.add(answer.status)
        assert answer.status < 500, (method, path, body)
    assert {200, 400, 404, 405} <= seen


def test_a_key_has_a_rate(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        ApiServer(tmp_path_factory.mktemp("slow"), requests_per_second=2.0) as server,
        server.client() as client,
    ):
        answers = (client.get("/v1/release") for _ in range(500))
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert client.get("/livez").status_code == 200
        with server.client(server.new_key("read")) as other:
            time.sleep(1.1)  # Until the server looks at the keys again.
            assert other.get("/v1/release").status_code == 503
        assert 'reason="too-many-requests"' in client.get("/metrics").text


def test_a_key_without_the_scope_is_kept_out(server: ApiServer) -> None:
    keys = {scope: server.new_key(scope) for scope in ("read", "events")}
    time.sleep(1.1)  # Until the server looks at the keys again.
    for scope, path, code in (
        ("read", "/v1/events", 403),
        ("events", "/v1/users/ann/all", 403),
        ("events", "/v1/events", 400),
        ("read", "/v1/nothing", 404),
        ("read", "/v1/events/", 404),
        ("read", "/v1//events", 404),
        ("read", "/deny", 401),
        ("read", "/deny/", 404),
        ("read", "/v1/users/ann/all/", 404),
    ):
        with server.client(keys[scope]) as client:
            method = "POST" if "events" in path or "deny" in path else "GET"
            assert client.request(method, path).status_code == code
    refused = [line for line in server.log.read_text().splitlines() if '"status": 403' in line]
    # By its name, so that somebody can be asked; never the key.
    assert all(json.loads(line[line.index("{") :])["key"] == "a test" for line in refused)
    assert len(refused) == 2


def test_other_sites_may_not_read_answers(server: ApiServer) -> None:
    with server.client() as client:
        origin = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
        for method in ("GET", "OPTIONS"):
            answer = client.request(method, "/v1/users/ann/all", headers=origin)
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_no_log_holds_a_user_a_key_or_what_was_sent(server: ApiServer) -> None:
    with server.client() as client:
        client.get("/v1/users/Marjorie/nothing", params={"exclude": "Marmalade"})
        client.post("/v1/batch", json={"requests": [{"surface": "Marvellous", "user": "Marjorie"}]})
        client.post("/v1/events", json={"events": [{"user_id": "Marjorie", "Margarine": 1}]})
    log = server.log.read_text()
    assert '"status": 404' in log
    for word in ("Marjorie", "Marmalade", "Marvellous", "Margarine", server.key):
        assert word not in log
    with httpx.Client() as stranger:
        refused = stranger.get(
            f"{server.url}/v1/users/Marjorie/all", headers={"authorization": "Bearer Marzipan"}
        )
    assert "Mar" not in refused.text
    assert "Marzipan" not in server.log.read_text()

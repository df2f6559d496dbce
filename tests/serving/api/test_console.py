"""The console's pages as they are sent; what a person sees of them is the browser's test."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from serving.api.access import COOKIE
from serving.api.console.releases import Answers, by_surface
from serving.format.releases import Decision
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.stored_lists import NEW, OLD, SHOP, decide


def wait_for(browser: httpx.Client, words: str) -> None:
    """Until a server that looks at its store several times a second has seen a change."""
    deadline = time.monotonic() + 10
    while words not in text(browser.get("/")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser(server: ApiServer) -> Iterator[httpx.Client]:
    """Somebody who has signed in with a key of all scopes."""
    with httpx.Client(base_url=server.url, headers={"accept": "text/html"}) as client:
        client.post("/login", data={"key": server.key})
        yield client


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))


def test_nobody_sees_anything_before_they_sign_in(server: ApiServer) -> None:
    for path in ("/", "/users?user=ann", "/items?item=i1"):
        person = httpx.get(server.url + path, headers={"accept": "text/html"})
        assert (person.status_code, person.headers["location"]) == (303, "/login")
        # The header is the API's, the cookie the console's: neither opens the other.
        program = httpx.get(server.url + path, headers={"authorization": f"Bearer {server.key}"})
        assert program.status_code == 401
    cookie = {"cookie": f"{COOKIE}={server.key}"}
    assert httpx.get(f"{server.url}/v1/release", headers=cookie).status_code == 401
    assert "API key" in httpx.get(f"{server.url}/login").text


def test_signing_in_keeps_the_key_where_no_script_and_no_other_site_reaches(
    server: ApiServer,
) -> None:
    answer = httpx.post(f"{server.url}/login", data={"key": f" {server.key} "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    for part in (f"{COOKIE}={server.key}", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie
    behind_tls = {"x-forwarded-proto": "https"}
    secure = httpx.post(f"{server.url}/login", data={"key": server.key}, headers=behind_tls)
    assert "Secure" in secure.headers["set-cookie"]
    wrong = httpx.post(f"{server.url}/login", data={"key": "<script>"})
    assert wrong.status_code == 403
    assert "set-cookie" not in wrong.headers
    assert "<script>" not in wrong.text
    out = httpx.post(f"{server.url}/logout")
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_home_says_what_serves(browser: httpx.Client) -> None:
    page = text(browser.get("/"))
    assert f"Release well {NEW}" in page
    assert f"{OLD} previous 2024-03-01 topshelf/7 all 3, discover 3, fallback 1" in page
    assert "A night's lists serve as soon as" not in page


def test_home_says_what_people_decided_about_rollouts(
    server: ApiServer, browser: httpx.Client
) -> None:
    stopped = Decision(OLD, 2.5, "Ann", "too much <b>fish</b>", "2024-03-02 10:00:00")
    with open_store(server.store, SHOP) as store:
        store.update(lambda pointer: pointer.proposed(OLD, 2.5).decided(stopped))
        wait_for(browser, "Rollout 2024")
        page = text(browser.get("/"))
        assert f"Rollout {OLD} for 2.5 %" in page
        assert f"{OLD} 2.5 % Ann too much &lt;b&gt;fish&lt;/b&gt; 2024-03-02 10:00:00" in page
        assert f"What changed from {NEW} to {OLD}" in page
        store.update(lambda pointer: replace(pointer, candidate=None, decisions=()))
    wait_for(browser, "Rollout none")


def test_a_user_s_surfaces_stand_with_tiers_and_reasons(browser: httpx.Client) -> None:
    page = text(browser.get("/users", params={"user": "ann", "context": "store_id=north"}))
    assert f"discover what is new to the user user {NEW} title 1 of {NEW} i1 bought often" in page
    assert f"popular what sells, by context context {NEW} title 1 of the north" in page
    assert "context answered by popular" in page


def test_two_releases_stand_side_by_side(browser: httpx.Client) -> None:
    page = text(browser.get("/users", params={"user": "ann", "release": OLD}))
    assert page.count(f"title 1 of {OLD}") == page.count(f"title 1 of {NEW}") > 0
    missing = browser.get("/users", params={"user": "ann", "release": "2020-01-01-00000000"})
    assert missing.status_code == 400


def test_what_is_left_out_is_said(server: ApiServer, browser: httpx.Client) -> None:
    with server.client() as client:
        event = {
            "event_id": "x",
            "event_type": "dismissal",
            "user_id": "cy",
            "item_id": "i1",
            "event_time": "2024-03-02T10:00:00Z",
        }
        client.post("/v1/events", json={"events": [event]})
    with open_store(server.store, SHOP) as store:
        decide(store, "denied", "i3")
        page = text(browser.get("/users", params={"user": "cy"}))
        decide(store, "allowed", "i3")
    left_out = [f"title 1 of {NEW} (dismissed or just bought)", f"title 3 of {NEW} (denied)"]
    assert f"Left out: {left_out[0]}, {left_out[1]}" in page


def test_an_item_is_hidden_and_shown_again(server: ApiServer, browser: httpx.Client) -> None:
    assert "new new items 2 bought often" in text(browser.get("/items?item=i2"))
    decision = {"item": "i2", "act": "deny", "who": "Ann", "why": "a recall"}
    done = browser.post("/deny", data=decision)
    assert (done.status_code, done.headers["location"]) == (303, "/items?item=i2")
    assert "Denied by Ann since" in text(browser.get("/items?item=i2"))
    with server.client() as client:
        assert "i2" not in client.get("/v1/users/ann/all").text.replace("title 2", "")
    browser.post("/deny", data=decision | {"act": "allow"})
    assert "Denied by" not in text(browser.get("/items?item=i2"))


def test_a_form_of_another_site_or_of_a_key_without_the_scope_hides_nothing(
    server: ApiServer, browser: httpx.Client
) -> None:
    decision = {"item": "i1", "act": "deny", "who": "Ann", "why": "a recall"}
    other = browser.post("/deny", data=decision, headers={"sec-fetch-site": "cross-site"})
    assert other.status_code == 403
    assert browser.post("/deny", data=decision | {"why": " "}).status_code == 400
    reader = server.new_key("read")
    time.sleep(1.1)  # Until the server looks at the keys again.
    with httpx.Client(base_url=server.url, cookies={COOKIE: reader}) as person:
        assert person.get("/items?item=i1").status_code == 200
        assert person.post("/deny", data=decision).status_code == 403
    with open_store(server.store, SHOP) as store:
        assert "i1" not in store.denials().items


def test_a_problem_is_a_page_for_people_and_json_for_programs(
    server: ApiServer, browser: httpx.Client
) -> None:
    page = browser.get("/nowhere")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "style-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-request-id"] in page.text
    with server.client() as client:
        for accept in ("application/json", "text/html"):
            problem = client.get("/v1/users/ann/nowhere", headers={"accept": accept})
            assert problem.headers["content-type"] == "application/problem+json"


def test_two_releases_are_compared(browser: httpx.Client) -> None:
    page = text(browser.get("/compare"))
    # The titles differ, the items do not.
    assert "Churn 0.0 % of a user's places" in page
    assert "all 3 3 0 0.0 % 0 0" in page
    assert "Each item is in as many users' lists as before." in page
    missing = text(browser.get("/compare", params={"before": OLD, "after": "<b>"}))
    assert "There is no such release in the store." in missing
    assert "List by list" not in missing


def test_a_server_without_nights_says_so_and_only_dates_have_reports(
    server: ApiServer, browser: httpx.Client
) -> None:
    assert "This server sees no night's files." in text(browser.get("/nights"))
    (server.folder / "runs" / "2024-03-02").mkdir(parents=True)
    (server.folder / "runs" / "report.html").write_text("above")
    for name in ("2024-03-02", "2024-03-01", "..", "%2e%2e", "..%2f2024-03-02", "0"):
        assert browser.get(f"/nights/{name}/report").status_code == 404, name
    nobody = httpx.get(f"{server.url}/nights/2024-03-02/report")
    assert nobody.status_code == 401


def test_home_counts_answers_by_whose_list_they_were() -> None:
    labels = {"surface": "all", "tier": "user", "degraded": "none", "status": "200"}
    found = by_surface(
        [
            (labels, 7),
            (labels | {"tier": "global", "degraded": "store_slow"}, 2),
            (labels | {"status": "304"}, 1),
            (labels | {"tier": "none", "status": "404"}, 5),
            (labels | {"tier": "none", "status": "503"}, 3),
            (labels | {"surface": "console", "tier": "none"}, 9),
        ]
    )
    assert found == {"all": Answers(Counter({"user": 8, "global": 2}), degraded=2, failed=3)}
    assert found["all"].count == 13


@pytest.mark.parametrize(
    "word", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}", "é'"]
)
def test_what_is_searched_for_is_shown_as_text(browser: httpx.Client, word: str) -> None:
    for path, name in (("/users", "user"), ("/items", "item")):
        answer = browser.get(path, params={name: word, "context": "a=b"})
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "<img" not in answer.text
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_pages_fetch_nothing_from_elsewhere(browser: httpx.Client) -> None:
    for path in ("/", "/users?user=ann", "/items?item=i1", "/login"):
        page = browser.get(path).text
        links = re.findall(r"""(?:href|src|action)=["']([^"']*)""", page)
        assert links
        assert [link for link in links if not link.startswith(("/", "#"))] == []
    assert "url(" not in browser.get("/style.css").text

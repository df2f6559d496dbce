"""The console in a real browser: three people's journeys, each page looked at as they see it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
from playwright.sync_api import Browser, expect

from lakehouse.steps import STEPS
from serving.comparing import compare_releases
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.browser import LOOKS, Person, chromium
from tests.groceries import BANANAS, STORE, fill, leave_nights
from tests.stored_lists import SHOP

NewPerson: TypeAlias = Callable[[str], Person]
NONE = "\N{EN DASH}"


@pytest.fixture(scope="module")
def not_started(tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    folder: Path = tmp_path_factory.mktemp("grocer")
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        fill(store, datetime.now(UTC).date())
    leave_nights(folder / "runs")
    return ApiServer(folder)


@pytest.fixture(scope="module")
def read_key(not_started: ApiServer) -> str:
    return not_started.new_key("read")


@pytest.fixture(scope="module")
def grocer(not_started: ApiServer, read_key: str) -> Iterator[ApiServer]:
    assert read_key
    with not_started as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def person(browser: Browser, grocer: ApiServer) -> Iterator[NewPerson]:
    yield lambda look: Person(browser, grocer, look)
    for context in browser.contexts:
        context.close()


def test_an_analyst_finds_out_by_keyboard_why_a_household_sees_what_it_sees(
    person: NewPerson, read_key: str
) -> None:
    analyst = person("light")
    page = analyst.page
    analyst.sign_in(read_key)
    analyst.tab_to("Skip to the content")
    analyst.tab_to("find-user")
    analyst.type_and_enter("1")
    expect(page.get_by_role("heading", level=1)).to_have_text("User 1")
    mine = page.get_by_role("article").filter(has_text="whatever the user may want next")
    expect(mine.get_by_role("listitem")).to_have_count(8)
    expect(mine).to_contain_text("You bought it 14 times, last 3 days ago")
    expect(mine.locator(".badge.user")).to_have_text("user")
    analyst.look_around()
    analyst.tab_to("White bread")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("White bread")
    shelves = page.get_by_role("region", name="On everybody's shelves")
    expect(shelves.get_by_role("row")).to_have_text(
        [
            "SurfacePlaceReason",
            "popular what sells, by context3Popular right now",
            "fallback what sells, for whoever has no other3Popular right now",
        ]
    )
    analyst.look_around()


def test_a_merchandiser_hides_a_product_on_the_phone_and_shows_it_again(
    person: NewPerson, grocer: ApiServer
) -> None:
    merchandiser = person("phone")
    page = merchandiser.page
    merchandiser.sign_in(grocer.key)

    def decide(button: str) -> None:
        page.goto("/")
        page.get_by_label("Item", exact=True).fill(BANANAS)
        page.get_by_role("button", name="Show item").click()
        page.get_by_label("Who decides").fill("Ann")
        page.get_by_label("Why").fill("a recall")
        page.get_by_role("button", name=f"{button} {BANANAS}").click()
        page.wait_for_load_state()

    shown = page.get_by_role("listitem").filter(has_text="Bananas")
    page.goto("/users?user=nobody")
    expect(shown).not_to_have_count(0)
    decide("Deny")
    expect(page.get_by_role("status")).to_contain_text("Denied by Ann since")
    merchandiser.look_around()
    page.goto("/users?user=nobody")
    expect(shown).to_have_count(0)
    expect(page.get_by_text("Left out: Bananas (denied)")).not_to_have_count(0)
    merchandiser.look_around()
    decide("Allow")
    expect(page.get_by_role("status")).to_have_count(0)
    page.goto("/users?user=nobody")
    expect(shown).not_to_have_count(0)


def test_who_may_only_read_is_told_so_on_a_page(person: NewPerson, read_key: str) -> None:
    reader = person("dark")
    page = reader.page
    reader.sign_in(read_key)
    page.goto(f"/items?item={BANANAS}")
    page.get_by_label("Who decides").fill("Ann")
    page.get_by_label("Why").fill("a recall")
    page.get_by_role("button", name=f"Deny {BANANAS}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The key has not the scope")
    expect(page.get_by_text("This needs the scope admin.")).to_be_visible()
    assert len(reader.complaints) == 1  # The browser's own word for the status.
    reader.complaints.clear()
    reader.look_around()


def test_an_engineer_sees_what_a_night_changed_and_what_the_gate_said(
    person: NewPerson, grocer: ApiServer, read_key: str
) -> None:
    engineer = person("dark")
    page = engineer.page
    engineer.sign_in(read_key)
    with open_store(grocer.store, SHOP) as store:
        before, after = store.pointer().history
        found = compare_releases(store, before, after)
    expect(page.locator(".unwell")).to_have_count(0)
    engineer.look_around()
    page.get_by_role("link", name=f"What changed from {before} to {after}").click()
    churn = page.locator("dl div").filter(has_text="Churn")
    expect(churn).to_contain_text(f"{found.churn:.1%}"[:-1])
    rows = page.get_by_role("region", name="List by list").locator("tbody tr")
    expect(rows.first).to_contain_text("all 40 40 14", use_inner_text=True)
    movers = page.get_by_role("region", name="Items that moved most").locator("tbody tr")
    expect(movers.first).to_contain_text(found.movers[0].title or "")
    engineer.look_around()
    page.get_by_role("link", name="Nights").click()
    nights = page.get_by_role("region", name="The last nights").locator("tbody tr")
    expect(nights).to_contain_text(
        [
            f"2024-03-02 clean failed 0.1 refused corner-all/7 0.410 {NONE} Report of 2024-03-02",
            "clean: a column is missing",
            "gate: all: ndcg@10 fell by 0.02",
            f"2024-03-01 1 of {len(STEPS)} 0.0 {NONE} {NONE} {NONE} {NONE} {NONE}",
        ],
        use_inner_text=True,
    )
    engineer.look_around()
    page.get_by_role("link", name="Report of 2024-03-02").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The night's report")
    # Of what a report has, only a script does not run.
    expect(page.get_by_role("heading", level=1)).to_have_css("color", "rgb(0, 128, 0)")
    assert page.title() == "As written"
    assert all("script" in complaint for complaint in engineer.complaints)
    engineer.complaints.clear()
    page.goto(f"/compare?before={before}&after={after}")
    page.get_by_label("Before").select_option(after)
    page.get_by_role("button", name="Compare").click()
    expect(churn).to_contain_text("0.0")
    expect(page.get_by_text("Each item is in as many users' lists as before.")).to_be_visible()
    page.goto(f"/compare?before={before}&after={after}")
    page.get_by_role("region").last.wait_for()
    page.get_by_role("form", name="A user's lists now").get_by_label("User").fill("1")
    page.get_by_role("button", name="Show them").click()
    lists = page.get_by_role("article").filter(has_text="whatever the user may want next")
    expect(lists.nth(0)).to_contain_text("was 3")
    expect(lists.nth(1)).to_contain_text(before)
    engineer.look_around()


# Those that nobody has looked at in this look above.
USER, ITEM = f"/users?user=7&context={STORE}", f"/items?item={BANANAS}"
PAGES = {"light": ("/", "/compare"), "dark": (USER, ITEM), "phone": ("/", "/compare", "/nights")}


@pytest.mark.parametrize("look", LOOKS)
def test_the_other_pages_are_as_they_should_be(person: NewPerson, read_key: str, look: str) -> None:
    anybody = person(look)
    anybody.page.goto("/login")
    anybody.look_around()
    anybody.sign_in(read_key)
    for path in PAGES[look]:
        anybody.page.goto(path)
        anybody.look_around()

"""A person at a real browser, who notices what a person should not have to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.api_server import ApiServer

CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    found = next(filter(None, map(shutil.which, CHROMIUM)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


class Person:
    """Somebody at the console of a server; ``page`` is what they see.

    ``complaints`` are the browser's errors and warnings, and requests to other hosts.
    """

    def __init__(self, browser: Browser, server: ApiServer, look: str) -> None:
        self.page: Page = browser.new_context(**LOOKS[look], base_url=server.url).new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note_host)
        self._url = server.url

    def sign_in(self, key: str) -> None:
        """With the keyboard, as the key's field is the first one."""
        self.page.goto("/login")
        self.tab_to("key")
        self.type_and_enter(key)
        self.page.wait_for_url(f"{self._url}/")

    def tab_to(self, text: str) -> None:
        """Press Tab until the element of this id or text has the focus."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(
                "[document.activeElement.id, document.activeElement.textContent.trim()]"
            )
            if text in focused:
                return
        raise AssertionError(f"no Tab reaches {text!r}")

    def type_and_enter(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")
        self.page.wait_for_load_state()

    def look_around(self) -> None:
        """The page has no complaint, of axe neither, and is no wider than the window."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, f"{self.page.url}: {found.generate_report()}"
        beyond = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert beyond == 0, f"{self.page.url} is {beyond} pixels too wide"
        assert self.complaints == [], self.page.url

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note_host(self, request: Any) -> None:
        if not request.url.startswith(self._url):
            self.complaints.append(f"a request to {request.url}")

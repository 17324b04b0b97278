"""A real browser for tests that look at pages, with every error on the page failing the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 10_000
expect.set_options(timeout=WAIT_MS)


class OpenPage(Protocol):
    """Opens an address in a window of its own, as a person with these habits would."""

    def __call__(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 860,
        dark: bool = False,
        touch: bool = False,
        locale: str = "ja-JP",
    ) -> Awaitable[Page]: ...


def find_chromium() -> str:
    """The browser of this machine; without one the test is skipped, but in CI it fails."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    missing = "no Chromium on this machine: browser tests need one of " + ", ".join(CHROMIUM_NAMES)
    if os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window; as root it cannot have its sandbox."""
    path = find_chromium()
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(FLAGS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        await browser.close()


@pytest.fixture
async def page_errors() -> list[str]:
    """What the pages of this test complained about; a test that expects complaints empties it."""
    return []


@pytest.fixture
async def open_page(browser: Browser, page_errors: list[str]) -> AsyncIterator[OpenPage]:
    """Opens pages; when the test ends, none of them may have complained."""
    contexts: list[BrowserContext] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            page_errors.append(message.text)

    async def open_one(
        url: str,
        *,
        width: int = 1280,
        height: int = 860,
        dark: bool = False,
        touch: bool = False,
        locale: str = "ja-JP",
    ) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            is_mobile=touch,
            locale=locale,
            timezone_id="Asia/Tokyo",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: page_errors.append(str(error)))
        await page.goto(url)
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert page_errors == []

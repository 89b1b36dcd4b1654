"""A live page, one that wants a token, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.live import CHROMIUM, Live, Tab


@pytest.fixture
def live() -> Iterator[Live]:
    with closing(Live()) as one:
        yield one


@pytest.fixture
def locked() -> Iterator[Live]:
    """One that wants a token."""
    with closing(Live(token=Live.TOKEN)) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, live: Live) -> Iterator[Tab]:
    with closing(Tab(browser, live.url)) as one:
        yield one
        assert [
            text for text in one.messages if "willReadFrequently" not in text
        ] == []  # PIXEL's own reading
        assert all(url.startswith((live.url, "data:")) for url in one.asked), one.asked

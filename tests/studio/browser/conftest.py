"""A browser and a studio for the tests of the page; all are skipped where there is no Chromium.

Both are started once. Each visitor has a context of the browser, with cookies and storage of its own, and
leaves no job behind.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from impasto.cli.samples import sample
from studio.browser.visitor import BROWSERS

PAINTER = [sys.executable, str(Path(__file__).with_name("picture_painter.py"))]
SAMPLES = [
    ("photo", "A cup of coffee", "CC0", str(sample("photo"))),
    ("painting", "Swirl", "CC0", str(sample("swirl"))),
    ("painting", "Ember", "CC0", str(sample("ember"))),
]
EXPECTED = ("Failed to load resource", "net::ERR_")  # the browser's own words about an answer of 4xx


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no chromium here: the page is not opened in a browser")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Any]:
    from studio.running import running

    with running(tmp_path_factory.mktemp("studio"), painter=PAINTER, samples=SAMPLES, seconds=0.02) as server:
        server.ready()
        yield server


@pytest.fixture
def visit(server: Any, browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page; in the end no request went elsewhere, and the console is empty."""
    from studio.browser.visitor import Visitor

    visitors: list[Visitor] = []

    def opened(**context: Any) -> Visitor:
        visitors.append(Visitor(browser, server, **context))
        return visitors[-1].open()

    yield opened
    said = [text for visitor in visitors for text in visitor.said if not text.startswith(EXPECTED)]
    outside = [url for visitor in visitors for url in visitor.outside()]
    for visitor in visitors:
        visitor.close()
    forget(server)
    assert not said
    assert not outside


def forget(server: Any) -> None:
    """Delete all jobs, so that the next visitor finds an empty history and a painter with nothing to do."""
    for job in server.get("/api/v1/jobs?limit=500").json()["jobs"]:
        address = f"/api/v1/jobs/{job['id']}"
        if job["state"] in ("queued", "running", "paused"):
            server.post(f"{address}/cancel")
        server.until(lambda address=address: server.delete(address).status_code in (204, 404))


@pytest.fixture
def visitor(visit: Callable[..., Any]) -> Any:
    """Somebody who has opened the page."""
    return visit()

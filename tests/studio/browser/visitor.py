"""Somebody who looks at the page: a browser's page that notes its console and its requests."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Response, expect

from impasto.cli.samples import sample

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")  # the first has no window to draw
SLOWLY = 20_000  # ms that an action may take, on a busy machine
QUIET = 0.15  # s without a request; longer than the page waits before it asks for a part of a picture

expect.set_options(timeout=SLOWLY)


class Visitor:
    """A page of the studio in a browser's context of its own."""

    def __init__(self, browser: Browser, server: Any, **context: Any) -> None:
        context.setdefault("viewport", {"width": 1280, "height": 800})
        self.server, self.browser = server, browser
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(SLOWLY)
        self.said: list[str] = []
        self.open_requests: set[Any] = set()
        self.last_request = 0.0  # when one began or ended
        self.requests: list[str] = []
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("request", lambda request: self.noted(request, self.open_requests.add))
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: self.noted(request, self.open_requests.discard))
        return page

    def open(self) -> "Visitor":
        """Open the page with a new one-time token."""
        token = self.server.post("/api/v1/tokens").json()["token"]
        self.page.goto(f"{self.server.address}/?token={token}")
        self.started()
        return self

    def started(self) -> None:
        self.page.wait_for_selector("body:not([data-page=starting])")

    def noted(self, request: Any, change: Callable[[Any], None]) -> None:
        if request.resource_type != "eventsource":  # that one stays open
            change(request)
            self.last_request = time.monotonic()

    def close(self) -> None:
        self.context.close()

    # --- what people do ---

    def __call__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, name: str, exact: bool = True) -> Locator:
        """The button with a name; "Pause" is not "Paused"."""
        return self.page.get_by_role("button", name=name, exact=exact)

    def begin(self, example: int = 0) -> None:
        """Begin with an example, and wait for its draft."""
        self(".example").nth(example).click()
        self.drafted()

    def until(self, true: str, seconds: float = SLOWLY / 1000) -> None:
        """Wait until an expression is true; the page's policy forbids playwright's own way."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(true):
            assert time.monotonic() < end, true
            self.page.wait_for_timeout(30)

    def settled(self) -> None:
        """Wait until the page asks for nothing more and nothing moves, then for two frames."""
        end = time.monotonic() + SLOWLY / 1000
        while self.open_requests or time.monotonic() < self.last_request + QUIET:
            assert time.monotonic() < end, self.open_requests
            self.page.wait_for_timeout(20)
        self.until("document.getAnimations().every(animation => animation.playState !== 'running')")
        self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        )

    def drafted(self, seconds: float = SLOWLY / 1000) -> None:
        """Wait until the draft is done."""
        self.until("document.querySelector('.stage-status').textContent === 'Draft'", seconds)

    def posting(self, kind: str) -> Any:
        """Expect the answer to a new job: "draft", or "full"; one of the other kind may come between."""

        def right(answer: Response) -> bool:
            request = answer.request
            is_job = request.method == "POST" and answer.url.endswith("/jobs")
            return is_job and request.post_data_json.get("kind", "full") == kind

        return self.page.expect_response(right)

    def changed(self, change: Callable[[], Any]) -> None:
        """Do what begins another draft, and wait for it."""
        with self.posting("draft") as answer:
            change()
        self.server.ended(answer.value.json()["id"])
        self.drafted()

    def painted(self) -> str:
        """Paint at full size; return the id of the job when it is done."""
        with self.posting("full") as answer:
            self.page.keyboard.press("Control+Enter")
        id = str(answer.value.json()["id"])
        self.server.ended(id, 300)
        self("[data-key=again]").wait_for()
        return id

    def choose(self, selector: str, *files: Any) -> None:
        """Click on something that opens the dialog for files, and choose some."""
        with self.page.expect_file_chooser() as chooser:
            self(selector).first.click()
        chooser.value.set_files(list(files))

    def drop(self, selector: str, files: list[tuple[str, bytes, str]]) -> None:
        """Drop files, (name, bytes, type), on an element."""
        data = self.page.evaluate_handle(
            "files => { const data = new DataTransfer();"
            " for (const [name, text, type] of files) data.items.add(new File("
            "[Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], name, {type})); return data; }",
            [[name, _base64(content), kind] for name, content, kind in files],
        )
        for event in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event(selector, event, {"dataTransfer": data})

    def paste(self, name: str, content: bytes, kind: str = "image/png") -> None:
        self.page.evaluate(
            "([name, text, type]) => { const clipboardData = new DataTransfer();"
            " const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));"
            " clipboardData.items.add(new File([bytes], name, {type}));"
            " document.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true})); }",
            [name, _base64(content), kind],
        )

    def set(self, name: str, value: object) -> None:
        """Type a number into the box of a setting."""
        box = self(f"#f-{name}")
        box.fill(str(value))
        box.press("Enter")

    def slow(self) -> None:
        """Make the painter take long; wait until such a draft has begun."""
        with self.posting("draft"):
            self.set("stroke", 9)
        self.until("document.querySelector('.stage-status').textContent !== 'Draft'")

    def quality(self, name: str) -> None:
        """Choose a quality; the draft has one of its own and stays."""
        self("[data-name=quality]").get_by_role("radio", name=name).click()

    # --- what the page shows ---

    def settings(self) -> dict[str, Any]:
        """Return the settings of the newest full run, as the server has them."""
        job = self.server.get("/api/v1/jobs?kind=full&limit=1").json()["jobs"][0]
        return dict(job["settings"])

    def violations(self, *rules: str) -> list[str]:
        """Return what axe finds wrong, by all its rules or by some."""
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        if self.page.evaluate("'axe' in window"):  # its half a megabyte is read once
            found = self.page.evaluate("async options => (await axe.run(options)).violations", options)
        else:
            found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{item['id']}: {node['html'][:150]} {node.get('failureSummary', '')[:300]}"
            for item in found
            for node in item["nodes"]
        ]

    def outside(self) -> list[str]:
        """Return the addresses of requests that went elsewhere."""
        inside = re.compile(rf"{re.escape(self.server.address)}/|blob:{re.escape(self.server.address)}|data:")
        return [url for url in self.requests if not inside.match(url)]


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def photo() -> Path:
    return sample("photo")


def painting() -> Path:
    return sample("swirl")

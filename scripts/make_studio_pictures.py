"""Make the pictures of docs/studio.md: start the studio, use its page in a browser, and take screenshots.

    .venv/bin/python scripts/make_studio_pictures.py

Needs Chromium and the developers' packages; takes some minutes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyvips
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 150_000  # bytes of a file
DRAFT = "document.querySelector('.stage-status').textContent === 'Draft'"
BEGIN = """async size => {  // the first example, as the page keeps it over a reload
  const samples = await (await fetch('/api/v1/samples')).json();
  const first = role => samples.find(item => item.role === role).picture;
  const styles = [{picture: first('painting'), weight: 1, mask: null}];
  const setup = {photo: first('photo'), styles, protect: null, settings: {size}};
  sessionStorage.setItem('impasto.setup', JSON.stringify(setup));
}"""
LOOKS = "document.querySelectorAll('.look:not(.ready)').length === 0"


def main() -> None:
    """Start the studio and a browser, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "studio")
    parser.add_argument("--size", type=int, default=512, help="long edge of what is painted, in px")
    arguments = parser.parse_args()
    out, size = arguments.out, arguments.size
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        command = [sys.executable, "-m", "impasto", "studio", "--no-browser", "--port", "0", "--data", data]
        studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert studio.stdout is not None
        address = next(line for line in studio.stdout if "token=" in line).split(": ")[1].strip()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--lang=en-GB"]
        )
        try:
            take(browser, address, out, size)
        finally:
            browser.close()
            studio.terminate()
            studio.wait()


def take(browser: Browser, address: str, out: Path, size: int) -> None:
    """Go through the states of the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".example img")
    shoot(page, out / "empty.jpg")
    page.evaluate(BEGIN, size)
    page.reload()
    page.wait_for_selector(".card, .none")
    until(page, DRAFT)
    page.keyboard.press("2")
    page.wait_for_selector("img-comparison-slider.rendered")
    shoot(page, out / "slider.jpg")
    page.keyboard.press("1")
    until(page, LOOKS)
    shoot(page, out / "draft.jpg")
    page.emulate_media(color_scheme="dark")
    shoot(page, out / "dark.jpg")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 430, "height": 860})
    shoot(page, out / "phone.jpg")
    page.set_viewport_size({"width": 1280, "height": 800})
    masks(page, out)
    page.click("[aria-label='Undo (Ctrl+Z)']")
    for _ in range(3):
        page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    page.locator("[data-name=quality] [role=radio]").first.click()  # draft: quick
    paint(page)
    page.fill("#f-strength", "4")
    page.press("#f-strength", "Enter")
    paint(page)
    for number in range(2):
        page.locator(".card").nth(number).hover()
        page.locator(".card .pick").nth(number).check()
    page.click("[data-key=compare]")
    page.wait_for_selector("img-comparison-slider.rendered")
    page.wait_for_timeout(1000)
    shoot(page, out / "compare.jpg")
    grid(page, out)


def paint(page: Page) -> None:
    """Paint at full size and wait for it."""
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-key=again]", timeout=600_000)


def grid(page: Page, out: Path) -> None:
    """Paint a grid and take its picture."""
    page.fill("#f-size", "128")
    page.press("#f-size", "Enter")
    page.click("[aria-label='Paint a grid of settings']")
    page.select_option("#grid-down", "stroke")
    page.fill("[aria-label='Values of the setting across']", "0.5, 1, 2")
    page.fill("[aria-label='Values of the setting down']", "0.5, 2")
    page.click("dialog .primary")
    until(page, "document.querySelectorAll('.grid-view .cell img').length === 6"
          " && !document.querySelector('.grid-view .badge:not([hidden])')")  # fmt: skip
    shoot(page, out / "grid.jpg")


def masks(page: Page, out: Path) -> None:
    """Paint masks and take their picture."""
    page.click("[data-key^=mask-]")
    box = page.locator("canvas.overlay").bounding_box()
    assert box is not None

    def line(*points: tuple[float, float]) -> None:
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    for _ in range(4):
        page.keyboard.press("]")
    for y in (0.06, 0.2, 0.34):
        line((0.03, y), (0.97, y))
    page.locator(".region-chips [role=radio]").last.click()
    line((0.38, 0.66), (0.5, 0.72), (0.62, 0.68))
    page.wait_for_timeout(500)
    shoot(page, out / "masks.jpg")


def until(page: Page, true: str) -> None:
    """Wait for an expression; the page's policy forbids playwright's own way."""
    for _ in range(6000):
        if page.evaluate(true):
            return
        page.wait_for_timeout(100)
    raise TimeoutError(true)


def shoot(page: Page, path: Path) -> None:
    """Write a screenshot as a JPEG that is not too large."""
    until(page, "[...document.images].every(image => image.complete && image.naturalWidth)")
    page.wait_for_timeout(600)
    image = pyvips.Image.new_from_buffer(page.screenshot(), "")[:3]
    encode: Callable[[int], bytes] = lambda quality: image.jpegsave_buffer(Q=quality)  # noqa: E731
    data = next(data for quality in range(90, 20, -5) if len(data := encode(quality)) < LARGEST)
    path.write_bytes(data)
    print(path.name, len(data))


if __name__ == "__main__":
    main()

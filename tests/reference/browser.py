"""Opens a page in a Chromium without a window, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest


def chromium(tmp_path: Path, page: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page without a window; skip where there is no Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium here: the page is not opened in a browser")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [found, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", *flags]
    command.append((tmp_path / "page.html").as_uri())
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

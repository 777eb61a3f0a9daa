"""Write docs/cli.md from the program itself; with --check, only tell whether it is up to date.

Usage: .venv/bin/python scripts/make_docs.py [--check]
"""

import re
import sys
from pathlib import Path

from impasto.cli.app import EXAMPLES, app
from impasto.cli.commands.doctor import EXIT_CODES
from impasto.cli.settings_sources import MODELS, PLACES, WORDS
from impasto.config.model import PREFIX

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
ABOUT = {
    "preset": "as `--preset`",
    "settings": "as `--settings`",
    "weights": "as `--weights`",
    "CACHE_DIR": "folder of what can be made again, as the decoded weights, and of checkpoints",
    "DATA_DIR": "folder of what was imported or fetched: other weights",
    "CONFIG_DIR": "folder of your presets",
    "OFFLINE": "1: never use the network, not even for impasto weights fetch",
}


def page() -> str:
    """Return the whole page, in Markdown."""
    text = app.generate_docs(output_format="markdown")
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    text = re.sub(r"^impasto (\w+(?: \w+)?) \1 ", r"impasto \1 ", text, flags=re.MULTILINE)
    head, _, rest = text.partition("\n")
    note = "<!-- Made by scripts/make_docs.py from the program; do not edit. -->"
    about = "All commands and flags. `impasto COMMAND --help-all` says the same.\n"
    examples = EXAMPLES.partition("\n\n")[0].removeprefix("Examples:\n")
    parts = [head, note, about, "## Examples", f"```\n{examples}\n```", rest.strip()]
    parts += ["## Environment", environment(), "## Exit codes", exit_codes()]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def environment() -> str:
    """Return the table of variables."""
    rows = [(PREFIX + name.upper(), ABOUT[name]) for name in (*WORDS, *PLACES)]
    for model in MODELS:
        rows += [(PREFIX + name.upper(), f"as `--{name.replace('_', '-')}`") for name in model.model_fields]
    lines = "\n".join(f"| `{name}` | {about} |" for name, about in rows)
    return f"| variable | meaning |\n| --- | --- |\n{lines}"


def exit_codes() -> str:
    """Return the table of exit codes."""
    lines = "\n".join(f"| {int(code)} | {about} |" for code, about in EXIT_CODES.items())
    return f"| code | meaning |\n| --- | --- |\n{lines}"


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is not what the program says; run scripts/make_docs.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())

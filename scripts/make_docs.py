"""Write docs/cli.md, and the table of papers in docs/how-it-works.md, from the program itself.

With --check, only tell whether they are up to date.

Usage: .venv/bin/python scripts/make_docs.py [--check]
"""

import re
import sys
import textwrap
from pathlib import Path

from impasto.cli.app import EXAMPLES, app
from impasto.cli.commands.doctor import EXIT_CODES
from impasto.cli.settings_sources import MODELS, PLACES, WORDS
from impasto.config.model import PREFIX
from impasto.config.settings import Settings
from impasto.reports.experiment import papers

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = (
    "<!-- Made by scripts/make_docs.py; do not edit. -->",
    "<!-- End of what scripts/make_docs.py made. -->",
)
ABOUT = {
    "preset": "as `--preset`",
    "settings": "as `--settings`",
    "weights": "as `--weights`",
    "CACHE_DIR": "folder of what can be made again, as the decoded weights, and of checkpoints",
    "DATA_DIR": "folder of what was imported or fetched: other weights",
    "CONFIG_DIR": "folder of your presets",
    "TOKEN": "the token that programs show to `impasto serve` and `impasto studio`",
    "SHARDS": "the number of shards, for `impasto batch --shard auto` where the scheduler does not say it",
    "OFFLINE": "1: never use the network, not even for impasto weights fetch",
}


def cli_page() -> str:
    """Return the page of commands and flags, in Markdown."""
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


def with_table(text: str) -> str:
    """Return a page with the table of papers, experiment and defaults between its two marks."""
    before, _, rest = text.partition(BEGIN)
    rows = papers.comparison({f"preset {name}": Settings.preset(name) for name in ("paper", "gatys2016")})
    lines = [
        "| " + " | ".join(row) + " |" for row in (rows[0], ["---"] * len(rows[0]), *map(dict.values, rows))
    ]
    table = "\n".join(lines)
    origin, about = (textwrap.fill(part, 118) for part in (papers.ORIGIN, papers.ABOUT_TABLE))
    return f"{before}{BEGIN}\n\n{origin}\n\n{table}\n\n{about}\n\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Write or check the pages."""
    method = DOCS / "how-it-works.md"
    made = {DOCS / "cli.md": cli_page(), method: with_table(method.read_text(encoding="utf-8"))}
    stale = [
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.name} is not what the program says; run scripts/make_docs.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

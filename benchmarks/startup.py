"""How long `impasto --help` and other commands that compute nothing take, medians of ten.

python benchmarks/startup.py [--json FILE]
"""

import argparse
import statistics
import sys
from pathlib import Path

from common import report, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for arguments in (["--help"], ["--version"], ["layers"]):
        runs = [timed([sys.executable, "-m", "impasto", *arguments])[0] for _ in range(10)]
        rows.append({"command": " ".join(arguments), "seconds": statistics.median(runs)})
    report(rows, options.json)


if __name__ == "__main__":
    main()

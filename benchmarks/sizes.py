"""Time, memory and achieved style-to-content ratio of the default run, size by size.

    python benchmarks/sizes.py [--sizes 256,512,1024] [--json FILE]

The ratio is that of the two weighted terms in the saved file, by the neutral evaluator:
1000 x style / content in the defaults' weights. The inputs are scaled to each size beforehand.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from common import pairs, report, scaled, timed
from tests.reference import neutral

from impasto import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = Settings()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in (int(part) for part in options.sizes.split(",")):
            photo, style = (scaled(path, size, folder) for path in pairs()[0])
            output = folder / f"{size}.png"
            command = [sys.executable, "-m", "impasto", str(photo), str(style), "-o", str(output)]
            seconds, memory, _ = timed([*command, "--size", str(size), "-q"])
            score = neutral.score(output, photo, style)
            content = wanted.content_weight * score["content"] / 5
            painted = wanted.style_weight * score["style"] / 100
            rows.append(
                {
                    "size": size,
                    "seconds": round(seconds, 1),
                    "peak MB": round(memory),
                    "content": content,
                    "style": painted,
                    "style / content": painted / content,
                }
            )
    report(rows, options.json)


if __name__ == "__main__":
    main()

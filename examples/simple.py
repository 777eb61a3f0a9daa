"""The whole of it: a photo, a painting, a picture.

python examples/simple.py [OUTPUT]
"""

import sys

import impasto
from impasto.cli.samples import sample

output = sys.argv[1] if len(sys.argv) > 1 else "simple.png"
settings = impasto.Settings(size=128, quality="draft")
result = impasto.stylize(sample("photo"), sample("swirl"), settings)
print(result.save(output, overwrite=True), f"{result.seconds:.1f} s")

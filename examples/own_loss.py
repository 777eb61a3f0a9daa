"""Two styles, a loss of your own, progress, and an early end.

python examples/own_loss.py [OUTPUT]
"""

import sys

import impasto
from impasto.cli.samples import sample


def brightness(features):
    """Pull the mean of the canvas towards 0.6; "image" is the canvas, in [0, 1]."""
    return (features["image"].mean() - 0.6) ** 2


def watch(step):
    """Say how far it is; stop after 20 evaluations of the last scale."""
    if step.iteration % 10 == 0:
        print(step.scale, step.iteration, f"{step.losses['total']:.3g}")
    if step.scale == step.scales and step.iteration >= 20:
        raise impasto.Stop


output = sys.argv[1] if len(sys.argv) > 1 else "own_loss.png"
result = impasto.stylize(
    sample("photo"),
    [impasto.Style(sample("swirl"), weight=0.7), impasto.Style(sample("ember"), weight=0.3)],
    impasto.Settings(size=128, min_size=64, quality="draft"),
    on_step=watch,
    extra_losses=[impasto.Penalty(brightness, weight=1e6)],
)
print(result.save(output, overwrite=True), result.stopped)

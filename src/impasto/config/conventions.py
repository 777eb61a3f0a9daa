"""Conventions for the weights of losses: means, the sums of Gatys et al., or another program's formula.

In each convention `content_weight`, `style_weight`, the layers' weights and `total_variation` are the numbers
of that program. All conventions have the same three terms, times a factor that may depend on the size at a
scale. Arithmetic only; no torch here.

F and P are the features of canvas and photo in a layer of C channels and M positions; G = F F^T and A the
Gram matrices of canvas and painting; S = sum (G - A)^2; the canvas has `pixels` = width x height; s, T and N
are explained at `style_factor`.

| convention | content: mean (F-P)^2 times | style: S/(C^4 M^2) times | formula of the program |
| --- | --- | --- | --- |
| mean | 1 | 1 | |
| paper | C M / 2 | C^2 / 4 | 1/2 sum (F-P)^2; S/(4 C^2 M^2) |
| gatys2016 | C / 2 | C^2 / 4 | 1/(2 M) sum (F-P)^2; S/(4 C^2 M^2) |
| jcjohnson | 1 | 1 | MSE; MSE of G/(C M) |
| gatys | 1 | 1 | MSE; w/C^2 MSE of G/M, the style weight being w = 1e3 |
| keras | C M | C^4 M^2 / (36 pixels^2) | sum (F-P)^2; S/(4 3^2 pixels^2) |
| pastiche | 0.01 | 10 | 0.01 MSE; 10/C^2 MSE of G/M |
| crowsonkb | 1/s^2 | C^3 T / (4 s^2 N) | MSE; Wasserstein-2, which has no such form: see `style_factor` |

Source of `paper`: Gatys, Ecker and Bethge 2016, equations 1 and 3 to 5. Departure in `gatys2016`: the content
loss is divided by the number of positions, as the style loss is by its square. So both are means over the
picture, and the paper's ratios alpha / beta give pictures like its own; with the sum, 1e-3 leaves the photo.
`mean`, the default, does not depend on the size of the pictures.

S compares equally large pictures. Where they differ, G/M and A/M_a are compared, each over its own number of
positions, as jcjohnson, gatys, pastiche and crowsonkb do. Departure for `keras`: the program stretches the
painting to the photo's size, so that this does not occur; impasto does not stretch.
"""

from typing import Literal

Convention = Literal["mean", "paper", "gatys2016", "jcjohnson", "gatys", "keras", "pastiche", "crowsonkb"]

# Differences dx, dy of neighbors, per channel. "corner" forms are over the positions that have both a right
# and a lower neighbor, the picture's last row and column being left out.
Variation = Literal[
    "mean_squares", "corner_squares", "corner_power", "mean_absolute", "mean_length", "mean_steps"
]

# crowsonkb's network takes pixels in [0, 1] over a standard deviation of 0.229, 0.224, 0.225; ours in
# [0, 255]. Its features are smaller by about this factor. Its weights are from another training, so there is
# no exact factor.
CROWSONKB_SCALE = 255 * (0.229 + 0.224 + 0.225) / 3
KERAS_CHANNELS = 3  # in the style's constant, whatever the layer


def content_factor(convention: Convention, channels: int, positions: int) -> float:
    """Return the factor of mean (F - P)^2 in the content loss, for C `channels` and M `positions`.

    Source: the table above, from the source code of the programs.
    """
    if convention == "paper":
        return channels * positions / 2
    if convention == "gatys2016":
        return channels / 2
    if convention == "keras":
        return float(channels * positions)
    if convention == "pastiche":
        return 0.01  # its default weight of a content layer
    if convention == "crowsonkb":
        return 1 / CROWSONKB_SCALE**2
    return 1.0


def style_factor(
    convention: Convention, channels: int, positions: int, pixels: int, trace: float, norm: float
) -> float:
    """Return the factor of mean (G/(C M) - A/(C M_a))^2 in the style loss.

    C are the `channels`, M the `positions` and `pixels` the pixels of the whole canvas. Only `crowsonkb`
    needs T = tr B, the `trace`, and N = ||B||^2, the `norm`, of the painting (of the weighted mean of
    several).

    Departure for `crowsonkb`: the program's statistic is the squared Wasserstein-2 distance of two normal
    distributions over C, quadratic in the features where the Gram loss is quartic. The factor makes the Gram
    loss agree with it, to second order, for a canvas whose Gram matrix is a multiple of the painting's: for
    G/M = (1 + e) B with B = A/M_a the distance is tr B ((1+e)^(1/2) - 1)^2 / C = e^2 tr B / (4 C), and
    ||G/M - B||^2 = e^2 ||B||^2. Means and covariances count together, as B's second moments. s is
    `CROWSONKB_SCALE`.

    Source: the table above.
    """
    if convention in ("paper", "gatys2016"):
        return channels**2 / 4
    if convention == "keras":
        return channels**4 * positions**2 / (4 * KERAS_CHANNELS**2 * pixels**2)
    if convention == "pastiche":
        return 10.0  # over C^2: its default weight of a style layer
    if convention == "crowsonkb":
        if norm == 0:  # all features of the painting are 0 here
            return 0.0
        return channels**3 * trace / (4 * CROWSONKB_SCALE**2 * norm)
    return 1.0


def variation_form(
    convention: Convention, form: Literal["squares", "isotropic", "anisotropic"] = "squares"
) -> tuple[Variation, float]:
    """Return the form of total variation and its factor for pixels in [0, 1].

    | convention | form | with pixels up to |
    | --- | --- | --- |
    | mean, paper, gatys2016, gatys | mean (dx^2 + dy^2); Gatys et al. 2016 and the notebook have none | 1 |
    | jcjohnson | 1/2 sum (dx^2 + dy^2), the last row and column left out | 256 |
    | keras | sum (dx^2 + dy^2)^1.25, the last row and column left out | 255 |
    | pastiche | 1/2 (mean abs dx + mean abs dy) | 255 |
    | crowsonkb | mean (dx^2 + dy^2) | 1 |

    jcjohnson's program computes only the gradient of this form, and leaves its value out of the loss; impasto
    includes it. Departure for `crowsonkb`: its mean over nine points is the same for a smooth gradient, and
    differs for grain.

    `isotropic` and `anisotropic` are the same in every convention: mean (dx^2 + dy^2)^(1/2), after
    Rudin, Osher and Fatemi 1992, and its variant mean (abs dx + abs dy), which keep edges; `squares` is the
    convention's.
    """
    if form != "squares":
        return ("mean_length" if form == "isotropic" else "mean_steps"), 1.0
    if convention == "jcjohnson":
        return "corner_squares", 256.0**2 / 2
    if convention == "keras":
        return "corner_power", 255.0**2.5
    if convention == "pastiche":
        return "mean_absolute", 255.0 / 2
    return "mean_squares", 1.0

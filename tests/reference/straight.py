"""The losses of both conventions, in straight lines, independent of impasto.

`losses(weights, canvas, content, styles, shares, ...)` returns content, style and total of one canvas.
Pictures are (1, 3, H, W), RGB, in [0, 1]; weights `conv1_1.weight`, ... for BGR in [0, 255] - mean.
Layers are those after the ReLU, by number: {"4_2": 1.0}. Zero padding, max pooling.

paper (Gatys, Ecker and Bethge 2016): 1/2 sum (F - P)^2; 1/(4 N^2) sum (G/M_x - A/M_a)^2.
mean: mean (F - P)^2; mean (G/(N M) - A/(N M_a))^2. Several styles: the weighted mean of their losses.
"""

from torch.nn import functional

COUNTS = (2, 2, 4, 4, 4)
MEAN_BGR = (103.939, 116.779, 123.68)


def features(weights, image, windows="drop"):
    red, green, blue = image[:, 0:1] * 255, image[:, 1:2] * 255, image[:, 2:3] * 255
    found = {}
    hidden = functional.pad(blue - MEAN_BGR[0], (0, 0, 0, 0, 0, 2))  # three channels, the first set
    hidden = hidden + functional.pad(green - MEAN_BGR[1], (0, 0, 0, 0, 1, 1))
    hidden = hidden + functional.pad(red - MEAN_BGR[2], (0, 0, 0, 0, 2, 0))
    for block in range(5):
        for index in range(COUNTS[block]):
            name = f"{block + 1}_{index + 1}"
            kernel, bias = weights[f"conv{name}.weight"], weights[f"conv{name}.bias"]
            hidden = functional.conv2d(hidden, kernel, bias, padding=1)
            hidden = hidden * (hidden > 0)
            found[name] = hidden
        step = 2 ** (block + 1)
        least = {"half": step // 2, "count": 1, "drop": step}[windows]  # pixels of a window that counts
        high, wide = (2 * ((length + step - least) // step) for length in image.shape[2:])
        hidden = functional.pad(hidden, (0, 1, 0, 1))  # fewer values count; none is below 0
        rows = hidden[:, :, 0:high:2].maximum(hidden[:, :, 1:high:2])
        hidden = rows[:, :, :, 0:wide:2].maximum(rows[:, :, :, 1:wide:2])
    return found


def gram(found):
    flat = found.reshape(found.shape[1], -1)
    return flat.mm(flat.t()) / flat.shape[1]  # G / M


def losses(weights, canvas, content, styles, shares, setting):
    """`setting`: convention, alpha, beta, content_layers and style_layers (numbers -> weights); and
    `partial_windows`, which windows of the pooling that reach over the border count."""
    paper = setting["convention"] == "paper"
    windows = setting["partial_windows"]
    got, photo = features(weights, canvas, windows), features(weights, content, windows)
    content_loss = 0.0
    for layer, weight in setting["content_layers"].items():
        square = (got[layer] - photo[layer]) ** 2
        content_loss = content_loss + weight * (square.sum() / 2 if paper else square.mean())
    style_loss = 0.0
    for style, share in zip(styles, shares, strict=True):
        painting = features(weights, style, windows)
        for layer, weight in setting["style_layers"].items():
            channels = got[layer].shape[1]
            square = (gram(got[layer]) - gram(painting[layer])) ** 2
            if paper:
                value = square.sum() / (4 * channels**2)
            else:
                value = (square / channels**2).mean()
            style_loss = style_loss + share * weight * value
    total = setting["alpha"] * content_loss + setting["beta"] * style_loss
    return {"content": content_loss, "style": style_loss, "total": total}


PAPER = {
    "convention": "paper",
    "partial_windows": "drop",
    "alpha": 0.025,
    "beta": 5.0,
    "content_layers": {"4_2": 1.0},
    "style_layers": {"1_1": 0.2, "2_1": 0.2, "3_1": 0.2, "4_1": 0.2, "5_1": 0.2},
}
MEAN = {
    "convention": "mean",
    "partial_windows": "half",
    "alpha": 1.0,
    "beta": 1000.0,
    "content_layers": {"4_2": 1.0},
    "style_layers": {"1_1": 1.0, "2_1": 1.0, "3_1": 1.0, "4_1": 1.0, "5_1": 1.0},
}

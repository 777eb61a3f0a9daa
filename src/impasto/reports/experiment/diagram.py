"""The method as a drawing: photo, painting and canvas through VGG-19 into the losses, and the solver's step.

Drawn from the settings, so that the layers and weights are those of the run.
"""

import html

from impasto.config.settings import Settings

WIDTH, HEIGHT = 1070, 470  # of the drawing, in its own units
BLOCKS = 5
MIDDLE = 235  # height of the canvas, the network and the total
INK, CONTENT, STYLE, CANVAS = "#222222", "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito


def schematic(settings: Settings) -> str:
    """Return the drawing as SVG, with a title and a description for who cannot see it."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="method-title method-text" font-family="sans-serif" font-size="14" fill="{INK}">',
        '<title id="method-title">How a photo is painted in the style of a painting</title>',
        f'<desc id="method-text">{html.escape(described(settings))}</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
        _arrowheads(),
        *_network(settings),
        *_inputs(),
        *_losses(settings),
        *_step(settings),
        "</svg>",
    ]
    return "\n".join(parts)


def described(settings: Settings) -> str:
    """Return the drawing in words."""
    content = ", ".join(name for name, weight in settings.content_layers.items() if weight)
    style = ", ".join(name for name, weight in settings.style_layers.items() if weight)
    return (
        "The photo p, the painting a and the canvas x go through the same network, VGG-19. The content loss "
        f"compares the features of x and p in {content}; the style loss compares the Gram matrices of x and "
        f"a in {style}. The total is {settings.content_weight:g} times the content loss plus "
        f"{settings.style_weight:g} times the style loss; its gradient by the pixels of x goes to "
        f"{solver_name(settings)}, which moves x."
    )


def solver_name(settings: Settings) -> str:
    """Return what the solver is called in text."""
    names = {"scipy": "SciPy's L-BFGS-B", "lbfgs": "L-BFGS", "adam": "Adam"}
    return names[settings.solver]


def _arrowheads() -> str:
    heads = "".join(
        f'<marker id="head-{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
        for color in (INK, CONTENT, STYLE, CANVAS)
    )
    return f"<defs>{heads}</defs>"


def _box(x: float, y: float, w: float, h: float, text: str, color: str, *, below: str = "") -> str:
    middle = y + h / 2 + (5 if not below else -3)
    words = f'<text x="{x + w / 2}" y="{middle}" text-anchor="middle">{html.escape(text)}</text>'
    if below:
        words += (
            f'<text x="{x + w / 2}" y="{middle + 17}" text-anchor="middle" font-size="12">'
            f"{html.escape(below)}</text>"
        )
    frame = f'fill="#ffffff" stroke="{color}" stroke-width="2"'
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" {frame}/>{words}'


def _arrow(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="2" '
        f'marker-end="url(#head-{color[1:]})"/>'
    )


def block_x(block: int) -> float:
    """Return the middle of a block of the network, from 1."""
    return 240 + (block - 1) * 112


def _tall(block: int) -> float:
    """Return the height of a block's box: fewer positions, deeper in."""
    return 132 - 14 * block


def _network(settings: Settings) -> list[str]:
    drawn = []
    for block in range(1, BLOCKS + 1):
        x, tall = block_x(block) - 43, _tall(block)
        count = 2 if block < 3 else 4
        drawn.append(
            _box(x, MIDDLE - tall / 2, 86, tall, f"block {block}", INK, below=f"{count} conv")
        )
        if block > 1:
            drawn.append(_arrow(block_x(block - 1) + 43, MIDDLE, x - 1, MIDDLE, INK))
    drawn.append(
        f'<text x="{block_x(1) - 43}" y="158" font-size="13">VGG-19 for all three, {settings.pooling} '
        "pooling between blocks</text>"
    )
    return drawn


def _inputs() -> list[str]:
    drawn = []
    for y, name, what, color in (
        (80, "p", "photo", CONTENT),
        (205, "x", "canvas", CANVAS),
        (330, "a", "painting", STYLE),
    ):
        drawn.append(_box(30, y, 110, 60, name, color, below=what))
        end = MIDDLE + (y - 205) / 4
        drawn.append(_arrow(140, y + 30, block_x(1) - 45, end, color))
    return drawn


def _losses(settings: Settings) -> list[str]:
    """Draw the losses above (content) and below (style) the network, with arrows from their layers."""
    drawn = []
    right = block_x(BLOCKS) + 43
    for top, layers, text, formula, color in (
        (True, settings.content_layers, "content loss Lc", "1/2 sum (F - P)^2", CONTENT),
        (False, settings.style_layers, "style loss Ls", "sum w E, with E ~ sum (G - A)^2", STYLE),
    ):
        y = 50.0 if top else 364.0
        left = block_x(1) - 43
        drawn.append(_box(left, y, right - left, 56, text, color, below=formula))
        for name in (name for name, weight in layers.items() if weight):
            block = int(name[4])
            x = block_x(block) + (18 if top else -18)
            start = MIDDLE + _tall(block) / 2 * (-1 if top else 1)
            end = y + 58 if top else y - 2
            drawn.append(_arrow(x, start, x, end, color))
            drawn.append(
                f'<text x="{x + 7}" y="{end + 22 if top else end - 14}" font-size="12" fill="{color}">'
                f"{html.escape(name)}</text>"
            )
    return drawn


def _step(settings: Settings) -> list[str]:
    """Draw the total and the solver, whose step goes back to the canvas."""
    right, x, far = block_x(BLOCKS) + 43, 775, 925
    total = f"{settings.content_weight:g} Lc + {settings.style_weight:g} Ls"
    name = solver_name(settings).split("'s ")[-1]
    return [
        _box(x, 205, 120, 60, "total", INK, below=total),
        _box(far, 205, 120, 60, name, CANVAS, below="moves x"),
        _path(f"M{right} 78 H{x + 60} V203", CONTENT),
        _path(f"M{right} 392 H{x + 60} V267", STYLE),
        _arrow(x + 120, MIDDLE, far - 2, MIDDLE, INK),
        _path(f"M{far + 60} 265 V446 H14 V{MIDDLE} H28", CANVAS),
        f'<text x="480" y="440" font-size="12" fill="{CANVAS}">new pixels, again and again</text>',
    ]


def _path(line: str, color: str) -> str:
    return (
        f'<path d="{line}" fill="none" stroke="{color}" stroke-width="2" '
        f'marker-end="url(#head-{color[1:]})"/>'
    )

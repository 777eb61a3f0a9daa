"""The method as a drawing. Drawn from the settings, so that the layers and weights are those of the run."""

from impasto.config.settings import Settings
from impasto.reports.html import TEMPLATES

_SOLVERS = {"scipy": "L-BFGS-B", "lbfgs": "L-BFGS", "adam": "Adam"}


def schematic(settings: Settings) -> str:
    """Return the drawing as SVG, with a title and a description for who cannot see it."""
    return TEMPLATES.get_template("experiment/diagram.svg").render(
        settings=settings, text=described(settings), solver=_SOLVERS[settings.solver]
    )


def described(settings: Settings) -> str:
    """Return the drawing in words."""
    content = ", ".join(name for name, weight in settings.content_layers.items() if weight)
    style = ", ".join(name for name, weight in settings.style_layers.items() if weight)
    solver = ("SciPy's " if settings.solver == "scipy" else "") + _SOLVERS[settings.solver]
    return (
        "The photo p, the painting a and the canvas x go through the same network, VGG-19. The content loss "
        f"compares the features of x and p in {content}; the style loss compares the Gram matrices of x and "
        f"a in {style}. The total is {settings.content_weight:g} times the content loss plus "
        f"{settings.style_weight:g} times the style loss; its gradient by the pixels of x goes to {solver}, "
        "which moves x."
    )

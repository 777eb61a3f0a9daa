"""The method as a drawing. Drawn from the settings, so that the layers and weights are those of the run."""

from impasto.config.settings import Settings
from impasto.reports.experiment.papers import SOLVERS, layer_names
from impasto.reports.html import TEMPLATES


def schematic(settings: Settings) -> str:
    """Return the drawing as SVG, with a title and a description for who cannot see it."""
    solver = SOLVERS[settings.solver].split()[-1]
    return TEMPLATES.get_template("experiment/diagram.svg").render(
        settings=settings, text=described(settings), solver=solver
    )


def described(settings: Settings) -> str:
    """Return the drawing in words."""
    content, style = layer_names(settings.content_layers), layer_names(settings.style_layers)
    return (
        "The photo p, the painting a and the canvas x go through the same network, VGG-19. The content loss "
        f"compares the features of x and p in {content}; the style loss compares the Gram matrices of x and "
        f"a in {style}. The total is {settings.content_weight:g} times the content loss plus "
        f"{settings.style_weight:g} times the style loss; its gradient by the pixels of x goes to "
        f"{SOLVERS[settings.solver]}, which changes x."
    )

"""impasto: neural style transfer with VGG-19, Gram matrices and L-BFGS.

    import impasto
    impasto.stylize("cat.jpg", "starry.jpg").save("out.png")

Names are resolved when first used (PEP 562), so that `import impasto` and `impasto --help` stay quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from impasto._version import __version__

if TYPE_CHECKING:
    from impasto.contact import contact_sheet
    from impasto.errors import (
        ExitCode,
        ImpastoError,
        InputError,
        NumericalError,
        OutputError,
        PictureError,
        ResourceError,
        SettingsError,
        Stop,
        WeightsError,
    )
    from impasto.evaluation import Evaluation, Evaluator, Solution
    from impasto.grids import Cell, Grid, grid
    from impasto.history import Step
    from impasto.limits import Input
    from impasto.losses import (
        ContentLoss,
        GramLoss,
        Penalty,
        gram_matrix,
    )
    from impasto.output import Output
    from impasto.picture import Picture
    from impasto.recipe import Recipe
    from impasto.reproduction import reproduce
    from impasto.result import Result
    from impasto.resumption import resume
    from impasto.runtime import Runtime
    from impasto.settings import Settings
    from impasto.solvers import minimize
    from impasto.sources import read_recipe
    from impasto.style import Mask, Style
    from impasto.transfer import stylize
    from impasto.variation import TotalVariation, total_variation
    from impasto.vgg import VGG19
    from impasto.weights import Weights, import_weights, load_weights

_HOMES = {
    "Cell": "grids",
    "ContentLoss": "losses",
    "Evaluation": "evaluation",
    "Evaluator": "evaluation",
    "ExitCode": "errors",
    "GramLoss": "losses",
    "Grid": "grids",
    "ImpastoError": "errors",
    "Input": "limits",
    "InputError": "errors",
    "Mask": "style",
    "NumericalError": "errors",
    "Output": "output",
    "OutputError": "errors",
    "Penalty": "losses",
    "Picture": "picture",
    "PictureError": "errors",
    "Recipe": "recipe",
    "ResourceError": "errors",
    "Result": "result",
    "Runtime": "runtime",
    "Settings": "settings",
    "SettingsError": "errors",
    "Solution": "evaluation",
    "Step": "history",
    "Stop": "errors",
    "Style": "style",
    "TotalVariation": "variation",
    "VGG19": "vgg",
    "Weights": "weights",
    "WeightsError": "errors",
    "contact_sheet": "contact",
    "gram_matrix": "losses",
    "grid": "grids",
    "import_weights": "weights",
    "load_weights": "weights",
    "minimize": "solvers",
    "read_recipe": "sources",
    "reproduce": "reproduction",
    "resume": "resumption",
    "stylize": "transfer",
    "total_variation": "variation",
}

__all__ = [
    "VGG19",
    "Cell",
    "ContentLoss",
    "Evaluation",
    "Evaluator",
    "ExitCode",
    "GramLoss",
    "Grid",
    "ImpastoError",
    "Input",
    "InputError",
    "Mask",
    "NumericalError",
    "Output",
    "OutputError",
    "Penalty",
    "Picture",
    "PictureError",
    "Recipe",
    "ResourceError",
    "Result",
    "Runtime",
    "Settings",
    "SettingsError",
    "Solution",
    "Step",
    "Stop",
    "Style",
    "TotalVariation",
    "Weights",
    "WeightsError",
    "__version__",
    "contact_sheet",
    "gram_matrix",
    "grid",
    "import_weights",
    "load_weights",
    "minimize",
    "read_recipe",
    "reproduce",
    "resume",
    "stylize",
    "total_variation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute '{name}'")
    return getattr(importlib.import_module(f"impasto.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

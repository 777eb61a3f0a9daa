"""impasto: neural style transfer with VGG-19, Gram matrices and L-BFGS.

    import impasto
    impasto.stylize("cat.jpg", "starry.jpg").save("out.png")

Names are resolved when first used (PEP 562), so that `import impasto` and `impasto --help` stay quick.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from impasto._version import __version__
from impasto.system.process import spinning_limited

if TYPE_CHECKING:
    from impasto.config.limits import Input
    from impasto.config.output import Output
    from impasto.config.recipe import Recipe
    from impasto.config.runtime import Runtime
    from impasto.config.settings import Settings
    from impasto.config.styles import Mask, Style
    from impasto.errors import (
        ExitCode,
        ImpastoError,
        InputError,
        NumericalError,
        OutputError,
        PictureError,
        ResourceError,
        RunInterrupted,
        SettingsError,
        Stop,
        WeightsError,
    )
    from impasto.image.contact_sheet import contact_sheet
    from impasto.image.picture import Picture
    from impasto.image.xmp import read_recipe
    from impasto.losses.content import ContentLoss
    from impasto.losses.gram import GramLoss, gram_matrix
    from impasto.losses.loss import Penalty
    from impasto.losses.smoothness import TotalVariation, total_variation
    from impasto.many.batch import batch
    from impasto.many.report import Batch
    from impasto.network.vgg import VGG19
    from impasto.network.weights.load import Weights, import_weights, load_weights
    from impasto.optim.adam import Adam
    from impasto.optim.evaluation import Evaluation, Evaluator, Solution
    from impasto.optim.lbfgs import LBFGS
    from impasto.optim.minimize import minimize
    from impasto.optim.scipy_lbfgsb import ScipyLBFGSB
    from impasto.reports.notebook import LivePreview
    from impasto.transfer.grids.grid import Cell, Grid, grid
    from impasto.transfer.reproduce import reproduce
    from impasto.transfer.result import Result, Step
    from impasto.transfer.resume import resume
    from impasto.transfer.stylize import Stylizer, stylize
    from impasto.videos.video import Film, FilmSettings, video

if logging.getLogger("pyvips").level == logging.NOTSET:  # it logs hundreds of lines about each picture
    logging.getLogger("pyvips").setLevel(logging.WARNING)

_HOMES = {
    "Adam": "optim.adam",
    "Batch": "many.report",
    "Cell": "transfer.grids.grid",
    "ContentLoss": "losses.content",
    "Evaluation": "optim.evaluation",
    "Evaluator": "optim.evaluation",
    "ExitCode": "errors",
    "Film": "videos.video",
    "FilmSettings": "videos.video",
    "GramLoss": "losses.gram",
    "Grid": "transfer.grids.grid",
    "ImpastoError": "errors",
    "Input": "config.limits",
    "InputError": "errors",
    "LBFGS": "optim.lbfgs",
    "LivePreview": "reports.notebook",
    "Mask": "config.styles",
    "NumericalError": "errors",
    "Output": "config.output",
    "OutputError": "errors",
    "Penalty": "losses.loss",
    "Picture": "image.picture",
    "PictureError": "errors",
    "Recipe": "config.recipe",
    "ResourceError": "errors",
    "Result": "transfer.result",
    "RunInterrupted": "errors",
    "Runtime": "config.runtime",
    "ScipyLBFGSB": "optim.scipy_lbfgsb",
    "Settings": "config.settings",
    "SettingsError": "errors",
    "Solution": "optim.evaluation",
    "Step": "transfer.result",
    "Stop": "errors",
    "Style": "config.styles",
    "Stylizer": "transfer.stylize",
    "TotalVariation": "losses.smoothness",
    "VGG19": "network.vgg",
    "Weights": "network.weights.load",
    "WeightsError": "errors",
    "batch": "many.batch",
    "contact_sheet": "image.contact_sheet",
    "gram_matrix": "losses.gram",
    "grid": "transfer.grids.grid",
    "import_weights": "network.weights.load",
    "load_weights": "network.weights.load",
    "minimize": "optim.minimize",
    "read_recipe": "image.xmp",
    "reproduce": "transfer.reproduce",
    "resume": "transfer.resume",
    "stylize": "transfer.stylize",
    "total_variation": "losses.smoothness",
    "video": "videos.video",
}

__all__ = [
    "LBFGS",
    "VGG19",
    "Adam",
    "Batch",
    "Cell",
    "ContentLoss",
    "Evaluation",
    "Evaluator",
    "ExitCode",
    "Film",
    "FilmSettings",
    "GramLoss",
    "Grid",
    "ImpastoError",
    "Input",
    "InputError",
    "LivePreview",
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
    "RunInterrupted",
    "Runtime",
    "ScipyLBFGSB",
    "Settings",
    "SettingsError",
    "Solution",
    "Step",
    "Stop",
    "Style",
    "Stylizer",
    "TotalVariation",
    "Weights",
    "WeightsError",
    "__version__",
    "batch",
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
    "video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute '{name}'")
    with spinning_limited():
        return getattr(importlib.import_module(f"impasto.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""`resume`: continue a run that was interrupted or killed, from its checkpoint, to the same pixels.

    result = impasto.resume()                     # the last one that was not finished
    result = impasto.resume("night.checkpoint")   # the file that stylize(checkpoint=...) wrote

Its inputs and weights are found by their hashes, as for `reproduce`.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import InputError
from impasto.inputs.open import open_inputs
from impasto.losses.loss import Loss
from impasto.network.weights.load import WeightsLike
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.callbacks import checkpoint_folder
from impasto.transfer.callbacks.checkpoint_file import CheckpointHeader, read
from impasto.transfer.callbacks.checkpoints import Checkpoints
from impasto.transfer.reproduce import FoundInputs, differences, find_weights, locate, on_this_machine
from impasto.transfer.result import Result, Step
from impasto.transfer.run import Run
from impasto.transfer.run_state import RunState
from impasto.transfer.runtime import resolve
from impasto.transfer.stylize import complete

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """A run that can be resumed: what its checkpoint says, where it stands, and its next checkpoints."""

    header: CheckpointHeader
    state: RunState
    checkpoints: Checkpoints

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run so far."""
        return self.header.recipe

    @property
    def evaluations(self) -> int:
        """Evaluations done so far."""
        return len(self.state.history)

    def inputs(
        self, folders: Sequence[str | os.PathLike[str]] = (), limits: Input | None = None
    ) -> FoundInputs:
        """Open the inputs: in `folders`, in those where they lay, then in the current one.

        Raises:
            InputError: One is not found, or is another picture now.
        """
        known = [Path(name) for name in self.header.folders]
        there = [path for path in known if path.is_dir()]
        return locate(self.recipe, [*map(Path, folders), *there, Path()], limits)

    def complete(
        self,
        found: FoundInputs,
        *,
        weights: WeightsLike | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_part: Callable[[], None] | None = None,
        extra_losses: Sequence[Loss] = (),
    ) -> Result:
        """Compute the rest; see `resume`."""
        names = tuple(loss.name for loss in extra_losses)
        if names != self.header.losses:
            own = ", ".join(self.header.losses) or "none"
            raise InputError(
                f"this run has losses of the caller's own: {own}; give these, extra_losses=[...], to "
                "impasto.resume"
            )
        recipe = on_this_machine(self.recipe)
        for line in differences(recipe):
            log.warning("not as when the run began: %s", line)
        settings, runtime = recipe.settings, resolve(recipe.runtime, recipe.settings)
        inputs = open_inputs(found.content, found.styles, settings, found.init_picture, found.protect)
        run = Run(
            inputs, settings, runtime, find_weights(recipe, weights), extra_losses,
            state=self.state, on_part=on_part,
        )  # fmt: skip
        return complete(run, self.checkpoints, on_step)


def unfinished(path: str | os.PathLike[str] | None = None) -> Unfinished:
    """Read a checkpoint, or the last one of a run that was not finished.

    Raises:
        InputError: There is none, it cannot be read, is of another version, or its run is at work.
    """
    place = checkpoint_folder.last() if path is None else Path(path)
    checkpoint = read(place)
    header = checkpoint.header
    checkpoints = Checkpoints(place, folders=header.folders, note=header.note, resumed=True)
    return Unfinished(header, checkpoint.state(), checkpoints)


@torch_defaults()
def resume(
    path: str | os.PathLike[str] | None = None,
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    weights: WeightsLike | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_part: Callable[[], None] | None = None,
    extra_losses: Sequence[Loss] = (),
) -> Result:
    """Resume a run that was interrupted or killed.

    With the same runtime and versions the pixels are the same as if it had never been interrupted. Under a
    time budget it continues for the time that was left, and then no two runs are the same.

    Args:
        path: The file that `stylize(checkpoint=...)` wrote; None for the last run that was not finished.
        folders: Where to look for the inputs first; then where they lay, then in the current folder.
        weights: The weights, if they are not found by the recipe's name for them.
        on_step: Called after every evaluation, as by `stylize`.
        on_part: Called after every part of a picture in tiles, as by `stylize`.
        extra_losses: The losses of the caller's own that the run had.

    Raises:
        InputError: There is no checkpoint, it cannot be read, is of another version, or an input is not
            found or is another picture now.
        WeightsError: The weights are not here.
    """
    found = unfinished(path)
    with found.checkpoints:
        return found.complete(
            found.inputs(folders),
            weights=weights,
            on_step=on_step,
            on_part=on_part,
            extra_losses=extra_losses,
        )

"""Go on with a run that was interrupted or killed, from its checkpoint: the pixels are the same bytes.

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
from impasto.transfer import runtime
from impasto.transfer.callbacks import checkpoint_folder as keepers
from impasto.transfer.callbacks.checkpoint_file import Checkpoint, load
from impasto.transfer.callbacks.checkpoints import Checkpoints
from impasto.transfer.reproduce import FoundInputs, definite, differences, find_weights, locate
from impasto.transfer.result import Result, Step
from impasto.transfer.stylize import run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """A run that can be gone on with: its checkpoint, and the keeper of the next ones."""

    checkpoint: Checkpoint
    keeper: Checkpoints

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run so far."""
        return self.checkpoint.head.recipe

    def inputs(
        self, folders: Sequence[str | os.PathLike[str]] = (), limits: Input | None = None
    ) -> FoundInputs:
        """Open the inputs: in the folders given, in those where they lay, then in the current one.

        Args:
            folders: Where to look first.
            limits: Which files are read; those of the environment if None.

        Raises:
            InputError: One is not found, or is another picture now.
        """
        known = [Path(name) for name in self.checkpoint.head.folders]
        there = [path for path in known if path.is_dir()]
        return locate(self.recipe, [*map(Path, folders), *there, Path()], limits)

    def go_on(
        self,
        found: FoundInputs,
        *,
        weights: WeightsLike | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_part: Callable[[], None] | None = None,
        extra_losses: Sequence[Loss] = (),
    ) -> Result:
        """Compute the rest; see `resume`."""
        head = self.checkpoint.head
        names = tuple(loss.name for loss in extra_losses)
        if names != head.losses:
            wanted = ", ".join(head.losses) or "none"
            raise InputError(
                f"this run has losses of the caller's own: {wanted}; give these, extra_losses=[...], to "
                "impasto.resume"
            )
        recipe = definite(self.recipe)
        for line in differences(recipe):
            log.warning("not as when the run began: %s", line)
        given = found.content, list(found.painted), recipe.settings
        inputs = open_inputs(*given, found.init_picture, found.protect)
        return run(
            inputs,
            recipe.settings,
            runtime.resolve(recipe.runtime, recipe.settings),
            find_weights(recipe, weights),
            on_step,
            extra_losses,
            head.passes,
            keeper=self.keeper,
            since=self.checkpoint,
            on_part=on_part,
        )


def unfinished(path: str | os.PathLike[str] | None = None) -> Unfinished:
    """Read a checkpoint, or the last one of a run that was not finished.

    Raises:
        InputError: There is none, it cannot be read, is of another version, or its run is at work.
    """
    place = keepers.last() if path is None else Path(path)
    checkpoint = load(place)
    head = checkpoint.head
    keeper = Checkpoints(place, folders=head.folders, note=head.note, resumed=True)
    return Unfinished(checkpoint, keeper)


def resume(
    path: str | os.PathLike[str] | None = None,
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    weights: WeightsLike | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_part: Callable[[], None] | None = None,
    extra_losses: Sequence[Loss] = (),
) -> Result:
    """Go on with a run that was interrupted or killed.

    With the same runtime and versions the pixels are the same as if it had never been interrupted. Under a
    time budget it goes on for the time that was left, and then no two runs are the same.

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
    with found.keeper:
        return found.go_on(
            found.inputs(folders),
            weights=weights,
            on_step=on_step,
            on_part=on_part,
            extra_losses=extra_losses,
        )

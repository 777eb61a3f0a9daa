"""What stays the photo (`--protect`): the canvas there is the photo whenever anybody looks at it.

The solver moves a canvas c; the network sees x = c + k (photo - c), k being 1 where the photo stays, and so
does the file. The gradient for c is (1 - k) times that for x: what cannot be seen does not move.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.evaluation import Blame, Evaluate, Evaluation
from impasto.inputs import Targets


@dataclass(frozen=True, eq=False)
class Protection:
    """The photo (1, 3, H, W) of a scale, and how much of each pixel stays it, (1, 1, H, W)."""

    photo: Tensor
    kept: Tensor

    def shown(self, canvas: Tensor) -> Tensor:
        """Return the canvas as it is seen: the photo where it is kept."""
        return torch.lerp(canvas, self.photo, self.kept)

    def over(self, evaluate: Evaluate) -> Callable[[Tensor], Evaluation]:
        """Return what evaluates a canvas as it is seen."""

        def seen(canvas: Tensor) -> Evaluation:
            found = evaluate(self.shown(canvas))
            found.gradient.sub_(found.gradient * self.kept)
            return found

        return seen

    def blaming(self, blame: Blame) -> Blame:
        """Return what says of a canvas as it is seen what is not finite."""
        return lambda canvas, evaluation: blame(self.shown(canvas), evaluation)


def protection_of(targets: Targets) -> Protection | None:
    """Return what is protected at a scale, if anything is."""
    return None if targets.kept is None else Protection(targets.content, targets.kept)

"""The photo in the paintings' colors: where a run with `init="matched"` begins, and its detail comes from.

Each region of the photo is moved to the mean and covariance of the colors of its paintings, by the linear map
that moves colors least (`color_matching.linear`). The map is the same at every scale. Several paintings of a
region are taken together, each by its share. What no mask covers keeps its colors.

A draft ends long before its colors are the paintings': it begins with their histogram
(`color_matching.histogram`), so that the darkest, lightest and rarest ones are there at once, and it keeps a
share of the photo's local contrast: where a painting is mostly one color, much of the photo would get it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from impasto.image.pixels import fit
from impasto.inputs import masks
from impasto.inputs.color_matching import Mixture, Move, Palette, histogram, linear, recolor
from impasto.inputs.enlarge import box_mean
from impasto.inputs.pictures import Inputs

FEW = 1 << 13  # colors that a draft's map is fitted to, at most
SMALL = 256  # px; the long edge at which a draft's colors are measured, at most
CONTRAST = 0.55  # the share of the photo's local contrast that a draft begins with
NEAR = 1 / 16  # of the long edge: as far as a local mean reaches


@dataclass(frozen=True)
class StartColors:
    """Moves the photo of a run to its paintings' colors; `amount` is the share of the change, 0 to 1.

    A draft gets the paintings' histogram, too, and keeps a share of the photo's local contrast.
    """

    inputs: Inputs
    amount: float = 1.0
    draft: bool = False

    def apply(self, photo: Tensor) -> Tensor:
        """Return the photo at some scale, (1, 3, H, W) in [0, 1], in the paintings' colors.

        At a position it is the photo + sum_r f_r (photo moved by region r - photo), where
        f_r = t_r w_r / sum (t w) times min(1, sum t), as the style of the regions is shared out; t are their
        masks, w the shares of their paintings.
        """
        height, width = photo.shape[-2:]
        alpha = self.inputs.content.alpha(width, height)
        page = photo.cpu()
        moved = [recolor(page.clone(), move, self.amount, alpha) for move in self._moves]
        if self.draft:
            moved = [with_contrast(one, page, alpha) for one in moved]
        if self._masks == [None]:
            return moved[0].to(photo.device)
        guides = _guides(self._masks, width, height)
        pairs = zip(guides, self._shares, strict=True)
        weighted = torch.stack([guide * share for guide, share in pairs]).sum(0)
        covered = torch.stack(guides).sum(0).clamp(max=1.0)
        amount = torch.where(weighted > 0, covered / weighted, torch.zeros_like(covered))
        result = page.clone()
        for one, guide, share in zip(moved, guides, self._shares, strict=True):
            result += guide * share * amount * (one - page)
        return result.clamp_(0.0, 1.0).to(photo.device)

    @cached_property
    def _members(self) -> dict[object, list[int]]:
        """The numbers of the paintings of each region; those with a share only."""
        members: dict[object, list[int]] = {}
        for number, share in enumerate(self.inputs.shares):
            if share > 0:
                mask = self.inputs.uses[number].mask if self.inputs.uses else None
                members.setdefault(masks.key(mask), []).append(number)
        return members

    @cached_property
    def _masks(self) -> list[masks.OpenedMask]:
        uses = self.inputs.uses
        return [uses[numbers[0]].mask if uses else None for numbers in self._members.values()]

    @cached_property
    def _shares(self) -> list[float]:
        return [sum(self.inputs.shares[n] for n in numbers) for numbers in self._members.values()]

    @cached_property
    def _moves(self) -> list[Move]:
        """The map of each region."""
        inputs, photo = self.inputs, self.inputs.content
        width, height = fit(photo.width, photo.height, self._edge)
        image, alpha = photo.tensor(width, height), photo.alpha(width, height)
        free = None if inputs.protect is None else 1 - inputs.kept(width, height)
        guides = masks.of_all(self._masks, width, height)
        moves = []
        for numbers, guide in zip(self._members.values(), guides, strict=True):
            counted = [one for one in (guide, free) if one is not None]
            seen = torch.stack(counted).prod(0) if counted else None
            moves.append(self._move(Palette.of(image, alpha, seen), numbers))
        return moves

    def _move(self, photo: Palette, numbers: Sequence[int]) -> Move:
        """Return the map from the photo's colors to those of the paintings with these numbers."""
        shares = [self.inputs.shares[number] for number in numbers]
        paintings = (self.inputs.palette(number, self._edge) for number in numbers)  # one is held at a time
        if not self.draft:
            return linear(photo, Mixture.of(paintings, shares))
        return histogram(photo.thinned(FEW), Palette.joined(paintings, shares, FEW))

    @property
    def _edge(self) -> int:
        """The long edge in pixels at which colors are measured."""
        edge = self.inputs.recolor.edge
        return min(edge, SMALL) if self.draft else edge


def with_contrast(moved: Tensor, photo: Tensor, alpha: Tensor | None = None) -> Tensor:
    """Return moved colors, (1, 3, H, W) in [0, 1], with a share of the photo's local contrast.

    Local contrast is brightness, the mean of red, green and blue, less its mean over a square window. Both
    images are over white by an alpha (1, 1, H, W); what is transparent does not count.
    """
    missing, reach = (photo - moved).mean(1), max(1, round(NEAR * max(photo.shape[-2:])))
    mean = box_mean(missing, reach)
    if alpha is not None:
        mean *= alpha[0] / box_mean(alpha[0], reach).clamp(min=1e-6)
    return (moved + CONTRAST * (missing - mean)).clamp_(0.0, 1.0)


def _guides(used: Sequence[masks.OpenedMask], width: int, height: int) -> list[Tensor]:
    """Return masks at a size, (1, 1, height, width); 1 everywhere for None."""
    everywhere = torch.ones((1, 1, height, width))
    return [everywhere if one is None else one for one in masks.of_all(used, width, height)]

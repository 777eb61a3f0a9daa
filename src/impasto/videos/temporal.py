"""The temporal loss: how far a frame is from the frame before it, moved along the flow.

L_temporal = 255^2 / N sum_i c_i (x_i - w_i)^2, with the canvas x and the warped frame w in [0, 1], the trust
c of each pixel, and N values of the picture: a mean square in levels of 8 bits.
Source: Ruder, Dosovitskiy and Brox 2016, "Artistic style transfer for videos", equation 7.
"""

from dataclasses import dataclass

from torch import Tensor

from impasto.losses.content import SquaredDifference
from impasto.losses.loss import Features, Statistics, Windows, crop_whole, window_of
from impasto.network.tiles import IMAGE

LEVELS = 255.0


@dataclass(frozen=True)
class TemporalLoss(SquaredDifference):
    """The loss; `target` is w, (1, 3, H, W), and the `guide` is the trust, (1, 1, H, W)."""

    @classmethod
    def of(cls, weight: float, target: Tensor, trust: Tensor) -> "TemporalLoss":
        """Return the loss with its name."""
        return cls("temporal", weight, IMAGE, target, guide=trust)

    @property
    def layers(self) -> tuple[str, ...]:
        """No layer of the network: the canvas alone."""
        return ()

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum c (x - w)^2,)."""
        part, trust = self.features_and_guide(features, windows)
        apart = (part - crop_whole(self.target, window_of(IMAGE, windows))).square()
        return ((apart if trust is None else apart * trust).sum(),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the mean square in levels of 8 bits, times the factor."""
        return statistics[0] * (LEVELS**2 / self.target.numel() * self.factor)

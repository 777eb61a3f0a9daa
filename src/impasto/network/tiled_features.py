"""Features of whole pictures, computed tile by tile, from which targets are made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.network.backprop import FeatureExtractor
from impasto.network.layers import PartialWindows, positions, stride
from impasto.network.tiles import Window, tiles
from impasto.system import hardware

HALF_MAX = 30_000.0  # features above it are stored in bf16, as float16 ends at 65504


def crop(features: Tensor, window: Window | None) -> Tensor:
    """Return a window of the features of a tile, a view; all of them without a window."""
    return features if window is None else features[..., window.inner[0], window.inner[1]]


@dataclass(frozen=True, eq=False)
class TiledFeatures:
    """Computes features of pictures in tiles of so many pixels (0: whole); `on_part` follows each."""

    network: FeatureExtractor
    tile: int = 0
    on_part: Callable[[], None] | None = None

    @property
    def partial(self) -> PartialWindows:
        """What the network's pooling does with windows that reach over the border."""
        return self.network.network.partial_windows

    def parts(
        self, image: Tensor, layers: Sequence[str], reach: int = 1
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Window]]]:
        """Yield the features of each tile of an image (1, 3, H, W), and their windows, by layer.

        The features are dropped before those of the next tile are computed. `reach` is how many pixels around
        a tile are read at least.
        """
        height, width = image.shape[-2:]
        edge = self.tile or max(height, width)
        for tile in tiles(height, width, edge, layers, reach, self.partial):
            features = self.network.forward(image[..., tile.rows, tile.columns], layers, keep=False).features
            yield features, tile.windows
            features.clear()
            if self.tile:  # sizes differ from tile to tile
                hardware.give_back_freed_memory()
            if self.on_part is not None:
                self.on_part()

    def whole(self, image: Tensor, layers: Sequence[str], *, compact: bool = False) -> dict[str, Tensor]:
        """Return the features of an image (1, 3, H, W) in [0, 1] by layer, (1, C, h, w), channels last.

        `compact` stores them in 16 bits.
        """
        features: dict[str, Tensor] = {}
        for part, windows in self.parts(image, layers):
            for name in layers:
                inner, outer = crop(part[name], windows[name]), windows[name].outer
                if name not in features:
                    kind = inner.dtype
                    if compact and kind != torch.bfloat16:
                        kind = torch.float16 if inner.abs().max() < HALF_MAX else torch.bfloat16
                    shape = [positions(length, stride(name), self.partial) for length in image.shape[-2:]]
                    features[name] = torch.empty(
                        (1, inner.shape[1], *shape),
                        dtype=kind,
                        device=image.device,
                        memory_format=torch.channels_last,
                    )
                features[name][..., outer[0], outer[1]] = inner
        return features

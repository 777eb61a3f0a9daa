"""Feature maps of a photo and Gram matrices of a painting, as arrays for figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.losses.gram import gram_matrix
from impasto.network.vgg import VGG19

Images = list[tuple[str, npt.NDArray[Any]]]
MOST_CHANNELS = 128  # rows of a Gram matrix that are shown


@torch.no_grad()
def feature_maps(network: VGG19, photo: Picture, layers: Sequence[str], edge: int, count: int = 5) -> Images:
    """Return for each layer the channels that vary most inside the photo, strongest first.

    Args:
        network: What sees the photo.
        photo: Of any size.
        layers: Their names.
        edge: Long edge at which the photo is seen, px.
        count: Channels of each layer.

    Returns:
        (name, (H, W)) of each channel.
    """
    width, height = fit(photo.width, photo.height, edge)
    features = network(photo.tensor(width, height), layers)
    images: Images = []
    for layer in layers:
        planes = features[layer][0]
        # Not by the border, where the network sees what lies around the picture.
        rows, columns = (min(2, (length - 1) // 4) for length in planes.shape[1:])
        inner = planes[:, rows : planes.shape[1] - rows, columns : planes.shape[2] - columns]
        spread = inner.flatten(1).std(dim=1)
        for channel in spread.argsort(descending=True)[:count].tolist():
            images.append((f"{layer}, channel {channel}", planes[channel].numpy()))
    return images


@torch.no_grad()
def gram_matrices(network: VGG19, painting: Picture, layers: Sequence[str], edge: int) -> Images:
    """Return the Gram matrix of each layer, G / M, as log10(1 + value), strongest channels first.

    M is the number of positions, as in Gatys, Ecker and Bethge 2015. Each is (name, (C, C)) with at most
    128 channels.
    """
    width, height = fit(painting.width, painting.height, edge)
    features = network(painting.tensor(width, height, kernel="linear"), layers)
    images: Images = []
    for layer in layers:
        gram = gram_matrix(features[layer])[0] / features[layer][0, 0].numel()
        order = gram.diagonal().argsort(descending=True)[:MOST_CHANNELS]
        strongest = gram[order][:, order]
        images.append((f"{layer} ({len(order)} of {len(gram)})", np.log10(1 + strongest.numpy())))
    return images

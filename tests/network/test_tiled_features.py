"""Features of pictures tile by tile: those of one tile are gone before those of the next are made."""

import weakref

from impasto.network.backprop import FeatureExtractor
from impasto.network.tiled_features import TiledFeatures
from impasto.network.vgg import VGG19


def test_one_tile_at_a_time_is_in_memory(narrow, random_image, monkeypatch) -> None:
    alive, made = [], FeatureExtractor.forward

    def forward(self, *arguments, **options):
        assert not any(features() is not None for features in alive)
        result = made(self, *arguments, **options)
        alive.extend(weakref.ref(features) for features in result.features.values())
        return result

    network = FeatureExtractor(VGG19(narrow))
    image = random_image(100, 90)
    monkeypatch.setattr(FeatureExtractor, "forward", forward)
    for part, _ in TiledFeatures(network, 32).parts(image, ["relu1_1", "relu2_1"]):
        assert part["relu2_1"].isfinite().all()
    assert len(alive) > 4 * 2

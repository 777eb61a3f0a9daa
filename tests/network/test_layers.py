import pytest

from impasto.errors import SettingsError
from impasto.network.layers import LAYERS, check_layer, deepest, smallest_edge, stride, unrectified


def test_names_and_order() -> None:
    assert len(LAYERS) == 16 + 16 + 5
    assert LAYERS[:6] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1")
    assert LAYERS[-3:] == ("conv5_4", "relu5_4", "pool5")


def test_strides_and_edges() -> None:
    assert [stride(f"relu{b}_1") for b in range(1, 6)] == [1, 2, 4, 8, 16]
    assert [stride(f"pool{b}") for b in range(1, 6)] == [2, 4, 8, 16, 32]
    assert smallest_edge(["relu1_1", "conv4_2"]) == 8
    assert smallest_edge([]) == 1
    assert deepest(["relu3_1", "pool3", "relu1_1"]) == "pool3"


def test_unknown() -> None:
    assert check_layer("pool5") == "pool5"
    with pytest.raises(SettingsError, match="Did you mean relu5_1"):
        check_layer("relu51")


def test_names_that_papers_use_for_rectified_layers_are_said() -> None:
    assert unrectified(["relu1_1", "pool3", "relu4_2"]) == ""
    said = unrectified(["conv1_1", "relu2_1", "conv4_2"])
    assert said.startswith("conv1_1, conv4_2: compared before the rectification")
    assert said.endswith("what Gatys, Ecker and Bethge call so is relu1_1, relu4_2")

"""The comparison with the packaged codes, with bounds worked out here from the table alone."""

import pytest
import torch

from impasto.errors import WeightsError
from impasto.network.weights.layouts import CONVS, WHAT, Layout
from impasto.network.weights.load import decode, read_packed
from impasto.network.weights.verify import MARGIN, deviation, judge, reach


@pytest.fixture(scope="module")
def packed():
    return read_packed()


def layout(name: str) -> Layout:
    return Layout(name, WHAT[name], {}, name != "torchvision")


def towards_the_next(packed, conv: str, share: float) -> torch.Tensor:
    """Return a layer's weights moved by a share of half the gap towards the next entry of the table."""
    block, index = conv[4:].split("_")
    codes = packed[f"block{block}_conv{index}_W_q"].long()
    table = packed[f"block{block}_conv{index}_W_table"].double()
    upper = torch.where(codes < 255, codes + 1, codes - 1)
    return (table[codes] + (table[upper] - table[codes]) / 2 * share).float()


@pytest.fixture
def decoded(packed):
    return decode(packed)


def test_the_table_is_what_the_rule_needs(packed) -> None:
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for index in range(1, count + 1):
            table = packed[f"block{block}_conv{index}_W_table"]
            assert table.shape == (256,)
            assert (table.diff() > 0).all()
            codes = packed[f"block{block}_conv{index}_W_q"]
            assert len(codes.unique()) == 256  # no entry without members


@pytest.mark.parametrize("conv", ["conv1_1", "conv3_2", "conv5_4"])
def test_within_half_the_gap_passes_and_beyond_does_not(packed, decoded, conv) -> None:
    bias = decoded[f"{conv}.bias"]
    assert deviation(conv, decoded[f"{conv}.weight"], bias, packed) is None
    for share in (0.5, 0.99, 1.0):
        assert deviation(conv, towards_the_next(packed, conv, share), bias, packed) is None
    found = deviation(conv, towards_the_next(packed, conv, 1 + 3 * MARGIN), bias, packed)
    assert found is not None
    assert found.what == f"{conv}.weight"
    assert found.by > found.allowed
    assert found.share > 0.9


def test_one_weight_and_one_bias_are_found(packed, decoded) -> None:
    weight, bias = decoded["conv4_1.weight"], decoded["conv4_1.bias"]
    weight[3, 5, 1, 1] += 0.05
    found = deviation("conv4_1", weight, bias, packed)
    assert found is not None
    assert found.by == pytest.approx(0.05, rel=1e-3)
    weight[3, 5, 1, 1] -= 0.05
    bias[7] = torch.nextafter(bias[7], torch.tensor(9.0))
    found = deviation("conv4_1", weight, bias, packed)
    assert found is not None
    assert (found.what, found.allowed) == ("conv4_1.bias", 0.0)


def test_the_ends_reach_as_far_as_their_members_can() -> None:
    table = torch.arange(256.0)
    codes = torch.cat([torch.arange(256), torch.tensor([0, 0, 0])])  # entry 0 has four members
    below, above = reach(codes, table)
    assert below[0].item() == pytest.approx(3 * 0.5 * (1 + MARGIN))  # three inside, one far outside
    assert above[255].item() == pytest.approx(0.5 * (1 + MARGIN))
    assert below[1:].tolist() == pytest.approx([0.5 * (1 + MARGIN)] * 255)


def test_optimal_clusters_keep_the_rule() -> None:
    """Lloyd's algorithm in one dimension, run to its end: every member lies within the reach."""
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randn(20_000, generator=generator, dtype=torch.float64).pow(3).sort().values
    table = numbers[torch.linspace(0, len(numbers) - 1, 16).long()]
    for _ in range(3000):
        codes = torch.bucketize(numbers, (table[1:] + table[:-1]) / 2)
        sums = torch.zeros(16, dtype=torch.float64).index_add(0, codes, numbers)
        table, before = sums / torch.bincount(codes, minlength=16), table
        if torch.equal(table, before):
            break
    below, above = reach(codes, table)
    off = numbers - table[codes]
    assert (off <= above[codes]).all()
    assert (-off <= below[codes]).all()


@pytest.mark.slow
def test_the_original_in_any_layout(packed, decoded) -> None:
    for name in WHAT:
        family, verified = judge(decoded, layout(name), packed, digest="0" * 64, label="f")
        assert family == "original"
        assert not verified.startswith("no")
        assert "published" not in verified
    _, verified = judge(decoded, layout("torchvision"), packed, digest="d01eb7cb" * 8, label="f")
    assert "SHA-256 starts with the published d01eb7cb" in verified


def test_a_layer_that_is_off_is_named(packed, decoded) -> None:
    decoded["conv3_3.weight"] = decoded["conv3_3.weight"] * 1.5
    decoded["conv5_1.bias"] = decoded["conv5_1.bias"] + 1
    for name in WHAT:
        with pytest.raises(WeightsError, match=r"14 of 16 .* but conv3_3\.weight is off by 0\.") as e:
            judge(decoded, layout(name), packed, digest="0" * 64, label="f.pth")
        assert "\n" not in str(e.value)


def test_exchanged_channels_are_found(packed, decoded) -> None:
    decoded["conv1_1.weight"] = decoded["conv1_1.weight"].flip(1)
    for name in WHAT:
        with pytest.raises(WeightsError, match="red and blue exchanged"):
            judge(decoded, layout(name), packed, digest="0" * 64, label="f.pth")


@pytest.mark.slow
def test_weights_trained_anew(packed, decoded) -> None:
    others = {name: torch.randn_like(tensor) * 0.02 for name, tensor in decoded.items()}
    family, verified = judge(others, layout("torchvision"), packed, digest="ab" * 32, label="f.pth")
    assert family == "torchvision"
    assert verified.startswith("no: ")
    _, verified = judge(others, layout("torchvision"), packed, digest="dcbb9e9d" * 8, label="f.pth")
    assert verified == "SHA-256 starts with the published dcbb9e9d (8 of 64 digits)"
    for name, label in (("conv1_1", "f"), ("keras", "f"), ("torchvision", "vgg19-d01eb7cb.pth")):
        with pytest.raises(WeightsError, match=r"not the original VGG-19.*conv1_1\.weight is off"):
            judge(others, layout(name), packed, digest="ab" * 32, label=label)
    assert len(CONVS) == 16

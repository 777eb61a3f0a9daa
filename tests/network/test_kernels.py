"""The text of a choice of kernels, and which way it means where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.network import kernels

LIMITS = st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(sorted)


@st.composite
def choices(draw):
    shapes = draw(st.lists(st.tuples(st.integers(1, 512), st.integers(1, 512)), min_size=1, unique=True))
    found = {}
    for shape in shapes:
        limits = [*map(float, draw(LIMITS)), float("inf")]
        found[shape] = tuple((limit, draw(st.sampled_from(kernels.WAYS))) for limit in limits)
    return found


@given(choices())
def test_a_text_holds_a_choice(choice) -> None:
    assert kernels.parse(kernels.text(choice)) == choice


@pytest.mark.parametrize(
    "text",
    ["", "auto", "fast", "64-64", "64-64=", "64-64=slow", "64-64=direct:", "64-64=direct:9", "direct,fused",
     "64-64=direct:9:fused:9:direct", "64-64=direct:9:fused:8:direct", "64-64=direct 64-64=fused", "=direct"],
)  # fmt: skip
def test_other_texts_are_refused(text) -> None:
    with pytest.raises(ValueError, match="must"):
        kernels.parse(text)


def test_which_way_where() -> None:
    choice = "512-512=direct:100:fused:1000:winograd,64-64=fused"

    def at(positions, incoming=512, outgoing=512, text=choice):
        return kernels.way(text, incoming, outgoing, positions, "fp32")

    assert [at(n) for n in (1, 100, 101, 1000, 1001, 10**9)] == ["direct"] * 2 + ["fused"] * 2 + [
        "winograd"
    ] * 2
    assert at(5, 64, 64) == "fused"
    assert (at(5, 64, 128), at(5, 256, 128)) == ("direct", "winograd")  # not named: the fixed rule
    assert {at(5, text=text) for text in ("direct", "fused")} == {"direct", "fused"}
    assert at(5, text="winograd") == "winograd"


def test_the_fixed_rule() -> None:
    assert kernels.by_rule(128, 128, "fp32") == kernels.by_rule(64, 128, "bf16") == "winograd"
    for incoming, outgoing, precision in (
        (64, 128, "fp32"), (128, 64, "fp32"), (64, 64, "bf16"), (3, 64, "bf16"), (512, 512, "fp64"),
    ):  # fmt: skip
        assert kernels.by_rule(incoming, outgoing, precision) == "direct"

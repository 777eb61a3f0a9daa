"""What would happen on a GPU, without one: torch's device `meta` computes shapes, and has no numbers to read.

A tensor left on the CPU, and a read of a number, fail there or are counted.
"""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses.build import build_losses
from impasto.losses.neighbors import Found, Target
from impasto.losses.objective import Objective, prepare
from impasto.optim import lbfgs
from impasto.optim.adam import Adam
from impasto.optim.lbfgs import LBFGS

HEIGHT, WIDTH = 70, 90


class Traffic(TorchDispatchMode):
    """Counts single numbers read by the host, and tensors copied from one kind of device to another.

    On `meta` a number reads as -1: a loss that falls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.reads += 1
            if args[0].device.type == "meta":
                return -1.0
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default:
            self.copies += result.device.type != args[0].device.type
        return result


@pytest.fixture
def lists(monkeypatch):
    """Count whole tensors that the host reads, in a list; on `meta` they read as falling losses, and 1."""
    original, calls, losses = Tensor.tolist, [], itertools.count(-100, -100)

    def tolist(tensor: Tensor):
        calls.append(tuple(tensor.shape))
        if tensor.device.type == "meta":
            return [float(next(losses)), *[1.0] * (tensor.numel() - 1)]
        return original(tensor)

    monkeypatch.setattr(Tensor, "tolist", tolist)
    return calls


@pytest.fixture
def objective(narrow, random_image):
    """Return a function that binds an objective on a device, and its canvas."""

    def make(device: str, *, precision="fp32", tile=None, **changes) -> tuple[Objective, Tensor]:
        settings = Settings(**{"style_statistic": "gram", **changes})
        network = prepare(
            narrow, pooling=settings.pooling, padding=settings.padding, precision=precision, device=device
        )
        photo, painting, canvas = (random_image(HEIGHT, WIDTH, seed).to(device) for seed in (1, 2, 3))
        pictures = ScaledInputs(photo, (painting,), torch.ones(1, device=device), None)
        with Traffic():  # what is read for targets, once a scale, does not matter here
            losses = build_losses(network, pictures, settings)
        return Objective(network, losses, tile), canvas

    return make


@pytest.mark.parametrize("tile", [None, 48])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"convention": "paper", "total_variation": 1.0, "grain": 1.0},
        {"total_variation": 1.0, "total_variation_form": "anisotropic"},
        {"style_statistic": "moments", "pooling": "average", "padding": "reflect"},
        {"style_statistic": "sliced", "pooling": "l2", "padding": "replicate"},
        {"laplacian": 1.0},
    ],
    ids=str,
)
def test_an_evaluation_waits_once_for_the_device(objective, lists, changes, precision, tile) -> None:
    bound, canvas = objective("meta", precision=precision, tile=tile, **changes)
    bound(canvas)  # what is copied to the device once
    lists.clear()
    with Traffic() as traffic:
        found = bound(canvas)
    assert found.gradient.device.type == "meta"
    assert lists == [(len(bound.losses) + 2,)]  # the total, all losses, and whether the gradient is finite
    assert (traffic.reads, traffic.copies) == (0, 0)


def on_meta(target: Target) -> Target:
    """Return targets whose tensors are on another device."""
    found = []
    for one in target.found:
        features = {layer: rows.to("meta") for layer, rows in one.cells.features.items()}
        found.append(Found(replace(one.cells, features=features), one.numbers.to("meta")))
    return replace(target, found=found)


@pytest.mark.parametrize("tile", [None, 48])
def test_nearest_neighbors_wait_once(narrow, random_image, lists, tile) -> None:
    """Their targets are made once a scale, with reads of numbers; here on the CPU."""
    settings = Settings(style_statistic="neighbours", content_weight=0, grain=0)
    photo, painting, canvas = (random_image(HEIGHT, WIDTH, seed) for seed in (1, 2, 3))
    pictures = ScaledInputs(photo, (painting,), torch.ones(1), None)
    options = {"pooling": "max", "padding": "zero", "precision": "fp32"}
    network = prepare(narrow, device="cpu", **options)
    losses = build_losses(network, pictures, settings, start=canvas)
    moved = [*(replace(loss, target=on_meta(loss.target)) for loss in losses[:-1]), losses[-1]]
    bound = Objective(prepare(narrow, device="meta", **options), moved, tile)
    lists.clear()
    with Traffic() as traffic:
        found = bound(canvas.to("meta"))
    assert found.gradient.device.type == "meta"
    assert lists == [(len(losses) + 2,)]
    assert traffic.reads == 0


def test_losses_that_wait_more_often(objective, lists) -> None:
    """Eigenvalues need finite numbers, and are checked; with torch on CUDA they wait in any case."""
    bound, canvas = objective("meta", style_statistic="wasserstein")
    lists.clear()
    with Traffic() as traffic:
        bound(canvas)
    assert (len(lists), traffic.reads, traffic.copies) == (1, 5, 0)


def reads_by_step(solver, bound, lists) -> list[tuple[int, int]]:
    """Return, of five steps each, the single numbers and the tensors that were read, and check for copies."""
    found = []
    for _ in range(5):
        lists.clear()
        with Traffic() as traffic:
            assert solver.step(bound)
        assert traffic.copies == 0
        found.append((traffic.reads, len(lists)))
    return found


def test_a_step_of_lbfgs_waits_for_its_evaluation_only(objective, lists, monkeypatch) -> None:
    bound, canvas = objective("meta")
    # The slope is read after the evaluation: no wait, but a round trip. The first step has no length yet.
    assert reads_by_step(LBFGS(canvas), bound, lists) == [(0, 1), (2, 1), (1, 1), (1, 1), (1, 1)]
    sent = []

    def send(value: Tensor) -> Tensor:  # what CUDA does: the number is on its way before the evaluation
        sent.append(len(lists))
        return torch.tensor(-1.0)

    monkeypatch.setattr(lbfgs, "_sent", send)
    bound, canvas = objective("meta")
    solver = LBFGS(canvas, history=2)
    assert reads_by_step(solver, bound, lists) == [
        (0, 1),
        (2, 1),
        (1, 1),
        (1, 1),
        (1, 1),
    ]  # the one on the CPU
    assert sent == [0] * 4
    assert solver.canvas.device.type == "meta"
    assert len(solver.state_dict()) == 4 + 2 * 2  # the pairs were used


def test_a_step_of_adam_waits_for_its_evaluation_only(objective, lists) -> None:
    bound, canvas = objective("meta")
    assert reads_by_step(Adam(canvas), bound, lists) == [(1, 1)] * 5  # the number of steps, on the CPU


def test_on_the_cpu_reads_cost_nothing_but_are_few(objective, lists) -> None:
    bound, canvas = objective("cpu")
    assert reads_by_step(LBFGS(canvas), bound, lists)[0] == (0, 1)
    later = reads_by_step(LBFGS(canvas), bound, lists)[2:]
    assert all(reads <= 2 * evaluations + 1 for reads, evaluations in later)  # slopes, curvature

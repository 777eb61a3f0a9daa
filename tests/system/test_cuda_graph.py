"""Graphs of CUDA without a GPU: a recorder of torch's operations repeats them as a graph does.

Like a graph it knows only operations on fixed tensors: what Python decides is decided once, and a read by the
host is refused.
"""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses.build import build_losses
from impasto.losses.objective import Objective, prepare
from impasto.system import cuda_graph
from impasto.system.cuda_graph import CALLS, Graphed


class Recorder(TorchDispatchMode):
    """Records operations with their tensors; `replay` computes them again, into the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.replays = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, result))
        return result

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for function, args, kwargs, before in self.operations:
                again = function(*args, **kwargs)
                if any(returned.alias_info for returned in function._schema.returns):
                    continue  # a view, or computed in place
                pairs = (
                    [(before, again)] if isinstance(before, torch.Tensor) else zip(before, again, strict=True)
                )
                for old, new in pairs:
                    if old is not None:
                        old.copy_(new)


@pytest.fixture
def gpu(monkeypatch) -> list[Recorder]:
    """The CPU passes for a GPU; the list has the graphs recorded."""
    graphs = []

    def graph() -> Recorder:
        graphs.append(Recorder())
        return graphs[-1]

    @contextlib.contextmanager
    def recording(recorder, capture_error_mode):
        assert capture_error_mode == "thread_local"
        with recorder:
            yield

    monkeypatch.setattr(cuda_graph, "_suits", lambda image: True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return graphs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"convention": "paper", "total_variation": 1.0, "grain": 1.0},
        {"total_variation": 1.0, "total_variation_form": "anisotropic"},
        {"style_statistic": "moments", "pooling": "average", "padding": "reflect"},
        {"style_statistic": "sliced", "pooling": "l2", "padding": "replicate"},  # sorted by NumPy on the CPU
        {"laplacian": 1.0, "self_similarity": 1.0},
    ],
    ids=str,
)
def test_a_graph_gives_the_bytes_of_an_evaluation(gpu, narrow, random_image, changes) -> None:
    settings = Settings(**{"style_statistic": "gram", **changes})
    network = prepare(
        narrow,
        pooling=settings.pooling,
        padding=settings.padding,
        precision="fp32",
        device="cpu",
        kernels="direct",
    )
    photo, painting, *canvases = (random_image(40, 52, seed) for seed in range(3 + CALLS))
    pictures = ScaledInputs(photo, (painting,), torch.ones(1), None)
    losses = build_losses(network, pictures, settings)
    plain, graphed = Objective(network, losses), Objective(network, losses, graph=True)
    for canvas in canvases:
        expected, found = plain(canvas), graphed(canvas)
        assert (found.loss, dict(found.parts)) == (expected.loss, dict(expected.parts))
        assert torch.equal(found.gradient, expected.gradient)
    (graph,) = gpu
    recorded = settings.style_statistic != "sliced"
    assert graph.replays == 1 + recorded  # to compare, and for the last canvas
    kept = graphed(canvases[0])
    graphed(canvases[1])
    assert torch.equal(kept.gradient, plain(canvases[0]).gradient)  # not replaced by a later evaluation


IMAGES = [torch.full((1, 3, 2, 2), float(number)) for number in range(CALLS + 3)]


def called(function) -> list[float]:
    graphed = Graphed(function)
    return [float(graphed(image)[0].sum()) for image in IMAGES]


def test_few_calls_record_nothing(gpu) -> None:
    graphed = Graphed(lambda image: (image.sum(), image * 2))
    for image in IMAGES[: CALLS - 1]:
        graphed(image)
    assert not gpu
    graphed(IMAGES[0])
    assert len(gpu) == 1


def test_what_waits_for_the_host_is_called_as_before(gpu) -> None:
    calls = []

    def waits(image):
        calls.append(1)
        return image.sum() + float(image.max()), image

    assert called(waits) == [13.0 * number for number in range(CALLS + 3)]
    assert len(calls) == CALLS + 3 + 1  # and once while it was recorded


def test_what_changes_from_call_to_call_is_called_as_before(gpu) -> None:
    """What Python decides, a graph cannot know."""
    calls = []

    def counts(image):
        calls.append(1)
        return image.sum() + len(calls), image

    assert called(counts) == [12.0 * number + number + 1 + (number >= CALLS) for number in range(CALLS + 3)]
    assert gpu[0].replays == 1


def test_without_memory_it_is_called_as_before(gpu, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "graph", full)
    assert called(lambda image: (image.sum(), image)) == [12.0 * number for number in range(CALLS + 3)]


def test_which_images_suit() -> None:
    assert not cuda_graph._suits(torch.zeros(1, 3, 4, 4))
    large = torch.empty(1, 3, 1500, 1000, device="meta")
    assert not cuda_graph._suits(large)


def test_a_loss_of_your_own_is_never_recorded(gpu, narrow) -> None:
    import numpy as np

    import impasto

    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 40, 3), np.uint8)
    options = {"size": 40, "evaluations": CALLS + 2, "weights": narrow}
    impasto.stylize(*pixels, **options, extra_losses=[impasto.Penalty(lambda f: f["image"].mean())])
    assert not gpu
    impasto.stylize(*pixels, **options)
    assert len(gpu) == 1

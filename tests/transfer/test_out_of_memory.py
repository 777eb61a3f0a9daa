"""A GPU that is full, played by the CPU under another name: smaller tiles, then the processor."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import impasto
from impasto import Runtime, Settings
from impasto.errors import ResourceError
from impasto.inputs.pictures import Inputs
from impasto.losses.objective import Objective
from impasto.system import hardware
from impasto.transfer import memory, run
from transfer.repeating import repeated

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
GPU = Runtime(device="cuda", threads=1, precision="fp32", kernels="direct")
CPU = GPU.changed(device="cpu")
BASE = {"size": 64, "min_size": 64, "evaluations": 5}


def paint(weights, *, runtime=GPU, **options):
    settings = Settings(**(BASE | options.pop("settings", {})))
    return impasto.stylize(PIXELS[0], PIXELS[1], settings, runtime=runtime, weights=weights, **options)


@dataclass
class Full:
    """Memory of a device ends in "pictures", "network" or "evaluation", but for the first few times."""

    what: str
    after: int = 0
    times: float = math.inf
    tiles: tuple[int | None, ...] = (None, 32, 16)
    device: str = "cuda:0"

    def check(self, what: str, device: str, tile: int | None = None) -> None:
        if (what, device) != (self.what, self.device) or tile not in self.tiles:
            return
        self.after -= 1
        if self.after < 0 < self.times:
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def gpu(monkeypatch):
    """Let the CPU be `cuda:0` as well, with tiles of 32 and 16 px; what is returned says where it is full."""
    full: list[Full] = []
    devices = ["cpu"]

    def check(what: str, device: str, tile: int | None = None) -> None:
        for item in full:
            item.check(what, device, tile)

    at, load, call, set_runtime = Inputs.at, run.load_network, Objective.__call__, run.Run.set_runtime

    def pictures(self, scale, device, shared=None):
        check("pictures", device)
        return at(self, scale, "cpu", shared)

    def network(weights, settings, runtime, shared):
        check("network", runtime.device)
        return load(weights, settings, runtime.changed(device="cpu"), shared)

    def evaluation(self, canvas):
        check("evaluation", devices[-1], self.tile)
        return call(self, canvas)

    def noted(self, runtime, *, plan):
        devices.append(runtime.device)
        set_runtime(self, runtime, plan=plan)

    monkeypatch.setattr(hardware, "devices", lambda: ["cuda:0", "cpu"])
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: device == "cuda:0")
    for name in ("free_memory", "describe"):
        original = getattr(hardware, name)
        monkeypatch.setattr(hardware, name, lambda device="cpu", original=original: original())
    monkeypatch.setattr(Inputs, "at", pictures)
    monkeypatch.setattr(run, "load_network", network)
    monkeypatch.setattr(Objective, "__call__", evaluation)
    monkeypatch.setattr(run.Run, "set_runtime", noted)
    monkeypatch.setattr(memory, "EDGES", (32, 16))
    return lambda *items: full.extend(items)


def pixels(result) -> str:
    return result.recipe.pixels_sha256


@pytest.mark.parametrize("what", ["pictures", "network", "evaluation"])
def test_nothing_fits_so_all_is_computed_on_the_processor(gpu, narrow, caplog, what) -> None:
    gpu(Full(what))
    found = paint(narrow)
    lines = [record.message for record in caplog.records]
    assert lines == [
        "out of memory on cuda:0; beginning in tiles of 32 px",
        "out of memory on cuda:0; beginning in tiles of 16 px",
        "out of memory on cuda:0; continuing on the processor",
    ]
    runtime = found.recipe.runtime
    assert (runtime.device, runtime.precision, runtime.tile) == ("cpu", "fp32", None)
    assert found.recipe.reproducible
    assert pixels(found) == pixels(paint(narrow, runtime=CPU)) == pixels(again(found, narrow))
    assert [row.evaluation for row in found.history] == [1, 2, 3, 4, 5]


def again(found, weights):
    return repeated(found.recipe, PIXELS[0], PIXELS[1], weights=weights)


def test_tiles_that_fit_are_computed_on_the_gpu(gpu, narrow) -> None:
    gpu(Full("evaluation", times=1))
    found = paint(narrow)
    assert (found.recipe.runtime.device, found.recipe.runtime.tile) == ("cuda:0", 32)
    assert found.recipe.reproducible
    assert pixels(found) == pixels(paint(narrow, runtime=CPU.changed(tile=32)))


def test_bf16_only_where_the_processor_computes_it(gpu, narrow) -> None:
    gpu(Full("network"))
    found = paint(narrow, runtime=Runtime(device="cuda", threads=1))
    runtime = found.recipe.runtime
    assert (runtime.device, runtime.precision) == ("cpu", "fp32")
    assert runtime.kernels not in ("auto", "direct")  # chosen for the processor
    assert pixels(found) == pixels(again(found, narrow))


def test_a_finer_scale_that_does_not_fit(gpu, narrow, caplog) -> None:
    """The coarse one was computed on the GPU, so that no recipe can repeat it."""
    settings = {"min_size": 32}
    whole = paint(narrow, runtime=CPU, settings=settings)
    gpu(Full("pictures", after=1))
    found = paint(narrow, settings=settings)
    assert pixels(found) == pixels(whole)  # the GPU is the CPU here
    assert "continuing on the processor" in caplog.text
    assert found.recipe.runtime.device == "cpu"
    assert not found.recipe.reproducible
    spent = [(scale.width, scale.evaluations) for scale in found.recipe.scales]
    assert (spent[0], spent[-1], sum(count for _, count in spent)) == ((32, 5), (64, 5), 10)


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "scipy"])
def test_from_the_smallest_tiles_to_the_processor(gpu, narrow, solver, caplog) -> None:
    gpu(Full("evaluation", after=2))
    found = paint(narrow, settings={"solver": solver})
    assert [record.message for record in caplog.records] == [
        "out of memory; continuing in tiles of 32 px from the best so far",
        "out of memory; continuing in tiles of 16 px from the best so far",
        "out of memory on cuda:0; continuing on the processor",
    ]
    assert (found.stopped, found.recipe.runtime.device) == ("evaluations", "cpu")
    assert not found.recipe.reproducible
    assert sum(scale.evaluations for scale in found.recipe.scales) == len(found.history) == 5


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_solver_continues_where_it_stood(gpu, narrow, solver) -> None:
    """With its curvature, or its moments: the GPU is the CPU here, so that the pixels are the same."""
    settings = {"solver": solver, "evaluations": 8}
    whole = paint(narrow, runtime=CPU.changed(tile=16), settings=settings)
    gpu(Full("evaluation", after=5))
    found = paint(narrow, runtime=GPU.changed(tile=16), settings=settings)
    assert found.recipe.runtime.device == "cpu"
    assert pixels(found) == pixels(whole)
    assert [row.losses for row in found.history] == [row.losses for row in whole.history]
    assert not found.recipe.reproducible


@pytest.mark.slow
def test_with_a_budget(gpu, narrow) -> None:
    gpu(Full("evaluation"))
    found = paint(narrow, runtime=GPU.changed(budget=2.0))
    assert found.stopped in ("budget", "no further decrease")


def test_other_errors_and_a_full_processor_are_errors(gpu, narrow, monkeypatch) -> None:
    gpu(Full("pictures"), Full("pictures", device="cpu"))
    with pytest.raises(ResourceError, match="memory ran out"):
        paint(narrow)


def test_a_checkpoint_of_it_is_resumed_on_the_processor(gpu, narrow, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("photo.png", "painting.png")):
        impasto.Picture.of(PIXELS[number]).save(name)
    gpu(Full("evaluation", after=2))

    def stop(step) -> None:
        if step.evaluations == 4:
            raise impasto.Stop("interrupted")

    options = {"runtime": GPU, "weights": narrow, "checkpoint": "run.checkpoint"}
    impasto.stylize("photo.png", "painting.png", Settings(**BASE), on_step=stop, **options)
    found = impasto.resume("run.checkpoint", weights=narrow)
    assert (found.recipe.runtime.device, found.stopped) == ("cpu", "evaluations")
    assert not found.recipe.reproducible
    assert len(found.history) == 5


def test_a_state_without_evaluations_is_a_fresh_one() -> None:
    from impasto.transfer.out_of_memory import _between_steps
    from impasto.transfer.run_state import RunState

    class Bare:
        state = RunState(solver={"canvas": torch.zeros(1)})

    assert _between_steps(Bare()) == replace(Bare.state, solver={})

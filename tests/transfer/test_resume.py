import contextlib
import shutil
from pathlib import Path

import pytest
import torch

import impasto
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, Stop, WeightsError
from impasto.losses import objective
from impasto.losses.loss import Penalty
from impasto.network.vgg import narrow_weights
from impasto.transfer.callbacks import checkpoint_file as checkpoints
from impasto.transfer.callbacks import checkpoint_folder
from impasto.transfer.callbacks import checkpoints as checkpoints_module
from impasto.transfer.resume import resume, unfinished
from impasto.transfer.stylize import replay, stylize
from transfer.test_stylize import OTHER, PAINTING, PHOTO

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
NAME = "run.checkpoint"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """Pictures in a folder of their own, checkpoints at every iteration."""
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints_module, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints_module, "SHARE", 1.0)
    monkeypatch.chdir(tmp_path)
    for name, data in (("photo.png", PHOTO), ("painting.png", PAINTING), ("other.png", OTHER)):
        Path(name).write_bytes(data)
    return tmp_path


@pytest.fixture
def run(narrow):
    def make(**options):
        values = {"size": 48, "min_size": 24, "evaluations": 6} | options.pop("settings", {})
        options = {"weights": narrow, "runtime": FP32} | options
        return stylize("photo.png", "painting.png", Settings(**values), **options)

    return make


class KilledError(BaseException):
    """In place of a kill: nothing of ours catches it."""


def killed_at(number: int):
    def on_step(step) -> None:
        if step.evaluations == number:
            raise KilledError

    return on_step


def stopped_at(number: int, reason: str = "interrupted"):
    def on_step(step) -> None:
        if step.evaluations == number:
            raise Stop(reason)

    return on_step


def same(one, other) -> None:
    """The same pixels, and the same course but for the time."""
    assert one.recipe.pixels_sha256 == other.recipe.pixels_sha256
    rows = [
        [(row.scale, row.evaluation, dict(row.losses)) for row in run.history]
        for run in (one, other)
    ]
    assert rows[0] == rows[1]
    for first, second in zip(one.recipe.scales, other.recipe.scales, strict=True):
        assert first.model_dump(exclude={"seconds"}) == second.model_dump(exclude={"seconds"})
    timely = {"seconds": 0.0, "created": "", "scales": ()}
    assert one.recipe.changed(**timely) == other.recipe.changed(**timely)


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
@pytest.mark.parametrize("end", [killed_at, stopped_at])
@pytest.mark.parametrize("number", [1, 5, 9])
def test_the_same_as_an_uninterrupted_run(run, narrow, solver, end, number) -> None:
    settings = {"solver": solver, "init": "noise", "init_noise": 0.5}
    whole = run(settings=settings)
    with contextlib.suppress(KilledError):
        run(settings=settings, checkpoint=NAME, on_step=end(number))
    steps = []
    found = resume(NAME, weights=narrow, on_step=lambda step: steps.append(step.evaluations))
    same(found, whole)
    assert steps[-1] == 12
    assert steps[0] <= number
    assert found.recipe.scales[-1].seconds > 0


@pytest.mark.parametrize("options", [
    {"settings": {"bounded": False, "total_variation": 3.0, "tolerance": 0.01, "evaluations": 45}},
    {"runtime": FP32.changed(tile=32, pairs=3, compact=True)},
    {"runtime": FP32.changed(precision="bf16", threads=2)},
    {"settings": {"init": "picture", "style_weight": 5.0}, "init_picture": "other.png"},
    {"settings": {"style_statistic": "moments", "laplacian": 0.1, "grain": 1.0, "init": "noise"}},
    {"settings": {"style_statistic": "wasserstein", "self_similarity": 0.1},
     "runtime": FP32.changed(tile=32)},
    {"settings": {"style_statistic": "sliced", "total_variation": 1e5, "seed": 4,
                  "total_variation_form": "isotropic"}},
])  # fmt: skip
def test_whatever_the_settings(run, narrow, options) -> None:
    whole = run(**options)
    with contextlib.suppress(KilledError):
        run(**options, checkpoint=NAME, on_step=killed_at(9))
    with contextlib.suppress(KilledError):
        resume(NAME, weights=narrow, on_step=killed_at(11))  # and once more
    same(resume(NAME, weights=narrow), whole)


def test_a_run_whose_memory_ran_out(run, narrow, monkeypatch) -> None:
    original, calls = objective.Objective._value, []

    def short(self, statistics):
        calls.append(self.tile)
        if len(calls) == 9 and self.tile is None:
            raise MemoryError
        return original(self, statistics)

    monkeypatch.setattr(objective.Objective, "_value", short)
    monkeypatch.setattr(impasto.transfer.memory, "EDGES", (32, 24), raising=False)
    options = {"settings": {"size": 64, "evaluations": 12, "min_size": 64}}
    whole = run(**options)
    assert [scale.reason for scale in whole.recipe.scales] == ["out of memory", "evaluations"]
    calls.clear()
    with contextlib.suppress(KilledError):
        run(**options, checkpoint=NAME, on_step=killed_at(11))
    same(resume(NAME, weights=narrow), whole)


def test_a_run_that_is_made_again(run, narrow) -> None:
    first = run(on_step=stopped_at(9))
    with (
        contextlib.suppress(KilledError),
        checkpoints_module.Checkpoints(NAME, folders=["."]) as kept,
    ):
        replay(
            first.recipe,
            "photo.png",
            "painting.png",
            weights=narrow,
            keeper=kept,
            on_step=killed_at(8),
        )
    same(
        resume(NAME, weights=narrow),
        replay(first.recipe, "photo.png", "painting.png", weights=narrow),
    )


def test_losses_of_the_callers_own_have_to_be_given_again(run, narrow) -> None:
    losses = [Penalty(lambda features: features["image"].mean(), 2.0, name="dark")]
    whole = run(extra_losses=losses)
    with contextlib.suppress(KilledError):
        run(extra_losses=losses, checkpoint=NAME, on_step=killed_at(9))
    with pytest.raises(InputError, match="own: dark; give these"):
        resume(NAME, weights=narrow)
    same(resume(NAME, weights=narrow, extra_losses=losses), whole)


def test_a_budget_goes_on_for_the_time_that_was_left(run, narrow) -> None:
    options = {"runtime": FP32.changed(budget=30.0), "checkpoint": NAME}
    with contextlib.suppress(KilledError):
        run(**options, on_step=killed_at(30))
    left = unfinished(NAME)
    left.keeper.release()
    assert 10 < left.checkpoint.head.left < 30
    path = Path(NAME)
    told = checkpoints.read(path)
    checkpoints.write(
        path, checkpoints.Checkpoint(told.head.changed(left=2.0), told.tensors, told.history)
    )
    result = resume(NAME, weights=narrow)
    assert result.stopped == "budget"
    assert 0.5 < result.seconds < 12
    assert len(result.history) > 30


def test_automatic_and_the_last(run, narrow, monkeypatch) -> None:
    whole = run()
    monkeypatch.setattr(checkpoints_module, "LONG", 0.0)
    with contextlib.suppress(KilledError):
        run(on_step=killed_at(9))
    assert len(list(checkpoint_folder.folder().glob("*.safetensors"))) == 1
    same(resume(weights=narrow), whole)
    assert list(checkpoint_folder.folder().glob("*")) == []
    with pytest.raises(InputError, match="no unfinished run"):
        resume(weights=narrow)
    with contextlib.suppress(KilledError):
        run(on_step=killed_at(9), checkpoint=False)
    with pytest.raises(InputError, match="no unfinished run"):
        resume(weights=narrow)


def test_inputs_are_known_by_their_hash_wherever_they_are(run, narrow, place) -> None:
    whole = run()
    with contextlib.suppress(KilledError):
        run(checkpoint=NAME, on_step=killed_at(9))
    Path("inputs").mkdir()
    Path("photo.png").rename("inputs/renamed.png")
    Path("photo.png").write_bytes(OTHER)
    with pytest.raises(InputError, match=r"photo\.png .* is another picture now"):
        resume(NAME, weights=narrow)
    with pytest.raises(WeightsError, match="other weights"):
        resume(NAME, weights=narrow_weights(seed=9), folders=["inputs"])
    shutil.copy(NAME, "copy")
    found = resume("copy", weights=narrow, folders=["inputs"])
    assert found.recipe.content.name == "renamed.png"
    assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256


def test_shares_are_those_of_the_run(narrow) -> None:
    styles = [Style("painting.png", 3), Style("other.png", 1)]
    settings = Settings(size=48, evaluations=6)
    options = {"weights": narrow, "runtime": FP32}
    whole = stylize("photo.png", styles, settings, **options)
    with contextlib.suppress(KilledError):
        stylize("photo.png", styles, settings, **options, checkpoint=NAME, on_step=killed_at(4))
    same(resume(NAME, weights=narrow), whole)


def test_torn_and_of_another_size(run, narrow) -> None:
    whole = run()
    with contextlib.suppress(KilledError):
        run(checkpoint=NAME, on_step=killed_at(9))
    path = Path(NAME)
    told = checkpoints.read(path)
    path.write_bytes(path.read_bytes()[:-3])
    same(resume(NAME, weights=narrow), whole)
    wrong = told.head.changed(
        recipe=told.head.recipe.changed(settings=Settings(size=40, min_size=24))
    )
    checkpoints.write(path, checkpoints.Checkpoint(wrong, told.tensors, told.history))
    with pytest.raises(InputError, match="canvas has another size"):
        resume(NAME, weights=narrow)


def test_what_differs_of_the_machine_is_said(run, narrow, caplog) -> None:
    with contextlib.suppress(KilledError):
        run(checkpoint=NAME, on_step=killed_at(9))
    path = Path(NAME)
    told = checkpoints.read(path)
    machine = told.head.recipe.machine | {"torch": "1.0"}
    head = told.head.changed(recipe=told.head.recipe.changed(machine=machine))
    checkpoints.write(path, checkpoints.Checkpoint(head, told.tensors, told.history))
    resume(NAME, weights=narrow)
    assert f"not as when the run began: torch was 1.0, is {torch.__version__}" in caplog.text


def test_stop_between_the_parts_of_the_first_evaluation_of_a_scale(run, narrow) -> None:
    whole = run(runtime=FP32.changed(tile=32))
    steps = []

    def on_part() -> None:
        if len(steps) == 6 and not done:
            done.append(True)
            raise Stop("interrupted")

    done = []
    options = {"runtime": FP32.changed(tile=32), "on_part": on_part, "on_step": steps.append}
    stopped = run(**options, checkpoint=NAME)
    assert (stopped.stopped, len(stopped.history), len(stopped.recipe.scales)) == (
        "interrupted",
        6,
        1,
    )
    again = replay(stopped.recipe, "photo.png", "painting.png", weights=narrow)
    assert again.recipe.pixels_sha256 == stopped.recipe.pixels_sha256
    same(resume(NAME, weights=narrow), whole)


def test_stop_between_the_parts_of_a_later_evaluation(run, narrow) -> None:
    options = {"runtime": FP32.changed(tile=32)}
    whole = run(**options)
    steps = []

    def on_part() -> None:
        if len(steps) == 9:
            raise Stop("interrupted")

    stopped = run(**options, on_part=on_part, on_step=steps.append, checkpoint=NAME)
    assert stopped.stopped == "interrupted"
    assert len(stopped.history) == 9
    same(resume(NAME, weights=narrow), whole)

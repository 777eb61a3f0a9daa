import contextlib
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import impasto
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, ResourceError, Stop, WeightsError
from impasto.losses import neighbors, objective
from impasto.losses.loss import Penalty
from impasto.network.vgg import narrow_weights
from impasto.transfer.callbacks import checkpoint_file as checkpoints
from impasto.transfer.callbacks import checkpoint_folder
from impasto.transfer.callbacks import checkpoints as checkpoints_module
from impasto.transfer.resume import resume, unfinished
from impasto.transfer.stylize import stylize
from transfer.repeating import repeated
from transfer.test_stylize import OTHER, PAINTING, PHOTO

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
NAME = "run.checkpoint"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """Pictures in a folder of their own, checkpoints at every iteration."""
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints_module, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints_module, "SHARE", 1.0)
    monkeypatch.setattr(neighbors, "SMALLEST", 16)
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
    rows = [[(row.scale, row.evaluation, dict(row.losses)) for row in run.history] for run in (one, other)]
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
    {"settings": {"init": "matched", "init_amount": 0.7}},
    {"settings": {"quality": "instant", "size": 200}},
    {"settings": {"quality": "instant", "size": 140, "init_amount": 0.5, "evaluations": None}},
    {"settings": {"init": "matched", "size": 280, "min_size": 140}},
    {"settings": {"style_statistic": "moments", "laplacian": 0.1, "grain": 1.0, "init": "noise"}},
    {"settings": {"style_statistic": "wasserstein", "self_similarity": 0.1},
     "runtime": FP32.changed(tile=32)},
    {"settings": {"style_statistic": "sliced", "total_variation": 1e5, "seed": 4,
                  "total_variation_form": "isotropic"}},
    {"settings": {"style_statistic": "neighbours", "neighbours_photo": 0.1, "init_noise": 0.3}},
    {"settings": {"style_statistic": "neighbours", "solver": "adam"},
     "runtime": FP32.changed(tile=32, compact=True)},
    {"settings": {"size": 192, "min_size": 96, "neighbours_from": 192, "style_statistic": "moments"}},
])  # fmt: skip
def test_whatever_the_settings(run, narrow, options) -> None:
    whole = run(**options)
    with contextlib.suppress(KilledError):
        run(**options, checkpoint=NAME, on_step=killed_at(9))
    with contextlib.suppress(KilledError):
        resume(NAME, weights=narrow, on_step=killed_at(11))  # and once more
    same(resume(NAME, weights=narrow), whole)


@pytest.mark.parametrize("statistic", ["gram", "neighbours"])
def test_a_run_whose_memory_ran_out(run, narrow, monkeypatch, statistic) -> None:
    original, calls = objective.Objective._value, []

    def short(self, statistics):
        calls.append(self.tile)
        if len(calls) == 9 and self.tile is None:
            raise MemoryError
        return original(self, statistics)

    monkeypatch.setattr(objective.Objective, "_value", short)
    monkeypatch.setattr(impasto.transfer.memory, "EDGES", (32, 24), raising=False)
    settings = {"size": 64, "evaluations": 12, "min_size": 64, "style_statistic": statistic}
    options = {"settings": settings}
    whole = run(**options)
    assert [scale.reason for scale in whole.recipe.scales] == ["out of memory", "evaluations"]
    calls.clear()
    with contextlib.suppress(KilledError):
        run(**options, checkpoint=NAME, on_step=killed_at(11))
    same(resume(NAME, weights=narrow), whole)


def test_a_run_that_is_made_again(run, narrow) -> None:
    first = run(on_step=stopped_at(9))
    with contextlib.suppress(KilledError), checkpoints_module.Checkpoints(NAME, folders=["."]) as own:
        repeated(
            first.recipe, "photo.png", "painting.png", weights=narrow, checkpoints=own, on_step=killed_at(8)
        )
    same(resume(NAME, weights=narrow), repeated(first.recipe, "photo.png", "painting.png", weights=narrow))


def test_losses_of_the_callers_own_have_to_be_given_again(run, narrow) -> None:
    losses = [Penalty(lambda features: features["image"].mean(), 2.0, name="dark")]
    whole = run(extra_losses=losses)
    with contextlib.suppress(KilledError):
        run(extra_losses=losses, checkpoint=NAME, on_step=killed_at(9))
    with pytest.raises(InputError, match="own: dark; give these"):
        resume(NAME, weights=narrow)
    same(resume(NAME, weights=narrow, extra_losses=losses), whole)


@pytest.mark.slow
def test_a_budget_continues_for_the_time_that_was_left(run, narrow) -> None:
    options = {"runtime": FP32.changed(budget=30.0), "checkpoint": NAME}
    with contextlib.suppress(KilledError):
        run(**options, on_step=killed_at(30))
    left = unfinished(NAME)
    left.checkpoints.release()
    assert 10 < left.header.seconds_left < 30
    assert left.state.seconds_left == left.header.seconds_left
    path = Path(NAME)
    saved = checkpoints.read(path)
    header = saved.header.changed(seconds_left=2.0)
    checkpoints.write(path, checkpoints.Checkpoint(header, saved.tensors, saved.history))
    result = resume(NAME, weights=narrow)
    assert result.stopped == "budget"
    assert 0.5 < result.seconds < 12
    assert len(result.history) > 30


def test_automatic_and_the_last(run, narrow, monkeypatch) -> None:
    whole = run()
    monkeypatch.setattr(checkpoints_module, "LONG", 0.0)
    with contextlib.suppress(KilledError):
        run(on_step=killed_at(9), checkpoint=True)
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
    with contextlib.suppress(KilledError):
        run(checkpoint=NAME, on_step=killed_at(9))
    path = Path(NAME)
    saved, whole = checkpoints.read(path), path.read_bytes()
    assert [item.name for item in Path().glob("run*")] == [NAME]
    path.write_bytes(whole[:-3])
    with pytest.raises(InputError, match="cut off or damaged") as caught:
        resume(NAME, weights=narrow)
    assert str(caught.value).count("\n") == 0
    recipe = saved.header.recipe.changed(settings=Settings(size=40, min_size=24))
    for changes in ({"recipe": recipe}, {"scale": 2}, {"limits": (6,)}):
        wrong = saved.header.changed(**changes)
        checkpoints.write(path, checkpoints.Checkpoint(wrong, saved.tensors, saved.history))
        with pytest.raises(InputError, match="canvas has another size"):
            resume(NAME, weights=narrow)


def test_what_differs_of_the_machine_is_said(run, narrow, caplog) -> None:
    with contextlib.suppress(KilledError):
        run(checkpoint=NAME, on_step=killed_at(9))
    path = Path(NAME)
    saved = checkpoints.read(path)
    machine = saved.header.recipe.machine | {"torch": "1.0"}
    header = saved.header.changed(recipe=saved.header.recipe.changed(machine=machine))
    checkpoints.write(path, checkpoints.Checkpoint(header, saved.tensors, saved.history))
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
    assert (stopped.stopped, len(stopped.history), len(stopped.recipe.scales)) == ("interrupted", 6, 1)
    again = repeated(stopped.recipe, "photo.png", "painting.png", weights=narrow)
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


# --- where a run can be interrupted ---------------------------------------------------------------


TILED = {"runtime": FP32.changed(tile=24), "settings": {"size": 64, "min_size": 32, "evaluations": 4}}


class Parts:
    """An `on_part` that raises `Stop` at one of its calls; counts them."""

    def __init__(self, at: int | None = None, reason: str = "interrupted") -> None:
        self.at, self.reason, self.count = at, reason, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Stop(self.reason)


class PartsOfScales:
    """Calls of `on_part` before the first evaluation of a scale, in one evaluation, and in all of it."""

    def __init__(self, run) -> None:
        own, calls = Parts(), [0]
        run(**TILED, on_part=own, on_step=lambda step: calls.append(own.count))
        assert len(calls) == 9
        self.evaluation = [calls[2] - calls[1], calls[6] - calls[5]]
        self.binding = [calls[1] - self.evaluation[0], calls[5] - calls[4] - self.evaluation[1]]
        self.first_scale = calls[4]
        assert min(*self.binding, *self.evaluation) > 1


@pytest.fixture
def parts(run) -> PartsOfScales:
    return PartsOfScales(run)


def test_stop_in_a_part_before_any_evaluation(run, narrow, parts) -> None:
    whole = run(**TILED)
    binding = parts.binding[0]
    for number in (1, binding, binding + 1, binding + parts.evaluation[0]):
        Path(NAME).unlink(missing_ok=True)
        with pytest.raises(Stop, match="interrupted"):
            run(**TILED, on_part=Parts(number), checkpoint=NAME)
        assert Path(NAME).exists() == (number > binding)  # then the solver stood at its start
    same(resume(NAME, weights=narrow), whole)


@pytest.mark.parametrize("reason", ["interrupted", "mine"])
def test_stop_in_any_part_of_the_second_scale_before_its_first_evaluation(run, narrow, parts, reason) -> None:
    """In binding its targets, and in its first evaluation: the state holds the canvas."""
    whole = run(**TILED)
    binding, evaluation = parts.binding[1], parts.evaluation[1]
    for number in (1, binding, binding + 1, binding + evaluation):
        Path(NAME).unlink(missing_ok=True)
        at = parts.first_scale + number
        stopped = run(**TILED, on_part=Parts(at, reason), checkpoint=NAME)
        assert (stopped.stopped, len(stopped.history)) == (reason, 4)
        assert [scale.reason for scale in stopped.recipe.scales] == ["evaluations"]
        assert stopped.recipe.reproducible == (reason == "interrupted")
        saved = unfinished(NAME)
        saved.checkpoints.release()
        assert (saved.state.scale, saved.state.evaluations, saved.evaluations) == (1, 0, 4)
        assert saved.state.solver["canvas"].shape == (1, 3, 48, 64)
        assert saved.state.tracking.best is None
        same(resume(NAME, weights=narrow), whole)


@pytest.mark.parametrize(("at", "scale"), [(3, 0), (6, 1)])
def test_a_resumed_run_that_is_interrupted_again_at_once(run, narrow, parts, at, scale) -> None:
    """Before its losses are bound the checkpoint stays as it is; then the best canvas is a result."""
    whole = run(**TILED)
    run(**TILED, on_step=stopped_at(at), checkpoint=NAME)
    saved = Path(NAME).read_bytes()
    with pytest.raises(Stop, match="interrupted"):
        resume(NAME, weights=narrow, on_part=Parts(1))
    assert Path(NAME).read_bytes() == saved
    again = resume(NAME, weights=narrow, on_part=Parts(parts.binding[scale] + 1))
    assert again.stopped == "interrupted"
    assert len(again.history) <= at
    assert again.picture.width == 64
    once_more = resume(NAME, weights=narrow, on_step=stopped_at(at))
    assert len(once_more.history) == at
    same(resume(NAME, weights=narrow), whole)


def test_a_resumed_run_interrupted_in_the_first_evaluation_of_a_later_scale(run, narrow, parts) -> None:
    """There is no picture yet; the checkpoint stays."""
    whole = run(**TILED)
    run(**TILED, on_part=Parts(parts.first_scale + 1), checkpoint=NAME)
    with pytest.raises(Stop):
        resume(NAME, weights=narrow, on_part=Parts(parts.binding[1] + 1))
    same(resume(NAME, weights=narrow), whole)


@pytest.mark.parametrize("reason", ["mine", "budget", "evaluations"])
def test_a_stop_with_a_reason_of_ones_own_ends_the_run(run, narrow, reason) -> None:
    """Also where the word is one of ours, after which another scale would follow."""
    whole = run()
    stopped = run(on_step=stopped_at(4, reason), checkpoint=NAME)
    assert (stopped.stopped, len(stopped.history)) == (reason, 4)
    assert [scale.reason for scale in stopped.recipe.scales] == [reason]
    again = repeated(stopped.recipe, "photo.png", "painting.png", weights=narrow)
    assert again.recipe.pixels_sha256 == stopped.recipe.pixels_sha256
    same(resume(NAME, weights=narrow), whole)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_tolerance_and_resume(run, narrow, solver) -> None:
    """A round that began before the run was killed ends where it would have ended."""
    settings = {"solver": solver, "evaluations": 90, "tolerance": 0.9}
    whole = run(settings=settings)
    assert [scale.reason for scale in whole.recipe.scales] == ["tolerance", "tolerance"]
    first, second = (scale.evaluations for scale in whole.recipe.scales)
    for number in (19, 21, first + 1, first + second - 1):
        Path(NAME).unlink(missing_ok=True)
        with contextlib.suppress(KilledError):
            run(settings=settings, checkpoint=NAME, on_step=killed_at(number))
        same(resume(NAME, weights=narrow), whole)


@pytest.mark.parametrize(
    "solver", ["adam", *(pytest.param(one, marks=pytest.mark.slow) for one in ("lbfgs", "scipy"))]
)
def test_resumed_after_what_was_not_finite(run, narrow, monkeypatch, solver) -> None:
    """Adam's halved rate among other things; nothing is finite on some canvases, wherever met."""
    original, starts = objective.Objective.__call__, {}

    def walled(self, canvas):
        evaluation, mean = original(self, canvas), float(canvas.double().mean())
        is_start = mean == starts.setdefault(canvas.shape, mean)
        if int(1e6 * mean) % 5 == 0 and not is_start:
            return replace(evaluation, loss=math.nan)
        return evaluation

    monkeypatch.setattr(objective.Objective, "__call__", walled)
    settings = {"solver": solver, "evaluations": 20, "learning_rate": 0.1}
    whole = run(settings=settings)
    bad = [row.evaluation for row in whole.history if math.isnan(row.losses["total"])]
    assert len(bad) > 2
    for number in (bad[0], bad[0] + 1, bad[1] + 1, bad[-1], bad[-1] + 1):
        Path(NAME).unlink(missing_ok=True)
        with contextlib.suppress(KilledError):
            run(settings=settings, checkpoint=NAME, on_step=killed_at(number))
        found = resume(NAME, weights=narrow)
        assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256
        assert repr([dict(row.losses) for row in found.history]) == repr(
            [dict(row.losses) for row in whole.history]
        )
        assert found.stopped == whole.stopped
        assert found.fault == whole.fault or number > bad[-1]


# --- memory that runs out -------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """A function that lets memory run out at some calls of the objective; edges of tiles are 32 and 16."""
    original, calls = objective.Objective.__call__, []
    monkeypatch.setattr(impasto.transfer.memory, "EDGES", (32, 16), raising=False)

    def at(*numbers: int):
        calls.clear()

        def failing(self, canvas):
            calls.append(self.tile)
            if len(calls) in numbers:
                raise MemoryError
            return original(self, canvas)

        monkeypatch.setattr(objective.Objective, "__call__", failing)
        return calls

    return at


ONE_SCALE = {"settings": {"size": 64, "evaluations": 8, "min_size": 64}}


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
def test_no_memory_in_the_first_evaluation_after_resume(run, narrow, short, solver) -> None:
    options = {"settings": ONE_SCALE["settings"] | {"solver": solver}}
    with contextlib.suppress(KilledError):
        run(**options, checkpoint=NAME, on_step=killed_at(5))
    before = unfinished(NAME)
    before.checkpoints.release()
    calls = short(1)
    if solver == "scipy":  # it begins its scale anew, and has nothing to show
        with pytest.raises(ResourceError, match="memory ran out"):
            resume(NAME, weights=narrow)
        assert Path(NAME).exists()
        return
    found = resume(NAME, weights=narrow)
    assert calls[:2] == [None, 32]
    assert found.stopped == "evaluations"
    counts = [scale.evaluations for scale in found.recipe.scales]
    assert counts == [before.evaluations, 8 - before.evaluations]
    assert [scale.reason for scale in found.recipe.scales] == ["out of memory", "evaluations"]


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
def test_no_memory_twice_in_a_row(run, narrow, short, solver) -> None:
    """In the first evaluation in smaller tiles, too: still smaller ones, from the same canvas."""
    calls = short(4, 5)
    settings = ONE_SCALE["settings"] | {"solver": solver}
    found = run(settings=settings)
    assert calls == [None] * 4 + [32] + [16] * 5
    assert [(scale.evaluations, scale.reason) for scale in found.recipe.scales] == [
        (3, "out of memory"),
        (5, "evaluations"),
    ]
    losses = [row.losses["total"] for row in found.history]
    assert losses[3] == pytest.approx(min(losses[:3]), rel=1e-3)


@pytest.mark.parametrize("numbers", [(4, 7, 10), (4, 5, 6)])
def test_where_no_smaller_tile_is_left_the_best_canvas_is_the_result(run, short, numbers) -> None:
    calls = short(*numbers)
    found = run(**ONE_SCALE)
    assert calls[-1] == 16
    assert found.stopped == "out of memory"
    assert not found.recipe.reproducible
    assert len(found.history) == len(calls) - 3
    assert found.recipe.scales[-1].reason == "out of memory"
    losses = [row.losses["total"] for row in found.history]
    assert found.recipe.losses["total"] in losses


def test_stop_before_the_first_evaluation_in_smaller_tiles(run, narrow, short) -> None:
    """The best canvas from before is the result, and it can be resumed."""
    short(4)
    whole = run(**ONE_SCALE)
    short(4)
    steps = []

    def on_part() -> None:
        if len(steps) == 3:
            raise Stop("interrupted")

    stopped = run(**ONE_SCALE, checkpoint=NAME, on_part=on_part, on_step=steps.append)
    assert (stopped.stopped, len(stopped.history)) == ("interrupted", 3)
    assert [scale.reason for scale in stopped.recipe.scales] == ["out of memory"]
    saved = unfinished(NAME)
    saved.checkpoints.release()
    assert (saved.state.spent, saved.state.tracking.count, saved.state.tile) == (3, 0, 32)
    same(resume(NAME, weights=narrow), whole)

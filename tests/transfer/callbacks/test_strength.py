"""The strength: the ratio is the neutral evaluator's, the weights follow it, and the recipe repeats them."""

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import impasto
from impasto.cli.flags import Flags
from impasto.cli.settings_sources import gather
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, SettingsError, Stop
from impasto.image.picture import Picture
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import ScaledInputs, StyleUse
from impasto.losses.build import build_losses, layers_of
from impasto.losses.loss import Penalty
from impasto.losses.objective import Objective, prepare
from impasto.optim.tracking import Tracking
from impasto.transfer.callbacks import checkpoints, strength
from impasto.transfer.callbacks.base import Callback
from impasto.transfer.callbacks.strength import StyleRatio, goal_of, ratio_of
from impasto.transfer.callbacks.strength_control import (
    equilibrium_weight,
    is_close_enough,
    log_weight_correction,
    predicted_log_ratio,
    starting_weight,
)
from impasto.transfer.reproduce import reproduce
from impasto.transfer.resume import resume
from impasto.transfer.run import Run
from impasto.transfer.runtime import resolve
from impasto.transfer.stylize import default_callbacks, paint, stylize
from reference import neutral
from transfer.repeating import repeated
from transfer.test_stylize import PAINTING, PHOTO

ONE = Runtime(device="cpu", threads=1, precision="fp32")
NAME = "run.checkpoint"
SMALL = {"size": 48, "min_size": 24, "evaluations": 20, "strength": 2.0}


@pytest.fixture
def small(narrow, tmp_path, monkeypatch):
    """A function that makes a quick run, measured with the narrow network too."""
    monkeypatch.setattr(strength, "load_weights", lambda: narrow)
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1.0)
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(PHOTO)
    Path("painting.png").write_bytes(PAINTING)

    def make(settings=None, **options):
        options = {"weights": narrow, "runtime": ONE} | options
        values = Settings(**(SMALL | (settings or {})))
        return stylize("photo.png", "painting.png", values, **options)

    return make


# --- what is measured ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_ratio_is_the_neutral_evaluators(weights, random_image, tmp_path) -> None:
    """Of several paintings too, whole and in tiles, for a file as it was saved."""
    files = []
    for seed, name in enumerate(("result", "photo", "one", "two")):
        Picture.from_tensor(random_image(64, 80, seed)).save(tmp_path / f"{name}.png")
        files.append(tmp_path / f"{name}.png")
    images = [Picture.open(path).tensor(80, 64) for path in files]
    network = prepare(weights, pooling="max", padding="zero", precision="fp32", device="cpu")
    for styles in (1, 2):
        score = neutral.score(*files[: 2 + styles])
        shares = torch.full((styles,), 1 / styles)
        targets = ScaledInputs(images[1], tuple(images[2 : 2 + styles]), shares, None)
        for tile in (0, 32):
            found = ratio_of(StyleRatio(network, targets, tile)(images[0]))
            assert found == pytest.approx(score["style"] / score["content"], rel=1e-3)


def test_where_the_photo_is_unchanged_there_is_no_ratio(narrow, random_image) -> None:
    network = prepare(narrow, pooling="max", padding="zero", precision="fp32", device="cpu")
    photo, painting = random_image(32, 32), random_image(32, 32, 1)
    meter = StyleRatio(network, ScaledInputs(photo, (painting,), torch.ones(1), None))
    assert ratio_of(meter(photo)) is None
    assert ratio_of((5e-324, 1e9)) is None  # nor where it is as good as infinite
    assert ratio_of((2.0, 1.0)) == 0.5


def test_a_photo_that_is_its_own_painting(small, narrow, caplog) -> None:
    """Nothing changes, the recipe is written all the same, and can be read."""
    Path("same.png").write_bytes(Path("photo.png").read_bytes())
    exact = {"init": "content", "style_statistic": "gram", "grain": 0, "convention": "gatys"}  # not softened
    settings = Settings(**(SMALL | {"size": 64, "min_size": 64} | exact))
    found = stylize("photo.png", "same.png", settings, weights=narrow, runtime=ONE)
    assert found.recipe.calibration.achieved is None
    assert Recipe.from_json(found.recipe.to_json()) == found.recipe
    assert "strength 2 has nothing to balance: the photo is unchanged" in caplog.text


def test_each_region_is_measured_beside_its_own_painting(narrow, random_image) -> None:
    """In all five layers, whatever the run has; what is protected as the photo. By straight code."""
    network = prepare(narrow, pooling="max", padding="zero", precision="fp32", device="cpu")
    photo, canvas = random_image(32, 64, 1), random_image(32, 64, 2)
    paintings = random_image(32, 32, 3), random_image(32, 32, 4)
    left = torch.zeros(1, 1, 32, 64)
    left[..., :16] = 1.0
    masks, kept = (left, 1 - left), torch.zeros(1, 1, 32, 64)
    kept[..., 40:48] = 0.5
    uses = tuple(StyleUse(mask=name, layers=(("relu1_1", 9.0),)) for name in ("one", "two"))
    given = torch.tensor([0.5, 0.5]), None, uses, masks, (None, None), ("a", "b"), kept
    found = StyleRatio(network, ScaledInputs(photo, paintings, *given))(canvas)
    seen = torch.where(kept > 0, (canvas + photo) / 2, canvas)
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    features = [network.forward(x, (*layers, "relu4_2")).features for x in (seen, photo, *paintings)]
    content = 5 * (features[0]["relu4_2"] - features[1]["relu4_2"]).square().mean().item()
    style = 0.0
    for layer in layers:
        flat = features[0][layer][0]  # (C, h, w)
        edge = flat.shape[2] // 4
        for painted, part, share in (
            (features[2], flat[..., :edge], 0.25),
            (features[3], flat[..., edge:], 0.75),
        ):
            grams = [f.flatten(1) @ f.flatten(1).T / f[0].numel() for f in (part, painted[layer][0])]
            off = (grams[0] - grams[1]).square().sum().item() / len(flat) ** 4
            style += 100 * share * off
    assert found == pytest.approx((content, style), rel=1e-4)


def test_parts_without_a_gradient_are_those_of_an_evaluation(narrow, random_image) -> None:
    network = prepare(narrow, pooling="average", padding="zero", precision="fp32", device="cpu")
    targets = ScaledInputs(random_image(48, 48), (random_image(40, 48, 1),), torch.ones(1), None)
    losses = build_losses(network, targets, Settings(total_variation=3.0))
    for tile in (None, 32):
        objective = Objective(network, losses, tile)
        canvas = random_image(48, 48, 2)
        expected = objective(canvas).parts
        assert objective.values(canvas) == pytest.approx(dict(expected), rel=1e-5)


# --- the law -------------------------------------------------------------------------------------


def test_what_a_strength_asks_for() -> None:
    assert [goal_of(value) for value in (0.5, 1, 2)] == pytest.approx([8, 2, 0.5])


def test_the_course_of_the_ratio() -> None:
    assert predicted_log_ratio(20, 1.0, 1.0, 60) == pytest.approx(0.0)  # at rest at the goal
    assert predicted_log_ratio(60, 3.0, 7.0, 60) == pytest.approx(math.log(3))  # nothing more to come
    # Far from rest it falls, or rises, with a power of the evaluations.
    assert predicted_log_ratio(20, 1.0, 1e9, 60) == pytest.approx(-1.2 * math.log(3))
    assert predicted_log_ratio(20, 1.0, 1e-9, 60) == pytest.approx(1.2 * math.log(3))
    assert predicted_log_ratio(20, 1.0, 1e9, 100_000) == pytest.approx(-1.2 * math.log(1.5))  # a time budget
    # In finer steps, by straight code: e = 2 sqrt(ratio).
    now = math.log(3.0)
    for _ in range(100_000):
        excess = 2 * math.sqrt(math.exp(now))
        now += -1.2 * (excess - 1) / (excess + 1) * math.log(2) / 100_000
    assert predicted_log_ratio(20, 3.0, 2.0, 40) == pytest.approx(now, abs=0.01)


def test_the_first_weight_is_that_which_the_course_asks_for() -> None:
    for ratio in (0.3, 1.0, 6.0):
        assert predicted_log_ratio(10, ratio, starting_weight(10, ratio, 60), 60) == pytest.approx(
            0.0, abs=1e-3
        )
    assert starting_weight(10, 1.0, 60) == pytest.approx(1.0, rel=1e-3)
    assert starting_weight(10, 6.0, 12) == pytest.approx(math.exp(2), rel=1e-3)  # out of reach: all it may
    assert starting_weight(10, 1e-9, 60) == pytest.approx(math.exp(-2), rel=1e-3)


def test_when_it_is_enough() -> None:
    assert is_close_enough(45, 1.05, 60)
    assert not is_close_enough(44, 1.0, 60)
    assert not is_close_enough(54, 1.07, 60)
    assert not is_close_enough(54, 0.93, 60)


def test_the_weight_goes_where_the_ratio_has_to() -> None:
    assert log_weight_correction(50, 2.0, 0.7, 60) > 0  # too much of the style is left: more weight
    assert log_weight_correction(50, 0.5, 1.4, 60) < 0
    assert log_weight_correction(30, 1.0, 1.0, 60) == 0.0
    assert log_weight_correction(20, 1.5, 3.0, 60) < 0  # above the goal, but it would fall below
    # Below the goal at rest: as much as the ratio answers to the weight, 0.75 of it in logarithms.
    assert log_weight_correction(30, 0.8, 0.8**-0.5, 60) == pytest.approx(math.log(0.8) / 0.75)
    for ratio in (0.0, math.inf, 1e300):
        for away in (1e-9, 1.0, 1e9):
            assert abs(log_weight_correction(9, ratio, away, 60)) <= 1.2


def test_the_weight_with_which_a_ratio_comes_to_rest() -> None:
    """Along style = content^-p the least of content + b style lies at content^(p+1) = p b, by hand."""
    for goal in (0.25, 1.0):
        power = 3.4 / math.sqrt(goal)
        content = goal ** (-1 / (power + 1))  # style / content = content^-(p+1)
        style = content**-power
        weight = content ** (power + 1) / power
        assert equilibrium_weight((content, style), (content, style), goal) == pytest.approx(weight)
        # In other units of the run's own: twice the content, a hundredth of the style.
        found = equilibrium_weight((2 * content, style / 100), (content, style), goal)
        assert found == pytest.approx(200 * weight)
    for terms in ((0.0, 1.0), (1.0, math.inf), (1.0, 0.0)):
        assert equilibrium_weight((1.0, 1.0), terms, 1.0) is None


def test_when_it_is_measured() -> None:
    def all_of(passes):
        found = [0]
        while found[-1] < passes:
            found.append(strength._next(found[-1], passes))
        return found[1:-1]

    assert all_of(60) == [10, 15, 22, 32, *range(45, 60, 2)]
    assert all_of(25) == [10, 15, 19, 21, 23]
    assert all_of(200)[-9:] == [133, 150, 157, 164, 171, 178, 185, 192, 199]
    assert all_of(9) == []
    assert len(all_of(100_000)) < 50


class Turn(Callback):
    """Changes the style's weight after some evaluations, and looks at the run before and after."""

    def __init__(self, after: int, factor: float, check) -> None:
        self.after, self.factor, self.check, self.done = after, factor, check, False

    def on_iteration(self, run: Run) -> None:
        if self.done or run.state.tracking.count < self.after:
            return
        self.done = True
        tracking = run.state.tracking
        tracking.failures, tracking.failed, tracking.round_start = 2, 0.5, 9.0
        before = replace(tracking), dict(run.solver.state_dict())
        run.reweigh(
            [
                replace(loss, weight=loss.weight * self.factor) if loss.name.startswith("style") else loss
                for loss in run.objective.losses
            ]
        )
        self.check(run, *before)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_state_is_carried_over_to_other_weights(solver, narrow) -> None:
    """The best canvas has the loss that an evaluation with the new weights finds; the memory stays."""
    checked = []

    def check(run: Run, tracking: Tracking, state: dict) -> None:
        now, after = run.state.tracking, run.solver.state_dict()
        evaluation = run.objective(now.best_canvas)
        assert now.best.loss == pytest.approx(evaluation.loss, rel=1e-5)
        assert now.best.parts == pytest.approx(dict(evaluation.parts), rel=1e-5)
        assert now.best.loss != pytest.approx(tracking.best.loss, rel=1e-3)
        assert now.best_canvas is tracking.best_canvas
        assert (now.count, now.failures, now.round_start) == (tracking.count, 0, math.inf)
        assert math.isnan(now.failed)
        gone = {"gradient", "loss", "failures"} if solver == "lbfgs" else set()
        assert set(state) - set(after) == gone
        assert ("step.0" in after) == (solver == "lbfgs")
        for name, item in after.items():
            assert torch.equal(item, state[name]) if torch.is_tensor(item) else item == state[name]
        snapshot = run.snapshot()  # as of now, not of before the change
        assert snapshot.tracking.best.loss == now.best.loss
        assert set(snapshot.solver) == set(after)
        checked.append(now.count)

    settings = Settings(size=48, min_size=48, evaluations=12, solver=solver, style_weight=10.0)
    inputs = open_inputs(PHOTO, PAINTING, settings, None, None)
    own = Penalty(lambda features: features["image"].mean(), weight=3.0)
    run = Run(inputs, settings, resolve(ONE, settings), narrow, [own])
    run.callbacks = [Turn(7, 7.0, check)]
    paint(run)
    assert 7 <= checked[0] < 12
    assert len(run.state.history) == 12
    factor = 7.0
    before, after = run.state.history[checked[0] - 1], run.state.history[checked[0]]
    if solver == "lbfgs":  # evaluates its canvas anew, in other weights
        assert after.losses["style"] == pytest.approx(before.losses["style"] * factor, rel=1e-3)
        assert after.losses["penalty"] == pytest.approx(before.losses["penalty"], rel=1e-5)


def test_checkpoints_come_before_the_strength(narrow) -> None:
    """What is saved between two steps is of the weights that led there."""
    settings = Settings(**SMALL)
    inputs = open_inputs(PHOTO, PAINTING, settings, None, None)
    run = Run(inputs, settings, resolve(ONE.changed(budget=9.0), settings), narrow)
    own = checkpoints.Checkpoints(enabled=False)
    names = [type(item).__name__ for item in default_callbacks(run, own, print)]
    assert names == ["OnStep", "TimeBudget", "Checkpoints", "StrengthControl"]


# --- a run ---------------------------------------------------------------------------------------


def test_the_recipe_says_what_was_set_and_reached(small, caplog) -> None:
    with caplog.at_level(impasto.messages.NOTE, "impasto"):
        found = small()
    calibration = found.recipe.calibration
    assert calibration.goal == goal_of(2.0)
    for scale in (1, 2):
        here = [item for item in calibration.stretches if item.scale == scale]
        assert [item.after for item in here][:: len(here) - 1] == [0, 20]
        assert here[0].ratio is None
        assert all(item.ratio > 0 for item in here[1:])
        assert here[-1].style_weight == here[-2].style_weight
    assert calibration.stretches[0].style_weight == 100.0
    assert len({item.style_weight for item in calibration.stretches}) > 2
    assert {item.content_weight for item in calibration.stretches} == {1.0}
    assert [len([r for r in found.history if r.scale == n]) for n in (1, 2)] == [20, 20]
    assert Recipe.from_json(found.recipe.to_json()) == found.recipe
    said = [r.getMessage() for r in caplog.records if r.levelno == impasto.messages.NOTE]
    last = calibration.stretches[-1]
    assert len(said) == 1
    assert said[0].startswith("strength 2: content weight 1, style weight ")
    assert f", then {last.style_weight:g}; style to content {last.ratio:.3g} of 0.5" in said[0]


def test_the_reported_losses_are_in_the_weights_of_their_time(small) -> None:
    found = small({"min_size": 48})
    one, two = found.recipe.calibration.stretches[:2]
    (turn,) = [r for r in found.history if r.evaluation == two.after + 1]
    (before,) = [r for r in found.history if r.evaluation == two.after]
    assert two.style_weight != one.style_weight
    factor = two.style_weight / one.style_weight
    assert turn.losses["style"] == pytest.approx(before.losses["style"] * factor, rel=1e-4)
    assert turn.losses["content"] == pytest.approx(before.losses["content"], rel=1e-4)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_made_again_without_measuring(small, narrow, monkeypatch, solver) -> None:
    first = small({"solver": solver})
    first.save("out.png")

    def refuse(*anything, **more):
        raise AssertionError("measured")

    monkeypatch.setattr(strength, "StyleRatio", refuse)
    again = reproduce("out.png", weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256
    assert again.recipe.calibration == first.recipe.calibration


class KilledError(BaseException):
    """In place of a kill."""


def killed_and_resumed(small, narrow, solver, number, *, stop=False):
    """Return the result of a run that is killed or stopped after so many evaluations and then resumed."""

    def kill(step):
        if step.evaluations == number:
            raise Stop("interrupted") if stop else KilledError

    Path(NAME).unlink(missing_ok=True)
    with contextlib.suppress(KilledError):
        small({"solver": solver}, checkpoint=NAME, on_step=kill)
    return resume(NAME, weights=narrow)


@pytest.mark.parametrize("stop", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("solver", ["lbfgs", pytest.param("adam", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "numbers",
    [
        (11, 21, 31),
        pytest.param(range(8, 18), marks=pytest.mark.slow),
        pytest.param(range(18, 25), marks=pytest.mark.slow),
        pytest.param((30, 31, 32, 39, 40), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_ends_in_the_same_bytes(small, narrow, solver, numbers, stop) -> None:
    """Through the checkpoint of the last iteration, and through that which a `Stop` writes."""
    whole = small({"solver": solver})
    for number in numbers:
        found = killed_and_resumed(small, narrow, solver, number, stop=stop)
        assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256, number
        assert found.recipe.calibration == whole.recipe.calibration, number
        assert [dict(r.losses) for r in found.history] == [dict(r.losses) for r in whole.history]


@pytest.mark.slow
def test_stopped_while_it_measures(small, narrow) -> None:
    """It measures again when it is resumed."""
    runtime = {"runtime": ONE.changed(tile=32)}
    whole = small(**runtime)
    measured = [item.after for item in whole.recipe.calibration.stretches if item.scale == 1]
    original, calls = StyleRatio.__call__, []

    def interrupted(self, canvas):
        calls.append(True)
        if len(calls) == 2:
            raise Stop("interrupted")
        return original(self, canvas)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StyleRatio, "__call__", interrupted)
        stopped = small(**runtime, checkpoint=NAME)
    assert stopped.stopped == "interrupted"
    assert len(stopped.history) >= measured[2]
    assert [item.after for item in stopped.recipe.calibration.stretches] == measured[:2]
    found = resume(NAME, weights=narrow)
    assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256
    assert found.recipe.calibration == whole.recipe.calibration


@pytest.mark.parametrize("reason", ["interrupted", "evaluations"])
def test_what_is_measured_at_the_end_belongs_to_finished_scales_only(small, reason) -> None:
    """Not to one that the caller stopped, whatever word that is given."""

    def stop(step):
        if step.evaluations == 27:
            raise Stop(reason)

    found = small(on_step=stop)
    assert found.stopped == reason
    after = [(item.scale, item.after) for item in found.recipe.calibration.stretches]
    assert (1, 20) in after
    assert after[-1][0] == 2
    assert after[-1][1] < 7


def test_where_no_smaller_tile_is_left_nothing_more_is_measured(small, monkeypatch) -> None:
    original, calls = Objective.__call__, []

    def short(self, canvas):
        calls.append(self.tile)
        if len(calls) > 13:
            raise MemoryError
        return original(self, canvas)

    monkeypatch.setattr(Objective, "__call__", short)
    monkeypatch.setattr(impasto.transfer.memory, "EDGES", (32, 16), raising=False)
    found = small({"size": 64, "min_size": 64})
    assert found.stopped == "out of memory"
    assert calls[-3:] == [None, 32, 16]
    assert len(found.history) == 13
    assert found.recipe.calibration.stretches[-1].after <= 13


def test_scipys_solver_is_refused(small) -> None:
    with pytest.raises(InputError, match=r"strength: SciPy's solver .*take --solver lbfgs or adam"):
        small({"solver": "scipy"})
    with pytest.raises(InputError, match="strength"):
        small({"solver": "scipy", "bounded": False})


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_scale_ends_at_the_goal(small, narrow, monkeypatch, solver) -> None:
    """It is made again, and resumed from before its end, to the same bytes."""
    monkeypatch.setattr(strength, "is_close_enough", lambda count, ratio, passes: count >= 14)
    whole = small({"solver": solver})
    ended = [scale.evaluations for scale in whole.recipe.scales]
    assert all(14 <= count < 20 for count in ended)
    assert whole.stopped == "strength reached"
    assert [item.after for item in whole.recipe.calibration.stretches if item.ratio][-1] == ended[1]
    whole.save("out.png")
    again = reproduce("out.png", weights=narrow)
    assert again.recipe.pixels_sha256 == whole.recipe.pixels_sha256
    found = killed_and_resumed(small, narrow, solver, ended[0] + 1)
    assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256
    assert found.recipe.calibration == whole.recipe.calibration


def test_made_again_and_interrupted(small, narrow) -> None:
    first = small()

    def kill(step):
        if step.evaluations == 13:
            raise KilledError

    with contextlib.suppress(KilledError):
        repeated(
            first.recipe, "photo.png", "painting.png", weights=narrow, on_step=kill,
            checkpoints=checkpoints.Checkpoints(NAME),
        )  # fmt: skip
    found = resume(NAME, weights=narrow)
    assert found.recipe.pixels_sha256 == first.recipe.pixels_sha256
    assert found.recipe.calibration == first.recipe.calibration


def test_stopped_it_keeps_the_best(small) -> None:
    def stop(step):
        if step.evaluations == 10:
            raise Stop

    assert small(on_step=stop).stopped == "stop"


def test_under_a_budget(small) -> None:
    found = small(runtime=ONE.changed(budget=2.0))
    assert found.recipe.calibration.stretches[-1].ratio > 0
    assert found.stopped == "budget"


def test_smaller_tiles_where_memory_runs_out(small, monkeypatch) -> None:
    original, calls = Objective._value, []

    def short(self, statistics):
        calls.append(self.tile)
        if len(calls) == 13 and self.tile is None:
            raise MemoryError
        return original(self, statistics)

    monkeypatch.setattr(Objective, "_value", short)
    monkeypatch.setattr(impasto.transfer.memory, "EDGES", (32, 24), raising=False)
    found = small({"size": 64, "min_size": 64})
    assert [scale.reason for scale in found.recipe.scales] == ["out of memory", "evaluations"]
    assert found.recipe.calibration.stretches[-1].after == 20


def test_without_a_strength_nothing_of_it_is_run(small, monkeypatch) -> None:
    monkeypatch.setattr(strength, "StrengthControl", None)
    found = small({"strength": None})
    assert found.recipe.calibration is None


# --- with other settings -------------------------------------------------------------------------


def test_it_wants_both_terms_and_the_evaluators_layers() -> None:
    for values in ({"content_weight": 0}, {"style_layers": {"relu1_1": 0.0}}):
        with pytest.raises(SettingsError, match="strength balances photo and painting"):
            Settings(strength=1, **values)
    settings = Settings(strength=1, content_layers=["relu1_2"], style_layers=["relu1_1"])
    assert layers_of(settings, ())[-1] == "relu5_1"


def test_weights_given_where_it_is_given() -> None:
    with pytest.raises(InputError, match=r"--strength sets the weights itself.*--style-weight"):
        gather(Flags.of({"strength": 1.0, "style_weight": 5.0}), {})


def test_what_is_asked_for_last_counts(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text("strength = 2.0\nstyle_weight = 50.0\n")
    both = gather(Flags.of({"settings": "x.toml"}), {}).settings
    assert (both.strength, both.style_weight) == (2.0, 50.0)  # as in the recipe of a picture
    over = gather(Flags.of({"settings": "x.toml", "style_weight": "70"}), {})
    assert (over.settings.strength, over.settings.style_weight) == (None, 70.0)
    assert over.origins["strength"] == "--style-weight"
    assert gather(Flags.of({"strength": "3"}), {"IMPASTO_STYLE_WEIGHT": "7"}).settings.strength == 3.0


# --- the promise ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_ratio_at_every_size_and_pooling(images, tmp_path) -> None:
    """By the neutral evaluator, in the saved file; within 15 % of one another."""
    found = {}
    for size, pooling in ((128, "max"), (128, "average"), (256, "average")):
        settings = Settings(strength=1, size=size, pooling=pooling)
        photo, painting = (images / f"{name}.jpg" for name in ("tubingen", "starry_night"))
        scored = []  # what the network sees: the evaluator resizes nothing
        for path, kernel in ((photo, "lanczos3"), (painting, "linear")):
            picture = Picture.open(path)
            edge = impasto.image.pixels.fit(picture.width, picture.height, size)
            scored.append(tmp_path / f"{path.name}-{size}-{pooling}.png")
            Picture.from_tensor(picture.tensor(*edge, kernel=kernel)).save(scored[-1])
        out = tmp_path / f"{size}-{pooling}.png"
        stylize(photo, painting, settings, runtime=Runtime(threads=1)).save(out)
        score = neutral.score(out, *scored)
        found[size, pooling] = score["style"] / score["content"]
    assert max(found.values()) < 1.15 * min(found.values()), found
    assert found[128, "max"] == pytest.approx(goal_of(1), rel=0.15)

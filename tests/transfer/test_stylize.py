import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, NumericalError, Stop
from impasto.losses.loss import Penalty
from impasto.optim.curvature import Curvature
from impasto.transfer.stylize import stylize
from reference import neutral
from reference.soak import soak
from transfer.repeating import repeated

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def png(width: int, height: int, seed: int = 0, *, alpha: bool = False, flat: bool = False):
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    if flat:
        picture = Image.new("RGB", (width, height), (30, 90, 200))
    if alpha:
        ramp = np.linspace(0, 255, width * height).astype(np.uint8).reshape(height, width)
        picture.putalpha(Image.fromarray(ramp))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


PHOTO, PAINTING, OTHER = png(64, 48, 1), png(50, 64, 2), png(40, 40, 3)


@pytest.fixture
def run(narrow):
    def make(content=PHOTO, style=PAINTING, settings=None, *, runtime=FP32, **options):
        values = {"size": 48, "evaluations": 4} | (settings or {})
        options = {"weights": narrow, "runtime": runtime} | options
        return stylize(content, style, Settings(**values), **options)

    return make


def array(result) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.picture.encode(".png"))))


def test_result_history_and_recipe(run, narrow) -> None:
    steps = []
    result = run(settings={"total_variation": 3.0}, on_step=steps.append)
    assert (result.picture.width, result.picture.height) == (48, 36)
    assert len(steps) == len(result.history) == 4
    for row, step in zip(result.history, steps, strict=True):
        losses = row.losses
        assert dict(losses) == dict(step.losses)
        parts = losses["content"] + losses["style"] + losses["total_variation"] + losses["grain"]
        assert parts == pytest.approx(losses["total"], rel=1e-5)
        layers = sum(value for name, value in losses.items() if name.startswith("style."))
        assert layers == pytest.approx(losses["style"], rel=1e-6)
    assert [step.iteration for step in steps] == [1, 2, 3, 4]
    assert {(s.scale, s.scales, s.planned, s.width, s.height, s.round) for s in steps} == {
        (1, 1, 4, 48, 36, 1)
    }
    recipe = result.recipe
    assert recipe.content.sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert recipe.styles[0].sha256 == hashlib.sha256(PAINTING).hexdigest()
    assert (recipe.content.width, recipe.content.height) == (64, 48)
    digest = hashlib.sha256()
    for name in sorted(narrow):
        digest.update(name.encode() + narrow[name].numpy().tobytes())
    assert (recipe.weights, recipe.weights_sha256) == ("given", digest.hexdigest())
    assert recipe.settings == Settings(size=48, evaluations=4, total_variation=3.0)
    assert recipe.runtime == FP32.changed(kernels="winograd")
    assert (recipe.impasto, recipe.stopped) == (impasto.__version__, "evaluations")
    assert recipe.reproducible
    assert [(s.width, s.height, s.evaluations) for s in recipe.scales] == [(48, 36, 4)]
    assert recipe.losses["total"] == min(row.losses["total"] for row in result.history)
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
def test_same_recipe_same_bytes(run, solver) -> None:
    settings = {"solver": solver, "init": "noise", "seed": 5, "min_size": 24}
    for runtime in (FP32, Runtime(device="cpu", threads=2)):
        one, two = (run(settings=settings, runtime=runtime) for _ in range(2))
        assert one.picture.encode() == two.picture.encode()
        assert one.recipe.losses == two.recipe.losses
    other = run(settings=settings | {"seed": 6})
    assert other.picture.encode() != one.picture.encode()


def test_scales_and_stop_keeps_a_full_size_picture(run) -> None:
    steps = []
    full = run(settings={"min_size": 24}, on_step=steps.append)
    assert [(s.width, s.height) for s in full.recipe.scales] == [(24, 18), (48, 36)]
    assert [s.evaluations for s in steps] == list(range(1, 9))
    assert {s.planned for s in steps} == {8}

    def stop(step) -> None:
        if step.evaluations == 2:
            raise Stop

    result = run(settings={"min_size": 24}, on_step=stop)
    assert (result.picture.width, result.picture.height) == (48, 36)
    assert (result.stopped, len(result.history)) == ("stop", 2)
    assert not result.recipe.reproducible


def test_no_step_is_worked_out_after_the_last_evaluation(run, monkeypatch) -> None:
    directions, original = [], Curvature.direction
    counting = lambda *arguments: directions.append(1) or original(*arguments)  # noqa: E731
    monkeypatch.setattr(Curvature, "direction", counting)
    for evaluations in (1, 2):
        result = run(settings={"evaluations": evaluations, "min_size": 48})
        assert (len(result.history), result.stopped) == (evaluations, "evaluations")
        assert len(directions) == evaluations - 1


def test_shares_of_several_styles(run) -> None:
    def painted(a: float, b: float) -> bytes:
        return run(style=[Style(PAINTING, a), Style(OTHER, b)]).picture.encode()

    assert painted(3, 1) == painted(6, 2) == painted(0.75, 0.25)
    assert painted(3, 1) != painted(1, 3)
    assert painted(1, 0) == run(style=PAINTING).picture.encode()
    recipe = run(style=[Style(PAINTING, 3), Style(OTHER, 1)]).recipe
    assert [style.weight for style in recipe.styles] == [3, 1]  # as given, to repeat the rounding


def test_either_weight_may_be_zero(run) -> None:
    style_only = run(settings={"content_weight": 0, "init": "noise"})
    assert "content" not in style_only.history[0].losses
    content_only = run(settings={"style_weight": 0, "init": "noise"})
    assert set(content_only.recipe.losses) == {"total", "content", "content.relu4_2", "grain"}


@pytest.mark.parametrize("init", ["content", "matched", "noise", "gray", "style", "picture"])
def test_each_start(run, init) -> None:
    steps = []
    settings = {"init": init, "evaluations": 1}
    result = run(settings=settings, on_step=steps.append, init_picture=OTHER)
    assert result.picture.width == 48
    assert (result.recipe.init_picture is not None) == (init == "picture")
    if init == "content":
        assert result.history[0].losses["content"] == 0
    else:
        assert result.history[0].losses["content"] > 0
    if init == "picture":
        assert result.recipe.init_picture.sha256 == hashlib.sha256(OTHER).hexdigest()


def test_start_without_its_picture_is_refused(run) -> None:
    with pytest.raises(InputError, match="init"):
        run(settings={"init": "picture"})


def test_alpha_is_kept(run) -> None:
    content = png(48, 36, 1, alpha=True)
    found = array(run(content))
    assert np.array_equal(found[..., 3], np.asarray(Image.open(io.BytesIO(content)))[..., 3])


def test_penalty_takes_part(run) -> None:
    dark = Penalty(lambda features: features["image"].mean() ** 2, weight=1e10)
    result = run(settings={"evaluations": 15, "grain": 0}, extra_losses=[dark])
    assert not result.recipe.reproducible
    assert result.recipe.losses["penalty"] < 0.5 * result.history[0].losses["penalty"]
    for row in result.history:
        parts = row.losses["content"] + row.losses["style"] + row.losses["penalty"]
        assert parts == pytest.approx(row.losses["total"], rel=1e-5)


def test_two_losses_of_one_name_are_refused(run) -> None:
    with pytest.raises(InputError, match="penalty"):
        run(extra_losses=[Penalty(lambda f: f["image"].mean()) for _ in range(2)])


@pytest.mark.parametrize("style", [PHOTO, png(48, 48, flat=True)], ids=["identical", "flat"])
def test_strange_paintings_work(run, style) -> None:
    result = run(style=style)
    assert np.isfinite(result.recipe.losses["total"])


def test_thin_photo_works_or_names_the_size(run) -> None:
    assert run(png(17, 40), settings={"size": 40}).picture.width == 17
    with pytest.raises(InputError, match=r"--size (\d+)") as caught:
        run(png(17, 60), settings={"size": 40})
    size = int(str(caught.value).rpartition("--size ")[2].rstrip(")"))
    assert run(png(17, 60), settings={"size": size}).picture.height == size
    with pytest.raises(InputError, match=r"too thin|--size"):
        run(png(17, 60), settings={"size": size - 1})
    with pytest.raises(InputError, match="too thin"):
        run(png(1, 10000), settings={"size": 400})


def test_no_style_and_bad_shares_are_refused(run) -> None:
    with pytest.raises(InputError, match="no painting"):
        run(style=[])
    with pytest.raises(InputError, match="above 0"):
        run(style=[Style(PAINTING, 0)])


def test_preset_paper_is_scipy_unbounded(narrow) -> None:
    settings = Settings.preset("paper", size=48, evaluations=12)
    seen = []
    options = {"weights": narrow, "runtime": Runtime(device="cpu", threads=1)}
    result = stylize(PHOTO, PAINTING, settings, on_step=lambda s: seen.append(s._canvas.clone()), **options)
    assert result.recipe.runtime.precision == "fp32"
    assert (settings.solver, settings.bounded) == ("scipy", False)
    assert any(x.min() < 0 or x.max() > 1 for x in seen)
    start = torch.rand(seen[0].shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], start)


@pytest.mark.slow
def test_default_loss_falls_to_half_of_the_bare_photos(weights) -> None:
    photo = stylize(
        PHOTO, PAINTING, Settings(size=64, evaluations=1, init="content"), runtime=FP32, weights=weights
    )
    result = stylize(PHOTO, PAINTING, Settings(size=64, evaluations=20), runtime=FP32, weights=weights)
    assert result.recipe.losses["total"] < 0.5 * photo.history[0].losses["total"]


@pytest.mark.slow
def test_ours_against_scipy_and_saved_files(weights, images, tmp_path) -> None:
    photo, painting = (images / name for name in ("tubingen.jpg", "starry_night.jpg"))
    scored = []  # what the network sees: the evaluator resizes nothing
    for path, kernel in ((photo, "lanczos3"), (painting, "linear")):
        picture = impasto.Picture.open(path)
        size = impasto.image.pixels.fit(picture.width, picture.height, 128)
        scored.append(tmp_path / f"{path.name}.png")
        impasto.Picture.from_tensor(picture.tensor(*size, kernel=kernel)).save(scored[-1])
    base = {"content_weight": 5, "style_weight": 100, "init": "noise", "evaluations": 100}
    base |= {"size": 128, "min_size": 128, "style_statistic": "gram", "grain": 0}
    totals, scores = {}, {}
    for name, change in {
        "ours": {"bounded": False},
        "scipy": {"bounded": False, "solver": "scipy"},
        "bounded": {},
    }.items():
        runtime = Runtime(device="cpu", precision="fp32")
        result = stylize(photo, painting, Settings(**base, **change), runtime=runtime, weights=weights)
        saved = result.save(tmp_path / f"{name}.png")
        totals[name] = result.recipe.losses["total"]
        scores[name] = neutral.score(saved, *scored)["total"]
    assert totals["ours"] <= 1.02 * totals["scipy"], totals
    assert scores["bounded"] < min(scores["ours"], scores["scipy"]), scores
    assert scores["bounded"] == pytest.approx(totals["bounded"], rel=0.05)  # saved = optimised


# --- memory and time -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"init_noise": 0.5}, {"min_size": 64, "init": "noise"}, {"init_noise": 0.5, "solver": "adam"}],
)
def test_in_tiles_the_course_is_the_same(run, settings) -> None:
    # With noise: in flat parts the largest of four equal values is a matter of rounding.
    settings = {"size": 128, "content_layers": "relu2_1", "style_layers": "relu1_1,relu3_1"} | settings
    styles = [Style(PAINTING, 0.3), Style(OTHER, 0.7)]
    whole = run(png(96, 128, 4), styles, settings)
    tiled = run(png(96, 128, 4), styles, settings, runtime=FP32.changed(tile=32))
    for one, other in zip(whole.history, tiled.history, strict=True):
        assert other.losses == pytest.approx(one.losses, rel=1e-4, abs=1e-6)
    # Single pixels may part where their gradient is next to nothing, as with one thread and two.
    apart = np.abs(array(whole).astype(int) - array(tiled))
    assert (apart > 1).mean() < 0.001


def test_a_memory_limit_is_planned_for_and_its_plan_is_in_the_recipe(run, caplog, monkeypatch) -> None:
    from impasto.transfer import memory

    monkeypatch.setattr(memory, "EDGES", (64, 32))
    monkeypatch.setattr(memory, "MARGIN", 1.0)
    monkeypatch.setattr(memory, "TILED", 0)
    scale = [impasto.inputs.pyramid.Scale(160, 120)]
    layers = {"content_layers": "relu2_1", "style_layers": "relu1_1", "evaluations": 4}
    whole = memory.plan(scale, Settings(**layers), ["relu1_1", "relu2_1"], "fp32", 10**12)
    runtime = FP32.changed(memory_limit=whole.memory - 1, compact=False, pairs=10)
    result = run(png(160, 120), settings={"size": 160, "min_size": 160} | layers, runtime=runtime)
    assert result.recipe.runtime.tile in (64, 32)
    assert result.recipe.runtime.memory_limit is None
    assert "in tiles of" in caplog.text
    with pytest.raises(impasto.errors.ResourceError, match="--memory-limit"):
        run(runtime=FP32.changed(memory_limit=1000))


def test_compact_and_fewer_pairs_work_nearly_as_well(run) -> None:
    settings = {"evaluations": 15}
    full = run(settings=settings).recipe.losses["total"]
    lean = run(settings=settings, runtime=FP32.changed(compact=True, pairs=3))
    assert lean.recipe.losses["total"] == pytest.approx(full, rel=0.2)
    assert (lean.recipe.runtime.compact, lean.recipe.runtime.pairs) == (True, 3)


def test_out_of_memory_goes_on_in_smaller_tiles_from_the_best(run, monkeypatch, caplog) -> None:
    from impasto.losses.objective import Objective
    from impasto.transfer import memory

    monkeypatch.setattr(memory, "EDGES", (64, 32))
    monkeypatch.setattr(memory, "MARGIN", 1.0)
    original, calls = Objective.__call__, []

    def failing(self, canvas):
        calls.append(self.tile)
        if len(calls) == 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
        return original(self, canvas)

    monkeypatch.setattr(Objective, "__call__", failing)
    result = run(png(160, 120), settings={"size": 160, "min_size": 160, "evaluations": 6})
    assert calls == [None, None, None, 64, 64, 64, 64]
    assert result.stopped == "evaluations"
    assert not result.recipe.reproducible
    assert "out of memory; continuing in tiles of 64 px" in caplog.text
    losses = [row.losses["total"] for row in result.history]
    assert losses[2] == pytest.approx(min(losses[:2]), rel=1e-3)  # from the best so far


def test_no_memory_at_the_start_is_an_error_of_one_line(run, monkeypatch) -> None:
    def failing(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("impasto.transfer.run.build_losses", failing)
    with pytest.raises(impasto.errors.ResourceError, match=r"memory ran out.*--memory-limit"):
        run()


@pytest.mark.slow
def test_a_budget_is_kept_and_can_be_repeated(run, narrow) -> None:
    settings = {"size": 96, "min_size": 48}
    result = run(png(96, 96), settings=settings, runtime=FP32.changed(budget=3.0))
    assert result.stopped in ("budget", "no further decrease")
    assert [scale.width for scale in result.recipe.scales] == [48, 96]
    assert result.seconds < 3.6
    assert result.recipe.reproducible
    assert result.recipe.runtime.budget is None
    again = repeated(result.recipe, png(96, 96), PAINTING, weights=narrow)
    assert again.picture.encode() == result.picture.encode()


def test_with_a_budget_of_nothing_there_is_still_a_picture(run) -> None:
    settings = {"size": 64, "min_size": 32}
    result = run(settings=settings, runtime=FP32.changed(budget=0.001))
    assert result.picture.width == 64
    assert [scale.evaluations for scale in result.recipe.scales] == [1]
    assert result.recipe.reproducible


def test_emulated_bf16_is_said_with_its_cost(run, monkeypatch, caplog) -> None:
    monkeypatch.setattr(impasto.system.hardware, "fast_at_bf16", lambda device: False)
    monkeypatch.setattr(impasto.system.hardware, "cost_of_bf16", lambda device: 3.25)
    run(settings={"evaluations": 1}, runtime=FP32.changed(precision="bf16"))
    assert "emulated here: a convolution takes 3.2 times as long" in caplog.text
    caplog.clear()
    run(settings={"evaluations": 1})
    assert "emulated" not in caplog.text


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
@pytest.mark.parametrize("factor", [3.0, 0.1, 1e9, 7.77e-9])
def test_a_common_factor_of_all_weights_changes_no_byte(run, solver, factor) -> None:
    plain = {
        "solver": solver,
        "total_variation": 0.3,
        "convention": "jcjohnson",
        "evaluations": 8,
        "grain": 0,
    }
    weighed = {"content_weight": 5.0, "style_weight": 130.0, **plain}
    scaled = {
        name: value * factor if name.endswith(("weight", "variation")) else value
        for name, value in weighed.items()
    }
    one, other = run(settings=weighed), run(settings=scaled)
    assert one.recipe.pixels_sha256 == other.recipe.pixels_sha256
    for name, value in one.recipe.losses.items():
        assert other.recipe.losses[name] == pytest.approx(value * factor, rel=1e-5)


@pytest.mark.parametrize("factor", [3.0, 0.1, 1e9, 7.77e-9])
@pytest.mark.parametrize("convention", ["mean", "paper", "keras"])
def test_a_common_factor_of_layers_or_styles_changes_no_byte(run, convention, factor) -> None:
    layers = {"relu1_1": 0.2, "relu2_1": 1.3, "relu3_1": 7.0}
    settings = {"content_weight": 0.0, "convention": convention, "init": "noise", "grain": 0}
    one, other = (
        run(
            style=[Style(PAINTING, 0.3 * f), Style(OTHER, 0.7 * f)],
            settings={**settings, "style_layers": {n: w * f for n, w in layers.items()}},
        )
        for f in (1.0, factor)
    )
    assert one.recipe.pixels_sha256 == other.recipe.pixels_sha256


def failing(wanted, value=float("nan")):
    """Return a loss that is not finite where `wanted` says so of the canvas."""

    def function(features):
        image = features["image"]
        return image.square().mean() * (value if wanted(image) else 1.0)

    return Penalty(function, name="mine", weight=1.0)


def test_a_loss_that_stops_being_finite_ends_with_the_best_and_is_named(run) -> None:
    seen = []
    late = failing(lambda image: seen.append(1) or len(seen) > 3)
    result = run(settings={"evaluations": 40}, extra_losses=[late])
    assert (result.stopped, result.recipe.stopped) == ("not finite", "not finite")
    assert result.fault.startswith("the loss mine stopped being finite at evaluation")
    assert np.isfinite(result.recipe.losses["total"])
    assert result.recipe.losses["mine"] > 0
    assert not result.recipe.reproducible


def test_a_gradient_that_is_not_finite_at_the_start_is_named(run) -> None:
    """A root at zero: its value is fine, its slope is not."""
    root = Penalty(lambda features: features["image"].mul(0).sum().sqrt(), name="rough")
    with pytest.raises(NumericalError, match=r"^the gradient of the loss rough was not finite at"):
        run(extra_losses=[failing(lambda image: False), root])


def test_a_scale_that_cannot_begin_leaves_what_was_made_before_it(run) -> None:
    result = run(settings={"min_size": 24}, extra_losses=[failing(lambda image: image.shape[-1] > 24)])
    assert result.stopped == "not finite"
    assert result.fault.startswith("scale 2: the loss mine was not finite at the start")
    assert (result.picture.width, result.picture.height) == (48, 36)
    assert [scale.width for scale in result.recipe.scales] == [24]
    again = run(settings={"size": 24}, extra_losses=[failing(lambda image: False)])
    small = np.asarray(again.picture.pil().resize((48, 36), Image.Resampling.BICUBIC), float)
    assert abs(small - array(result)[..., :3]).mean() < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "edges"),
    [
        ({}, (152, 159)),
        soak({"pooling": "average"}, (145, 159)),
        soak({"padding": "replicate"}, (145, 159)),
        ({"padding": "reflect"}, (152, 159)),
    ],
    ids=["zero", "average", "replicate", "reflect"],
)
def test_all_four_sides_are_painted_alike_at_any_size(options, edges) -> None:
    """How far the outer 6 px move, over the inside; of a photo and of it turned: opposite sides have both."""
    if not CASES.exists():
        pytest.skip(f"no pictures in {CASES}: they belong to the workplace, not to this repository")
    photo = Image.open(CASES / "photo.jpg").convert("RGB")
    photo = photo.crop((0, 0, min(photo.size), min(photo.size)))

    def moved(edge: int) -> dict[str, float]:
        sides = dict.fromkeys(("left", "right", "top", "bottom"), 0.0)
        for turned in (photo, photo.transpose(Image.Transpose.ROTATE_180)):
            small = turned.resize((edge, edge), Image.Resampling.LANCZOS)
            settings = Settings(size=edge, min_size=edge, evaluations=15, **options)
            result = stylize(small, CASES / "painting.jpg", settings, runtime=FP32, checkpoint=False)
            away = np.abs(result.picture.array(8).astype(float) - np.asarray(small)).mean(2)
            inside = away[16:-16, 16:-16].mean()
            strips = away[:, :6], away[:, -6:], away[:6], away[-6:]
            for side, strip in zip(sides, strips, strict=True):
                sides[side] += strip.mean() / inside / 2
        return sides

    whole = moved(144)
    for edge in edges:
        found = moved(edge)
        assert found["right"] == pytest.approx(found["left"], rel=0.25), edge
        assert found["bottom"] == pytest.approx(found["top"], rel=0.25), edge
        for side, value in found.items():
            assert value == pytest.approx(whole[side], rel=0.25), (edge, side)

"""Colours in whole runs: what the network sees, what is saved, and that a recipe has it all."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from impasto.cli.app import main
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.inputs.colors import softened
from impasto.inputs.open import open_inputs
from impasto.transfer.callbacks import checkpoints
from impasto.transfer.grids import grid
from impasto.transfer.reproduce import reproduce
from impasto.transfer.resume import resume
from impasto.transfer.stylize import stylize
from inputs.test_cielab import lab, pixels
from transfer.test_stylize import OTHER, PAINTING, PHOTO, png

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
MODES = ("luminance", "match", "histogram")
SMALL = {"size": 48, "min_size": 24, "evaluations": 3}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, data in (("photo.png", PHOTO), ("painting.png", PAINTING), ("other.png", OTHER)):
        Path(name).write_bytes(data)
    return tmp_path


@pytest.fixture
def run(narrow):
    def make(content="photo.png", style="painting.png", **options):
        settings = Settings(**SMALL | options.pop("settings", {}))
        options = {"weights": narrow, "runtime": FP32, "checkpoint": False} | options
        return stylize(content, style, settings, **options)

    return make


def targets(content, style, **settings):
    """The inputs at both scales, coarse first."""
    settings = Settings(**SMALL | settings)
    inputs = open_inputs(content, style, settings, None)
    return [inputs.at(scale, "cpu") for scale in inputs.scales(settings, ["relu1_1"])]


def saved(result) -> torch.Tensor:
    return result.picture.tensor()


@pytest.mark.parametrize("mode", MODES)
def test_an_amount_of_0_is_the_style(run, mode) -> None:
    plain = run().recipe.pixels_sha256
    assert run(settings={"color": mode, "color_amount": 0}).recipe.pixels_sha256 == plain
    assert run(settings={"color": "style", "color_amount": 0.5}).recipe.pixels_sha256 == plain
    assert run(settings={"color": mode}).recipe.pixels_sha256 != plain


@pytest.mark.parametrize(("amount", "bounded"), [(1.0, True), (0.5, True), (1.0, False)])
def test_luminance_is_the_painted_pictures_and_chroma_the_photos(run, amount, bounded) -> None:
    """By the test's own Lab; what is optimised is the same, so the painted picture is that of `style`."""
    settings = {"bounded": bounded, "init": "noise"}
    painted = lab(pixels(saved(run(settings=settings))))
    result = run(settings=settings | {"color": "luminance", "color_amount": amount})
    photo = lab(pixels(Picture.open("photo.png").tensor(48, 36)))
    wanted = painted + amount * (photo - painted) * [0, 1, 1]
    got = lab(pixels(saved(result)))
    np.testing.assert_allclose(got[:, 0], painted[:, 0], atol=0.1)
    apart = np.hypot(*(got - wanted).T[1:])
    assert np.median(apart) < 0.05
    inside = pixels(saved(result))
    inside = (inside.min(1) > 1e-3) & (inside.max(1) < 1 - 1e-3)
    assert inside.mean() > 0.1
    assert apart[inside].max() < 0.1


def test_every_picture_of_a_run_has_its_colours(run) -> None:
    steps = []
    result = run(settings={"color": "luminance"}, on_step=lambda step: steps.append(step.picture()))
    photo = Picture.open("photo.png")
    for picture in (*steps, result.picture):
        wanted = lab(pixels(photo.tensor(picture.width, picture.height)))
        got = lab(pixels(picture.tensor()))
        assert np.median(np.hypot(*(got - wanted).T[1:])) < 0.1
    assert len(steps) == 6


@pytest.mark.parametrize("mode", ["match", "histogram"])
def test_only_the_paintings_are_changed_and_alike_at_every_scale(mode) -> None:
    before, after = targets(PHOTO, PAINTING), targets(PHOTO, PAINTING, color=mode)
    half = targets(PHOTO, PAINTING, color=mode, color_amount=0.5)
    for plain, moved, between in zip(before, after, half, strict=True):
        assert torch.equal(plain.content, moved.content)
        middle = (plain.styles[0] + moved.styles[0]) / 2
        free = (moved.styles[0] > 0) & (moved.styles[0] < 1)
        free = free.all(1, keepdim=True).expand_as(middle)
        torch.testing.assert_close(between.styles[0][free], middle[free], atol=1e-5, rtol=0)
    assert len(before) == 2
    blocks = np.zeros((48, 64, 3), np.uint8)  # four colours, whose middles no scaling touches
    blocks[:24, :32], blocks[24:, :32], blocks[:24, 32:] = ((200, 30, 60), (20, 90, 40), (90, 90, 220))
    coarse, fine = (item.styles[0] for item in targets(PHOTO, blocks, color=mode))
    for row, column in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        ends = [part[0, :, int(row * part.shape[2]), int(column * part.shape[3])] for part in (coarse, fine)]
        torch.testing.assert_close(*ends, atol=1e-5, rtol=0)


def test_at_the_size_of_the_result_a_painting_has_the_photos_mean_and_covariance() -> None:
    """To 1e-3, here with colours that stay in [0, 1]."""
    soft = (Picture.of(PAINTING).tensor() * 0.3 + 0.35).clamp(0, 1)
    calm = (Picture.of(PHOTO).tensor() * 0.4 + 0.3).clamp(0, 1)
    found = targets(calm, soft, color="match", convention="paper")[-1]  # the painting is not softened
    painting, photo = (pixels(one) for one in (found.styles[0], found.content))
    assert painting.min() > 0
    assert painting.max() < 1
    np.testing.assert_allclose(painting.mean(0), photo.mean(0), atol=1e-3)
    np.testing.assert_allclose(np.cov(painting.T), np.cov(photo.T), atol=1e-4)


@pytest.mark.parametrize("mode", ["match", "histogram"])
def test_several_paintings_each_by_itself(mode) -> None:
    both = targets(PHOTO, [Style(PAINTING, 1), Style(OTHER, 3)], color=mode)[-1]
    for got, painting in zip(both.styles, (PAINTING, OTHER), strict=True):
        assert torch.equal(got, targets(PHOTO, painting, color=mode)[-1].styles[0])


def test_the_painting_as_start_is_the_matched_one(run) -> None:
    flat = np.full((48, 64, 3), (30, 200, 90), np.uint8)
    options = {"init": "style", "color": "match", "evaluations": 1, "min_size": 48}
    result = run(style=flat, settings=options)
    wanted = pixels(Picture.open("photo.png").tensor(48, 36)).mean(0)
    np.testing.assert_allclose(pixels(saved(result)).mean(0), wanted, atol=1e-3)


def test_what_is_transparent_has_no_say() -> None:
    """A photo with a hidden half gives the colours of the half that is seen."""
    photo = np.random.default_rng(0).integers(0, 256, (48, 48, 4), dtype=np.uint8)
    photo[..., 3] = 255
    photo[:, 24:] = (255, 0, 255, 0)
    whole = {"size": 48, "min_size": 48, "color": "match"}
    found = targets(photo, PAINTING, **whole)[-1].styles[0]
    wanted = targets(photo[:, :24, :3], PAINTING, **whole)[-1].styles[0]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    cut = photo[:, ::-1].copy()  # a painting with a hidden half, that is shown white
    cut[:, :24] = (255, 0, 255, 0)
    seen = targets(PHOTO, cut, **whole)[-1].styles[0]
    assert (seen[..., :20] == 1).all()
    assert not (seen[..., 28:] == 1).all(1).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("content", ["gray", "plain", "transparent", "alpha"])
def test_odd_photos(run, mode, content) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
    photo = {
        "gray": gray,
        "plain": np.full((48, 64, 3), (30, 90, 200), np.uint8),
        "transparent": np.zeros((48, 64, 4), np.uint8),
        "alpha": png(64, 48, 1, alpha=True),
    }[content]
    result = run(content=photo, settings={"color": mode})
    assert np.isfinite(result.picture.array()).all()
    assert result.picture.has_alpha == (content in ("transparent", "alpha"))
    if content == "gray" and mode == "luminance":
        assert np.ptp(result.picture.array(16)[..., :3].astype(int), axis=2).max() <= 1
    run(style=gray, settings={"color": mode})


@pytest.mark.parametrize("mode", MODES)
def test_resumed_and_made_again(run, narrow, mode, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1.0)
    settings = {"color": mode, "color_amount": 0.7}
    whole = run(settings=settings)

    class KilledError(BaseException):
        pass

    def kill(step) -> None:
        if step.evaluations == 5:
            raise KilledError

    with contextlib.suppress(KilledError):
        run(settings=settings, checkpoint="run.checkpoint", on_step=kill)
    assert resume("run.checkpoint", weights=narrow).recipe.pixels_sha256 == (whole.recipe.pixels_sha256)
    whole.save("out.png", bits=16)
    recipe = read_recipe("out.png")
    assert (recipe.settings.color, recipe.settings.color_amount) == (mode, 0.7)
    assert reproduce("out.png", weights=narrow).recipe.pixels_sha256 == recipe.pixels_sha256


def test_a_grid_varies_it_and_shares_what_it_can(run, narrow) -> None:
    vary = {"color": ["style", *MODES], "color_amount": [0.5, 1]}
    found = grid.grid("photo.png", "painting.png", vary, Settings(**SMALL), runtime=FP32, weights=narrow)
    for cell in found.cells:
        settings = dict(cell.varied)
        assert cell.result.recipe.pixels_sha256 == run(settings=settings).recipe.pixels_sha256


def test_from_the_command_line(narrow, monkeypatch, capsys) -> None:
    monkeypatch.setattr("impasto.network.weights.load.load_weights", lambda *which: narrow)
    flags = ["--size", "48", "--evaluations", "1", "--color", "match", "--color-amount", "0.5"]
    assert main(["photo.png", "painting.png", *flags, "-o", "a.png", "-q"]) == 0
    assert main(["other.png", "painting.png", "--settings", "a.png", "-o", "b.png", "-q"]) == 0
    assert read_recipe("b.png").settings.color == "match"
    assert main(["show", "b.png"]) == 0
    assert "color_amount" in capsys.readouterr().out
    assert main(["photo.png", "painting.png", "--color", "lumnance"]) == 2
    assert "luminance" in capsys.readouterr().err


def test_16_bits_have_no_bands(run) -> None:
    """A smooth photo of 16 bits keeps its levels where nothing is painted over it."""
    ramp = np.linspace(12_000, 52_000, 512 * 64).reshape(64, 512)
    photo = np.stack([ramp, 0.8 * ramp, 0.6 * ramp + 5000], 2).astype(np.uint16)
    settings = {"size": 512, "min_size": 512, "evaluations": 1, "init": "content", "color": "luminance"}
    values = run(content=photo, settings=settings).picture.array(16).astype(int)
    for channel, source in zip(values.reshape(-1, 3).T, photo.reshape(-1, 3).T, strict=True):
        assert np.abs(channel - source.astype(int)).max() <= 1
        assert len(np.unique(channel)) > 0.98 * len(np.unique(source))


def test_a_large_canvas_is_done_in_strips(run, monkeypatch) -> None:
    wanted = run(settings={"color": "luminance"})
    monkeypatch.setattr("impasto.image.pixels._STRIP", 100)
    assert run(settings={"color": "luminance"}).recipe.pixels_sha256 == wanted.recipe.pixels_sha256


def test_strips_are_the_tensor(monkeypatch) -> None:
    monkeypatch.setattr("impasto.image.pixels._STRIP", 500)
    for source in (PHOTO, png(64, 48, 1, alpha=True), np.zeros((48, 64), np.uint16)):
        picture = Picture.of(source)
        for size in ((64, 48), (100, 90), (31, 20)):
            parts = list(picture.strips(*size))
            assert len(parts) > 1
            assert torch.equal(torch.cat([part for _, part in parts], 2), picture.tensor(*size))
            assert [rows.start for rows, _ in parts[1:]] == [rows.stop for rows, _ in parts[:-1]]
            assert parts[-1][0].stop == size[1]


@pytest.mark.parametrize(("factor", "variance"), [(0.3, 0.0), (0.5, 0.0), (0.75, 5 / 24), (1.0, 0.5)])
def test_a_painting_shown_large_is_softened(factor, variance) -> None:
    """By hand: at 0.75, 0.75^2 * 2/3 - 1/6 = 5/24; at most w = 1/4, of variance 1/2."""
    spot = torch.zeros(1, 3, 9, 9, dtype=torch.float64)
    spot[..., 4, 4] = 1
    found = softened(spot, factor)[0, 0]
    away = torch.arange(9.0, dtype=torch.float64) - 4
    assert found.sum().item() == pytest.approx(1)
    for line in (found.sum(0), found.sum(1)):
        assert (line * away**2).sum().item() == pytest.approx(variance, abs=1e-12)
    assert torch.allclose(softened(torch.full((1, 3, 4, 5), 0.3), factor), torch.full((1, 3, 4, 5), 0.3))


def test_with_other_formulas_only_large_strokes_are_softened() -> None:
    """A painting of 50 x 64 px, shown 48 px high, 24, and 96."""
    painting = Picture.of(PAINTING)
    for stroke, convention, same in (
        *((1.0, "paper", True), (0.5, "paper", True), (2.0, "paper", False)),
        *((1.0, "mean", False), (0.5, "mean", True), (2.0, "mean", False)),
    ):
        seen = targets(PHOTO, PAINTING, stroke=stroke, convention=convention)[-1].styles[0]
        plain = painting.tensor(seen.shape[3], seen.shape[2], kernel="linear")
        assert torch.equal(seen, plain) == same

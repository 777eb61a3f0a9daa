"""Films end to end, on a narrow network: still clips, scenes, interruptions, masks, colors, budgets."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError, OutputError, Stop
from impasto.videos import film as film_module
from impasto.videos import folder as folder_module
from impasto.videos import frames as frames_module
from impasto.videos import painter
from impasto.videos.film import plan_film
from impasto.videos.frames import FilmRun
from impasto.videos.video import Film, FilmSettings, video
from videos.clips import decoded, packets, panned, scene, stamps, write

SMALL = Settings(size=64, evaluations=6)
RUNTIME = Runtime(threads=1)


@pytest.fixture(autouse=True)
def short_drafts(monkeypatch) -> None:
    """What does not depend on how well a draft is painted."""
    monkeypatch.setattr(painter, "DRAFT_EVALUATIONS", 2)


@pytest.fixture
def painting(tmp_path) -> Path:
    Image.fromarray(scene(48, 48, seed=7)).save(tmp_path / "painting.png")
    return tmp_path / "painting.png"


@pytest.fixture
def filmed(tmp_path, painting, narrow):
    """Return a function that writes a clip, paints it and returns the film; same settings each time."""

    def make(
        frames: list[np.ndarray] | None = None,
        name: str = "film.mkv",
        settings: Settings = SMALL,
        film: FilmSettings | None = None,
        style=None,
        **options,
    ) -> Film:
        clip = tmp_path / "clip.mkv"
        if frames is not None or not clip.exists():
            frames = panned(4) if frames is None else frames
            write(
                clip, frames, [1001 * n for n in range(len(frames))], codec="ffv1", pixels="bgr0", options={}
            )
        film = film or FilmSettings(codec="ffv1" if name.endswith(".mkv") else None)
        style = painting if style is None else style
        options = {"runtime": RUNTIME, "weights": narrow, **options}
        return video(clip, style, tmp_path / name, settings, film, **options)

    return make


def canvases(film: Film) -> list[bytes]:
    return [path.read_bytes() for path in sorted(film.folder.glob("*.png"))]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_a_film_has_the_times_and_sound_of_its_clip(tmp_path, painting, narrow) -> None:
    clip = write(tmp_path / "clip.mp4", panned(3), (0, 1001, 3503), sound=True)
    seen = []
    film = video(
        clip, painting, tmp_path / "film.mp4", SMALL, runtime=RUNTIME, weights=narrow, on_frame=seen.append
    )
    assert film.path == tmp_path / "film.mp4"
    assert (film.frames, film.scenes, film.stopped) == (3, (0,), "")
    assert stamps(film.path) == stamps(clip)
    assert packets(film.path) == packets(clip)
    assert [painted.start for painted in seen] == ["scene", "last", "last"]
    assert seen == list(film.painted)
    assert 0.8 < seen[1].trusted < 1
    assert all(painted.evaluations <= frames_module.later_evaluations(SMALL) for painted in seen[1:])


def test_the_first_frame_is_what_stylize_paints(filmed, tmp_path, painting, narrow) -> None:
    film = filmed(panned(1))
    alone = impasto.stylize(panned(1)[0], painting, SMALL, runtime=RUNTIME, weights=narrow)
    assert apart(decoded(film.path)[0], alone.picture.array(8)) < 1


@pytest.mark.slow
def test_at_steadiness_0_every_frame_is_painted_alone(filmed, painting, narrow) -> None:
    frames = panned(2)
    film = filmed(frames, film=FilmSettings(codec="ffv1", steadiness=0))
    assert [painted.start for painted in film.painted] == ["scene", "scene"]
    alone = impasto.stylize(frames[1], painting, SMALL, runtime=RUNTIME, weights=narrow)
    assert apart(decoded(film.path)[1], alone.picture.array(8)) < 1


def test_a_still_clip_stays_still(filmed) -> None:
    still = panned(1)[0]
    found = decoded(filmed([still] * 4).path)
    changes = [np.sqrt(np.mean((one.astype(float) - other) ** 2)) for one, other in itertools.pairwise(found)]
    assert max(changes) < 0.5


def test_steady_frames_follow_the_motion_better_than_frames_alone(filmed) -> None:
    steady, alone = filmed(), filmed(name="alone.mkv", film=FilmSettings(codec="ffv1", steadiness=0))
    assert unsteady(decoded(steady.path)) < 0.6 * unsteady(decoded(alone.path))


def test_a_cut_leaves_nothing_of_the_scene_before(filmed) -> None:
    second = panned(2, seed=11)
    film = filmed([*panned(2), *second])
    assert film.scenes == (0, 2)
    alone = filmed(second, name="second.mkv")
    assert canvases(film)[2:] == canvases(alone)


def test_an_interrupted_film_goes_on_to_the_same_bytes(filmed, tmp_path) -> None:
    whole = filmed(panned(3))
    steps = 0

    def stop_within_a_frame(step) -> None:
        nonlocal steps
        steps += 1
        if steps == 7:  # the second frame is at work
            raise Stop("enough")

    part = filmed(name="part.mkv", on_step=stop_within_a_frame)
    assert (part.frames, part.stopped) == (1, "enough")
    assert len(decoded(part.path)) == 1  # what there is, is written
    rest = filmed(name="part.mkv")
    assert [painted.start for painted in rest.painted] == ["kept", "last", "last"]
    assert canvases(rest) == canvases(whole)
    assert rest.path.read_bytes() == whole.path.read_bytes()


TWICE = FilmSettings(codec="ffv1", two_pass=True)


def test_a_second_pass_goes_back_and_is_steadier(filmed, monkeypatch) -> None:
    """Blocks of two frames: the clip is read anew for each."""
    monkeypatch.setattr(frames_module, "BLOCK", 2)
    once = filmed(panned(5), settings=SMALL.changed(evaluations=20))
    before = decoded(once.path)
    twice = filmed(settings=SMALL.changed(evaluations=20), film=TWICE, overwrite=True)
    assert [painted.start for painted in twice.painted] == ["kept"] * 6 + ["next"] * 4
    assert [painted.index for painted in twice.painted] == [*range(5), *reversed(range(5))]
    assert all(0 < painted.evaluations <= 3 for painted in twice.painted[6:])
    after = decoded(twice.path)
    assert (after[4] == before[4]).all()
    assert unsteady(after) < 0.9 * unsteady(before)


def unsteady(frames: list[np.ndarray]) -> float:
    """How far frames are from those before, which the window goes on from, 2 to the right and 1 down."""
    pairs = itertools.pairwise(frame.astype(float) for frame in frames)
    return float(np.mean([np.abs(after[:-1, :-2] - before[1:, 2:]).mean() for before, after in pairs]))


def test_a_second_pass_that_was_interrupted_goes_on_to_the_same_bytes(filmed) -> None:
    whole = filmed([*panned(2), *panned(2, seed=11)], film=TWICE)
    assert [painted.start for painted in whole.painted[4:]] == ["kept", "next", "kept", "next"]  # two scenes
    counted = 0

    def stop(painted) -> None:
        nonlocal counted
        counted += 1
        if counted == 6:
            raise Stop("enough")

    part = filmed(name="part.mkv", film=TWICE, on_frame=stop)
    assert (part.frames, part.stopped) == (4, "enough")
    assert len(decoded(part.path)) == 4
    rest = filmed(name="part.mkv", film=TWICE)
    assert [painted.start for painted in rest.painted] == ["kept"] * 7 + ["next"]
    assert canvases(rest) == canvases(whole)
    assert rest.path.read_bytes() == whole.path.read_bytes()
    alone = filmed(name="part.mkv")  # without the option: the frames of the first pass
    assert alone.path.read_bytes() != whole.path.read_bytes()
    assert {painted.start for painted in alone.painted} == {"kept"}


@pytest.mark.slow
def test_a_second_pass_is_estimated_and_has_its_share_of_a_budget(filmed, tmp_path, painting, narrow) -> None:
    filmed(panned(3))
    clip, left = tmp_path / "clip.mkv", []
    for film in (FilmSettings(codec="ffv1"), TWICE):
        plan = plan_film(clip, painting, tmp_path / "film.mkv", SMALL, film, runtime=RUNTIME, weights=narrow)
        left.append(film_module.estimate_film(plan))
    assert left[0].frames == 0
    assert left[1].frames == 3
    assert left[1].seconds > 0
    timed = filmed(name="timed.mkv", film=TWICE, runtime=RUNTIME.changed(budget=6.0))
    assert timed.frames == 3
    assert timed.painted[-1].start == "next"


@pytest.mark.slow
def test_the_runtime_of_the_first_frame_is_that_of_all(filmed, monkeypatch) -> None:
    """A film that goes on where the number of threads, memory or measured times differ has the same bytes."""
    whole = filmed(panned(3), name="whole.mkv")

    def stop(painted) -> None:
        raise Stop("first")

    assert filmed(on_frame=stop).frames == 1
    state = json.loads((whole.folder / "state.json").read_text())
    assert state["runtime"]["threads"] == 1
    assert state["runtime"]["kernels"] != "auto"
    assert state["runtime"]["tile"] == 0
    seen, real = [], frames_module.FramePainter.paint

    def watched(self, *arguments, **options):
        seen.append(self.runtime)
        return real(self, *arguments, **options)

    monkeypatch.setattr(frames_module.FramePainter, "paint", watched)
    rest = filmed(runtime=Runtime(threads=2, tile=32))
    assert {(runtime.threads, runtime.tile) for runtime in seen} == {(1, 0)}
    assert canvases(rest) == canvases(whole)


@pytest.mark.slow
def test_stopped_between_frames_and_encoded_again(filmed) -> None:
    def stop_after_two(painted) -> None:
        if painted.index == 1:
            raise Stop("two")

    part = filmed(panned(3), on_frame=stop_after_two)
    assert (part.frames, part.stopped) == (2, "two")
    done = filmed(film=FilmSettings(codec="ffv1"))
    assert done.frames == 3
    smaller = filmed(name="film.mkv", film=FilmSettings(codec="h264", crf=40))
    assert {painted.start for painted in smaller.painted} == {"kept"}
    assert smaller.path.stat().st_size < 100_000
    assert len(decoded(smaller.path)) == 3


def test_before_its_first_frame_there_is_no_film(filmed) -> None:
    def stop(step) -> None:
        raise Stop("at once")

    film = filmed(panned(2), on_step=stop)
    assert (film.path, film.frames, film.stopped) == (None, 0, "at once")
    assert not (film.folder.parent / "film.mkv").exists()


@pytest.mark.slow
def test_frames_of_another_film_are_refused(filmed) -> None:
    film = filmed(panned(2))
    with pytest.raises(
        OutputError, match=r"film\.mkv\.frames has the frames of another clip or other settings"
    ):
        filmed(settings=SMALL.changed(style_weight=5.0))
    again = filmed(settings=SMALL.changed(style_weight=5.0), overwrite=True)
    assert [painted.start for painted in again.painted] == ["scene", "last"]
    assert film.folder == again.folder


def test_another_film_of_that_name_stays(filmed, tmp_path) -> None:
    (tmp_path / "film.mkv").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        filmed(panned(2))
    assert (tmp_path / "film.mkv").read_bytes() == b"precious"
    assert not (tmp_path / "film.mkv.frames").exists()


@pytest.mark.slow
def test_a_full_disk_ends_the_film_and_it_goes_on_later(filmed, monkeypatch) -> None:
    whole = filmed(panned(3), name="whole.mkv")
    real, written = folder_module.publish, []

    def full(path, data, **more):
        written.append(path)
        if len(written) == 4:  # frame and state, frame, state
            raise OutputError(f"cannot write {path}: no space left on device; free some space")
        return real(path, data, **more)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "publish", full)
        with pytest.raises(OutputError, match="no space left"):
            filmed()
    film = filmed()
    assert [painted.start for painted in film.painted] == ["kept", "last", "last"]
    assert canvases(film) == canvases(whole)


@pytest.mark.slow
def test_masks_may_be_still_or_clips(filmed, tmp_path, painting) -> None:
    """A frame where the mask is black has nothing of that painting."""
    Image.fromarray(np.full((48, 48, 3), 200, np.uint8)).save(tmp_path / "gray.png")
    masks = tmp_path / "mask"
    masks.mkdir()
    for number in range(3):
        mask = np.zeros((48, 64), np.uint8)
        if number:
            mask[:, :32] = 255
        Image.fromarray(mask).save(masks / f"{number}.png")
    styles = [Style(painting, mask=masks), Style(tmp_path / "gray.png", mask="rest")]
    moving = filmed(panned(3), style=styles)
    still = filmed(name="still.mkv", style=[Style(painting, mask=Mask(masks / "1.png")), styles[1]])
    assert moving.frames == still.frames == 3
    assert canvases(moving)[0] != canvases(still)[0]
    (masks / "2.png").unlink()
    with pytest.raises(InputError, match=r"the mask .* has 2 frames, but the clip 3"):
        filmed(name="short.mkv", style=styles)


@pytest.mark.slow
def test_what_is_protected_stays_the_clip(filmed, tmp_path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    Image.fromarray(mask).save(tmp_path / "protect.png")
    frames = panned(2)
    film = filmed(frames, protect=tmp_path / "protect.png", settings=SMALL.changed(protect_feather=0.0))
    for made, frame in zip(decoded(film.path), frames, strict=True):
        assert apart(made[:, 36:], frame[:, 36:]) < 1
        assert apart(made[:, :28], frame[:, :28]) > 3


@pytest.mark.slow
@pytest.mark.parametrize("color", ["luminance", "match", "histogram"])
def test_colors_of_the_clip_are_kept(filmed, color) -> None:
    gray = [np.repeat(frame.mean(-1, keepdims=True), 3, -1).astype(np.uint8) for frame in panned(2)]
    film = filmed(gray, settings=SMALL.changed(color=color))
    for frame in decoded(film.path):
        spread = frame.max(-1).astype(int) - frame.min(-1)
        assert spread.mean() < (3 if color == "luminance" else 40)


@pytest.mark.slow
def test_a_frame_ends_where_its_style_is_that_of_the_first(filmed) -> None:
    """Of a still clip, the frames after the first are there at once."""
    film = filmed([panned(1)[0]] * 3, settings=SMALL.changed(evaluations=20))
    assert [painted.stopped for painted in film.painted[1:]] == ["style reached"] * 2
    assert [painted.evaluations for painted in film.painted[1:]] == [1, 1]


@pytest.mark.slow
def test_frames_between_key_frames_are_their_neighbors(filmed, tmp_path) -> None:
    """Of a still clip they are the key frames; a film that was stopped among them goes on to the same."""
    film = filmed([panned(1)[0]] * 4, name="still.mkv", film=FilmSettings(codec="ffv1", every=3))
    assert [painted.start for painted in film.painted] == ["scene", "between", "between", "last"]
    found = decoded(film.path)
    assert max(apart(found[0], frame) for frame in found) < 0.5
    every = FilmSettings(codec="ffv1", every=3)
    clip = [*panned(3), *panned(3, seed=4)]  # a cut between key frames, and two frames after the last one
    whole = filmed(clip, name="whole.mkv", film=every)
    assert [painted.start for painted in whole.painted] == [
        "scene",
        "between",
        "between",
        "scene",
        "between",
        "last",
    ]

    def stop(painted) -> None:
        if painted.index == 1:
            raise Stop("between")

    assert filmed(name="part.mkv", film=every, on_frame=stop).frames == 2
    assert canvases(filmed(name="part.mkv", film=every)) == canvases(whole)


@pytest.mark.slow
def test_a_budget_is_that_of_the_film(filmed) -> None:
    film = filmed(panned(3), settings=SMALL.changed(evaluations=500), runtime=RUNTIME.changed(budget=1.0))
    assert film.frames == 3
    assert film.painted[0].stopped == "budget"
    assert film.painted[0].evaluations < 500


@pytest.mark.slow
def test_instant_quality_and_several_scales(filmed) -> None:
    """The canvas of a draft is smaller than the film."""
    film = filmed(panned(2, 160, 120), settings=Settings(size=300, quality="instant", min_size=150))
    assert decoded(film.path)[0].shape == (225, 300, 3)


@pytest.mark.slow
def test_tiles_give_the_same_film(filmed) -> None:
    frames = panned(2, 128, 96)
    settings = SMALL.changed(size=128)
    whole = filmed(frames, settings=settings)
    tiled = filmed(name="tiled.mkv", settings=settings, runtime=RUNTIME.changed(tile=64))
    for one, other in zip(decoded(whole.path), decoded(tiled.path), strict=True):
        assert apart(one, other) < 2


def test_only_few_frames_are_in_memory(filmed, monkeypatch) -> None:
    """Counted as those that live when a frame is painted."""
    import gc

    from impasto.videos.clip import Frame

    most = 0
    real = frames_module.paint_key

    def counting(*arguments):
        nonlocal most
        gc.collect()
        most = max(most, sum(type(item) is Frame for item in gc.get_objects()))
        return real(*arguments)

    monkeypatch.setattr(frames_module, "paint_key", counting)
    filmed(panned(6), film=FilmSettings(codec="ffv1", steadiness=0), settings=SMALL.changed(evaluations=1))
    assert 1 <= most <= 3


@pytest.mark.slow
def test_an_estimate_counts_what_is_left(filmed, tmp_path, painting, narrow) -> None:
    filmed(
        panned(4), on_frame=lambda painted: (_ for _ in ()).throw(Stop("x")) if painted.index == 1 else None
    )
    film = FilmSettings(codec="ffv1")
    plan: FilmRun = plan_film(
        tmp_path / "clip.mkv", painting, tmp_path / "film.mkv", SMALL, film, runtime=RUNTIME, weights=narrow
    )
    estimate = film_module.estimate_film(plan)
    assert estimate.frames == 2
    assert estimate.seconds > 0
    assert estimate.disk == 2 * 64 * 48 * film_module.PNG_BYTES
    assert dataclasses.is_dataclass(estimate)


def test_a_clip_that_is_too_small_names_the_size_that_works(filmed) -> None:
    with pytest.raises(InputError, match=r"8 x 8 px.*--size 16"):
        filmed(panned(2, 8, 8), settings=Settings(evaluations=6))
    film = filmed(panned(2, 8, 8), settings=Settings(size=16, evaluations=6))
    assert decoded(film.path)[0].shape == (16, 16, 3)


def test_the_clip_is_never_written_over(filmed, tmp_path) -> None:
    with pytest.raises(InputError, match="is also an input"):
        filmed(panned(2), name="clip.mkv", overwrite=True)


@pytest.mark.slow
def test_a_folder_and_animations_in_and_out(filmed, tmp_path, painting, narrow) -> None:
    options = {"runtime": RUNTIME, "weights": narrow}
    animated = filmed(panned(2), name="film.gif")
    with Image.open(animated.path) as image:
        assert image.n_frames == 2
    again = video(animated.path, painting, tmp_path / "pictures", SMALL, **options)
    assert sorted(path.name for path in again.path.iterdir()) == ["000000.png", "000001.png"]
    last = video(again.path, painting, tmp_path / "last.webp", SMALL, FilmSettings(fps=10), **options)
    with Image.open(last.path) as image:
        assert (image.n_frames, image.size) == (2, (64, 48))
    with pytest.raises(InputError, match="--codec and --crf are for video files"):
        filmed(name="other.gif", film=FilmSettings(crf=3))
    with pytest.raises(InputError, match=r"the suffix must be one of \.mp4"):
        filmed(name="film.avi")


def test_torch_stays_as_it_was(filmed) -> None:
    before = torch.get_num_threads(), torch.get_default_dtype()
    filmed(panned(1))
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before

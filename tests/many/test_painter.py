"""The real painting process on a network of few weights: pixels, keys, what the machine computes with."""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import impasto.network.weights.load
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, PictureError, ResourceError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.many import painter as module
from impasto.many import pool
from impasto.many.batch import batch
from impasto.many.done import key, key_of
from impasto.many.jobs import Look, Painting, plan_jobs
from impasto.many.painter import Changed, Painter
from impasto.system import hardware
from impasto.transfer.stylize import stylize
from many import narrow_worker
from many.helping import make_photo, spec

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SMALL = Settings(size=32, min_size=16, evaluations=2)
ONE = Runtime(device="cpu", threads=1, precision="fp32")


@pytest.fixture
def ready(place, narrow, monkeypatch):
    """A painter with two looks, and the key of a job of each."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow)
    looks = (
        Look("style", (Painting("style.png"),), SMALL),
        Look("both", (Painting("style.png", 2.0), Painting("photos/b.png", stroke=1.5)), SMALL),
    )
    plan = plan_jobs(spec("photos/a.png", looks=looks))
    painter = Painter(plan.looks, Input(), Output(), ".png")
    choices, _ = painter.resolve(ONE, 1, 1)
    painter.use(choices)
    photo = hashlib.sha256(Path("photos/a.png").read_bytes()).hexdigest()
    keys = [key(photo, plan.hashes.styles(look), look.settings, choices[0].sha256) for look in plan.looks]
    return painter, keys, plan


def test_the_pixels_are_those_of_stylize_and_the_recipe_has_the_key(ready, narrow) -> None:
    painter, keys, _ = ready
    styles = [["style.png"], [impasto.Style("style.png", 2.0), impasto.Style("photos/b.png", stroke=1.5)]]
    for number, style in enumerate(styles):
        result, data = painter.paint(number, Picture.open("photos/a.png"), keys[number], lambda step: None)
        alone = stylize("photos/a.png", style, SMALL, runtime=ONE, weights=narrow)
        assert result.recipe.pixels_sha256 == alone.recipe.pixels_sha256
        assert key_of(result.recipe) == key_of(alone.recipe) == keys[number]
        Path("x.png").write_bytes(data)
        assert key_of(read_recipe("x.png")) == keys[number]


def test_another_photo_than_was_planned_is_noticed(ready) -> None:
    painter, keys, _ = ready
    with pytest.raises(Changed):
        painter.paint(0, Picture.open("photos/b.png"), keys[0], lambda step: None)


def test_half_the_memory_is_a_plan_of_its_own_which_the_recipe_has(ready, monkeypatch) -> None:
    painter, keys, _ = ready
    limits = []
    real = module.Stylizer

    def noted(*arguments, **options):
        limits.append(options["runtime"].memory_limit)
        return real(*arguments, **options)

    monkeypatch.setattr(module, "Stylizer", noted)
    for part in (1, 2):
        painter.paint(0, Picture.open("photos/a.png"), keys[0], lambda step: None, part=part)
    assert limits[1] == limits[0] // 2


def test_paintings_come_as_bytes_where_there_is_no_common_disk(ready) -> None:
    painter, keys, plan = ready
    files = {name: Path(name).read_bytes() for name in ("style.png", "photos/b.png")}
    far = Painter(plan.looks, Input(), Output(), ".png", files)
    far.use(painter._choices.values())
    Path("style.png").unlink()
    far.paint(1, Picture.open("photos/a.png"), keys[1], lambda step: None)


@pytest.mark.parametrize(
    ("size", "workers", "threads", "expected"),
    [
        (256, None, None, (4, 1)),  # small: one thread each
        (512, None, None, (1, 4)),  # large: all threads for one
        (512, 2, None, (2, 2)),
        (256, None, 2, (2, 2)),
        (None, None, None, (1, 4)),
    ],
)
def test_how_many_workers_and_threads(ready, monkeypatch, size, workers, threads, expected) -> None:
    monkeypatch.setattr(hardware, "usable_threads", lambda: 4)
    monkeypatch.setattr(hardware, "free_memory", lambda device="cpu": 64_000_000_000)
    look = Look("style", (Painting("style.png"),), Settings(size=size))
    painter = Painter([look], Input(), Output(), ".png")
    (choice,), count = painter.resolve(Runtime(device="cpu", threads=threads), workers, 100)
    assert (count, choice.runtime.threads) == expected
    assert choice.runtime.memory_limit == 64_000_000_000 // count
    assert choice.runtime.kernels != "auto"
    assert painter.resolve(Runtime(device="cpu"), workers, 1)[1] == 1  # one job


def test_little_memory_means_fewer_workers(ready, monkeypatch) -> None:
    monkeypatch.setattr(hardware, "usable_threads", lambda: 8)
    monkeypatch.setattr(hardware, "free_memory", lambda device="cpu": 2_000_000_000)
    painter = Painter(
        [Look("style", (Painting("style.png"),), Settings(size=256))], Input(), Output(), ".png"
    )
    (_,), count = painter.resolve(Runtime(device="cpu"), None, 100)
    assert 1 <= count < 4


def test_what_holds_for_a_batch_must_be_here(ready) -> None:
    painter, keys, plan = ready
    (choice,) = painter._choices.values()
    other = Painter(plan.looks, Input(), Output(), ".png")
    with pytest.raises(ResourceError, match="began on cuda:7, which is not here; --re-resolve"):
        other.use([module.Choice(**{**vars(choice), "runtime": ONE.changed(device="cuda:7")})])
    other.use([module.Choice(**{**vars(choice), "sha256": "0"})])
    with pytest.raises(ResourceError, match="not those that this batch began with; --re-resolve"):
        other.paint(0, Picture.open("photos/a.png"), keys[0], lambda step: None)


def test_a_painting_that_is_none_is_refused_before_any_work(ready) -> None:
    Path("style.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"style\.png is a text file"):
        ready[0].resolve(ONE, 1, 1)


@pytest.mark.slow
def test_a_batch_by_real_processes(place, monkeypatch) -> None:
    """Two processes and one make the same pixels; a broken file fails; all is there the second time."""
    monkeypatch.setattr(pool, "COMMAND", narrow_worker.COMMAND)
    Path("photos/broken.jpg").write_bytes(b"\xff\xd8\xff" + b"no more" * 20)
    options = {"runtime": Runtime(threads=1, kernels="winograd")}
    two = batch("photos", "style.png", SMALL, folder="two", workers=2, **options)
    assert (two.made, two.failures) == (3, 1)
    assert two.failed[0].photo == "photos/broken.jpg"
    make_photo("photos/new.png", 8)
    Path("two/a-style.png").rename("kept.png")
    again = batch("photos", "style.png", SMALL, folder="two", workers=1, **options)
    assert (again.made, again.there, again.failures) == (2, 2, 1)
    first, second = read_recipe("kept.png"), read_recipe("two/a-style.png")
    assert first.pixels_sha256 == second.pixels_sha256
    assert first.runtime == second.runtime


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of odd pictures is not here")
def test_two_hundred_files_that_break_programs_among_good_ones(place, monkeypatch) -> None:
    monkeypatch.setattr(pool, "COMMAND", narrow_worker.COMMAND)
    for number, path in enumerate(itertools.islice(refused(), 200)):
        Path(f"photos/{number:03d}.png").write_bytes(path.read_bytes())
    done = batch("photos", "style.png", SMALL, folder="out", runtime=Runtime(threads=1, kernels="winograd"))
    assert (done.made, done.failures) == (3, 200)
    assert {failure.error for failure in done.failed} == {"PictureError"}


def refused() -> Iterator[Path]:
    """Small files of the corpus that are no pictures to us, of all kinds."""
    for path in sorted(
        (CORPUS / "bad").glob("*/*"), key=lambda path: hashlib.sha256(path.name.encode()).digest()
    ):
        try:
            if path.stat().st_size < 30_000:
                Picture.open(path).tensor(16, 16)
        except PictureError:
            yield path

"""Names of results, which of them would collide, and what a batch is spec for."""

import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.config.settings import Settings
from impasto.errors import InputError, OutputError
from impasto.many.batch import looks_of
from impasto.many.jobs import BatchSpec, Look, Painting, plan_jobs
from impasto.many.manifest import Shard
from impasto.transfer.grids import axes
from many.helping import make_photo, spec

pytestmark = pytest.mark.usefixtures("place")


def names(*photos: str, **more) -> list[str]:
    return [job.file for job in plan_jobs(spec(*photos, **more))]


def test_results_lie_as_their_photos_do() -> None:
    Path("photos/sub").mkdir()
    make_photo("photos/sub/a.png")
    expected = ["a-style.png", "b-style.png", "c-style.png", "sub/a-style.png"]
    assert names("photos", recursive=True) == expected
    assert names("photos/sub/a.png", suffix=".jpg") == ["a-style.jpg"]


@pytest.mark.parametrize(
    "other", ["x/b.png", "x/B.PNG", "x/b.jpg", f"x/{unicodedata.normalize('NFD', 'ü')}.jpg"]
)
def test_names_that_collide_are_refused_and_both_are_said(other) -> None:
    Path("x").mkdir()
    make_photo(f"photos/{unicodedata.normalize('NFC', 'ü')}.png")
    make_photo("x/y.png")
    Path("x/y.png").rename(other)
    with pytest.raises(InputError, match="would both become") as error:
        names("photos", other)
    twin = unicodedata.normalize("NFC", Path(other).stem.lower())
    assert f"photos/{twin}.png" in unicodedata.normalize("NFC", str(error.value))
    assert unicodedata.normalize("NFC", other) in unicodedata.normalize("NFC", str(error.value))


def test_names_that_cannot_be_printed_become_escapes_which_may_collide() -> None:
    make_photo("photos/n\nl.png")
    Path("photos/n\nl.png").rename(os.fsdecode(b"photos/n\nl\xff.png"))
    assert "n\\nl\\udcff-style.png" in names("photos")
    make_photo("photos/n\\nl\\udcff.png")
    with pytest.raises(InputError, match="would both become"):
        names("photos")


def test_a_long_name_is_cut() -> None:
    make_photo(f"photos/{'ü' * 100}.png")
    (name,) = [name for name in names("photos") if name.startswith("ü")]
    assert name == f"{'ü' * 55}-style.png"


def test_a_result_is_never_an_input() -> None:
    make_photo("photos/a-style.png")
    with pytest.raises(InputError, match="would be a result and is an input"):
        names("photos/a.png", "photos/a-style.png", folder="photos")
    make_photo("a-style.png")
    style = Look("style", (Painting("a-style.png"),), Settings())
    with pytest.raises(InputError, match="would be a result and is an input"):
        names("photos/a.png", looks=(style,), folder=".")


def test_the_folder_of_the_results_cannot_be_a_file() -> None:
    with pytest.raises(OutputError, match="is a file; the results go into a folder"):
        names(folder="style.png")


def test_no_photos_and_missing_paintings_are_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match="no photos in empty"):
        names("empty")
    missing = Look("x", (Painting("x.png"),), Settings())
    with pytest.raises(InputError, match=r"x\.png does not exist"):
        names(looks=(missing,))


def test_looks_are_named_after_their_paintings_and_what_varies() -> None:
    varied = axes.plan({"size": [64, 96], "style": ["style.png", "dark/ember.jpg"]}, Settings())
    assert [look.name for look in looks_of((), Settings(), varied)] == [
        "style-size=64", "style-size=96", "ember-size=64", "ember-size=96",
    ]  # fmt: skip
    both = (Painting("a/one.png"), Painting("two.png"))
    assert looks_of(both, Settings())[0].name == "one-two"
    with pytest.raises(InputError, match="give none beside them"):
        looks_of(both, Settings(), varied)
    with pytest.raises(InputError, match="no painting"):
        looks_of((), Settings())


def test_a_folder_of_paintings_is_one_style_and_shares_its_weight() -> None:
    look = Look("photos", (Painting("photos", 3.0), Painting("style.png")), Settings()).expanded()
    assert [(item.picture, item.weight) for item in look.paintings] == [
        ("photos/a.png", 1.0), ("photos/b.png", 1.0), ("photos/c.png", 1.0), ("style.png", 1.0),
    ]  # fmt: skip


def test_pairs_have_their_own_paintings() -> None:
    Path("list.csv").write_text("photos/a.png,style.png\nphotos/b.png,photos/c.png\nphotos/c.png,style.png\n")
    looks = looks_of((), Settings(), paired=True)
    plan = plan_jobs(BatchSpec((), looks, Path("out"), pairs="list.csv"))
    assert [job.file for job in plan] == ["a-style.png", "c-style.png", "b-c.png"]
    assert plan.count == 3


def test_what_is_asked_for_survives_json() -> None:
    before = spec(os.fsdecode(b"\xff\n"), recursive=True, suffix=".jpg", pairs="list.csv")
    after = BatchSpec.from_json(before.to_json(), before.folder)
    assert after.photos == (os.path.abspath(before.photos[0]),)  # noqa: PTH100
    assert after.pairs == os.path.abspath("list.csv")  # noqa: PTH100
    painting = replace(before.looks[0].paintings[0], picture=os.path.abspath("style.png"))  # noqa: PTH100
    assert after.looks == (replace(before.looks[0], paintings=(painting,)),)
    same = ("recursive", "suffix", "output", "limits", "runtime")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    earlier = before.to_json()
    earlier["looks"][0]["settings"]["strength"] = None  # as in manifests of earlier versions
    assert BatchSpec.from_json(earlier, before.folder) == after


def test_shards_divide_the_jobs_and_keep_them_when_photos_are_added() -> None:
    plan = plan_jobs(spec())
    everything = {job.file for job in plan}
    parts = {}
    for index in (1, 2, 3):
        plan.shard = Shard(index, 3)
        parts[index] = {job.file for job in plan}
    assert set.union(*parts.values()) == everything
    assert sum(map(len, parts.values())) == len(everything)
    for number in range(20):
        make_photo(f"photos/new{number}.png")
    later = plan_jobs(spec())
    later.shard = Shard(2, 3)
    assert {job.file for job in later} & everything == parts[2]
    assert later.count == len(list(later)) > 3


SIMULATED = """
from pathlib import Path
from impasto.config.settings import Settings
from impasto.many import photos
from impasto.many.jobs import BatchSpec, Look, Painting, plan_jobs
photos._listed = lambda folder: [(f"photo number {number:06d}.jpg", False) for number in range(100_000)]
look = Look("style", (Painting("style.png"),), Settings())
plan = plan_jobs(BatchSpec(("photos",), (look,), Path("out")))
assert plan.count == sum(1 for job in plan) == 100_000
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(lines["VmHWM"].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is told by Linux")
def test_100_000_photos_are_planned_in_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", SIMULATED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300_000  # KB

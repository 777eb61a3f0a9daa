"""Whether a job is done, which its file says: keys, and what can stand at the place of a result."""

import hashlib
from pathlib import Path

import pytest

from impasto.config.settings import Settings
from impasto.many.done import Standing, key, key_of, standing
from impasto.many.jobs import Look, Painting, plan_jobs
from many.helping import spec
from many.stub_worker import SHA, png, recipe_of

pytestmark = pytest.mark.usefixtures("place")


def key_and_recipe(look: Look, **changes):
    photo = Path("photos/a.png").read_bytes()
    plan = plan_jobs(spec(looks=(look,)))
    styles = plan.hashes.styles(plan.looks[0])
    wanted = key(hashlib.sha256(photo).hexdigest(), styles, look.settings, SHA)
    return wanted, recipe_of(plan.looks[0], photo, "a.png").changed(**changes)


LOOK = Look("style", (Painting("style.png", 2.0), Painting("photos/b.png", stroke=0.5)), Settings(size=64))


def test_the_key_of_a_job_is_that_of_its_recipe() -> None:
    wanted, recipe = key_and_recipe(LOOK)
    assert key_of(recipe) == wanted
    assert len(wanted) == 64


@pytest.mark.parametrize(
    "changes",
    [{"settings": Settings(size=65)}, {"weights_sha256": "6" * 64}, {"impasto": "0.0.1"}, {"styles": ()}],
)
def test_whatever_changes_the_picture_changes_the_key(changes) -> None:
    wanted, recipe = key_and_recipe(LOOK, **changes)
    assert key_of(recipe) != wanted


def test_photo_weight_and_stroke_are_in_the_key_and_names_are_not() -> None:
    wanted, recipe = key_and_recipe(LOOK)
    for record in (
        {"content": recipe.content.changed(sha256="0" * 64)},
        {"styles": (recipe.styles[0].changed(weight=3.0), recipe.styles[1])},
        {"styles": (recipe.styles[0], recipe.styles[1].changed(stroke=0.6))},
        {"styles": (recipe.styles[1], recipe.styles[0])},
        {"styles": (recipe.styles[0].changed(layers={"relu1_1": 1.0}), recipe.styles[1])},
    ):
        assert key_of(recipe.model_copy(update=record)) != wanted
    assert key_of(recipe.model_copy(update={"content": recipe.content.changed(name="other")})) == wanted


def test_the_machines_choices_are_not_in_the_key() -> None:
    wanted, recipe = key_and_recipe(LOOK)
    assert (
        key_of(recipe.changed(runtime=recipe.runtime.changed(threads=7, tile=256, precision="bf16")))
        == wanted
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, Standing.MISSING),
        (lambda wanted, recipe: b"", Standing.MISSING),
        (lambda wanted, recipe: png(recipe, b"abc"), Standing.DONE),
        (lambda wanted, recipe: png(recipe.changed(stopped="not finite"), b"abc"), Standing.FAULTY),
        (lambda wanted, recipe: png(recipe.changed(stopped="interrupted"), b"abc"), Standing.STALE),
        (lambda wanted, recipe: png(recipe.changed(settings=Settings()), b"abc"), Standing.STALE),
        (lambda wanted, recipe: png(recipe, b"abc")[:-8], Standing.DAMAGED),
        (lambda wanted, recipe: b"no picture", Standing.DAMAGED),
        (lambda wanted, recipe: Path("photos/a.png").read_bytes(), Standing.FOREIGN),
    ],
)
def test_what_stands_at_the_place_of_a_result(data, expected) -> None:
    wanted, recipe = key_and_recipe(LOOK)
    if data is not None:
        Path("result.png").write_bytes(data(wanted, recipe))
    assert standing(Path("result.png"), wanted).standing == expected


def test_a_folder_or_a_link_to_nothing_at_the_place_is_not_missing() -> None:
    Path("folder.png").mkdir()
    Path("link.png").symlink_to("nowhere")
    assert standing(Path("folder.png"), "").standing == Standing.FOREIGN
    assert standing(Path("link.png"), "").standing == Standing.FOREIGN

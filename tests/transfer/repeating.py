"""Repeat the run of a recipe from inputs that are at hand, without looking for them."""

from impasto.config.recipe import Recipe
from impasto.config.styles import Style
from impasto.image.picture import Picture, PictureLike
from impasto.transfer.reproduce import FoundInputs, repeat
from impasto.transfer.result import Result


def repeated(
    recipe: Recipe, content: PictureLike, *styles: Style | PictureLike, protect=None, **options
) -> Result:
    """Return the result of `repeat`, which takes the options."""
    painted = tuple(item if isinstance(item, Style) else Style(item) for item in styles)
    found = FoundInputs(Picture.of(content), painted, None, (), protect)
    return repeat(recipe, found, **options)

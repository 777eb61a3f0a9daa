"""Sample pictures: one photo and two paintings to take a style from.

- `photo` is a cup of coffee, photographed by Rachel Michetti (courtesy of Pikolo Espresso Bar) and
  given away by her under CC0; it comes from scikit-image, which ships it as `coffee.png`.
- `swirl` and `ember` are invented paintings, made by this project's `scripts/make_samples.py`
  stroke by stroke and copied from nobody; they are given away under CC0 too.

The README.md beside this file says more.
"""

from pathlib import Path
from typing import Literal, get_args

Name = Literal["photo", "swirl", "ember"]
NAMES: tuple[Name, ...] = get_args(Name)


def sample(name: Name) -> Path:
    """Return the path of a sample picture, a JPEG file.

    Raises:
        ValueError: If there is no sample of that name.
    """
    if name not in NAMES:
        raise ValueError(f"no sample is called {name!r}; there are {', '.join(NAMES)}")
    return Path(__file__).parent / ("photo.jpg" if name == "photo" else f"painting-{name}.jpg")

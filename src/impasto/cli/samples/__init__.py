"""Sample pictures: one photo and four paintings to take a style from.

- `photo` is a cup of coffee, photographed by Rachel Michetti (courtesy of Pikolo Espresso Bar) and
  given away by her under CC0; it comes from scikit-image, which ships it as `coffee.png`.
- `swirl` and `ember` are invented paintings, made by this project's `scripts/make_samples.py`
  stroke by stroke and copied from nobody; they are given away under CC0 too.
- `starry_night` (Vincent van Gogh, 1889) and `the_scream` (Edvard Munch, 1893) are in the public domain.

The README.md beside this file says more.
"""

from pathlib import Path
from typing import Literal, get_args

Name = Literal["photo", "swirl", "ember", "starry_night", "the_scream"]
NAMES: tuple[Name, ...] = get_args(Name)


def sample(name: Name) -> Path:
    """Return the path of a sample picture, a JPEG file.

    Raises:
        ValueError: If there is no sample of that name.
    """
    if name not in NAMES:
        raise ValueError(f"no sample is called {name!r}; there are {', '.join(NAMES)}")
    file = f"painting-{name}" if name in ("swirl", "ember") else name
    return Path(__file__).parent / f"{file}.jpg"

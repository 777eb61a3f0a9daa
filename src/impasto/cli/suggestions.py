"""What an unknown flag may have meant: by what other programs call it, then by its letters. No torch here."""

import re
from collections.abc import Iterable, Sequence

from impasto.config.synonyms import NAMES, name_hint
from impasto.errors import InputError
from impasto.messages import printable

PHOTO = {
    *("content", "content_image", "content_img", "content_path", "content_file", "photo", "image", "input"),
    *("input_image", "source", "source_image", "src", "img", "picture", "base_image", "target_image"),
}
BATCH = {"contents", "photos", "images", "batch", "content_dir", "input_dir", "content_images", "folder"}
# -image_size, -gpu: neural-style's form, which this parser would read as -o or -i with a value.
SINGLE = re.compile(r"-([a-z]{2,}(?:_[a-z]+)*)(?:=.*)?")
OURS = {"h", "o", "q", "v"}  # short flags


def batch(photos: str = "photos", painting: str = "painting.jpg") -> str:
    """Return the command that paints several photos in the style of a painting."""
    return f"impasto batch {photos} --style {painting} -o painted"


def flag_hint(option: str, names: Iterable[str]) -> str:
    """Return a sentence about what an unknown flag may mean among the flags of a command, or nothing."""
    word = option.lstrip("-").lower().replace("-", "_")
    known = [name.removeprefix("--").replace("-", "_") for name in names if name.startswith("--")]
    if word in PHOTO and "style" in known:
        return " The photo comes first, without a flag: impasto PHOTO PAINTING."
    if word in BATCH and "style" in known:
        return f" Several photos: {batch()}."
    near = name_hint(word, known)
    field, _, value = near.removeprefix(" Did you mean ").removesuffix("?").partition(" ")
    return f" Did you mean --{' '.join([field.replace('_', '-'), value]).strip()}?" if near else ""


def check_single_dashes(tokens: Sequence[str]) -> None:
    """Refuse long flags of other programs that are typed with one dash.

    Raises:
        InputError: There is one.
    """
    for token in tokens:
        found = SINGLE.fullmatch(token)
        if found and (found[1] in NAMES or found[1] in PHOTO) and not set(found[1]) <= OURS:
            hint = flag_hint(token.partition("=")[0], ["--style", *map(_flag, NAMES.values())])
            raise InputError(f"Unknown option: {printable(token)}.{hint}")


def _flag(name: str) -> str:
    return f"--{name.partition(' ')[0]}"

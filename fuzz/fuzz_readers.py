"""Fuzz the readers of settings files and recipes: anything but a value or an `ImpastoError` is a finding.

    python fuzz/fuzz_readers.py CORPUS -max_total_time=600 -timeout=60

The first byte of an input chooses the reader, the rest is what it reads. What was read is also written and
read again: it must be the same. `CORPUS` is a folder of inputs; an empty one is filled with good examples.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["impasto", "tomllib", "json"]):
    from impasto.cli import settings_sources
    from impasto.cli.flags import Flags
    from impasto.config import settings_file as settings_file_module
    from impasto.config.output import Output
    from impasto.config.recipe import InputRecord, Recipe, ScaleRecord
    from impasto.config.runtime import Runtime
    from impasto.config.settings import Settings
    from impasto.errors import ImpastoError
    from impasto.image import decode, xmp

SHOWN = "x.toml"


class Finding(Exception):
    """What was read is not what was written, or an error has more than one line."""


def settings_file(data: bytes) -> None:
    """Read a settings file as `gather` does, write it, and read that."""
    sheet = settings_file_module.parse(data, SHOWN)
    if not isinstance(sheet.title, str) or not all(isinstance(line, str) for line in sheet.limits):
        raise Finding("title or limits are no text")
    chosen = _chosen(sheet)
    again = _chosen(settings_file_module.parse(settings_sources.to_toml(chosen).encode(), SHOWN))
    if again.models() != chosen.models() or again.weights != chosen.weights:
        raise Finding(f"{again.models()} is not {chosen.models()}")


def _chosen(sheet: settings_file_module.SettingsFile) -> settings_sources.ResolvedSettings:
    layers = settings_sources._Layers()
    layers.add_file(sheet, SHOWN)
    models = [layers.build(model) for model in settings_sources.MODELS]
    return settings_sources.ResolvedSettings(*models, "default", sheet.weights, layers.origins)


def recipe_json(data: bytes) -> None:
    """Read a recipe, write it both ways, and read those."""
    recipe = Recipe.from_json(data, "x.json")
    for text in (recipe.to_json(), recipe.model_dump_json()):
        if Recipe.from_json(text) != recipe:
            raise Finding(f"{text} is not {recipe!r}")


def packet(data: bytes) -> None:
    """Find a recipe in a packet of XMP; put another into it, and take it out again."""
    xmp.unpack(data)
    if xmp.unpack(xmp.forget(data)) is not None:
        raise Finding("a forgotten recipe is still there")
    if xmp.unpack(xmp.pack('{"a": "<&>"}', data)) != '{"a": "<&>"}':
        raise Finding("a packed recipe is another one")


def packed_text(data: bytes) -> None:
    """Any text that is packed is unpacked."""
    text = data.decode("utf-8", "surrogateescape")
    if xmp.unpack(xmp.pack(text)) != text:
        raise Finding("a packed text is another one")


def picture(data: bytes) -> None:
    """Find the recipe in the bytes of a picture's file, and read it."""
    decode.xmp_in(data, "x.png")
    text = xmp.recipe_in(data, "x.png")
    if text is not None:
        Recipe.from_json(text, "x.png")


def variables(data: bytes) -> None:
    """Give one setting as text, as flags and variables of the environment do."""
    fields = [name for model in settings_sources.MODELS for name in model.model_fields]
    name, text = fields[data[0] % len(fields)], data[1:].decode("utf-8", "surrogateescape")
    values = settings_sources.gather(Flags(), {f"IMPASTO_{name.upper()}": text}).settings.model_dump()
    for value in values.values():
        numbers = value.values() if isinstance(value, dict) else [value]
        if not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
            raise Finding(f"{values} is not finite")


READERS: tuple[Callable[[bytes], None], ...] = (
    settings_file,
    recipe_json,
    packet,
    packed_text,
    picture,
    variables,
)


def one(data: bytes) -> None:
    """Read one input."""
    if len(data) < 2:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except ImpastoError as error:
        if not str(error) or len(str(error).splitlines()) != 1:
            raise Finding(f"an error of several lines: {error}") from error


def examples() -> list[bytes]:
    """Return good inputs to begin with."""
    photo = InputRecord(name="photo.jpg", sha256="a" * 64, width=4, height=3)
    recipe = Recipe(
        impasto="0.1.0",
        created="2026-11-23T16:00:00+00:00",
        settings=Settings.preset("paper"),
        runtime=Runtime(threads=2, budget=3.5),
        content=photo,
        styles=(photo, photo),
        weights="given",
        weights_sha256="b" * 64,
        scales=(ScaleRecord(width=4, height=3, evaluations=7, seconds=1.5, reason="tolerance"),),
        losses={"total": 0.3, "style.relu1_1": 1e-9},
        seconds=2.0,
        stopped="tolerance",
        reproducible=True,
        machine={"system": "Linux"},
    )
    whole = settings_sources.ResolvedSettings(Settings(), Runtime(), Output())
    found = [b"\0" + path.read_bytes() for path in settings_file_module.known().values()]
    found += [b"\0" + settings_sources.to_toml(whole).encode(), b"\x01" + recipe.to_json().encode()]
    found += [bytes([number]) + xmp.pack(recipe.model_dump_json()) for number in (2, 4)]
    found += [b"\x03" + text.encode("utf-8", "surrogatepass") for text in ("a", "\0\ud800", "]]>")]
    found += [b"\0size=" + b"9" * 5000, b"\0size=0x" + b"f" * 5000, b'\0"a\\nb"=1']
    values = ("1", "relu1_1=2,relu4_2", "4GB", "1h30m", "auto", "1e12", "true")
    fields = range(sum(len(model.model_fields) for model in settings_sources.MODELS))
    found += [bytes([5, field]) + value.encode() for field in fields for value in values]
    return found


def main() -> None:
    """Fuzz, with the arguments of libFuzzer."""
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    for folder in folders[:1]:
        if folder.is_dir() and not any(folder.iterdir()):
            for number, data in enumerate(examples()):
                (folder / f"example-{number}").write_bytes(data)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

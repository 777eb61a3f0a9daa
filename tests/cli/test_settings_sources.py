"""Settings from flags, environment, files, pictures and presets: who wins, and who is blamed."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from config.test_recipe import recipe
from impasto.cli import settings_sources
from impasto.cli.flags import Flags
from impasto.cli.settings_sources import ResolvedSettings, on_paper, read_file, to_toml
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, SettingsError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path


def gather(values, environment) -> ResolvedSettings:
    """Return the settings of flags by name."""
    return settings_sources.gather(Flags.of(values), environment)


def toml(text: str, name: str = "x.toml") -> str:
    Path(name).write_text(text)
    return name


def test_nothing_given_is_the_default() -> None:
    chosen = gather({}, {})
    assert chosen.models() == (Settings(), Runtime(), Output(), Input())
    assert {origin for *_, origin in chosen.rows()} == {"default"}
    assert (chosen.preset, chosen.settings.weights, chosen.notes) == ("default", None, ())


def test_flag_before_environment_before_file_before_default() -> None:
    file = toml("size = 1\nseed = 2\ndetail = 0.3\n[runtime]\nthreads = 4\n[output]\nbits = 16\n")
    environment = {"IMPASTO_SIZE": "10", "IMPASTO_SEED": "20", "HOME": "x", "IMPASTO_DETAIL": ""}
    chosen = gather({"size": 100, "settings": file}, environment)
    settings = chosen.settings
    assert (settings.size, settings.seed, settings.detail, settings.quality) == (100, 20, 0.3, "good")
    assert (chosen.runtime.threads, chosen.output.bits) == (4, 16)
    origins = {name: origin for name, _, origin in chosen.rows()}
    assert [origins[name] for name in ("size", "seed", "detail", "quality", "threads", "bits")] == [
        "--size", "IMPASTO_SEED", "x.toml", "default", "x.toml", "x.toml"
    ]  # fmt: skip


def test_a_preset_counts_where_it_is_named() -> None:
    file = toml('preset = "paper"\nsize = 7\nseed = 2\n')
    below = gather({"settings": file}, {}).settings  # the file's own preset: below the rest of the file
    assert (below.size, below.seed, below.init) == (7, 2, "noise")
    plain = toml('size = 7\nseed = 2\ninit = "gray"\n', "y.toml")
    for flags, environment in (
        ({"preset": "paper", "settings": plain}, {"IMPASTO_SIZE": "9"}),
        ({"settings": plain}, {"IMPASTO_PRESET": "paper"}),
    ):
        chosen = gather(flags, environment)
        assert (chosen.settings.size, chosen.settings.seed, chosen.settings.init) == (512, 2, "noise")
        assert chosen.origins["init"] == "preset paper"
    over = gather({"settings": plain, "size": 11}, {"IMPASTO_PRESET": "paper", "IMPASTO_SEED": "4"})
    assert (over.settings.size, over.settings.seed) == (11, 4)
    assert gather({"like": "jcjohnson", "settings": plain}, {}).settings.style_weight == 100


def test_the_environment_may_name_file_preset_and_weights() -> None:
    file = toml('seed = 2\nweights = "a"\n')
    chosen = gather({}, {"IMPASTO_SETTINGS": file, "IMPASTO_PRESET": "paper"})
    assert (chosen.settings.seed, chosen.preset, chosen.settings.weights) == (2, "paper", "a")
    assert chosen.origins["weights"] == "x.toml"
    assert gather({}, {"IMPASTO_SETTINGS": file, "IMPASTO_WEIGHTS": "b"}).settings.weights == "b"
    assert gather({"weights": "c"}, {"IMPASTO_WEIGHTS": "b"}).settings.weights == "c"
    assert gather({"preset": "default"}, {"IMPASTO_PRESET": "paper"}).settings == Settings()


def test_places_are_no_settings() -> None:
    names = ("CACHE_DIR", "DATA_DIR", "CONFIG_DIR", "OFFLINE")
    gather({}, {f"IMPASTO_{name}": "x" for name in names})


def test_a_quality_above_beats_a_number_below() -> None:
    file = toml("evaluations = 100\n")
    assert gather({"settings": file}, {}).settings.evaluations_per_scale == 100
    chosen = gather({"settings": file}, {"IMPASTO_QUALITY": "draft"})
    assert (chosen.settings.evaluations_per_scale, chosen.origins["evaluations"]) == (25, "IMPASTO_QUALITY")
    assert gather({"settings": file, "quality": "best"}, {}).settings.evaluations_per_scale == 200
    assert (
        gather({"settings": file, "quality": "best", "evaluations": 7}, {}).settings.evaluations_per_scale
        == 7
    )
    assert (
        gather({"settings": toml('preset = "paper"\nquality = "draft"')}, {}).settings.evaluations_per_scale
        == 25
    )


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({"size": 0}, {}, "^--size: "),
        ({"content_weight": -1.0}, {}, "^--content-weight: "),
        ({}, {"IMPASTO_SIZE": "big"}, "^IMPASTO_SIZE: .*not 'big'"),
        ({}, {"IMPASTO_SIZ": "3"}, "unknown environment variable IMPASTO_SIZ. Did you mean IMPASTO_SIZE"),
        ({"settings": "y.toml"}, {}, "^y.toml: size: must be a whole number, not 'big'"),
        ({"settings": "z.toml"}, {}, "^z.toml: unknown setting 'sise'. Did you mean size"),
        ({"settings": "r.toml"}, {}, "^r.toml: threads: "),
        ({"settings": "n.toml"}, {}, "^n.toml: size: must be 1 or more, not 0"),
        ({"preset": "papr"}, {}, "Did you mean paper"),
        ({}, {"IMPASTO_PRESET": "papr"}, "Did you mean paper"),
        ({"like": "gatis"}, {}, "Did you mean gatys"),
        ({"like": "paper"}, {}, "--like: must be one of"),
        ({"like": "gatys", "preset": "paper"}, {}, "give one"),
        ({"settings": "p.toml"}, {}, r"^p.toml: threads belongs below a line \[runtime\]"),
        ({"settings": "q.toml"}, {}, r"^q.toml: bits belongs below a line \[output\]"),
        ({"preset": ""}, {}, "unknown preset ''"),
        ({"settings": "missing.toml"}, {}, "missing.toml does not exist"),
    ],
)
def test_errors_name_the_place(flags, environment, words) -> None:
    toml('size = "big"', "y.toml")
    toml("sise = 3", "z.toml")
    toml('[runtime]\nthreads = "two"', "r.toml")
    toml("size = 0", "n.toml")
    toml("threads = 1", "p.toml")
    toml("bits = 16", "q.toml")
    with pytest.raises(InputError, match=words) as caught:
        gather(flags, environment)
    assert "\n" not in str(caught.value)


def test_saved_settings_are_the_same_when_read_again() -> None:
    flags = {"preset": "paper", "size": 700, "style_layers": "relu1_1=0.5,relu4_1", "threads": 2}
    first = gather({**flags, "weights": "mine", "metadata": "keep"}, {})
    text = to_toml(first)
    again = gather({"settings": toml(text)}, {})
    assert again.models() == first.models()
    assert again.settings.weights == "mine"
    assert tomllib.loads(text)["runtime"] == {"threads": 2}
    for field in Settings.model_fields.values():
        assert str(field.description) in text
    assert tomllib.loads(text.replace("# [about]", "[about]").replace("# title", "title"))["about"]
    default = to_toml(gather({}, {}))
    assert "# size =" in default.splitlines()
    assert not {"runtime", "output"} & tomllib.loads(default).keys()
    assert gather({"settings": toml(default)}, {}).settings == Settings()


def test_settings_from_the_recipe_of_a_picture() -> None:
    Path("out.json").write_text(recipe().to_json())
    chosen = gather({"settings": "out.json", "seed": 9}, {})
    assert chosen.settings == recipe().settings.changed(seed=9, weights="vgg19-original-8bit")
    assert chosen.runtime == Runtime()  # belongs to the machine that made it
    assert chosen.settings.weights == "vgg19-original-8bit"
    assert chosen.origins["init"] == "out.json"
    assert read_file("out.json").settings["size"] == 48
    assert read_recipe("out.json") == recipe()


def test_a_file_without_settings_is_refused() -> None:
    Path("x.txt").write_text("hello")
    with pytest.raises(InputError, match=re.escape("x.txt")):
        read_file("x.txt")


def test_like_is_a_preset_with_its_limits() -> None:
    chosen = gather({"like": "crowsonkb"}, {})
    assert isinstance(chosen, ResolvedSettings)
    assert chosen.preset == "crowsonkb"
    assert chosen.notes
    assert chosen.origins["preset"] == "--like"
    assert chosen.settings == Settings.preset("crowsonkb")


def test_unknown_environment_is_a_settings_error() -> None:
    with pytest.raises(SettingsError):
        gather({}, {"IMPASTO_NONSENSE": "1"})


def photo(width: int, height: int) -> bytes:
    return Picture.of(np.zeros((height, width, 3), np.uint8)).encode(".png")


def test_paper_and_resolution_make_the_size() -> None:
    flags = Flags.of({"print": "10x8in"})
    chosen = settings_sources.gather(flags, {})
    assert (chosen.output.dpi, chosen.origins["dpi"]) == (200, "--print")
    chosen = on_paper(chosen, flags, "photo.png", photo(30, 40))
    assert (chosen.settings.size, chosen.origins["size"]) == (2000, "--print")
    flags = Flags.of({"print": "10x8in", "dpi": "50", "settings": toml("size = 7")})
    chosen = on_paper(settings_sources.gather(flags, {}), flags, "photo.png", photo(40, 40))
    assert (chosen.settings.size, chosen.output.dpi, chosen.origins["dpi"]) == (400, 50, "--dpi")


def test_without_paper_nothing_changes() -> None:
    chosen = gather({}, {})
    assert on_paper(chosen, Flags(), "photo.png", b"not read") is chosen

import pytest

from impasto.config import settings_file
from impasto.config.settings import Settings
from impasto.errors import SettingsError


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The folder of the user's presets."""
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "presets"
    folder.mkdir()
    return folder


def test_every_shipped_preset_is_good_and_says_what_it_is() -> None:
    assert list(settings_file.preset_paths())[:3] == ["default", "paper", "gatys2016"]
    for name in settings_file.preset_paths():
        sheet = settings_file.read_preset(name)
        assert sheet.title
        assert Settings.preset(name) == Settings(**settings_file.resolve_preset(name).settings)
    assert set(settings_file.PEERS) <= set(settings_file.preset_paths())
    assert Settings.preset("default") == Settings()


def test_the_user_adds_presets_that_start_from_others(mine) -> None:
    (mine / "loud.toml").write_text('preset = "paper"\nstyle_weight = 50\n[runtime]\nthreads = 1\n')
    (mine / "louder.toml").write_text('preset = "loud"\nseed = 3\nweights = "mine"\n')
    assert list(settings_file.preset_paths())[-2:] == ["loud", "louder"]
    whole = settings_file.resolve_preset("louder")
    assert (whole.settings["seed"], whole.settings["style_weight"], whole.settings["init"]) == (
        3,
        50,
        "noise",
    )
    assert (whole.runtime, whole.settings["weights"]) == ({"threads": 1}, "mine")
    assert Settings.preset("louder") == Settings.preset("paper", style_weight=50, seed=3, weights="mine")


def test_a_shipped_name_stays_what_it_is(mine) -> None:
    (mine / "paper.toml").write_text("seed = 3\n")
    assert Settings.preset("paper").seed == 0


def test_presets_that_start_from_each_other(mine) -> None:
    (mine / "a.toml").write_text('preset = "b"\n')
    (mine / "b.toml").write_text('preset = "a"\n')
    with pytest.raises(SettingsError, match="start from each other"):
        Settings.preset("a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size = ", "x.toml: not a settings file in TOML"),
        ("\x00", "not a settings file"),
        ("runtime = 3", "runtime must be a table"),
        ("preset = 3", "preset must be a name in quotes"),
        ("a = " + "[" * 5000, "not a settings file"),
        ("size = " + "9" * 5000, "not a settings file in TOML"),  # more digits than Python reads
        ("preset = 0x" + "f" * 5000, "must be a name in quotes, not a number of so many digits"),
    ],
)
def test_bad_files_say_so_in_one_line(text, words) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        settings_file.parse(text.encode(), "x.toml")
    assert "\n" not in str(caught.value)


def test_a_preset_with_a_wrong_value_is_named(mine) -> None:
    (mine / "bad.toml").write_text('size = "big"\n')
    with pytest.raises(SettingsError, match=r"preset bad: size: .*not 'big'"):
        Settings.preset("bad")
    with pytest.raises(SettingsError, match=r"unknown preset 'badd'\. Did you mean bad\?"):
        Settings.preset("badd")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"a\\nb" = 1', r"preset bad: unknown setting 'a\\nb'\."),
        ("size = 0x" + "f" * 5000, r"size: .*, not a number of so many digits$"),
        ("size = [" + "1," * 500 + "]", r"preset bad: size: .*1,\.\.\.$"),
    ],
)
def test_strange_values_say_so_in_one_line(mine, text, words) -> None:
    """Found by fuzz/fuzz_readers.py."""
    (mine / "bad.toml").write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.preset("bad")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["paper", "gatys2016", *settings_file.PEERS])
def test_published_methods_drop_partial_windows_and_say_so(name) -> None:
    sheet = settings_file.read_preset(name)
    assert sheet.settings["partial_windows"] == "drop"
    assert any("multiple of 16" in limit for limit in sheet.limits)
    assert Settings.preset(name).partial_windows == "drop"
    assert Settings().partial_windows == "half"

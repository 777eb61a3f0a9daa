import importlib.util
import subprocess
import sys

import pytest

import impasto


def test_all_is_exactly_what_is_there() -> None:
    assert set(impasto.__all__) == set(impasto._HOMES) | {"__version__"}
    assert len(impasto.__all__) == len(set(impasto.__all__))
    assert dir(impasto) == sorted(impasto.__all__)
    for name in impasto.__all__:
        assert getattr(impasto, name) is not None


def test_names_come_from_their_homes() -> None:
    for name, home in impasto._HOMES.items():
        assert getattr(impasto, name).__module__ == f"impasto.{home}", name


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'impasto' has no attribute 'stylise'"):
        impasto.stylise  # noqa: B018
    assert not hasattr(impasto, "nothing")


def test_star_import_and_modules() -> None:
    space: dict[str, object] = {}
    exec("from impasto import *", space)
    assert set(impasto.__all__) <= set(space)
    code = "import impasto.config.settings, impasto;print(impasto.Settings, impasto.config.settings.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "impasto.config.settings" in done.stdout


def test_no_name_is_that_of_a_module() -> None:
    """A module imported first would hide the function behind it."""
    assert not [name for name in impasto.__all__ if importlib.util.find_spec(f"impasto.{name}")]

import os
import subprocess
import sys
from pathlib import Path

import pytest

from impasto.system import app_dirs

FOLDERS = {
    "IMPASTO_CACHE_DIR": app_dirs.cache_folder,
    "IMPASTO_DATA_DIR": app_dirs.data_folder,
    "IMPASTO_CONFIG_DIR": app_dirs.config_folder,
}


@pytest.mark.parametrize("variable", FOLDERS)
def test_the_variable_goes_first(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(tmp_path / "x"))
    assert FOLDERS[variable]() == tmp_path / "x"
    monkeypatch.delenv(variable)
    assert FOLDERS[variable]().name == "impasto"
    assert FOLDERS[variable]().is_absolute()


def test_without_a_home_nothing_is_made_where_one_is(tmp_path, monkeypatch):
    for variable in FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user not in passwd
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for folder in FOLDERS.values():
        assert folder() == app_dirs.temporary_folder()
    assert app_dirs.temporary_folder().is_absolute()


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only the administrator may be another"
)
def test_a_user_whom_the_system_does_not_know(tmp_path):
    code = (
        "import os, platformdirs; from impasto.system import app_dirs; os.setuid(54321);"
        "print(app_dirs.cache_folder(), app_dirs.data_folder(), app_dirs.config_folder())"
    )
    clean = {k: v for k, v in os.environ.items() if k == "PYTHONPATH" or k == "PATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True, cwd="/"
    )
    for folder in done.stdout.split():
        assert Path(folder).is_absolute(), folder
        assert "~" not in folder

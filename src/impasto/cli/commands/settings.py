"""`impasto settings` and `impasto presets`: shows every value and its origin, and lists the presets."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.console import dumps, out
from impasto.cli.flags import SOURCES, Flags, generated, switch, takes
from impasto.cli.output import save_settings, settings_target
from impasto.cli.settings_sources import ResolvedSettings, gather
from impasto.config import settings_file
from impasto.config.model import format_value
from impasto.config.settings import Settings
from impasto.errors import ExitCode, ImpastoError
from impasto.messages import printable
from impasto.system.files import check_target

DEFAULT_WEIGHTS = "vgg19-original-8bit"  # known here without torch; a test compares
JSON = switch("json", "Print JSON.", common=True)
FORCE = switch("force", "Replace the file of --save-settings if it exists.")


@takes([*SOURCES, JSON, FORCE, *generated()])
def settings(*, flags: Flags) -> int:
    """Show every setting, its value and where it came from.

    --save-settings writes them to a file. Flags go before environment variables (IMPASTO_SIZE for --size),
    these before the file of --settings, that before the preset, and that before the default.
    """
    resolved = gather(flags)
    if flags.save_settings is not None:
        inputs = [] if flags.settings is None else [Path(flags.settings)]
        target = settings_target(flags.save_settings)
        target = check_target(target, inputs=inputs, overwrite=flags.force)
        save_settings(target, resolved, force=flags.force)
    out(dumps(_facts(resolved)) if flags.json else "\n".join(_lines(resolved)))
    return ExitCode.DONE


def _rows(resolved: ResolvedSettings) -> list[tuple[str, Any, str]]:
    """Return (name, value, origin) of everything, the words first."""
    origins = {"weights": "default", **resolved.origins}
    words = [("preset", resolved.preset), ("weights", resolved.weights or DEFAULT_WEIGHTS)]
    rows = [(name, value, origins[name]) for name, value in words]
    return rows + [(name, value, origin) for _, name, value, origin in resolved.rows()]


def _facts(resolved: ResolvedSettings) -> dict[str, Any]:
    return {name: {"value": value, "from": origin} for name, value, origin in _rows(resolved)}


def _lines(resolved: ResolvedSettings) -> list[str]:
    rows = [
        (name, printable(format_value(value)), printable(where))
        for name, value, where in _rows(resolved)
    ]
    names = max(len(name) for name, _, _ in rows)
    values = min(44, max(len(value) for _, value, _ in rows))
    return [f"{name:{names}}  {value:{values}}  {origin}" for name, value, origin in rows]


def _all() -> tuple[dict[str, settings_file.SettingsFile], list[str]]:
    """Return all presets that can be read, and what is wrong with the others."""
    usable, bad = {}, []
    for name in settings_file.preset_paths():
        try:
            file = settings_file.read_preset(name)
            Settings.preset(name)
        except ImpastoError as error:
            bad.append(str(error))
        else:
            usable[name] = file
    shipped = {path.stem for path in settings_file.SHIPPED.glob("*.toml")}
    bad += [
        f"{path}: the name {path.stem} is taken"
        for path in settings_file.user_presets()
        if path.stem in shipped
    ]
    return usable, bad


def presets(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """List the presets, and say where your own go.

    Args:
        json: Print JSON.
    """
    usable, bad = _all()
    if json:
        about = {
            name: {"title": file.title, "limits": file.limits} for name, file in usable.items()
        }
        out(
            dumps({"folder": str(settings_file.preset_folder()), "presets": about, "not used": bad})
        )
        return ExitCode.DONE
    width = max(map(len, usable))
    for name, file in usable.items():
        out(f"{name:{width}}  {printable(file.title or 'your own')}")
        for limit in file.limits:
            out(f"{'':{width}}  - {printable(limit)}")
    for message in bad:
        out(f"not used: {printable(message)}")
    folder = printable(settings_file.preset_folder())
    out(f"Your own: save with --save-settings {folder}/NAME.toml, use with --preset NAME.")
    return ExitCode.DONE

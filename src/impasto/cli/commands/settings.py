"""`impasto settings` and `impasto presets`: all settings with where each value came from; named ones."""

from pathlib import Path

from impasto.cli.console import dumps, out
from impasto.cli.flags import SOURCES, Flags, Switch, generated, switch, takes
from impasto.cli.output import settings_target
from impasto.cli.settings_sources import gather, to_toml
from impasto.config import settings_file
from impasto.config.model import format_value
from impasto.config.settings import Settings
from impasto.errors import ExitCode, ImpastoError
from impasto.messages import printable
from impasto.system.files import check_target, publish

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
        check_target(target, inputs=inputs, overwrite=flags.force)
        publish(target, to_toml(resolved).encode(), overwrite=flags.force)
    origins = {"weights": "default", **resolved.origins}
    weights = resolved.weights or DEFAULT_WEIGHTS
    rows = [("preset", resolved.preset, origins["preset"]), ("weights", weights, origins["weights"])]
    rows += resolved.rows()
    if flags.json:
        out(dumps({name: {"value": value, "from": origin} for name, value, origin in rows}))
        return ExitCode.DONE
    texts = [(name, printable(format_value(value)), where) for name, value, where in rows]
    names = max(len(name) for name, _, _ in texts)
    values = min(44, max(len(value) for _, value, _ in texts))
    for name, value, origin in texts:
        out(f"{name:{names}}  {value:{values}}  {printable(origin)}")
    return ExitCode.DONE


def presets(*, json: Switch = False) -> int:
    """List the presets, and say where your own go.

    Args:
        json: Print JSON.
    """
    usable, bad = {}, []
    for name in settings_file.preset_paths():
        try:
            Settings.preset(name)
            usable[name] = settings_file.read_preset(name)
        except ImpastoError as error:
            bad.append(str(error))
    for path in settings_file.user_presets():
        if (settings_file.SHIPPED / path.name).exists():
            bad.append(f"{path}: the name {path.stem} is taken")
    folder = settings_file.preset_folder()
    if json:
        about = {name: {"title": file.title, "limits": file.limits} for name, file in usable.items()}
        out(dumps({"folder": str(folder), "presets": about, "not used": bad}))
        return ExitCode.DONE
    width = max(map(len, usable))
    for name, file in usable.items():
        out(f"{name:{width}}  {printable(file.title or 'your own')}")
        for limit in file.limits:
            out(f"{'':{width}}  - {printable(limit)}")
    for message in bad:
        out(f"not used: {printable(message)}")
    where = f"{printable(folder)}/NAME.toml"
    out(f"Your own: save with --save-settings {where}, use with --preset NAME.")
    return ExitCode.DONE

"""`impasto settings` and `impasto presets`: all settings with where each value came from; named ones."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.console import dumps, out
from impasto.cli.flags import SOURCES, Flags, Switch, generated, switch, takes, typed_name
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
    rows = [("preset", resolved.preset, resolved.origins["preset"])]
    for name, value, origin in resolved.rows():
        rows.append((name, DEFAULT_WEIGHTS if (name, value) == ("weights", None) else value, origin))
    if flags.json:
        out(dumps({name: {"value": value, "from": origin} for name, value, origin in rows}))
        return ExitCode.DONE
    texts = [(name, printable(format_value(value)), where) for name, value, where in rows]
    names = max(len(name) for name, _, _ in texts)
    values = min(44, max(len(value) for _, value, _ in texts))
    for name, value, origin in texts:
        out(f"{name:{names}}  {value:{values}}  {printable(origin)}")
    return ExitCode.DONE


HEADS = {  # of `presets`, by kind
    "look": "Looks, for --preset NAME (impasto looks PHOTO PAINTING paints them all):",
    "paper": "After Gatys, Ecker and Bethge, for --preset NAME:",
    "program": "Other programs' published settings, for --like NAME:",
    "own": "Your own, for --preset NAME:",
}


def presets(
    name: Annotated[str | None, Parameter(converter=typed_name, show_default=False)] = None,
    /,
    *,
    json: Switch = False,
) -> int:
    """List the presets, or show one; say where your own go.

    Args:
        name: A preset: its title, its settings and what it cannot do.
        json: Print JSON.
    """
    if name is not None:
        return _preset(name, json=json)
    usable, bad = {}, []
    for known in settings_file.preset_paths():
        try:
            Settings.preset(known)
            usable[known] = settings_file.read_preset(known)
        except ImpastoError as error:
            bad.append(str(error))
    for path in settings_file.user_presets():
        if (settings_file.SHIPPED / path.name).exists():
            bad.append(f"{path}: the name {path.stem} is taken")
    folder = settings_file.preset_folder()
    if json:
        about = {
            known: {"title": file.title, "kind": settings_file.kind_of(known), "limits": file.limits}
            for known, file in usable.items()
        }
        out(dumps({"folder": str(folder), "presets": about, "not used": bad}))
        return ExitCode.DONE
    width = max(map(len, usable))
    for kind, head in HEADS.items():
        names = [known for known in usable if settings_file.kind_of(known) == kind]
        if kind == "look":
            names.sort(key=settings_file.LOOKS.index)
        if names:
            out(head)
        for known in names:
            out(f"  {known:{width}}  {printable(usable[known].title or 'your own')}")
    for message in bad:
        out(f"not used: {printable(message)}")
    where = f"{printable(folder)}/NAME.toml"
    out(
        f"impasto presets NAME shows one. Your own: save with --save-settings {where}, use with --preset "
        "NAME."
    )
    return ExitCode.DONE


def _preset(name: str, *, json: bool) -> int:
    """Show one preset: its title, what it sets, and what it cannot express."""
    file = settings_file.resolve_preset(name)
    chosen, standard = Settings.preset(name), Settings()
    tables = zip(settings_file.TABLES, file.tables()[1:], strict=True)
    others = {f"{title}.{field}": value for title, table in tables for field, value in table.items()}
    if json:
        values = {"settings": chosen.model_dump(), "others": others}
        about = {"title": file.title, "kind": settings_file.kind_of(name), "limits": file.limits}
        out(dumps({"name": name, **about, **values}))
        return ExitCode.DONE
    out(f"{printable(name)}: {printable(file.title or 'your own')}")
    changed = {field: value for field, value in chosen if value != getattr(standard, field)}
    rows = {**changed, **others}
    width = max(map(len, rows), default=0)
    for field, value in rows.items():
        default = DEFAULT_WEIGHTS if field == "weights" else getattr(standard, field, None)
        note = f"   (default: {format_value(default)})" if field in changed else ""
        out(f"  {field:{width}}  {printable(format_value(value))}{note}")
    if not rows:
        out("  all settings have their defaults")
    for limit in file.limits:
        out(f"  - {printable(limit)}")
    return ExitCode.DONE

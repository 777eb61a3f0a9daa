"""The command line that paints what a job paints."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from impasto.config.model import format_value
from impasto.config.output import Output
from impasto.config.settings import Settings
from impasto.config.unused import unused
from impasto.studio.files import plain_name

NONE = "none"  # on the command line: no mask for this painting


def command_of(request: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the command of a job for a shell.

    Args:
        request: What the job paints.
        names: The file names of its pictures by id.
    """

    def file(id: str) -> str:
        name = plain_name(names.get(id))
        return f"./{name}" if name.startswith("-") or name in (NONE, "rest") else name

    styles: Sequence[Mapping[str, Any]] = request["styles"]
    parts = ["impasto", file(request["photo"])]
    many = len(styles) > 1
    for style in styles:
        parts += ["--style", file(style["picture"])] if many else [file(style["picture"])]
    if many and len({style["weight"] for style in styles}) > 1:
        parts += ["--style-weights", ",".join(f"{style['weight']:g}" for style in styles)]
    if any(style["mask"] for style in styles):
        for style in styles:
            parts += ["--mask", file(style["mask"]) if style["mask"] else NONE]
    if request["protect"]:
        parts += ["--protect", file(request["protect"])]
    if request["init_picture"]:
        parts += ["--init-picture", file(request["init_picture"])]
    settings = Settings(**request["settings"])
    idle = unused(settings, protected=bool(request["protect"]))
    for model, values in ((settings, Settings()), (Output(**request["output"]), Output())):
        for name, value in model:
            if value != getattr(values, name) and name not in idle:
                parts += _flag(name, value)
    return shlex.join(parts)


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    text = repr(value) if isinstance(value, float) else format_value(value)
    return [f"--{flag}", text.removesuffix(".0")]

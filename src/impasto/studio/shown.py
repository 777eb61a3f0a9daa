"""How a job is shown: in types of JSON, with the command line that paints the same. No torch here."""

import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.config.model import format_value
from impasto.config.output import Output
from impasto.config.settings import Settings
from impasto.config.unused import unused
from impasto.studio.checks import film_settings
from impasto.studio.files import plain_name
from impasto.studio.store import Job
from impasto.studio.supervisor import Live

NONE = "none"  # on the command line: no mask for this painting
FILM = ".mp4"  # usual ending of a film; the command writes the kind of the clip by itself


def command_of(request: Mapping[str, Any], names: Mapping[str, str], ending: str = FILM) -> str:
    """Return the command of a job for a shell.

    Args:
        request: What the job paints.
        names: The file names of its pictures by id.
        ending: Of its film.
    """

    def plain(text: str | None) -> str:
        name = plain_name(text)
        return f"./{name}" if name.startswith("-") or name in (NONE, "rest") else name

    def file(id: str) -> str:
        return plain(names.get(id))

    styles: Sequence[Mapping[str, Any]] = request["styles"]
    film = request.get("film")
    parts = ["impasto", "video", plain(film["name"])] if film else ["impasto", file(request["photo"])]
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
    output = film_settings(film) if film else Output(**request["output"])
    for model in (settings, output):
        for name, value in model:
            if value != getattr(type(model)(), name) and name not in idle:
                parts += _flag(name.rstrip("_"), value)
    if film and Path(film["name"]).suffix.lower() != ending:
        parts += ["-o", plain(stem_of(request, names) + ending)]
    return shlex.join(parts)


def stem_of(request: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the name of a result without its ending: the photo or clip, and the paintings."""
    film = request.get("film")
    first = film["name"] if film else names.get(request["photo"], "picture")
    others = [names.get(style["picture"], "picture") for style in request["styles"]]
    return "-".join(Path(name).stem for name in (first, *others))


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    text = repr(value) if isinstance(value, float) else format_value(value)
    return [f"--{flag}", text.removesuffix(".0")]


def job_json(job: Job, live: Live | None, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a job in types of JSON.

    Args:
        job: Its row.
        live: What is known beyond it while it runs.
        names: The file names of its pictures by id.
    """
    request = dict(job.request)
    result = dict(job.result) if job.result else None
    if result:
        result.pop("token")
    ending = ((result or {}).get("film") or {}).get("suffix", FILM)
    facts = {
        name: getattr(job, name)
        for name in ("id", "number", "kind", "state", "wish", "created", "started", "finished", "name")
    }
    shown = {
        "group": job.batch,
        "position": None,
        "progress": live.progress if live else job.progress,
        "losses": (live.losses if live else job.losses) or [],
        "version": max(live.version if live else 0, job.version),
        "result": result,
        "error": job.error,
        "star": bool(job.star),
        "command": _command(json.dumps(request), ending, *(names.get(id, "") for id in pictures_of(request))),
    }
    return {**facts, "film": None, **request, **shown}


@functools.lru_cache(maxsize=1000)
def _command(request: str, ending: str, *names: str) -> str:
    """Return the command of a job, by its request in JSON, its film's ending and its pictures' names."""
    found = json.loads(request)
    return command_of(found, dict(zip(pictures_of(found), names, strict=True)), ending)


def pictures_of(request: Mapping[str, Any]) -> list[str]:
    """Return the ids of a job's pictures."""
    ids = [request["photo"], request["protect"], request["init_picture"]]
    ids += [style[part] for style in request["styles"] for part in ("picture", "mask")]
    return [id for id in ids if id is not None]

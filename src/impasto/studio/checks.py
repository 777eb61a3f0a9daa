"""What a client sends to be painted, checked before it is queued. No torch here."""

from collections.abc import Mapping
from typing import Any, TypeVar

from impasto.config.model import Model
from impasto.config.output import Output
from impasto.config.settings import Settings
from impasto.errors import InputError, SettingsError
from impasto.messages import did_you_mean
from impasto.network.weights import store as weights
from impasto.videos.video import FilmSettings

M = TypeVar("M", bound=Model)


def checked(inputs: Mapping[str, Any], most_styles: int) -> dict[str, Any]:
    """Return what a job paints, with settings that are valid and only those that differ from the defaults.

    Raises:
        InputError: A setting is wrong, or two do not go together.
    """
    settings, output = settings_of(inputs["settings"]), model_of(Output, inputs["output"])
    if film := inputs.get("film"):
        if settings.init == "picture":
            raise InputError("init: 'picture' is for a photo: a film begins with its own frames")
    if settings.init == "picture" and not inputs["init_picture"]:
        raise InputError("init: 'picture' needs the picture to start from (--init-picture FILE)")
    if inputs["init_picture"] and settings.init != "picture":
        raise InputError(f"--init-picture goes with --init picture, not --init {settings.init}")
    styles = inputs["styles"]
    if len(styles) > most_styles:
        raise InputError(f"styles: at most {most_styles} paintings, not {len(styles)}")
    if not any(style["weight"] for style in styles):
        raise InputError("style weight: at least one style needs a weight above 0")
    return {
        "photo": inputs["photo"],
        "film": film,
        "styles": [{name: style[name] for name in ("picture", "weight", "mask")} for style in styles],
        "protect": inputs["protect"],
        "init_picture": inputs["init_picture"],
        "settings": changed(settings, Settings()),
        "output": changed(output, Output()),
        "parent": inputs.get("parent"),
    }


def no_film(inputs: Mapping[str, Any]) -> None:
    """Refuse a film, or no photo, where several small pictures are painted.

    Raises:
        InputError: It is so.
    """
    if inputs.get("film") or not inputs["photo"]:
        raise InputError("photo: looks and grids are painted from a photo, such as a frame of a clip")


def film_settings(film: Mapping[str, Any]) -> FilmSettings:
    """Return the settings of a film.

    Raises:
        SettingsError: The range is none.
    """
    values = {name: film[name.rstrip("_")] for name in ("from_", "to", "steadiness", "every")}
    return FilmSettings(**values)


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Return settings of what a client sent: types as in JSON, weights by the names that are here.

    Raises:
        SettingsError: A value or a name is wrong.
    """
    settings = model_of(Settings, values)
    known = [weights.PACKAGED, weights.NORMALIZED, *weights.installed()]
    if settings.weights is not None and settings.weights not in known:
        hint = did_you_mean(settings.weights, known) or f" Known: {', '.join(known)}."
        raise SettingsError(f"weights: there are none of that name here.{hint}")
    return settings


def model_of(model: type[M], values: Mapping[str, Any]) -> M:
    """Return a model of values in types of JSON.

    Raises:
        SettingsError: A value or a name is wrong.
    """
    model.check_types(values)
    return model(**values)


def changed(values: Model, standard: Model) -> dict[str, Any]:
    """Return the fields of a model that differ from another one's."""
    return {name: value for name, value in values if value != getattr(standard, name)}

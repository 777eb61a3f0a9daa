"""The base class of all settings models, errors in one line, and quantities with units. No torch here."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from impasto.config.synonyms import name_hint, value_hint
from impasto.errors import SettingsError

Groups = Literal[
    "Output",
    "Film",
    "Look",
    "Color",
    "Styles",
    "Regions",
    "Size",
    "Speed",
    "Start",
    "Expert",
    "Machine",
    "Input",
]
PREFIX = "IMPASTO_"  # of environment variables
LARGEST_EDGE = 30_000  # px
LONGEST = 120  # characters of a value in a message
BYTES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
BYTES |= {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}
COUNTS = {"": 1, "px": 1, "kp": 1000, "mp": 1000**2, "gp": 1000**3}  # pixels
SECONDS = {"": 1}
SECONDS |= dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1)
SECONDS |= dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60)
SECONDS |= dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600)
_ERROR_TEXTS = {  # text -> types of pydantic's errors
    "must be a whole number": ("int_parsing", "int_type", "int_from_float", "int_parsing_size"),
    "must be a number": ("float_parsing", "float_type"),
    "must be a finite number": ("finite_number",),
    "must be true or false": ("bool_parsing", "bool_type"),
    "must be {ge} or more": ("greater_than_equal",),
    "must be {le} or less": ("less_than_equal",),
    "must be above {gt}": ("greater_than",),
    "must be below {lt}": ("less_than",),
    "must be one of {expected}": ("literal_error",),
}


def option(default: Any, help: str, group: Groups, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field with help text, unit and group of the command line."""
    extra: dict[str, Any] = {"group": group, "unit": unit}
    return Field(default=default, description=help, json_schema_extra=extra, **limits)


def error_message(
    model: str, error: ValidationError, known: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> str:
    """Return in one line which fields of a model are wrong and why.

    `known` are the fields by name; `names` are other names of them in the message, such as flags.
    """
    lines = []
    missing = [str(item["loc"][-1]) for item in error.errors() if item["type"] == "missing"]
    if missing:
        more = f" and {len(missing) - 3} more" if missing[3:] else ""
        lines.append(f"{', '.join(missing[:3])}{more} missing")
    for item in error.errors():
        if item["type"] == "missing":
            continue
        field = str(item["loc"][0]) if item["loc"] else model
        name = (names or {}).get(field, field)
        if item["type"] == "extra_forbidden":
            hint = name_hint(field, known) or f" Known: {', '.join(known)}."
            lines.append(f"unknown setting {short_repr(name)}.{hint}")
            continue
        message = error_text(item, known.get(field))
        instead = "" if item["type"] == "value_error" else f", not {short_repr(item['input'])}"
        if item["type"] in ("literal_error", "string_pattern_mismatch"):
            words = re.findall(r"\w+", known[field].description or "")
            hint = value_hint(item["input"], choices(known[field]) or words)
            instead += f".{hint}" if hint else ""
        lines.append(f"{name}: {message}{instead}" if item["loc"] else f"{message}{instead}")
    return "; ".join(lines)


def short_repr(value: object) -> str:
    """Return the repr of a value for a message, shortened to `LONGEST` characters."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of so many digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def error_text(item: Mapping[str, Any], field: Any = None) -> str:
    """Return what is wrong with a value, from an item of pydantic's errors and the field."""
    kind, limits = str(item["type"]), item.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"must be one of {str(getattr(field, 'description', '')).rstrip('.')}"
    for text, kinds in _ERROR_TEXTS.items():
        if kind in kinds:
            return text.format(**{name: _number(value) for name, value in limits.items()})
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _no_text(error: UnicodeEncodeError) -> SettingsError:
    """Return the error for text with surrogates, as from bytes of the command line that are not UTF-8."""
    return SettingsError(f"{error.object[:60]!a} is not valid text; write it in UTF-8")


def _number(value: Any) -> Any:
    """Return a limit as an int where it is whole: 0, not 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Model(BaseModel):
    """Base of all models: frozen, refuses unknown fields and non-finite numbers.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            known = type(self).model_fields
            raise SettingsError(error_message(type(self).__name__, error, known)) from error
        except UnicodeEncodeError as error:
            raise _no_text(error) from error

    @classmethod
    def of(cls, value: Self | None, **changes: Any) -> Self:
        """Return a model, for None the defaults, with some values changed; see `changed`."""
        if value is not None and not isinstance(value, cls):
            name, kind = cls.__name__, type(value).__name__
            fix = f"{name}(**values)" if isinstance(value, Mapping) else f"{name}(...)"
            raise SettingsError(f"{name.lower()}: needs a {name}, not {kind}; write impasto.{fix}")
        if not changes:
            return cls() if value is None else value
        return cls(**changes) if value is None else value.changed(**changes)

    @classmethod
    def with_names(cls, values: Mapping[str, Any], names: Mapping[str, str]) -> Self:
        """Return a model; errors use other names of the fields, such as the flag `--size`."""
        try:
            return cls(**values)
        except SettingsError as error:
            if isinstance(error.__cause__, ValidationError):
                message = error_message(cls.__name__, error.__cause__, cls.model_fields, names)
                raise SettingsError(message) from error.__cause__
            raise

    @classmethod
    def from_texts(cls, values: Mapping[str, Any], names: Mapping[str, str]) -> Self:
        """Return a model of values some of which are texts as people type them; see `understood`.

        Errors use other names of the fields, such as the flag `--size`.
        """
        plain = {}
        for name, value in values.items():
            try:
                plain[name] = understood(cls.model_fields[name], value) if isinstance(value, str) else value
            except ValueError as error:
                raise SettingsError(f"{names.get(name, name)}: {error}") from error
        return cls.with_names(plain, names)

    @classmethod
    def check_types(cls, values: Mapping[str, Any]) -> None:
        """Refuse values whose type is not exactly that of the field, such as a number as text.

        Raises:
            SettingsError: A type is wrong or a name is unknown.
        """
        for name, value in values.items():
            if name not in cls.model_fields:
                hint = name_hint(name, cls.model_fields) or f" Known: {', '.join(cls.model_fields)}."
                raise SettingsError(f"unknown setting {short_repr(name)}.{hint}")
            kind: Any = cls.model_fields[name].annotation
            if is_table(cls.model_fields[name]) and isinstance(value, (str, list)):
                continue  # layers may have the form of the command line
            try:
                TypeAdapter(kind).validate_python(value, strict=True)
            except UnicodeEncodeError as error:
                raise _no_text(error) from error
            except ValidationError as error:
                reason = error_text(error.errors()[0], cls.model_fields[name])
                raise SettingsError(f"{name}: {reason}, not {short_repr(value)}") from error

    def changed(self, **values: Any) -> Self:
        """Return a copy with some values changed; all are validated again."""
        return type(self)(**{**self.model_dump(), **values})


def is_table(field: FieldInfo) -> bool:
    """Whether a field is a dictionary, such as layers with weights."""
    return get_origin(field.annotation) is dict


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """Return the values of a field with a Literal type; empty for others."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def understood(field: FieldInfo, text: str) -> str:
    """Return a text that somebody typed as the field reads it: without its unit, choices in small letters.

    Raises:
        ValueError: It is a width and a height where one number is needed.
    """
    extra = field.json_schema_extra
    unit = str(extra["unit"]) if isinstance(extra, dict) else ""
    small = text.strip().lower()
    if small in map(str, choices(field)) or any(hasattr(item, "pattern") for item in field.metadata):
        return small
    if unit == "px" and (both := re.fullmatch(r"(\d+)\s*(?:px)?\s*[x*\u00d7,]\s*(\d+)\s*(?:px)?", small)):
        longer = max(int(both[1]), int(both[2]))
        raise ValueError(
            f"must be one number, such as {longer}, not '{text}'; a picture's size is its long edge"
        )
    for word in filter(None, (unit, unit.removesuffix("s"))):
        if small.endswith(word) and re.fullmatch(r"[\d.]+", number := small.removesuffix(word).strip()):
            return number
    return text


def format_value(value: object) -> str:
    """Return a value as text for help and listings."""
    if value is None:
        return "not set"
    if isinstance(value, dict):
        return ",".join(name if w == 1 else f"{name}={w:g}" for name, w in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_quantity(text: str, units: Mapping[str, int], example: str) -> float | int:
    """Return a number with units, such as `4GB` or `1h30m`, in the smallest unit.

    Raises:
        ValueError: It is not a number with one of the units, or too large.
    """
    parts = re.findall(r"([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text.strip().lower())
    if not parts or "".join(map("".join, parts)) != re.sub(r"\s", "", text.lower()):
        raise ValueError(f"must be a number with a unit, {example}, not '{text}'")
    total = 0.0
    for number, unit in parts:
        if unit not in units or (len(parts) > 1 and not unit):
            raise ValueError(f"unknown unit '{unit}' in '{text}'; write it {example}")
        total += float(number) * units[unit]
    if not math.isfinite(total):
        raise ValueError(f"is too large; write it {example}")
    return total if units is SECONDS else int(total)

"""The base of our models: frozen, strict about names, and with errors in one line of ours. No torch here."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from impasto.errors import SettingsError
from impasto.messages import did_you_mean

Groups = Literal[
    "Output",
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
PREFIX = "IMPASTO_"  # of the variables that settings come from
LARGEST_EDGE = 30_000  # px
LONGEST = 120  # characters of a value in a message
_PLAIN = {  # in our words -> pydantic's kinds of error
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
    """Return a pydantic field with its help, unit and command line group."""
    extra: dict[str, Any] = {"group": group, "unit": unit}
    if isinstance(default, dict):
        copied = dict(default)
        return Field(
            default_factory=lambda: dict(copied),
            description=help,
            json_schema_extra=extra,
            **limits,
        )
    return Field(default=default, description=help, json_schema_extra=extra, **limits)


def error_message(
    model: str,
    error: ValidationError,
    known: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
) -> str:
    """Say in one line which fields are wrong and why; `names` are what to call them."""
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
            hint = did_you_mean(field, known) or f" Known: {', '.join(known)}."
            lines.append(f"unknown setting {short_repr(name)}.{hint}")
            continue
        message = error_text(item, known.get(field))
        instead = "" if item["type"] == "value_error" else f", not {short_repr(item['input'])}"
        lines.append(f"{name}: {message}{instead}" if item["loc"] else f"{message}{instead}")
    return "; ".join(lines)


def short_repr(value: object) -> str:
    """Return a value for a message: one line, not too long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of so many digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def error_text(item: Mapping[str, Any], field: Any = None) -> str:
    """Say what is wrong with a value in plain words."""
    kind, limits = str(item["type"]), item.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"must be one of {str(getattr(field, 'description', '')).rstrip('.')}"
    for words, kinds in _PLAIN.items():
        if kind in kinds:
            return words.format(**{name: _number(value) for name, value in limits.items()})
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _no_text(error: UnicodeEncodeError) -> SettingsError:
    """Say that a text is none, as bytes of the command line are that are not UTF-8."""
    return SettingsError(f"{error.object[:60]!a} is not valid text; write it in UTF-8")


def _number(value: Any) -> Any:
    """Return a limit as one writes it: 0, not 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Model(BaseModel):
    """Frozen, refuses unknown keys and non-finite numbers, and raises our own errors."""

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
    def called(cls, values: Mapping[str, Any], names: Mapping[str, str]) -> Self:
        """Make one, calling its fields in errors what the user called them, such as `--size`."""
        try:
            return cls(**values)
        except SettingsError as error:
            if isinstance(error.__cause__, ValidationError):
                said = error_message(cls.__name__, error.__cause__, cls.model_fields, names)
                raise SettingsError(said) from error.__cause__
            raise

    @classmethod
    def check_types(cls, values: Mapping[str, Any]) -> None:
        """Refuse values whose type is not exactly the field's, such as a number written as text.

        Raises:
            SettingsError: A type is wrong or a name is unknown.
        """
        for name, value in values.items():
            if name not in cls.model_fields:
                hint = (
                    did_you_mean(name, cls.model_fields)
                    or f" Known: {', '.join(cls.model_fields)}."
                )
                raise SettingsError(f"unknown setting {short_repr(name)}.{hint}")
            kind: Any = cls.model_fields[name].annotation
            if is_table(cls.model_fields[name]) and isinstance(value, (str, list)):
                continue  # layers may be written as on the command line
            try:
                TypeAdapter(kind).validate_python(value, strict=True)
            except UnicodeEncodeError as error:
                raise _no_text(error) from error
            except ValidationError as error:
                said = error_text(error.errors()[0], cls.model_fields[name])
                raise SettingsError(f"{name}: {said}, not {short_repr(value)}") from error

    def changed(self, **values: Any) -> Self:
        """Return a copy with some values changed, checked again."""
        return type(self)(**{**self.model_dump(), **values})


def is_table(field: FieldInfo) -> bool:
    """Whether a field holds named numbers, as the layers do."""
    return get_origin(field.annotation) is dict


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """Return the values a field is limited to by name, if it is."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def format_value(value: object) -> str:
    """Return a value as help and listings show it."""
    if value is None:
        return "not set"
    if isinstance(value, dict):
        return ",".join(name if w == 1 else f"{name}={w:g}" for name, w in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}
COUNTS = {"": 1, "px": 1, "kp": 1000, "mp": 1000**2, "gp": 1000**3}  # pixels
SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


def measured(text: str, units: Mapping[str, int], example: str) -> float | int:
    """Return a number with units, such as `4GB` or `1h30m`, in the smallest of them."""
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

"""How a picture is computed (`Runtime`): part of the one table of defaults. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from impasto.config.model import BYTES, LARGEST_EDGE, SECONDS, Model, measured, option


class Runtime(Model):
    """How a picture is computed: does not change what is wanted, but may change the last digits.

    Repeats with the same `Settings`, inputs and `Runtime` on the same machine give the same bytes.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    device: str = option(
        "auto",
        "auto, cpu, cuda, cuda:1 or mps.",
        "Machine",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    threads: int | None = option(
        None,
        "Processor threads. Default: as many as the machine lets us use.",
        "Machine",
        ge=1,
        le=1024,
    )
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Number format inside the network; auto takes bf16 where it is fast.", "Machine"
    )
    memory_limit: int | None = option(
        None,
        "Memory that the whole program may take, such as 4GB. Default: what is free.",
        "Machine",
        ge=1,
    )
    budget: float | None = option(
        None,
        "Time to spend, such as 90s or 2m, in place of a number of evaluations.",
        "Speed",
        gt=0,
        le=10_000_000,
    )
    tile: int | None = option(
        None,
        "Edge of the parts that a picture is computed in; 0: whole. Default: whole where it fits.",
        "Machine",
        "px",
        ge=0,
        le=LARGEST_EDGE,
    )
    pairs: int | None = option(
        None,
        "At most so many curvature pairs, for memory's sake. Default: as --history.",
        "Machine",
        "pairs",
        ge=1,
        le=1000,
    )
    compact: bool | None = option(
        None,
        "Keep curvature and the photo's features in 16 bits. Default: with bf16, or where memory is short.",
        "Machine",
    )

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _parse_bytes(cls, value: object) -> object:
        return measured(value, BYTES, "such as 4GB or 800MB") if isinstance(value, str) else value

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_seconds(cls, value: object) -> object:
        return (
            measured(value, SECONDS, "such as 90s, 2m or 1h30m")
            if isinstance(value, str)
            else value
        )

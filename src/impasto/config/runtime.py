"""`Runtime`: device, threads, precision and memory of a run, with defaults. No torch here."""

from typing import Literal

from pydantic import field_validator

from impasto.config.model import BYTES, LARGEST_EDGE, SECONDS, Model, option, parse_quantity
from impasto.network.kernels import parse

SMALLEST = 1_000_000  # bytes of a memory limit below which a number without a unit is none


class Runtime(Model):
    """How a picture is computed: may change the last digits of the result, but not its look.

    Runs with the same `Settings`, inputs and `Runtime` on the same machine give the same bytes.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    device: str = option(
        "auto", "auto, cpu, cuda, cuda:1 or mps.", "Machine", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"
    )
    threads: int | None = option(
        None,
        "Processor threads. Default: as many as this process may use; one where others wait for them.",
        "Machine",
        ge=1,
        le=1024,
    )
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Number format in the network; auto takes bf16 where it is fast.", "Machine"
    )
    kernels: str = option(
        "auto",
        "auto, direct or winograd: how convolutions are computed on the processor; auto takes what is "
        "measured to be fastest.",
        "Machine",
    )
    memory_limit: int | None = option(
        None, "Memory for the whole program, such as 4GB. Default: what is free.", "Machine", ge=1
    )
    budget: float | None = option(
        None,
        "Time to spend, such as 90s or 2m, instead of a number of evaluations.",
        "Speed",
        gt=0,
        le=10_000_000,
    )
    tile: int | None = option(
        None,
        "Edge of the tiles in which a picture is computed; 0: no tiles. Default: none if memory allows.",
        "Machine",
        "px",
        ge=0,
        le=LARGEST_EDGE,
    )
    pairs: int | None = option(
        None,
        "Largest number of curvature pairs, to save memory. Default: as --history.",
        "Machine",
        "pairs",
        ge=1,
        le=1000,
    )
    compact: bool | None = option(
        None,
        "Store curvature and the photo's features in 16 bits. Default: with bf16, or if memory is short.",
        "Machine",
    )

    @field_validator("kernels")
    @classmethod
    def _check_kernels(cls, value: str) -> str:
        if value != "auto":
            parse(value)
        return value

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _parse_bytes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        size = parse_quantity(value, BYTES, "such as 4GB or 800MB")
        if value.strip().replace(".", "", 1).isdecimal() and size < SMALLEST:
            number = value.strip()
            raise ValueError(f"must have a unit, such as {number}GB or 800MB: {number} are bytes")
        return size

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_seconds(cls, value: object) -> object:
        if isinstance(value, str):
            return parse_quantity(value, SECONDS, "such as 90s, 2m or 1h30m")
        return value

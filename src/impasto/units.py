"""Numbers with units, as users write them: `4GB`, `1h30m`, `200MP`. No torch here."""

import math
import re
from collections.abc import Mapping

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

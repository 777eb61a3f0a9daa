"""`Paper`: a size on paper, such as 40x30cm, and how many pixels a picture has there. No torch here."""

import re
from dataclasses import dataclass
from typing import Self

from impasto.errors import InputError
from impasto.messages import printable

DPI = 200.0  # dots per inch of a print whose resolution nobody names
INCHES = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0}


@dataclass(frozen=True)
class Paper:
    """A sheet of paper; a picture is printed on it as large as it fits, upright or lying.

    Attributes:
        long: Its long side, in inches.
        short: Its short side, in inches.
    """

    long: float
    short: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a width and a height with a unit, or the name of a format of ISO 216, a0 to a6.

        Raises:
            InputError: It is neither.
        """
        word = text.strip().lower().replace("×", "x")
        if named := re.fullmatch(r"a([0-6])", word):
            return cls(*(_side(int(named[1]) + more) / 25.4 for more in (0, 1)))
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"{number}\s*(mm|cm|in)?\s*x\s*{number}\s*(mm|cm|in)", word)
        sides = found and sorted(float(found[at]) * INCHES[found[at + 1] or found[4]] for at in (1, 3))
        if not sides or not 0.1 <= sides[0] <= sides[1] <= 1000:
            raise InputError(
                f"--print: must be a width and a height with a unit (mm, cm, in), such as 40x30cm, or a0 to "
                f"a6, not {printable(text)}"
            )
        return cls(sides[1], sides[0])

    def long_edge(self, width: int, height: int, dpi: float) -> int:
        """Return the long edge, in px, of a picture of this shape that is as large as it fits."""
        longer, shorter = max(width, height), min(width, height)
        return max(1, round(dpi * min(self.long, self.short * longer / shorter)))


def _side(number: int) -> int:
    """Return the long side of a sheet of ISO 216's series A, in mm; its short side is the next one's."""
    return int(1000 * 2 ** (0.25 - number / 2) + 0.2)

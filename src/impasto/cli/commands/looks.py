"""`impasto looks`: one labeled sheet of the looks that come with impasto. torch comes late."""

from dataclasses import replace
from pathlib import Path

from impasto.cli.commands.grid import SAVED, SETTINGS, SIZE, compare
from impasto.cli.flags import COMMON_FIELDS, PICTURES, Flags, generated, parameter, takes, typed
from impasto.config.settings_file import LOOKS

EDGE = 256  # px; long edge of the pictures where no size is given

SHEET = parameter("output", Path, "The sheet; the suffix decides the format. The pictures go into a folder "
    "beside it, NAME-cells, their numbers into NAME.csv. [default: CONTENT-STYLE-looks.png here]",
    common=True, short=["-o"], allow_leading_hyphen=True, converter=typed)  # fmt: skip
OTHERS = [item for item in SETTINGS if item.name not in ("preset", "like")]
FIELDS = generated(common=COMMON_FIELDS - {"budget", "strength", "style_weight"})


@takes([*PICTURES, SHEET, SIZE, *SAVED, *OTHERS, *FIELDS])
def looks(content: str, *styles: str, flags: Flags) -> int:
    """Paint with every look and put the results on one sheet.

    A look is a preset for --preset; impasto presets says what they are. The pictures have 256 px unless
    --size says otherwise. The same command again continues an interrupted one.
    """
    flags = replace(flags, vary=[f"preset={','.join(LOOKS)}"], changes={"size": EDGE, **flags.changes})
    return compare(content, styles, flags, "looks")

"""`Facts`: what a picture file says besides its pixels."""

from dataclasses import dataclass

from impasto.exif import DPI


@dataclass(frozen=True)
class Facts:
    """What a file says besides its pixels.

    Attributes:
        bits: 8 or 16.
        dpi: Dots an inch across and down, where it is stated.
        notes: What was not used or could not be, one sentence each.
        exif: As it stands there, a TIFF structure.
        iptc: Its records.
        xmp: The packet.
    """

    bits: int = 8
    dpi: DPI | None = None
    notes: tuple[str, ...] = ()
    exif: bytes = b""
    iptc: bytes = b""
    xmp: bytes = b""

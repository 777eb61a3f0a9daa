"""What a PSD states of the channels of its merged picture.

colors, others, transparent = channels(data)     # 3, 1, True
"""

import struct

_COLORS = {3: 3, 4: 4, 9: 3}  # channels of RGB, CMYK and Lab; of other modes 1


def channels(data: bytes) -> tuple[int, int, bool]:
    """Return the numbers of channels of colors and of others, and whether the first other is transparency.

    That is so where the number of layers is negative (Adobe Photoshop File Formats, "Layer info"); else it is
    a saved selection or a spot color.

    Raises:
        ValueError: The head is damaged.
    """
    try:
        count, mode = struct.unpack_from(">H10xH", data, 12)
        at = 26
        for _ in range(2):  # the palette, and resources such as the profile
            at += 4 + struct.unpack_from(">I", data, at)[0]
        size = struct.unpack_from(">I", data, at)[0]
        listed, layers = struct.unpack_from(">Ih", data, at + 4) if size >= 6 else (0, 0)
    except struct.error as error:
        raise ValueError("its head is damaged") from error
    colors = _COLORS.get(mode, 1)
    return colors, max(0, count - colors), listed > 0 > layers

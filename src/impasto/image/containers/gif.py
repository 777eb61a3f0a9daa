"""The blocks of a GIF: its profile. libvips reads none.

profile = profile(data)
"""

_NAME = b"\x21\xff\x0bICCRGBG1012"


def profile(data: bytes) -> bytes:
    """Return the ICC profile; empty if absent."""
    at, parts = data.find(_NAME) + len(_NAME), []
    if at < len(_NAME):
        return b""
    while at < len(data) and (size := data[at]):  # blocks, each preceded by its length
        parts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return b"".join(parts)

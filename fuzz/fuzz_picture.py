"""Coverage-guided fuzzing of `Picture.open`: anything but a picture or an `ImpastoError` is a finding.

Usage: python fuzz/fuzz_picture.py [options of libFuzzer, such as -max_total_time=600]

See fuzz/README.md. Findings are files in fuzz/findings; `python fuzz/fuzz_picture.py FILE` repeats one.
"""

import io
import logging
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["impasto", "PIL"]):
    from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, TiffImagePlugin  # noqa: F401

    from impasto.config.limits import Input
    from impasto.errors import ImpastoError
    from impasto.image.picture import Picture

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "corpus"  # used where it is
LONGEST = 16_384  # bytes of an input
LIMITS = Input(max_pixels=1_000_000, max_side=4096)  # small, for the sake of speed
SPOKEN = tempfile.TemporaryFile()  # what is written to standard error
DEFAULTS = {"max_total_time": 600, "timeout": 10, "rss_limit_mb": 3000, "max_len": LONGEST}


def one(data: bytes) -> None:
    """Open one input, and see that nothing is written to the terminal meanwhile."""
    SPOKEN.seek(0)
    SPOKEN.truncate()
    saved = os.dup(2)
    os.dup2(SPOKEN.fileno(), 2)
    try:
        tried(data)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    if said := os.pread(SPOKEN.fileno(), 200, 0):
        raise AssertionError(f"written to the terminal: {said!r}")


def tried(data: bytes) -> None:
    """Read all the pixels of one input."""
    try:
        picture = Picture.open(data, limits=LIMITS)
        colors, alpha = picture.tensor(24, 16), picture.alpha()
        picture.array()
    except ImpastoError as error:
        if len(str(error).splitlines()) != 1:
            raise AssertionError(f"not one line: {error!r}") from error
        return
    if not (colors.isfinite().all() and 0 <= colors.min() and colors.max() <= 1):
        raise AssertionError("colours out of range")
    if picture.width * picture.height > LIMITS.max_pixels:
        raise AssertionError("larger than the limit")
    if alpha is not None and tuple(alpha.shape) != (1, 1, picture.height, picture.width):
        raise AssertionError("alpha of another size")


def mutated(data: bytes, longest: int, seed: int) -> bytes:
    """Change an input; of a PNG the checksums are put right, or nothing behind them would be reached."""
    changed = atheris.Mutate(data, longest)
    return _checked(changed)[:longest] if seed % 4 else changed


def _checked(data: bytes) -> bytes:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        parts.append(struct.pack(">I4s", len(body), kind) + body)
        parts.append(struct.pack(">I", zlib.crc32(kind + body)))
        at += 12 + size
    return b"".join(parts)


def seeds() -> list[bytes]:
    """Make one small file of each kind that can be read, in the modes it can have."""
    exif = Image.Exif()
    exif[274], exif[282], exif[283], exif[296] = 6, 240.0, 240.0, 2
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 4\n4949", zip=True)
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>', zip=True)
    ramp = Image.linear_gradient("L").resize((13, 9))
    frame = ramp.convert("P")
    more = {"save_all": True, "append_images": [frame, frame]}
    wanted = [
        *[("PNG", mode, {"exif": exif}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        ("PNG", "RGB", {"pnginfo": text, "icc_profile": profile}),
        ("PNG", "P", {"transparency": 3}),
        *[("JPEG", mode, {"exif": exif}) for mode in ("L", "RGB", "CMYK")],
        ("JPEG", "RGB", {"progressive": True, "icc_profile": profile, "xmp": b"<x/>"}),
        *[("TIFF", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "F")],
        *[("TIFF", "RGB", {"compression": c}) for c in ("tiff_lzw", "lzma", "jpeg", "tiff_deflate")],
        *[("GIF", "P", more), ("WEBP", "RGBA", more), ("WEBP", "RGB", {"exif": exif})],
        *[("WEBP", "RGBA", {"lossless": True}), ("AVIF", "RGB", {}), ("AVIF", "RGBA", {})],
        *[("BMP", mode, {}) for mode in ("1", "L", "P", "RGB")],
        *[("PPM", mode, {}) for mode in ("1", "L", "RGB", "I")],
        *[("TGA", mode, {}) for mode in ("L", "LA", "P", "RGB", "RGBA")],
        *[("TGA", "RGB", {"compression": "tga_rle"}), ("SGI", "RGB", {}), ("SGI", "L", {})],
        *[("JPEG2000", mode, {}) for mode in ("L", "RGB", "RGBA")],
        *[("QOI", "RGB", {}), ("QOI", "RGBA", {})],
    ]
    made = [b"Pf\n3 2\n-1.0\n" + struct.pack("<6f", *[0.25] * 6), b"P3\n1 1\n255\n1 2 3\n"]
    for format, mode, options in wanted:
        buffer = io.BytesIO()
        picture = ramp.convert("RGB").convert(mode) if mode == "LA" else ramp.convert(mode)
        if mode == "LAB":
            picture = Image.new("LAB", ramp.size, (120, 140, 110))
        picture.save(buffer, format, **options)
        made.append(buffer.getvalue())
    return made


def main() -> None:
    """Write the seeds, and fuzz."""
    logging.getLogger("impasto").addHandler(logging.NullHandler())
    files = [name for name in sys.argv[1:] if not name.startswith("-")]
    options = [name for name in sys.argv[1:] if name.startswith("-")]
    given = {name.lstrip("-").partition("=")[0] for name in options}
    options += [f"-{name}={value}" for name, value in DEFAULTS.items() if name not in given]
    (HERE / "findings").mkdir(exist_ok=True)
    options.append(f"-artifact_prefix={HERE / 'findings'}/")
    with tempfile.TemporaryDirectory() as folder:
        if not files:
            for number, data in enumerate(seeds()):
                (Path(folder) / f"seed-{number}").write_bytes(data)
            for number, path in enumerate(sorted(SHARED.glob("*/*/*"))):
                if path.is_file() and path.stat().st_size <= LONGEST:
                    (Path(folder) / f"shared-{number}").write_bytes(path.read_bytes())
            files = [folder]
        atheris.Setup([sys.argv[0], *options, *files], one, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

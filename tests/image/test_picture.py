import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms, TiffImagePlugin

from impasto.config.settings import Settings
from impasto.errors import ImpastoError, InputError, OutputError, PictureError
from impasto.image import picture as module
from impasto.image.picture import Picture, check_output
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import record
from impasto.system.files import WRITABLE
from reference.files import UNDO

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".avif": "AVIF",
}
RNG = np.random.default_rng(7)


def random_rgb(height: int = 9, width: int = 14, bands: int = 3, top: int = 255) -> np.ndarray:
    dtype = np.uint8 if top == 255 else np.uint16
    return RNG.integers(0, top + 1, (height, width, bands), dtype=dtype)


def smooth_rgb(height: int = 40, width: int = 64) -> np.ndarray:
    """Quadrants of different colors, so that every turning shows, also after JPEG."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (200, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 200, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 200)
    return picture


def pil_bytes(array: np.ndarray | Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def vips_bytes(array: np.ndarray, suffix: str, interpretation: str, **options) -> bytes:
    image = pyvips.Image.new_from_array(array, interpretation=interpretation)
    return image.write_to_buffer(suffix, **options)


def hwc(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).numpy()


def as_tensor(array: np.ndarray, top: float) -> torch.Tensor:
    return torch.from_numpy((array / top).astype(np.float32)).permute(2, 0, 1)[None]


def levels(picture: Picture) -> np.ndarray:
    return hwc(picture.tensor()) * 255


def refused(source, words: str, kind: type[Exception] = PictureError) -> str:
    with pytest.raises(kind, match=words) as error:
        Picture.open(source)
    text = str(error.value)
    assert "\n" not in text
    return text


def on_white(rgba: np.ndarray, top: int = 255) -> np.ndarray:
    values = rgba.astype(np.float64) / top
    return values[..., :3] * values[..., 3:] + 1 - values[..., 3:]


# ---- what comes in


def test_channel_order_range_and_metadata(tmp_path):
    array = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    path = tmp_path / "colors.png"
    path.write_bytes(pil_bytes(array, "PNG"))
    picture = Picture.open(path)
    tensor = picture.tensor()
    assert tensor.shape == (1, 3, 1, 4)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor[0, :, 0, :].T.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    assert (picture.width, picture.height, picture.bits) == (4, 1, 8)
    assert not picture.has_alpha
    assert picture.alpha() is None
    assert picture.name == "colors.png"
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert Picture.open(path.read_bytes()).name == "<bytes>"
    assert Picture.open(path.read_bytes(), name="stdin").name == "stdin"
    tensor.zero_()
    assert picture.tensor().sum() > 0


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "GIF"])
def test_lossless_formats_are_exact(format):
    array = random_rgb()
    if format == "GIF":
        array = (array // 128) * 255
    data = pil_bytes(array, format, **({"lossless": True} if format == "WEBP" else {}))
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.rint(levels(Picture.open(data))), reference)


def test_jpeg_as_another_reader_sees_it():
    data = pil_bytes(smooth_rgb(), "JPEG", quality=95, subsampling=0)
    reference = np.asarray(Image.open(io.BytesIO(data)), np.float64)
    assert np.abs(levels(Picture.open(data)) - reference).max() <= 2


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_give_the_same_picture(format, orientation):
    upright = Image.fromarray(smooth_rgb())
    stored = upright.transpose(UNDO[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    if format == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        data = pil_bytes(stored, format, tiffinfo=tags)
    else:
        options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
        data = pil_bytes(stored, format, exif=exif, **options)
    picture = Picture.open(data)
    assert (picture.width, picture.height) == (64, 40)
    assert np.abs(levels(picture) - smooth_rgb()).mean() < 2
    for suffix in (".png", ".jpg"):  # the tag is gone
        again = Image.open(io.BytesIO(picture.encode(suffix)))
        assert again.size == (64, 40)
        assert not again.getexif()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_16_bits_are_exact(suffix, bands):
    array = random_rgb(bands=bands, top=65535)
    data = vips_bytes(array, suffix, "grey16" if bands < 3 else "rgb16")
    picture = Picture.open(data)
    assert picture.bits == 16
    assert picture.has_alpha == (bands in (2, 4))
    rgba = np.concatenate([np.repeat(array[..., :1], 3, 2) if bands < 3 else array[..., :3]], 2)
    if picture.has_alpha:
        alpha = array[..., -1:]
        assert np.array_equal(np.rint(hwc(picture.alpha()) * 65535), alpha)
        reference = on_white(np.concatenate([rgba, alpha], 2), 65535)
        assert np.abs(hwc(picture.tensor()) - reference).max() < 1e-6
    else:
        assert np.array_equal(hwc(picture.tensor()), (rgba / np.float32(65535)).astype(np.float32))
    again = Picture.open(picture.encode(suffix, bits=16))
    assert torch.equal(again.tensor(), picture.tensor())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "P-transparent"])
def test_modes_against_pillow(mode):
    image = Image.fromarray(random_rgb(bands=4), "RGBA") if mode == "RGBA" else None
    options = {}
    if mode in ("P", "P-transparent", "PA"):
        image = Image.fromarray(random_rgb()).quantize(16)
        options = {"transparency": 3} if mode != "P" else {}
    elif image is None:
        image = Image.fromarray(random_rgb(bands=4), "RGBA").convert(mode)
    data = pil_bytes(image, "PNG", **options)
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    picture = Picture.open(data)
    assert picture.has_alpha == (mode in ("LA", "PA", "RGBA", "P-transparent"))
    assert np.abs(hwc(picture.tensor()) - on_white(reference)).max() < 1e-6
    if picture.has_alpha:
        assert np.array_equal(np.rint(hwc(picture.alpha())[..., 0] * 255), reference[..., 3])


@pytest.mark.parametrize("bands", [1, 3])
def test_one_transparent_colour_of_a_16_bit_png(bands):
    array = random_rgb(4, 5, bands, 65535)
    array[1, 2] = array[3, 4] = key = array[0, 0].copy()
    data = vips_bytes(array, ".png", "grey16" if bands == 1 else "rgb16")
    body = b"tRNS" + struct.pack(f">{bands}H", *key)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    at = data.index(b"IDAT") - 4
    picture = Picture.open(data[:at] + chunk + data[at:])
    assert picture.has_alpha
    assert hwc(picture.alpha())[..., 0].tolist() == (array != key).any(2).astype(float).tolist()
    assert picture.tensor()[0, :, 1, 2].tolist() == [1, 1, 1]


def test_hidden_colours_do_not_leak():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (255, 0, 0, 0)
    rgba[:, 4:] = (0, 0, 255, 255)
    picture = Picture.open(pil_bytes(Image.fromarray(rgba), "PNG"))
    assert picture.tensor()[0, :, :, :4].min() == 1
    small = picture.tensor(2, 2)
    assert small.min() >= 0
    assert torch.all(small[0, 0] <= small[0, 2] + 1e-6)  # white or blue, never red


def test_icc_profile_is_converted():
    array = np.full((8, 8, 3), (230, 60, 60), np.uint8)
    srgb = pyvips.Image.new_from_array(array, interpretation="srgb")
    for depth, top in ((8, 255), (16, 65535)):
        wide = srgb.icc_transform("p3", input_profile="srgb", depth=depth)
        assert abs(wide(0, 0)[0] / top - 230 / 255) > 0.02  # the stored numbers differ
        for suffix in (".png", ".tif"):
            picture = Picture.open(wide.write_to_buffer(suffix, keep="icc"))
            assert np.abs(levels(picture) - array).max() < 1.5
            assert picture.bits == depth


def test_own_output_is_read_back_bit_for_bit():
    array = random_rgb(32, 32)
    picture = Picture.from_tensor(as_tensor(array, 255))
    for suffix in (".png", ".tif"):
        assert np.array_equal(np.rint(levels(Picture.open(picture.encode(suffix)))), array)


def test_broken_icc_profile_is_ignored(caplog):
    array = random_rgb()
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"nonsense", good[:100], good[:16] + b"CMYK" + good[20:]):
        picture = Picture.open(pil_bytes(array, "PNG", icc_profile=profile))
        assert np.array_equal(np.rint(levels(picture)), array)


def test_cmyk_has_natural_colors():
    inks = {"red": (0, 255, 255, 0), "green": (255, 0, 255, 0), "white": (0, 0, 0, 0)}
    for format in ("JPEG", "TIFF"):
        for name, ink in inks.items():
            image = Image.new("CMYK", (16, 16), ink)
            red, green, blue = levels(Picture.open(pil_bytes(image, format))).mean((0, 1))
            assert {
                "red": red > 180 and green < 90 and blue < 90,
                "green": green > 110 and red < 110 and blue < 110,
                "white": min(red, green, blue) > 250,
            }[name], (format, name, red, green, blue)


@pytest.mark.parametrize("kind", ["lab", "labs"])
def test_lab(kind):
    array = np.full((8, 8, 3), (200, 80, 40), np.uint8)
    lab = pyvips.Image.new_from_array(array, interpretation="srgb").colourspace(kind)
    picture = Picture.open(lab.write_to_buffer(".tif"))
    assert np.abs(levels(picture) - array).max() < 1.5


@pytest.mark.parametrize(("lab", "rgb"), [((255, 128, 128), (255, 255, 255)), ((136, 208, 195), (255, 0, 0))])
def test_8_bit_lab(lab, rgb):
    image = Image.new("LAB", (8, 8), lab)
    got = levels(Picture.open(pil_bytes(image, "TIFF"))).mean((0, 1))
    assert np.abs(got - rgb).max() < 8


def test_float_and_odd_integers():
    ramp = np.linspace(0, 1, 32, dtype=np.float32).reshape(4, 8)
    picture = Picture.open(pil_bytes(Image.fromarray(ramp), "TIFF"))
    assert picture.bits == 16
    assert np.array_equal(hwc(picture.tensor())[..., 1], ramp)
    numbers = np.arange(0, 65536, 2048, dtype=np.int32).reshape(4, 8)
    picture = Picture.open(pil_bytes(Image.fromarray(numbers), "TIFF"))
    assert np.allclose(hwc(picture.tensor())[..., 0], numbers / 65535)
    for bad in (np.nan, np.inf):
        ramp[0, 0] = bad
        refused(pil_bytes(Image.fromarray(ramp), "TIFF"), "not finite")
    ramp[0, 0] = 300
    refused(pil_bytes(Image.fromarray(ramp), "TIFF"), "outside 0 to 1")
    refused(pil_bytes(Image.fromarray(numbers - 1), "TIFF"), "outside 0 to 65535")


def test_the_first_frame_is_used():
    frames = [Image.new("RGB", (4, 3), c) for c in ("red", "lime")]
    for format, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})):
        data = pil_bytes(frames[0], format, save_all=True, append_images=frames[1:], **options)
        picture = Picture.open(data)
        assert (picture.width, picture.height) == (4, 3)
        assert picture.tensor()[0, :, 0, 0].tolist() == [1, 0, 0]


# ---- what is refused


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_files(format, keep):
    data = pil_bytes(random_rgb(64, 64), format)
    refused(data[: int(len(data) * keep)], "<bytes> is damaged")


def test_a_damaged_png():
    data = bytearray(pil_bytes(random_rgb(64, 64), "PNG"))
    data[len(data) // 2] ^= 255
    refused(bytes(data), "damaged")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello\n" * 9, "a text file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.4\n", "PDF"),
        (b"BM" + bytes(60), "damaged"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "damaged"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "damaged"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "a video file"),
        (b"\x80\x91" * 30, "in no known format"),
        (b"\xff\xd8\xff\xe0garbage", "damaged"),
        (b"\x89PNG\r\n\x1a\ngarbage", "damaged"),
        (b"II*\0garbagegarbage", "damaged"),
        (b"RIFF\0\0\0\0WEBPgarbage", "damaged"),
        (b"", "empty"),
    ],
)
def test_not_a_picture(tmp_path, data, words):
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    assert "cat.jpg" in refused(path, words)
    refused(data, words)


def test_not_a_file(tmp_path):
    assert "gone.png does not exist" in refused(tmp_path / "gone.png", "check the path")
    refused(tmp_path, "is a folder")
    refused("", "is empty")
    refused("a\0b.png", "cannot read")
    refused(tmp_path / ("x" * 300), "cannot read")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not an ordinary file")
    refused("/dev/zero", "not an ordinary file")


def test_a_name_with_newlines_stays_one_line(tmp_path):
    path = tmp_path / "a\nb\x1b.png"
    path.write_bytes(b"nonsense")
    assert r"a\nb\x1b.png" in refused(path, "text file")


def test_limits_hold_before_decoding():
    def png(width, height):
        body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
        return b"\x89PNG\r\n\x1a\n" + head + b"\0\0\0\x04IDATxxxx" + bytes(4)

    refused(png(20_000, 20_000), "20000 x 20000 pixels, more than 202 million .--max-pixels")
    refused(png(30_001, 1), "30001 x 1 pixels, .*30000 on one side .--max-side")
    refused(png(2**31 - 1, 2**31 - 1), "pixels|damaged")


def test_memory_gives_out(monkeypatch):
    def exhausted(*args):
        raise MemoryError

    monkeypatch.setattr(module, "decode", exhausted)
    refused(b"x", "not enough memory", ImpastoError)


def test_undecodable_messages_of_libvips(monkeypatch):
    def unreadable(*args):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(module, "decode", unreadable)
    refused(b"x", "of a kind that cannot be read")


@pytest.mark.slow
def test_the_terminal_stays_clean(tmp_path):
    data = pil_bytes(random_rgb(64, 64), "TIFF", compression="tiff_lzw")
    jpeg = pil_bytes(random_rgb(64, 64), "JPEG")
    for number, file in enumerate((data[:-900], jpeg[:300], data[:200], jpeg.replace(b"JFIF", b""))):
        (tmp_path / str(number)).write_bytes(file)
    code = (
        "import sys, impasto.image.picture as p, impasto.errors as e\n"
        "for name in sys.argv[1:]:\n"
        "    try: p.Picture.open(name)\n"
        "    except e.ImpastoError: pass\n"
    )
    command = [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout + result.stderr == ""


# ---- sizes


@pytest.mark.parametrize("bands", [3, 4])
def test_resizing_gives_exactly_the_size_asked_for(bands):
    for width, height in ((1, 1), (17, 1), (1, 311), (37, 53), (256, 255)):
        picture = Picture.open(pil_bytes(random_rgb(height, width, bands), "PNG"))
        for target in ((1, 1), (7, 13), (101, 99), (255, 256), (513, 3)):
            tensor = picture.tensor(*target)
            assert tensor.shape == (1, 3, target[1], target[0])
            assert tensor.min() >= 0
            assert tensor.max() <= 1
            if bands == 4:
                assert picture.alpha(*target).shape == (1, 1, target[1], target[0])


def test_resizing_is_in_the_encoded_values_and_near_pillow():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    picture = Picture.open(pil_bytes(board.astype(np.uint8), "PNG"))
    assert abs(float(picture.tensor(16, 16).mean()) - 0.5) < 0.01  # linear light would give 0.73
    smooth = Image.fromarray(random_rgb(8, 8)).resize((200, 160), Image.Resampling.BICUBIC)
    ours = hwc(Picture.open(pil_bytes(smooth, "PNG")).tensor(50, 40)) * 255
    reference = np.asarray(smooth.resize((50, 40), Image.Resampling.LANCZOS), np.float64)
    assert np.abs(ours - reference).mean() < 1


def test_a_plain_colour_stays_plain():
    data = pil_bytes(np.full((33, 21, 3), (10, 120, 250), np.uint8), "PNG")
    tensor = Picture.open(data).tensor(50, 11)
    assert torch.allclose(tensor[0, :, 5, 5] * 255, torch.tensor([10.0, 120, 250]), atol=1e-3)
    assert (tensor.amax((2, 3)) - tensor.amin((2, 3))).max() < 1e-5


@pytest.mark.parametrize("size", [(5, None), (None, 5), (0, 5), (5, -1), (30_001, 5)])
def test_impossible_sizes(size):
    with pytest.raises(InputError):
        Picture.from_tensor(torch.rand(1, 3, 4, 4)).tensor(*size)


# ---- what goes out


def test_from_tensor():
    tensor = torch.tensor([-0.5, 0.25, 1.5]).reshape(1, 3, 1, 1)
    alpha = torch.full((1, 1, 1, 1), 0.5)
    picture = Picture.from_tensor(tensor, name="x")
    assert picture.tensor().flatten().tolist() == [0, 0.25, 1]
    assert (picture.name, picture.bits, picture.kind) == ("x", 8, "pixels")
    assert picture.sha256 == picture.pixels_sha256()
    both = Picture.from_tensor(tensor, alpha=alpha)
    assert both.has_alpha
    assert both.alpha().item() == 0.5
    assert both.tensor().flatten().tolist() == [0.5, 0.625, 1]
    assert float(tensor.min()) == -0.5  # untouched
    exact = torch.rand(1, 3, 5, 7, requires_grad=True)
    assert torch.equal(Picture.from_tensor(exact).tensor(), exact.detach())
    assert torch.equal(Picture.from_tensor(exact.double()).tensor(), exact.detach())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_from_tensor_refuses_what_is_not_finite(bad):
    tensor = torch.rand(1, 3, 4, 4)
    tensor[0, 1, 2, 3] = bad
    with pytest.raises(PictureError, match="not finite"):
        Picture.from_tensor(tensor)
    with pytest.raises(PictureError, match="not finite"):
        Picture.from_tensor(torch.rand(1, 3, 4, 4), alpha=tensor[:, 1:2])


def test_from_tensor_refuses_other_shapes():
    for shape in ((3, 4, 4), (1, 4, 4, 4), (2, 3, 4, 4), (1, 3, 0, 4), (1, 1, 4, 4), ()):
        with pytest.raises(PictureError, match="needs"):
            Picture.from_tensor(torch.rand(shape))
    with pytest.raises(PictureError, match="needs"):
        Picture.from_tensor(torch.rand(1, 3, 4, 4), alpha=torch.rand(1, 1, 4, 5))


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("bands", [3, 4])
def test_every_format_at_8_bits_by_another_reader(suffix, bands):
    array = np.concatenate([smooth_rgb(), np.full((40, 64, 1), 128, np.uint8)], 2)[..., :bands]
    tensor = as_tensor(array, 255)
    picture = Picture.from_tensor(tensor[:, :3], alpha=tensor[:, 3:] if bands == 4 else None)
    data = picture.encode(suffix)
    assert data == picture.encode(suffix.upper())
    image = Image.open(io.BytesIO(data))
    jpeg = suffix in (".jpg", ".jpeg")
    assert image.format == FORMATS[suffix]
    assert image.mode == ("RGBA" if bands == 4 and not jpeg else "RGB")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert not image.getexif() or suffix in (".tif", ".tiff")
    got = np.asarray(image).astype(int)
    expected = on_white(array) * 255 if bands == 4 and jpeg else array
    if suffix in (".png", ".tif", ".tiff"):
        assert np.array_equal(got, expected)
    else:
        assert np.abs(got - expected).mean() < 3
        if bands == 4 and not jpeg:  # AVIF's alpha is lossy as its colors are
            assert np.abs(got[..., 3] - array[..., 3]).max() <= (1 if suffix == ".avif" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("bands", [3, 4])
def test_16_bits_out(suffix, bands):
    array = random_rgb(bands=bands, top=65535)
    tensor = as_tensor(array, 65535)
    picture = Picture.from_tensor(tensor[:, :3], alpha=tensor[:, 3:] if bands == 4 else None)
    data = picture.encode(suffix, bits=16)
    if suffix == ".png":
        assert data[24] == 16  # the bit depth in the header
    else:
        assert set(Image.open(io.BytesIO(data)).tag_v2[258]) == {16}
    stored = pyvips.Image.new_from_buffer(data, "").numpy()
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, array)


def test_values_are_rounded_to_the_nearest():
    values = torch.linspace(0, 1, 3000).reshape(1, 3, 10, 100)
    stored = np.asarray(Image.open(io.BytesIO(Picture.from_tensor(values).encode(".png"))))
    assert np.abs(stored - hwc(values) * 255).max() <= 0.5001
    deep = vips_bytes(random_rgb(top=65535), ".png", "rgb16")
    picture = Picture.open(deep)
    stored = np.asarray(Image.open(io.BytesIO(picture.encode(".png", bits=8))))
    assert np.abs(stored - levels(picture)).max() <= 0.5001


def test_jpeg_is_not_subsampled_and_quality_counts():
    picture = Picture.from_tensor(torch.rand(1, 3, 32, 32))
    image = Image.open(io.BytesIO(picture.encode(".jpg")))
    assert {layer[1:3] for layer in image.layer} == {(1, 1)}
    for suffix in (".jpg", ".webp"):
        assert len(picture.encode(suffix, jpeg_quality=30)) < len(picture.encode(suffix))


def test_metadata_does_not_pass_through():
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    data = pil_bytes(random_rgb(), "JPEG", exif=exif, comment=b"Somebody")
    for suffix in WRITABLE:
        assert b"Somebody" not in Picture.open(data).encode(suffix)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {"bits": 16}),
        (".webp", {"bits": 16}),
        (".png", {"bits": 10}),
        (".jpg", {"jpeg_quality": 0}),
        (".jpg", {"jpeg_quality": 101}),
        (".bmp", {}),
        ("", {}),
    ],
)
def test_what_cannot_be_written(suffix, options):
    with pytest.raises(InputError) as error:
        Picture.from_tensor(torch.rand(1, 3, 4, 4)).encode(suffix, **options)
    assert "\n" not in str(error.value)


def test_too_large_for_a_format():
    with pytest.raises(OutputError, match=r"\.webp of 16400 x 1 pixels") as error:
        Picture.from_tensor(torch.zeros(1, 3, 1, 16400)).encode(".webp")
    assert "\n" not in str(error.value)


def test_save(tmp_path):
    picture = Picture.from_tensor(torch.rand(1, 3, 6, 5))
    path = picture.save(tmp_path / "a.png")
    assert path == tmp_path / "a.png"
    assert path.read_bytes() == picture.encode(".png")
    other = Picture.from_tensor(torch.rand(1, 3, 6, 5))
    with pytest.raises(OutputError, match="--force"):
        other.save(path)
    assert path.read_bytes() == picture.encode(".png")
    other.save(str(path), overwrite=True, bits=16)
    assert path.read_bytes() == other.encode(".png", bits=16)
    with pytest.raises(InputError, match=r"Did you mean \.jpeg"):
        other.save(tmp_path / "b.jpegg")
    with pytest.raises(OutputError, match="does not exist"):
        other.save(tmp_path / "no" / "b.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_check_output(tmp_path):
    photo = tmp_path / "in.png"
    photo.write_bytes(b"x")
    assert check_output(tmp_path / "out.PNG", inputs=[photo]) == tmp_path / "out.PNG"
    with pytest.raises(InputError, match="also an input"):
        check_output(photo, inputs=[photo], overwrite=True)
    with pytest.raises(OutputError, match="exists already"):
        check_output(photo)
    for name in ("out", "out.gif", "out.p\nng"):
        with pytest.raises(InputError, match="use one of") as error:
            check_output(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(OutputError):
        check_output(tmp_path / "a\0b.png")


# ---- what Python programs hold


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("bands", [None, 1, 3, 4])
def test_arrays_in_and_out(dtype, bands):
    top = np.iinfo(dtype).max
    array = RNG.integers(0, top + 1, (9, 14, bands or 1)).astype(dtype)
    given = array[..., 0] if bands is None else array
    picture = Picture.of(given)
    expected = array if bands in (3, 4) else array.repeat(3, axis=2)
    assert (picture.kind, picture.name, picture.notes, picture.dpi) == ("pixels", "<array>", (), None)
    assert picture.bits == (8 if dtype == np.uint8 else 16)
    assert picture.has_alpha == (bands == 4)
    back = picture.array()
    assert back.dtype == (np.uint8 if dtype == np.uint8 else np.uint16)
    assert np.array_equal(back, expected)
    if bands != 4:
        assert np.array_equal(hwc(picture.tensor()), expected.astype(np.float32) / np.float32(top))
    given[:] = 0  # it was copied
    back[:] = 0
    assert picture.array().any()


def test_other_arrays():
    mask = np.eye(5, dtype=bool)
    assert np.array_equal(Picture.of(mask).array()[..., 0], mask * 255)
    for dtype in (np.float16, np.float32, np.float64):
        ramp = np.linspace(0, 1, 64).reshape(4, 16).astype(dtype)
        picture = Picture.of(ramp, "ramp")
        assert picture.name == "ramp"
        assert np.array_equal(hwc(picture.tensor())[..., 2], ramp.astype(np.float32))
        assert np.array_equal(picture.array(16)[..., 0], np.rint(ramp.astype(np.float32) * 65535))
    view = random_rgb(8, 8)[::-2, ::2]
    assert np.array_equal(Picture.of(view).array(), view)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((3, 4, 2), np.uint8), r"shape \(3, 4, 2\)"),
        (np.zeros((1, 3, 4, 4), np.uint8), r"shape \(1, 3, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
        (np.zeros((4, 4), np.int64), "type int64"),
        (np.zeros((4, 4), np.uint32), "type uint32"),
        (np.zeros((4, 4), complex), "type complex128"),
        (np.array([["a"]]), "type <U1"),
        (np.full((4, 4), 1.5), "from 1.5 to 1.5"),
        (np.full((4, 4), -0.1), "from -0.1"),
        (np.full((4, 4), np.nan), "nan"),
        (np.zeros((1, 30_001), np.uint8), "30001 x 1 pixels, more than"),
        (torch.zeros(2, 4, 4), r"shape \(2, 4, 4\)"),
        (torch.zeros(2, 3, 4, 4), r"shape \(2, 3, 4, 4\)"),
        (torch.zeros(4, 4), r"shape \(4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "type torch.int64"),
        (torch.full((3, 4, 4), 255.0), "from 255 to 255"),
        ([[1, 2]], "made of a list;"),
        (None, "made of None;"),
        (Image.new("RGB", (30_001, 1)), "30001 x 1 pixels, more than"),
    ],
)
def test_what_no_picture_can_be_made_of(array, words):
    with pytest.raises(PictureError, match=words) as error:
        Picture.of(array)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("batch", [False, True])
def test_tensors_in_and_out(channels, batch):
    for tensor in (
        torch.rand(channels, 5, 7, requires_grad=True),
        torch.rand(channels, 5, 7, dtype=torch.float64),
        torch.rand(channels, 5, 7).to(torch.bfloat16),
        torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8),
    ):
        picture = Picture.of(tensor[None] if batch else tensor)
        values = tensor.detach().float() / (255 if tensor.dtype == torch.uint8 else 1)
        values = values.expand(3, -1, -1) if channels == 1 else values
        assert (picture.name, picture.kind, picture.bits) == ("<tensor>", "pixels", 8)
        if channels == 4:
            assert torch.equal(picture.alpha()[0], values[3:])
            white = values[:3] * values[3:] + 1 - values[3:]
            assert torch.allclose(picture.tensor()[0], white, atol=1e-6)
        else:
            assert torch.equal(picture.tensor()[0], values)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "HSV", "YCbCr"])
def test_pil_in_and_out(mode):
    source = Image.fromarray(random_rgb(bands=4))
    if mode in ("P", "PA"):
        source = source.convert("RGB").quantize(16)
        if mode == "PA":
            source.info["transparency"] = 3
    else:
        source = source.convert("RGB").convert(mode) if mode == "HSV" else source.convert(mode)
    alpha = mode in ("LA", "PA", "RGBA")
    reference = np.asarray(source.convert("RGBA" if alpha else "RGB"))
    picture = Picture.of(source)
    assert (picture.kind, picture.bits, picture.name) == ("pixels", 8, "<image>")
    assert np.array_equal(picture.array(), reference)
    back = picture.pil()
    assert back.mode == ("RGBA" if alpha else "RGB")
    assert np.array_equal(np.asarray(back), reference)


def test_pil_of_16_bits_and_numbers():
    deep = random_rgb(bands=1, top=65535)[..., 0]
    picture = Picture.of(Image.fromarray(deep))
    assert picture.bits == 16
    assert np.array_equal(picture.array()[..., 1], deep)
    picture = Picture.of(Image.fromarray(deep.astype(np.int32)))
    assert np.array_equal(picture.array()[..., 1], deep)
    ramp = np.linspace(0, 1, 32, dtype=np.float32).reshape(4, 8)
    assert np.array_equal(hwc(Picture.of(Image.fromarray(ramp)).tensor())[..., 1], ramp)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pil_is_turned_upright(orientation):
    upright = Image.fromarray(smooth_rgb())
    stored = upright.transpose(UNDO[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = Image.open(io.BytesIO(pil_bytes(stored, "PNG", exif=exif, dpi=(300, 300))))
    picture = Picture.of(opened)
    assert np.array_equal(picture.array(), smooth_rgb())
    assert picture.dpi == (300, 300)
    assert picture.pil().info["dpi"] == (300, 300)


def test_pil_profile_cmyk_and_damage(tmp_path):
    array = np.full((8, 8, 3), (230, 60, 60), np.uint8)
    srgb = pyvips.Image.new_from_array(array, interpretation="srgb")
    wide = srgb.icc_transform("p3", input_profile="srgb", depth=8)
    image = Image.fromarray(wide.numpy())
    image.info["icc_profile"] = wide.get("icc-profile-data")
    assert np.abs(Picture.of(image).array().astype(int) - array).max() <= 1
    red = Picture.of(Image.new("CMYK", (8, 8), (0, 255, 255, 0))).array()[0, 0]
    assert red[0] > 180
    assert red[1:].max() < 90
    path = tmp_path / "cut.png"
    path.write_bytes(pil_bytes(random_rgb(64, 64), "PNG")[:-5000])
    with Image.open(path) as cut, pytest.raises(PictureError, match=r"cut\.png is damaged"):
        Picture.of(cut)


def test_of_files_and_pictures(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(pil_bytes(random_rgb(), "PNG"))
    for source in (path, str(path), path.read_bytes()):
        picture = Picture.of(source)
        assert picture.kind == "file"
        assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert picture.name == "<bytes>"
    assert Picture.of(path, "x").name == "x"
    assert Picture.of(picture) is picture


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_sum_of_the_pixels(bands, bits):
    top = 2**bits - 1
    array = random_rgb(300, 14, bands, top)
    picture = Picture.of(array)
    values = (array / np.float64(top)).astype("<f4")
    expected = hashlib.sha256(f"14x300x{bands}\n".encode() + values.tobytes()).hexdigest()
    assert picture.pixels_sha256() == picture.sha256 == expected
    for suffix in (".png", ".tif"):
        opened = Picture.open(picture.encode(suffix))
        assert opened.pixels_sha256() == expected
        assert opened.sha256 != expected
    planes = torch.from_numpy(values.copy()).permute(2, 0, 1)[None]
    alpha = planes[:, 3:] if bands == 4 else None
    assert Picture.from_tensor(planes[:, :3], alpha=alpha).pixels_sha256() == expected
    assert Picture.of(planes).pixels_sha256() == expected
    changed = array.copy()
    changed[299, 13, 2] ^= 1
    assert Picture.of(changed).pixels_sha256() != expected
    assert Picture.of(array.reshape(14, 300, bands)).pixels_sha256() != expected


def test_from_tensor_takes_what_the_photo_says():
    deep = Picture.open(vips_bytes(random_rgb(top=65535), ".tif", "rgb16", xres=10, yres=5, resunit="cm"))
    made = Picture.from_tensor(torch.rand(1, 3, 4, 4), source=deep)
    assert (made.bits, made.dpi, made.kind) == (16, (254, 127), "pixels")
    assert Picture.open(made.encode(".png")).bits == 16
    assert made.array().dtype == np.uint16
    with pytest.raises(InputError, match="bits"):
        made.array(10)


@pytest.mark.parametrize("bands", [3, 4])
def test_notebooks_show_a_small_png(bands):
    small = random_rgb(20, 30, bands)
    label = np.asarray(Image.open(io.BytesIO(Picture.of(small)._repr_png_())))
    assert np.array_equal(label, small)
    large = np.full((700, 2100, bands), 200, np.uint16) * 257
    image = Image.open(io.BytesIO(Picture.of(large)._repr_png_()))
    assert (image.format, image.size) == ("PNG", (1024, 341))
    tall = Picture.of(np.zeros((5000, 1), np.uint8))._repr_png_()
    assert Image.open(io.BytesIO(tall)).size == (1, 1024)


def test_a_run_takes_all_of_these(tmp_path):
    photo = Picture.of(random_rgb(12, 10)).encode(".png")
    given = Image.open(io.BytesIO(photo))
    inputs = open_inputs(given, [random_rgb(8, 8), torch.rand(3, 8, 8)], Settings(), None)
    assert record(inputs.content).sha256 == inputs.content.pixels_sha256()
    assert [style.width for style in inputs.styles] == [8, 8]
    deep = open_inputs(random_rgb(12, 10, top=65535), [photo], Settings(), None)
    assert deep.picture(torch.rand(1, 3, 12, 10)).bits == 16


def test_its_repr_is_one_line() -> None:
    assert repr(Picture.of(np.zeros((2, 3, 3), np.uint8), name="a.png")) == "<Picture a.png: 3 x 2 px>"


def test_floats_to_255_are_refused_with_what_to_do() -> None:
    with pytest.raises(PictureError, match="floats lie in 0 to 1, so divide by 255"):
        Picture.of(np.full((2, 2, 3), 200.0))
    with pytest.raises(PictureError, match=r"floats lie in 0 to 1$"):
        Picture.of(np.full((2, 2, 3), -3.0))

"""The corpus of pictures that break image programs: each is opened, and all its pixels read.

What is checked of each file, as far as its row in the manifest can be checked by a machine:

* it ends by itself, in a process of its own: no crash, no traceback, nothing on the terminal, at most 5 s of
  processor time and 200 MB more memory than that process had before;
* by the verdict: ACCEPT is opened, ACCEPT_OR_FORMAT is opened or refused, EITHER likewise, REJECT is refused,
  LIMIT is refused, or opened within those bounds where `expect` allows that;
* a refusal is a `PictureError` in one line that names the file and says what to do;
* a picture is finite and in [0, 1]; where it must or may be accepted its size is that of the columns `size`
  and `orientation`, its alpha and its depth follow from `mode`, and grey is grey;
* the pixels of all ACCEPT files against an independent reader, and those of twins and families, which are
  the same picture in several forms, against each other, within the tolerances stated below.

Floats outside 0 to 1 are refused although their verdict is ACCEPT: `expect` leaves that open, and whatever
could be done with them would be a guess.
"""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from impasto.errors import PictureError
from impasto.image.picture import Picture
from reference import careful

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
pytestmark = [
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of odd pictures is not here"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each file needs a forked process"),
]
SECONDS, MEMORY = 5, 200_000_000
WORKER = Path(__file__).parent / "corpus_worker.py"
SWAPPED = ("5", "6", "7", "8")
GREY = ("1", "L", "LA", "I;16", "I;16B", "I", "F")
OPEN = re.compile(r"clean error")  # in `expect`: refusing is right as well


def rows() -> list[dict[str, str]]:
    if not CORPUS.is_dir():
        return []
    with (CORPUS / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = {row["file"]: row for row in rows()}


def outcomes(files: list[str]) -> list[dict]:
    names = "".join(f"{CORPUS / file}\n" for file in files)
    command = [sys.executable, WORKER]
    done = subprocess.run(command, input=names, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def complaints(row: dict[str, str], found: dict) -> list[str]:
    """What is wrong with how one file ended."""
    if "died" in found or "traceback" in found:
        return [str(found.get("traceback", f"died: {found.get('died')}"))]
    wrong = [f"on the terminal: {found['stray'][:200]}"] if found["stray"] else []
    if found["processor"] > SECONDS or found["memory"] > MEMORY:
        wrong.append(f"{found['processor']:.1f} s, {found['memory'] / 1e6:.0f} MB")
    error, verdict = found.get("error"), row["verdict"]
    if error is not None:
        out_of_range = "values outside 0 to" in error and OPEN.search(row["expect"])
        if verdict == "ACCEPT" and not out_of_range:
            wrong.append(f"refused: {error}")
        return wrong + told(error, found, row)
    if verdict == "REJECT" or (verdict == "LIMIT" and "accepted" not in row["expect"]):
        wrong.append("opened")
    if not found["sound"]:
        wrong.append("values that are not finite or not in 0 to 1")
    return wrong + (looks(row, found) if verdict.startswith("ACCEPT") else [])


def told(error: str, found: dict, row: dict[str, str]) -> list[str]:
    """What is wrong with a refusal."""
    good = (
        found["kind"] == "PictureError"
        and found["code"] == 2
        and error.isprintable()
        and len(error) < 300
        and error.startswith(Path(row["file"]).name)
        and re.search(r"; (give|export|make|save) ", error)
    )
    return [] if good else [f"not one clear line: {found['kind']} {error!r}"]


def looks(row: dict[str, str], found: dict) -> list[str]:
    """What is wrong with a picture, by the columns of its row."""
    wrong, mode = [], row["mode"]
    if row["size"]:
        size = [int(side) for side in row["size"].split("x")]
        size = size[::-1] if row["orientation"] in SWAPPED else size
        if found["size"] != size:
            wrong.append(f"of {found['size']} px, not {size}")
    if mode in ("RGBA", "LA") and not found["alpha"]:
        wrong.append("without its alpha")
    if mode in ("CMYK", "YCbCr", "F", "I;16B", "LAB") and found["alpha"]:
        wrong.append("with alpha")
    if mode in ("I;16", "I;16B", "I", "F") and found["bits"] != 16:
        wrong.append("not of 16 bits")
    if mode in GREY and not row["has_icc"] and found["colour"] > 0.01:
        wrong.append("coloured")
    return wrong


def check(files: list[str], capsys) -> None:
    found = outcomes(files)
    assert [Path(one["file"]) for one in found] == [CORPUS / file for file in files]
    worst = {key: max(one.get(key, 0) for one in found) for key in ("seconds", "processor", "memory")}
    opened = sum("size" in one for one in found)
    with capsys.disabled():
        print(  # noqa: T201
            f"\ncorpus: {len(found)} files, {opened} opened, {len(found) - opened} refused; worst "
            f"{worst['processor']:.2f} s of processor, {worst['seconds']:.2f} s by the clock, "
            f"{worst['memory'] / 1e6:.0f} MB"
        )
    wrong = [
        f"{file} ({ROWS[file]['verdict']}): {'; '.join(said)}"
        for file, one in zip(files, found, strict=True)
        if (said := complaints(ROWS[file], one))
    ]
    assert not wrong, "\n".join(wrong)


def sample() -> list[str]:
    """A quarter of these: one file of each folder, verdict and suffix."""
    kinds = {}
    for file, row in ROWS.items():
        kinds.setdefault((str(Path(file).parent), row["verdict"], Path(file).suffix), file)
    return sorted(kinds.values())[::4]


def test_a_sample_of_the_corpus(capsys):
    check(sample(), capsys)


@pytest.mark.slow
def test_every_file_of_the_corpus(capsys):
    check(list(ROWS), capsys)


# ---- pixels

MEAN = 1.3 / 255  # chroma of JPEG and AVIF is unpacked differently by different readers
NOT_SO = {  # file -> why the independent reader says something else
    "gray-2-linear-tRNS.png": "Pillow compares the key with grey of 8 bits",
    "gray-2-sRGB-tRNS.png": "Pillow compares the key with grey of 8 bits",
    "gray-4-1.8-tRNS.png": "Pillow compares the key with grey of 8 bits",
    "gray-4-tRNS.png": "Pillow compares the key with grey of 8 bits",
    "rgb24prof2.bmp": "Pillow ignores the profile of a BMP, which exchanges colors here",
}
CMYK_MEAN = 40 / 255  # by a standard profile here, by arithmetic there: natural, not inverted


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference, of pictures of the same size."""
    assert one.shape == other.shape
    return float(np.abs(one - other).mean())


def pixels(file: str, *size: int) -> np.ndarray:
    return Picture.open(CORPUS / file).tensor(*size)[0].permute(1, 2, 0).numpy()


@pytest.mark.slow
def test_accepted_pixels_against_an_independent_reader():
    seen, wrong = 0, []
    for file, row in ROWS.items():
        if not row["verdict"].startswith("ACCEPT") or file.startswith("bad"):
            continue
        if any(file.endswith(name) for name in NOT_SO):
            continue
        try:
            ours, theirs = pixels(file), careful.read(CORPUS / file)
        except (PictureError, OSError, ValueError):  # what must be opened is checked above
            continue
        seen += 1
        most = CMYK_MEAN if row["mode"] == "CMYK" else MEAN
        if ours.shape != theirs.shape or apart(ours, theirs) > most:
            wrong.append(file)
    assert seen > 400
    assert wrong == []


FAMILIES = {  # folder/name of files that are one picture -> mean difference allowed, in levels
    r"valid/synthetic/orient_\d\.jpg": 1,
    r"valid/synthetic/orient_\d\.png": 0,
    r"valid/orientation/pillow__hopper_orientation_\d\.jpg": 6,
    r"valid/orientation/pillow__hopper_orientation_\d\.webp": 6,
    r"valid/orientation/pillow__g4_orientation_\d\.tif": 1,
    r"valid/orientation/pillow__rot\dmir\d\.avif": 9,
    r"valid/orientation/sharp__Landscape_\d\.jpg": 6,
    r"valid/orientation/sharp__Portrait_\d\.jpg": 6,
    r"valid/synthetic/i(16_ramp\.png|16_ramp\.tif|16_ramp_8bit_twin\.png)": 1,
    r"valid/synthetic/icc_swapped_rb(_twin)?\.png": 3,
    r"valid/depth16/thumbor__gradient_[lm]sb_16bperchannel\.tif": 0,
    r"valid/depth16/thumbor__gradient_(msb_16bperchannel|8bit)\.tif": 2,
    r"valid/depth16/pillow__hopper_16bit(_plain)?\.pgm": 0,
    r"valid/alpha_palette/pillow__pil123rgba\.(png|qoi)": 0,
    r"valid/alpha_palette/pillow__tga_common_200x32_la(_..)?(_...)?\.(png|tga)": 0,
    r"valid/alpha_palette/pillow__tga_common_200x32_rgba(_..)?(_...)?\.(png|tga)": 0,
    r"valid/cmyk/pillow__tiff_(strip|tiled)_cmyk_jpeg\.tif": 2,
}


@pytest.mark.parametrize("pattern", FAMILIES)
def test_a_family_is_one_picture(pattern):
    files = [file for file in ROWS if re.fullmatch(pattern, file)]
    if len(files) < 2:
        pytest.skip(f"of {pattern} only {len(files)} here: a part of the corpus is held back")
    first = Picture.open(CORPUS / files[0])
    for file in files[1:]:
        ours = pixels(file, first.width, first.height)
        most = FAMILIES[pattern] / 255 + 1e-6
        assert apart(ours, pixels(files[0])) <= most, file


def test_interlaced_pictures_equal_their_twins():
    """PngSuite names them alike but for the first letter."""
    pairs = [
        (file, twin)
        for file in ROWS
        if (name := Path(file).name).startswith("libpng__i")
        and (twin := f"{Path(file).parent}/libpng__{name.removeprefix('libpng__i')}") in ROWS
    ]
    assert all(np.array_equal(pixels(one), pixels(other)) for one, other in pairs)
    assert len(pairs) > 3


def test_bmps_equal_their_references():
    """A palette, a run length, 16 or 32 bits, upside down: each as the suite's own picture of it."""
    seen = 0
    for file in ROWS:
        name = Path(file).name
        reference = f"valid/bmpsuite-ref/{name.replace('_g_', '_html_').replace('.bmp', '.png')}"
        if "_g_" in name and reference in ROWS:
            seen += 1
            assert apart(pixels(file), pixels(reference)) < 0.5 / 255, file
    assert seen > 3


COLORS = {  # what `expect` says the picture looks like
    "valid/lab/pillow__lab-green.tif": (0, 152, 117),
    "valid/lab/pillow__lab-red.tif": (253, 0, 125),
}


@pytest.mark.parametrize("file", COLORS)
def test_colours_that_are_stated(file):
    if file not in ROWS:
        pytest.skip(f"{file} is held back")
    assert np.abs(pixels(file).mean((0, 1)) * 255 - COLORS[file]).max() < 8

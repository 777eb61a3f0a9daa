"""`impasto video`: a film, its messages and JSON lines, interruptions, questions, what is refused."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto.network.weights.load
import impasto.videos.frames
import impasto.videos.painter
import impasto.videos.video
from impasto.cli.app import main
from impasto.cli.commands import video as command
from impasto.errors import OutputError
from impasto.network.vgg import narrow_weights
from videos.clips import decoded, packets, panned, scene, stamps, write

SMALL = ["--size", "48", "--evaluations", "4", "--threads", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Every test starts in a folder of its own, with a clip and a painting, on a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.setattr(impasto.videos.painter, "DRAFT_EVALUATIONS", 2)
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    write(Path("clip.mp4"), panned(3), (0, 1001, 3503), sound=True)
    Image.fromarray(scene(40, 40, seed=5)).save("painting.png")
    return tmp_path


def film(*arguments: str, small: list[str] = SMALL) -> int:
    return main(["video", "clip.mp4", "painting.png", *small, *arguments])


def test_a_film_is_written_beside_its_frames(capsys) -> None:
    assert film() == 0
    said = capsys.readouterr()
    assert said.out == "clip-painting.mp4\n"
    assert "3 frames of 48 x 36 px, 0.15 s: about " in said.err
    assert "frame 1/3" in said.err
    assert "3 frames with " in said.err
    assert "the frames are kept in clip-painting.mp4.frames" in said.err
    assert stamps(Path("clip-painting.mp4")) == stamps(Path("clip.mp4"))
    assert packets(Path("clip-painting.mp4")) == packets(Path("clip.mp4"))
    before = Path("clip-painting.mp4").read_bytes()
    assert film() == 0  # the same command again
    said = capsys.readouterr()
    assert "all are painted" in said.err
    assert "encoded again; the frames are kept in" in said.err
    assert Path("clip-painting.mp4").read_bytes() == before
    assert film("--crf", "45", "-q") == 0
    assert capsys.readouterr().err == ""
    assert Path("clip-painting.mp4").read_bytes() != before


def test_how_each_frame_was_made_is_said(capsys) -> None:
    assert film("--every", "2", "-v", "-o", "every.mp4") == 0
    said = capsys.readouterr().err
    assert "frame 2: made of its neighbors in " in said
    assert re.search(r"frame 3: \d+% from the last one, ", said)
    assert film("--two-pass", "-v") == 0
    said = capsys.readouterr().err
    assert re.search(r"second pass, frame [12]/3 .*evaluation ", said)
    assert re.search(r"frame 2: \d+% from the next one, \d evaluations? in", said)


def test_json_lines_say_all_about_it(capsys) -> None:
    assert film("--json", "-o", "out.mkv", "--from", "0.03") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["frame", "frame", "done"]
    assert [(line["frame"], line["frames"], line["start"]) for line in lines[:2]] == [
        (1, 2, "scene"),
        (2, 2, "last"),
    ]
    done = lines[-1]
    assert (done["path"], done["frames"], done["scenes"], done["stopped"]) == ("out.mkv", 2, [1], None)
    assert len(decoded(Path("out.mkv"))) == 2


@pytest.mark.slow
def test_a_signal_ends_it_with_what_is_there(capsys, monkeypatch) -> None:
    real = impasto.videos.frames.paint_key

    def interrupted(run, before, shot):
        if shot.index == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(run, before, shot)

    with monkeypatch.context() as patch:
        patch.setattr(impasto.videos.frames, "paint_key", interrupted)
        assert film("--preview", "preview.png", "-v") == 130
    said = capsys.readouterr()
    assert said.out == "clip-painting.mp4\n"
    assert "stopping; once more ends at once and writes no film" in said.err
    assert "interrupted; the film has 1 frame so far; the same command again goes on" in said.err
    assert "frame 1: a new scene, 4 evaluations in" in said.err
    assert len(decoded(Path("clip-painting.mp4"))) == 1
    with Image.open("preview.png") as preview:
        assert preview.size == (48, 36)
    assert film() == 0
    assert "(1 frame there already)" in capsys.readouterr().err
    assert len(decoded(Path("clip-painting.mp4"))) == 3


@pytest.mark.slow
def test_masks_presets_and_settings_are_those_of_a_picture(capsys) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    Image.fromarray(mask).save("mask.png")
    write(Path("mask.mp4"), [np.repeat(mask[..., None], 3, -1)] * 3)
    more = ["--style", "painting.png", "--style", "clip.png", "--mask", "mask.mp4", "--mask", "rest"]
    Image.fromarray(scene(40, 40, seed=6)).save("clip.png")
    assert main(["video", "clip.mp4", *more, "--protect", "mask.png", "--preset", "bold", *SMALL]) == 0
    assert capsys.readouterr().out == "clip-painting-clip.mp4\n"
    colors = Image.new("RGB", (64, 48), "#00f")
    colors.paste("#0f0", (0, 0, 40, 48))
    colors.save("segments.png")
    assert main(["video", "clip.mp4", *more[:4], "--segments", "segments.png", "-o", "two.mp4", *SMALL]) == 0


def test_a_very_long_film_is_asked_about(capsys, monkeypatch) -> None:
    monkeypatch.setattr(command, "LONG", 0.0)
    assert film() == 2
    assert "give --yes for that; --from and --to take a part" in capsys.readouterr().err
    assert not Path("clip-painting.mp4.frames").exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert film("--yes", "--steadiness", "0", "--to", "0.01") == 0


def test_too_little_disk_is_said_before(capsys, monkeypatch) -> None:
    import psutil

    monkeypatch.setattr(psutil, "disk_usage", lambda path: type("Usage", (), {"free": 10_000}))
    assert film() == 3
    assert "the frames may take" in capsys.readouterr().err
    assert not Path("clip-painting.mp4.frames").exists()


def test_a_disk_that_gets_full_says_how_to_go_on(capsys, monkeypatch) -> None:
    def full(*arguments, **more):
        raise OutputError("cannot write 000000.png: no space left on device; free some space")

    monkeypatch.setattr("impasto.videos.folder.publish", full)
    assert film() == 3
    assert "free some space; the same command again goes on from there" in capsys.readouterr().err


def test_missing_packages_are_named(capsys, monkeypatch) -> None:
    monkeypatch.setattr(impasto.videos.video.importlib.util, "find_spec", lambda name: None)
    assert film() == 3
    assert 'films need PyAV and OpenCV: pip install "impasto[video]"' in capsys.readouterr().err


WRONG = [
    ("video no.mp4 painting.png", "no.mp4 does not exist"),
    ("video clip.mp4", "no painting given after clip.mp4"),
    ("video painting.png painting.png", "painting.png is a picture: impasto painting.png STYLE paints it"),
    ("video clip.mp4 painting.png film.mp4", "if it is the film to write: -o film.mp4"),
    ("video clip.mp4 painting.png -o -", "a film needs the name of a file"),
    ("video clip.mp4 painting.png -o film.avi", "film.avi: the suffix must be one of .mp4"),
    ("video clip.mp4 painting.png -o clip.mp4 --force", "clip.mp4 is also an input"),
    ("video clip.mp4 painting.png --codec mpeg4", "--codec: must be one of h264, h265"),
    ("video clip.mp4 painting.png --codec prores", ".mp4 cannot hold prores; it can hold --codec h264, h265"),
    ("video clip.mp4 painting.png -o film.webm", "cannot hold the clip's sound (aac); write .mkv"),
    ("video clip.mp4 painting.png --steadiness 2", "--steadiness: must be 1 or less, not '2'"),
    ("video clip.mp4 painting.png --every 9", "--every: must be 4 or less"),
    ("video clip.mp4 painting.png --from 5", "is 0.15 s long: no frame is in that range"),
    ("video clip.mp4 painting.png --from 2 --to 1", "must be after the beginning"),
    ("video clip.mp4 painting.png --from soon", "--from: must be a number with a unit, such as 12.5 or 1:30"),
    ("video clip.mp4 painting.png --init picture", "--init picture is for a photo"),
    ("video clip.mp4 painting.png --mask short.mp4", "the mask short.mp4 has 2 frames, but the clip 3"),
    ("clip.mp4 painting.png", "impasto video clip.mp4 STYLE paints it"),
    ("estimate clip.mp4 painting.png", "impasto video clip.mp4 STYLE says first how long it takes"),
    ("video clip.mp4 painting.png --two-pass --every 2", "needs every 1 and a steadiness above 0"),
    ("video clip.mp4 painting.png --two-pass --steadiness 0", "needs every 1 and a steadiness above 0"),
]


@pytest.mark.parametrize(("line", "expected"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_calls_end_in_one_line(line, expected, capsys) -> None:
    if "short" in line:
        write(Path("short.mp4"), panned(2))
    assert main([*line.split(), *SMALL]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1, said
    assert not Path("clip-painting.mp4.frames").exists()

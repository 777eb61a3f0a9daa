"""Films as files: time stamps, sound, subtitles, tags, sizes, codecs; what does not go together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from impasto.errors import InputError, OutputError
from impasto.videos import film_file
from impasto.videos.film_file import CODERS, form_of, write_film
from impasto.videos.video import FilmSettings
from impasto.videos.views import open_clip
from videos.clips import EVEN, TICK, UNEVEN, decoded, packets, panned, stamps, tags, write


def copied(
    source: Path, target: Path, film: FilmSettings | None = None, size: tuple[int, int] = (64, 48)
) -> Path:
    film = film or FilmSettings()
    clip = open_clip(source).between(film.from_, film.to)
    return write_film(target, clip, clip.frames(), form_of(target, clip, film, *size), film, {"a": 1})


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
def test_times_and_sound_are_those_of_the_clip(tmp_path, times) -> None:
    source = write(tmp_path / "a.mp4", panned(), times, sound=True)
    film = copied(source, tmp_path / "film.mp4")
    assert stamps(film) == stamps(source) == [time * TICK for time in times]
    assert packets(film) == packets(source)
    assert packets(film)[0] > 10


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_before_zero_come_as_players_show_them(tmp_path, suffix) -> None:
    """MP4 has an edit list that leaves them out; Matroska is shifted."""
    source = write(tmp_path / f"a{suffix}", panned(4), [-2002, -1001, 0, 1001])
    film = copied(source, tmp_path / f"film{suffix}")
    assert stamps(film) == stamps(source)
    assert len(stamps(film)) == {".mp4": 2, ".mkv": 4}[suffix] == open_clip(source).count


def test_a_range_has_the_sound_of_the_range_from_its_beginning(tmp_path) -> None:
    source = write(tmp_path / "a.mp4", panned(), EVEN, sound=True)
    film = copied(source, tmp_path / "film.mp4", FilmSettings(from_=0.06, to=0.16))
    assert stamps(film) == [time * TICK for time in EVEN[:3]]
    assert 3 <= packets(film)[0] < packets(source)[0] // 2


def planes(path: Path) -> list[np.ndarray]:
    """Return Y, U and V of each frame, as they lie in the file."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray().astype(float) for frame in container.decode(video=0)]


SUBTITLES = "1\n00:00:00,000 --> 00:00:00,100\nHello\n\n2\n00:00:00,110 --> 00:00:00,190\nworld\n"


def with_subtitles(tmp_path: Path) -> Path:
    (tmp_path / "a.srt").write_text(SUBTITLES)
    video = write(tmp_path / "plain.mkv", panned())
    path = tmp_path / "a.mkv"
    with av.open(str(video)) as one, av.open(str(tmp_path / "a.srt")) as two, av.open(str(path), "w") as out:
        streams = [(source, out.add_stream_from_template(source.streams[0])) for source in (one, two)]
        for source, stream in streams:
            for packet in source.demux(source.streams[0]):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    return path


def test_subtitles_are_those_of_the_clip(tmp_path) -> None:
    source = with_subtitles(tmp_path)
    film = copied(source, tmp_path / "film.mkv")
    assert packets(film, "subtitle") == packets(source, "subtitle")
    assert packets(film, "subtitle")[0] == 2


def test_subtitles_that_do_not_fit_are_left_out_and_that_is_said(tmp_path) -> None:
    clip = open_clip(with_subtitles(tmp_path))
    form = form_of(tmp_path / "film.webm", clip, FilmSettings(), 64, 48)
    assert form.copied == ()
    assert ".mkv keeps them" in form.notes[0]


@pytest.mark.parametrize("stated", [(1, 1, 1, 1), (5, 6, 5, 2), (6, 6, 6, 1), (1, 13, 1, 2)])
def test_tags_are_kept_and_colors_do_not_shift(tmp_path, stated) -> None:
    source = write(tmp_path / "a.mp4", panned(), tags=stated)
    film = copied(source, tmp_path / "film.mp4", FilmSettings(crf=1))
    assert tags(film) == stated
    pairs = list(zip(planes(source), planes(film), strict=True))
    assert abs(np.mean([one - other for one, other in pairs])) < 0.3
    assert np.mean([abs(one - other) for one, other in pairs]) < 1


def test_ten_bits_and_wide_primaries_are_kept(tmp_path) -> None:
    options = {"x265-params": "log-level=none:crf=4"}
    source = write(
        tmp_path / "a.mp4",
        panned(),
        codec="libx265",
        pixels="yuv420p10le",
        tags=(9, 14, 9, 1),
        options=options,
    )
    film = copied(source, tmp_path / "film.mp4")
    with av.open(str(film)) as container:
        assert next(container.decode(video=0)).format.name == "yuv420p10le"
    assert tags(film) == (9, 14, 9, 1)
    clip = open_clip(source)
    form = form_of(tmp_path / "film.mp4", clip, FilmSettings(codec="h264"), 64, 48)
    assert "10 bits become 8 in h264" in form.notes[0]


@pytest.mark.parametrize("codec", CODERS)
def test_every_codec_can_be_written_and_read(tmp_path, codec) -> None:
    suffix = ".mov" if codec == "prores" else ".mkv"
    source = write(tmp_path / "a.mkv", panned(), sound=True)
    film = copied(source, tmp_path / f"film{suffix}", FilmSettings(codec=codec))
    assert stamps(film) == stamps(source)
    assert packets(film) == packets(source) if suffix == ".mkv" else packets(film)[0] == packets(source)[0]
    for one, other in zip(decoded(source), decoded(film), strict=True):
        assert abs(one.astype(float) - other).mean() < 6


def test_odd_sizes_are_padded_and_that_is_said(tmp_path) -> None:
    frames = [frame[:47, :63].copy() for frame in panned()]
    source = write(tmp_path / "a.mkv", frames, codec="ffv1", pixels="bgr0", options={})
    clip = open_clip(source)
    form = form_of(tmp_path / "film.mp4", clip, FilmSettings(), 63, 47)
    assert form.notes == ("63 x 47 px are padded to 64 x 48 px, as h264 needs even sizes",)
    film = copied(source, tmp_path / "film.mp4", size=(63, 47))
    found = decoded(film)[0]
    assert found.shape == (48, 64, 3)
    assert abs(found[:46, :62].astype(float) - frames[0][:46, :62]).mean() < 6
    assert form_of(tmp_path / "film.mkv", clip, FilmSettings(codec="ffv1"), 63, 47).notes == ()


def test_what_does_not_go_together_is_refused_with_what_does(tmp_path) -> None:
    clip = open_clip(write(tmp_path / "a.mp4", panned(), sound=True))
    with pytest.raises(InputError, match=r"\.webm cannot hold the clip's sound \(aac\); write \.mkv"):
        form_of(tmp_path / "film.webm", clip, FilmSettings(), 64, 48)
    with pytest.raises(
        InputError, match=r"\.mp4 cannot hold prores; it can hold --codec h264, h265, av1, vp9"
    ):
        form_of(tmp_path / "film.mp4", clip, FilmSettings(codec="prores"), 64, 48)


def test_an_encoder_that_is_not_there_is_named_with_those_that_are(tmp_path, monkeypatch) -> None:
    clip = open_clip(write(tmp_path / "a.mp4", panned()))
    monkeypatch.setattr(av, "codecs_available", {"libx264", "ffv1"})
    with pytest.raises(
        InputError, match="--codec av1: this build of FFmpeg lacks libsvtav1; it has h264, ffv1"
    ):
        form_of(tmp_path / "film.mp4", clip, FilmSettings(codec="av1"), 64, 48)


def test_metadata_is_copied_and_the_comment_is_ours(tmp_path) -> None:
    film = copied(write(tmp_path / "a.mp4", panned(), sound=True), tmp_path / "film.mp4")
    with av.open(str(film)) as container:
        assert json.loads(container.metadata["comment"]) == {"a": 1}


def test_a_film_that_is_there_stays(tmp_path) -> None:
    source = write(tmp_path / "a.mp4", panned())
    target = tmp_path / "film.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        copied(source, target)
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "film.mp4"]


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9"])
def test_the_bytes_do_not_depend_on_what_lay_in_memory_before(tmp_path, codec) -> None:
    """glibc fills new memory with a byte; x264 with its macroblock tree and AVX-512 would give two films."""
    source = write(tmp_path / "a.mp4", panned(), EVEN)
    program = (
        "import sys; from pathlib import Path; from impasto.videos.video import FilmSettings\n"
        "from videos.test_film_file import copied\n"
        "copied(Path(sys.argv[1]), Path(sys.argv[2]), FilmSettings(codec=sys.argv[3]))"
    )
    films = []
    for byte in ("85", "170"):
        films.append(tmp_path / f"{byte}.mkv")
        paths = [str(Path(__file__).parents[1]), str(Path(film_file.__file__).parents[2])]
        environment = os.environ | {"MALLOC_PERTURB_": byte, "PYTHONPATH": os.pathsep.join(paths)}
        words = [sys.executable, "-c", program, str(source), str(films[-1]), codec]
        subprocess.run(words, env=environment, check=True)
    assert films[0].read_bytes() == films[1].read_bytes()

"""The manifest: torn lines, the machine's choices that the first one decides; shards of schedulers."""

import json
import multiprocessing
from pathlib import Path

import pytest

from impasto.errors import InputError, OutputError
from impasto.many.manifest import NAME, Manifest, Shard, of_folder, read
from impasto.system import files


def test_lines_are_added_and_read_back_with_names_that_are_no_text(tmp_path) -> None:
    seen = []
    manifest = Manifest(tmp_path, watch=seen.append)
    manifest.write("done", {"file": "x\n\udcff.png", "loss": float("nan")})
    (line,) = read(tmp_path / NAME)
    assert (line["event"], line["file"], line["loss"]) == ("done", "x\n\udcff.png", None)
    assert seen[0]["event"] == "done"


def test_a_torn_last_line_is_ended_and_left_out(tmp_path) -> None:
    manifest = Manifest(tmp_path)
    manifest.write("started", {"file": "a"})
    text = manifest.path.read_bytes()
    manifest.path.write_bytes(text + b'{"event":"done","fi')
    manifest.write("done", {"file": "b"})
    assert [line["file"] for line in read(manifest.path)] == ["a", "b"]
    manifest.path.write_bytes(manifest.path.read_bytes() + b"[1]\n\xff\n7\n")
    assert len(list(read(manifest.path))) == 2


def test_a_line_that_does_not_fit_on_the_disk_is_an_error(tmp_path, monkeypatch) -> None:
    manifest = Manifest(tmp_path)
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OutputError, match="no space left on device"):
        manifest.write("done", {})


def test_the_first_choices_hold_for_later_runs_and_shards(tmp_path) -> None:
    first = Manifest(tmp_path, Shard(2, 3))
    assert first.choices() is None
    assert first.begin({"threads": 1})["threads"] == 1
    assert Manifest(tmp_path, Shard(3, 3)).begin({"threads": 2})["threads"] == 1
    assert Manifest(tmp_path).begin({"threads": 4})["threads"] == 1
    assert next(read(tmp_path / NAME))["threads"] == 1
    assert {path.name for path in of_folder(tmp_path)} == {NAME, "batch.2-of-3.jsonl", "batch.3-of-3.jsonl"}
    again = Manifest(tmp_path, Shard(2, 3))
    assert again.begin({"threads": 8}, anew=True)["threads"] == 8
    assert again.choices()["threads"] == 8
    assert Manifest(tmp_path, Shard(1, 3)).choices()["threads"] == 1


def _append(path: Path, letter: str) -> None:
    for number in range(200):
        files.append_line(path, json.dumps([letter * 50, number]).encode())


def test_lines_of_two_processes_do_not_mix(tmp_path) -> None:
    spawn = multiprocessing.get_context("fork")
    both = [spawn.Process(target=_append, args=(tmp_path / "lines", letter)) for letter in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert sorted(lines) == sorted([letter * 50, number] for letter in "ab" for number in range(200))


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("3/8", {}, (3, 8)),
        (
            "auto",
            {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"},
            (3, 4),
        ),
        (
            "AUTO",
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "4",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            (3, 3),
        ),
        ("auto", {"JOB_COMPLETION_INDEX": "0", "IMPASTO_SHARDS": "8"}, (1, 8)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, (3, 3)),
    ],
)
def test_shards_are_read(text, environment, expected) -> None:
    shard = Shard.parse(text, environment)
    assert (shard.index, shard.count) == expected


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("0/3", {}, "0/3 is out of range"),
        ("4/3", {}, "4/3 is out of range"),
        ("a/3", {}, "give it as 3/8"),
        ("3", {}, "give it as 3/8"),
        ("auto", {}, "SLURM_ARRAY_TASK_ID"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "set IMPASTO_SHARDS"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "x"}, "no number"),
    ],
)
def test_wrong_shards_are_refused(text, environment, said) -> None:
    with pytest.raises(InputError, match=said):
        Shard.parse(text, environment)

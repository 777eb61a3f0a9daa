"""A batch from its first picture to its last: done, skipped, failed, stopped, continued. Without torch."""

import json
import os
import time
from pathlib import Path

import pytest

import impasto
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, OutputError, Stop
from impasto.many import driver as module
from impasto.many import photos
from impasto.many.manifest import NAME, read
from many.helping import files, make_photo


def kinds(events, *, steps: bool = False) -> list[str]:
    return [event["event"] for event in events if steps or event["event"] != "step"]


def test_a_batch_paints_each_photo_and_a_second_one_paints_nothing(paint) -> None:
    done, events = paint()
    assert (done.jobs, done.made, done.there, done.failures) == (3, 3, 0, 0)
    assert files() == ["a-style.png", "b-style.png", "c-style.png"]
    assert kinds(events)[:2] == ["batch", "planned"]
    assert kinds(events)[-1] == "ended"
    assert sorted(kinds(events)[2:-1]) == ["done"] * 3 + ["started"] * 3
    lines = list(read(Path("out", NAME)))
    assert lines == json.loads(json.dumps(events))
    made = next(line for line in lines if line["event"] == "done")
    assert {"key", "file", "photo", "seconds", "losses", "host", "worker", "time"} <= set(made)
    before = {name: os.stat(f"out/{name}").st_mtime_ns for name in files()}  # noqa: PTH116
    done, events = paint()
    assert (done.made, done.there) == (0, 3)
    assert kinds(events) == ["planned", *["skipped"] * 3, "ended"]
    assert before == {name: os.stat(f"out/{name}").st_mtime_ns for name in files()}  # noqa: PTH116


def test_what_is_done_is_known_without_the_manifest(paint) -> None:
    paint()
    Path("out", NAME).unlink()
    Path("out/b-style.png").unlink()
    done, _ = paint()
    assert (done.made, done.there) == (1, 2)


def test_a_broken_photo_is_reported_and_the_others_are_painted(paint) -> None:
    make_photo("photos/broken.png")
    done, events = paint()
    assert (done.made, done.failures) == (3, 1)
    (failure,) = done.failed
    assert (failure.photo, failure.error) == ("photos/broken.png", "PictureError")
    assert "is broken" in failure.message
    (line,) = [event for event in events if event["event"] == "failed"]
    assert line["message"] == failure.message


def test_photos_that_cannot_be_read_fail_alone(paint) -> None:
    Path("photos/empty.png").touch()
    Path("photos/gone.png").symlink_to("nowhere")
    done, _ = paint()
    assert done.made == 3
    assert sorted((item.photo, item.message.partition(";")[0]) for item in done.failed) == [
        ("photos/empty.png", "photos/empty.png is empty"),
        ("photos/gone.png", "photos/gone.png does not exist"),
    ]


def test_other_settings_are_named_as_stale_and_made_again_by_force(paint) -> None:
    paint()
    done, _ = paint(settings=Settings(size=99))
    assert (done.made, done.failures) == (0, 3)
    assert {item.error for item in done.failed} == {"stale"}
    assert "--force" in done.failed[0].message
    done, _ = paint(settings=Settings(size=99), force=True)
    assert (done.made, done.failures) == (3, 0)
    done, _ = paint(settings=Settings(size=99), force=True)
    assert (done.made, done.there) == (0, 3)


def test_a_changed_photo_and_a_changed_painting_are_stale(paint) -> None:
    paint()
    make_photo("photos/a.png", 9)
    done, _ = paint()
    assert [item.file for item in done.failed] == ["a-style.png"]
    make_photo("style.png", 9)
    done, _ = paint()
    assert done.failures == 3


def test_what_is_somebody_elses_is_never_replaced_unless_by_force(paint) -> None:
    Path("out").mkdir()
    make_photo("out/a-style.png")
    Path("out/b-style.png").write_bytes(b"no picture")
    done, _ = paint()
    assert sorted(item.error for item in done.failed) == ["damaged", "foreign"]
    assert Path("out/b-style.png").read_bytes() == b"no picture"
    assert paint(force=True)[0].made == 2


def test_our_own_results_in_a_folder_are_no_photos(paint) -> None:
    paint()
    Path("out/a-style.png").rename("photos/z.png")
    done, events = paint()
    assert (done.left_out, done.made, done.there) == (1, 1, 2)
    assert next(e for e in events if e["event"] == "skipped" and e["file"].startswith("z"))["reason"]
    assert paint("photos/z.png", folder="named")[0].made == 1  # somebody means it


def test_fail_fast_ends_at_the_first_failure(paint) -> None:
    make_photo("photos/a-broken.png")
    Path("photos/a-broken.png").rename("photos/Broken.png")
    Path("photos/Broken.png").write_bytes(b"")
    done, _ = paint(fail_fast=True)
    assert (done.stopped, done.failures, done.made) == ("fail-fast", 1, 0)


def test_a_callback_ends_it_and_the_next_call_continues(paint, monkeypatch) -> None:
    monkeypatch.setenv("STUB_SECONDS", "0.05")

    def stop(event) -> None:
        if event["event"] == "done":
            raise Stop("enough")

    done, _ = paint(on_event=stop, workers=1)
    assert done.stopped == "enough"
    assert 1 <= done.made <= 2
    later, _ = paint()
    assert later.made + done.made == 3


def test_a_full_disk_ends_it_and_it_goes_on_later(paint) -> None:
    make_photo("photos/b-full.png")
    Path("photos/b-full.png").rename("photos/full.png")
    with pytest.raises(OutputError, match="no space left"):
        paint(workers=1)
    before = files()
    assert before == ["a-style.png", "b-style.png", "c-style.png"]
    Path("photos/full.png").unlink()
    assert paint()[0].there == 3


def test_a_picture_whose_losses_are_not_finite_is_there_and_failed(paint) -> None:
    make_photo("photos/faulty.png")
    for made in (4, 0):
        done, _ = paint()
        assert (done.made, done.failures) == (made, 1)
        assert "finite" in done.failed[0].message or "style loss" in done.failed[0].message
    assert "faulty-style.png" in files()


def test_a_photo_that_changes_before_it_is_painted_is_looked_at_again(paint, monkeypatch) -> None:
    real, changed = photos.read_stable, []

    def read(path, limits):
        data = real(path, limits)
        if path.endswith("b.png") and len(changed) < times:
            make_photo(path, 50 + len(changed))  # after it was hashed, before it is sent
            changed.append(path)
        return data

    monkeypatch.setattr(module, "read_stable", read)
    times = 1
    done, _ = paint()
    assert (done.made, done.failures) == (3, 0)
    assert paint()[0].there == 3
    times = 99
    done, _ = paint(folder="other")
    assert (done.made, done.failures) == (2, 1)
    assert "changes again and again" in done.failed[0].message


def test_the_machines_choices_hold_for_later_runs(paint) -> None:
    paint(runtime=Runtime(threads=1))
    with pytest.raises(InputError, match="--threads: the pictures in out were begun with 1, not 2"):
        paint(runtime=Runtime(threads=2))
    with pytest.raises(InputError, match="were begun with the default, not 16"):
        paint(output=Output(bits=16))
    assert paint()[0].there == 3  # nothing said: as they were
    done, events = paint(runtime=Runtime(threads=2), re_resolve=True)
    assert done.there == 3
    assert kinds(events)[0] == "batch"
    paint(runtime=Runtime(threads=2))


def test_another_machine_is_said(paint, monkeypatch) -> None:
    paint("photos/a.png")
    monkeypatch.setenv("STUB_MACHINE", "other")
    _, events = paint()
    (event,) = [event for event in events if event["event"] == "machine"]
    assert (event["before"], event["now"]) == ({"processor": "stub"}, {"processor": "other"})


def test_two_shards_make_what_one_run_makes(paint) -> None:
    for number in range(8):
        make_photo(f"photos/more{number}.png", 20 + number)
    one, _ = paint(folder="one")
    first, _ = paint(folder="two", shard="1/2")
    second, _ = paint(folder="two", shard="2/2")
    assert first.made + second.made == one.made == 11
    assert min(first.made, second.made) > 0
    assert files("one") == files("two")
    assert all(Path("one", n).read_bytes() == Path("two", n).read_bytes() for n in files("one"))
    names = {path.name for path in Path("two").glob("*.jsonl")}
    assert names == {NAME, "batch.1-of-2.jsonl", "batch.2-of-2.jsonl"}


def test_each_photo_is_painted_with_each_combination(paint) -> None:
    done, _ = paint(vary={"size": [32, 48]})
    assert done.made == 6
    assert files()[:2] == ["a-style-size=32.png", "a-style-size=48.png"]


def test_the_next_picture_begins_at_once(paint) -> None:
    for number in range(8):
        make_photo(f"photos/more{number}.png", 20 + number)
    _, events = paint(workers=1)
    times = {kind: [e["time"] for e in events if e["event"] == kind] for kind in ("started", "done")}
    waits = sorted(b - a for a, b in zip(times["done"], times["started"][1:], strict=False))
    assert waits[len(waits) // 2] < 0.1


def test_batch_is_a_function_of_the_package_and_wants_paths(stub) -> None:
    assert impasto.batch("photos", ["style.png"], folder="out").made == 3
    with pytest.raises(InputError, match="by their paths"):
        impasto.batch("photos", Path("style.png").read_bytes(), folder="out")
    with pytest.raises(InputError, match="a mask is of one photo"):
        impasto.batch("photos", impasto.Style("style.png", mask="style.png"), folder="out")


def test_a_batch_of_done_pictures_is_quick(paint) -> None:
    for number in range(60):
        make_photo(f"photos/more{number}.png", 20 + number)
    paint()
    began = time.monotonic()
    assert paint()[0].there == 63
    assert time.monotonic() - began < 3

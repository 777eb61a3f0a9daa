"""The folder of a film at work: what counts as done, damaged states, other films."""

import json

import pytest
import torch

from impasto.errors import OutputError
from impasto.videos import folder as folder_module
from impasto.videos.folder import STATE, FilmFolder, FilmState, Scene, key_of, read_state


def test_a_frame_counts_once_the_state_names_it(tmp_path, monkeypatch) -> None:
    folder = FilmFolder(tmp_path / "a.frames", "k")
    folder.make()
    canvas = torch.rand(1, 3, 4, 5)
    folder.keep(0, canvas, Scene(0, 3.0, 2.0))
    assert torch.allclose(folder.canvas(0), canvas, atol=1 / 65535)
    real = folder_module.publish

    def killed(path, data, **more):
        if path.name == STATE:
            raise KeyboardInterrupt
        return real(path, data, **more)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.keep(1, canvas)
    again = FilmFolder(tmp_path / "a.frames", "k")
    assert again.state.done == 1
    assert again.state.scenes == (Scene(0, 3.0, 2.0),)
    again.keep(1, canvas)
    assert FilmFolder(tmp_path / "a.frames", "k").state.done == 2


def test_the_frames_of_another_film_are_refused_or_replaced(tmp_path) -> None:
    folder = FilmFolder(tmp_path, "one")
    folder.keep(0, torch.rand(1, 3, 4, 5), Scene(0, 1.0, 1.0))
    with pytest.raises(OutputError, match="the frames of another clip or other settings"):
        FilmFolder(tmp_path, "two")
    assert FilmFolder(tmp_path, "two", overwrite=True).state.done == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"form": 9}', '{"form": 1, "scenes": [{}], "key": "k"}', "null"]
)
def test_a_damaged_state_counts_as_none(tmp_path, text) -> None:
    (tmp_path / STATE).write_text(text)
    assert read_state(tmp_path) is None


def test_a_state_of_an_earlier_version_is_read(tmp_path) -> None:
    """Else its frames would count as none, and be replaced."""
    scene = {"first": 0, "total": 3.0, "style": 2.0, "changes": {"strength": None, "style_weight": 3.5}}
    (tmp_path / STATE).write_text(json.dumps({"form": 1, "key": "k", "done": 2, "scenes": [scene]}))
    assert read_state(tmp_path) == FilmState("k", 2, (Scene(0, 3.0, 2.0),))
    with pytest.raises(OutputError, match="the frames of another clip or other settings"):
        FilmFolder(tmp_path, "another")


def test_the_key_does_not_depend_on_order() -> None:
    assert key_of({"a": 1, "b": [None, 2.5]}) == key_of(json.loads('{"b": [null, 2.5], "a": 1}'))
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_folder_that_cannot_be_made_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot make the folder"):
        FilmFolder(tmp_path / "file", "k").make()

"""The folder of a film at work: finished frames as 16-bit PNG, and one file that says how far it is.

A frame counts once the state names it, and the next one depends on files only. So a film that was killed at
any moment goes on to the bytes of one that was not.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.errors import OutputError
from impasto.image.picture import Picture
from impasto.messages import printable, reason
from impasto.system.files import publish
from impasto.videos.animation import DIGITS

STATE = "state.json"
AGAIN = ".again.png"  # ending of a frame of the second pass
FORM = 1  # of the state


@dataclass(frozen=True)
class Scene:
    """A scene: its first frame, and the weighted losses that this one has reached."""

    first: int
    total: float
    style: float


@dataclass(frozen=True)
class FilmState:
    """How far a film is: `done` frames, and its scenes so far. `key` says which film it is.

    `runtime` are the fields of the `Runtime` with which the frames after the first are computed. Those from
    number `again` on have had their second pass.
    """

    key: str
    done: int = 0
    scenes: tuple[Scene, ...] = ()
    runtime: Mapping[str, Any] | None = None
    again: int | None = None

    def left_again(self, count: int) -> int:
        """Return how many of so many frames have not had their second pass."""
        return count if self.again is None else self.again


class FilmFolder:
    """The folder of one film.

    Args:
        path: Of the folder.
        key: The hash of all that the frames depend on.
        overwrite: Whether the frames of another film there may be replaced.

    Raises:
        OutputError: It has the frames of another film.
    """

    def __init__(self, path: Path, key: str, *, overwrite: bool = False) -> None:
        self.path = path
        found = read_state(path)
        if found is not None and found.key != key and not overwrite:
            raise OutputError(
                f"{printable(path)} has the frames of another clip or other settings; give another name with "
                "-o, or --force (overwrite=True) to replace them"
            )
        self.state = found if found is not None and found.key == key else FilmState(key)

    def make(self) -> None:
        """Make the folder.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            message = f"cannot make the folder {printable(self.path)}: {reason(error)}; give another place"
            raise OutputError(message) from error

    def file(self, index: int, ending: str = ".png") -> Path:
        """Return the file of a frame."""
        return self.path / f"{index:0{DIGITS}d}{ending}"

    def canvas(self, index: int) -> Tensor:
        """Return a frame of the first pass, (1, 3, H, W) in [0, 1].

        Raises:
            PictureError: The file is gone or damaged.
        """
        return Picture.open(self.file(index)).tensor()

    def final(self, index: int) -> Tensor:
        """Return a frame of the second pass if there is one, else of the first, (1, 3, H, W) in [0, 1].

        Raises:
            PictureError: The file is gone or damaged.
        """
        again = self.state.again is not None and index >= self.state.again
        return Picture.open(self.file(index, AGAIN if again else ".png")).tensor()

    def keep(
        self, index: int, canvas: Tensor, scene: Scene | None = None, runtime: Mapping[str, Any] | None = None
    ) -> None:
        """Write a frame, and then the state with it; `scene` begins with it.

        The first `runtime` stays.

        Raises:
            OutputError: The disk is full, or the folder is gone.
        """
        scenes = self.state.scenes if scene is None else (*self.state.scenes, scene)
        runtime = self.state.runtime or runtime
        self._write(
            self.file(index), canvas, replace(self.state, done=index + 1, scenes=scenes, runtime=runtime)
        )

    def keep_again(self, index: int, canvas: Tensor) -> None:
        """Write a frame of the second pass, and then the state with it.

        Raises:
            OutputError: The disk is full, or the folder is gone.
        """
        self._write(self.file(index, AGAIN), canvas, replace(self.state, again=index))

    def _write(self, path: Path, canvas: Tensor, state: FilmState) -> None:
        picture = Picture.from_tensor(canvas)
        publish(path, picture.encode(".png", bits=16, metadata="strip"), overwrite=True)
        publish(self.path / STATE, _text(state), overwrite=True)
        self.state = state


def read_state(path: Path) -> FilmState | None:
    """Return the state in a folder; None where there is none that can be read."""
    try:
        values = json.loads((path / STATE).read_text(encoding="utf-8"))
        if values.pop("form") != FORM:
            return None
        scenes = tuple(Scene(item["first"], item["total"], item["style"]) for item in values.pop("scenes"))
        return FilmState(**values, scenes=scenes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def key_of(facts: Mapping[str, Any]) -> str:
    """Return the hash of what a film depends on, in any order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _text(state: FilmState) -> bytes:
    return (json.dumps({"form": FORM, **asdict(state)}, indent=1) + "\n").encode()

"""The files of the data folder: pictures by their hash, what jobs leave, views that can be made again."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from impasto.errors import OutputError
from impasto.messages import printable, reason
from impasto.studio.limits import Limits
from impasto.system.files import publish

VIEWS = 300_000_000  # bytes of views that are kept
FRESH = 5.0  # seconds in which the used space counts as measured
INCOMING = 60.0  # seconds after which a file that came in belongs to nobody
FOLDERS = ("pictures", "jobs", "incoming", "views")
FILMS = (".mp4", ".mkv")  # endings of films


@dataclass(frozen=True)
class Identity:
    """What stays of a server over its restarts: its name, and two secrets. The folder is the user's alone.

    Attributes:
        id: Its name in cookies.
        cookie: The value of the cookie of a browser that was let in.
        key: What another process of this user shows to get a one-time token.
    """

    id: str
    cookie: str
    key: str


class NoRoom(Exception):
    """The data folder has reached its quota, or the disk is nearly full; the text says which."""


class Files:
    """The paths in a data folder. Names come from hashes and ids, never from a client.

    Raises:
        OutputError: The folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in FOLDERS:
                (root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot keep anything in {printable(root)}: {reason(error)}; give another folder with --data"
            ) from error
        self._measured: tuple[float, int] | None = None

    def picture(self, id: str) -> Path:
        """Return the plain pixels of an uploaded picture."""
        return self.root / "pictures" / f"{id}.pixels"

    def clip(self, id: str, suffix: str | None = None) -> Path:
        """Return the file of a clip; without its suffix, of one that is here."""
        if suffix is None:
            return next((self.root / "pictures").glob(f"{id}.*"), self.root / "pictures" / id)
        return self.root / "pictures" / f"{id}{suffix}"

    def film(self, job: str, suffix: str = "") -> Path:
        """Return the film of a job; its frames are in a folder beside it, NAME.frames."""
        return self.root / "jobs" / f"{job}{suffix}"

    def begun(self, job: str) -> bool:
        """Whether a job has something that is worth to be kept: a checkpoint, or a frame of its film."""
        return self.checkpoint(job).exists() or any((self.root / "jobs").glob(f"{job}.*.frames/state.json"))

    def result(self, job: str, token: int) -> Path:
        """Return the plain pixels of a result; each lease has its own, so that none is written twice."""
        return self.root / "jobs" / f"{job}-{token}.pixels"

    def preview(self, job: str) -> Path:
        """Return the picture of a job so far."""
        return self.root / "jobs" / f"{job}.jpg"

    def checkpoint(self, job: str) -> Path:
        """Return where a job continues."""
        return self.root / "jobs" / f"{job}.checkpoint"

    def incoming(self) -> Path:
        """Return a new place for a file that comes in."""
        return self.root / "incoming" / secrets.token_hex(16)

    def view(self, name: str) -> Path:
        """Return the place of a view."""
        return self.root / "views" / name

    def identity(self) -> Identity:
        """Return who this server is, made at the first start."""
        path = self.root / "identity.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Identity(**json.loads(path.read_bytes()))
        identity = Identity(secrets.token_hex(4), secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        publish(path, json.dumps(asdict(identity)).encode(), overwrite=True)
        path.chmod(0o600)
        return identity

    def forget_job(self, job: str, *, keep: int | None = None) -> None:
        """Remove the files of a job; `keep` is the token of the result that stays, with preview and film."""
        stays = (self.result(job, keep or 0), self.preview(job), *(self.film(job, end) for end in FILMS))
        for path in self._named("jobs", job):
            if path.is_dir():
                for frame in self._named(path, ""):
                    frame.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # the painting process writes one more
                    path.rmdir()
            elif keep is None or path not in stays:
                path.unlink(missing_ok=True)
        if keep is None:
            self._remove("views", job)

    def forget_results(self, job: str) -> None:
        """Remove results of leases that are over."""
        self._remove("jobs", f"{job}-", ".pixels")

    def forget_picture(self, id: str) -> None:
        """Remove a picture with its views, or a clip."""
        self._remove("pictures", f"{id}.")
        self._remove("views", id)

    def _remove(self, folder: str, start: str, end: str = "") -> None:
        """Remove the files of a folder whose names have this start and end."""
        for path in self._named(folder, start):
            if path.name.endswith(end):
                path.unlink(missing_ok=True)

    def _named(self, folder: str | Path, start: str) -> Iterator[Path]:
        """Yield the files of a folder whose names begin so; a folder of any length in bounded memory."""
        with os.scandir(self.root / folder) as entries:
            for entry in entries:
                if entry.name.startswith(start):
                    yield Path(entry.path)

    def disk(self, quota: int) -> dict[str, int]:
        """Return the bytes that are used here, that may be used, and that are free on the disk."""
        now = time.monotonic()
        if self._measured is None or now - self._measured[0] > FRESH:
            self._measured = now, sum(info.st_size for _, info in self._files(self.root))
        return {"used": self._measured[1], "quota": quota, "free": psutil.disk_usage(str(self.root)).free}

    def check_room(self, limits: Limits) -> None:
        """Refuse more where the folder has its quota or the disk is nearly full.

        Raises:
            NoRoom: It is so.
        """
        disk = self.disk(limits.quota)
        if disk["used"] >= limits.quota:
            quota = f"{limits.quota / 1e9:g} GB"
            raise NoRoom(f"the studio's folder has reached {quota}; delete pictures of the history")
        if disk["free"] < limits.spare:
            raise NoRoom("the disk is nearly full; free some space")

    def tidy(self) -> None:
        """Remove what a process that died has left, and the views that were used least lately."""
        now = time.time()
        for folder in ("incoming", "pictures", "jobs", "views"):
            for path, info in self._files(self.root / folder):
                if (folder == "incoming" or path.endswith(".tmp")) and now - info.st_mtime > INCOMING:
                    Path(path).unlink(missing_ok=True)
        views = sorted(self._files(self.root / "views"), key=lambda item: item[1].st_mtime, reverse=True)
        total = 0
        for path, info in views:
            total += info.st_size
            if total > VIEWS:
                Path(path).unlink(missing_ok=True)

    def _files(self, folder: str | Path) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files below a folder; as text, since Python remembers every name that was in a `Path`."""
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._files(entry.path)
                    elif entry.is_file():
                        yield entry.path, entry.stat()


def plain_name(name: Any) -> str:
    """Return the last part of a name that a client sent, in printable characters, at most 100 of them."""
    text = str(name or "").replace("\\", "/").rpartition("/")[2]
    text = "".join(c if c.isprintable() and c not in "\u202e\u2066\u2067\u2068" else "_" for c in text)
    text = text.encode(errors="replace").decode()
    stem, dot, suffix = text.rpartition(".")
    text = f"{stem[: 99 - len(suffix)]}{dot}{suffix}" if dot and len(suffix) < 10 else text[:100]
    return text.strip() or "picture"

"""What a batch paints: photos, looks, and the jobs made of them. No torch here.

A look is a set of paintings with settings; a job is a photo with a look. The file of a job lies below the
folder of the batch as the photo lies below the folder that was named::

    spec = BatchSpec(("photos",), (Look("starry", (Painting("starry.jpg"),), Settings()),), Path("painted"))
    plan = plan_jobs(spec)      # refuses names that would collide
    for job in plan:
        job.photo, job.file      # photos/a/x.jpg, a/x-starry.png
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, OutputError
from impasto.inputs.picture_folder import files_in, is_folder
from impasto.many import photos as sources
from impasto.many.manifest import Shard
from impasto.many.photos import Photo, read_stable
from impasto.messages import printable

LONGEST = 110  # bytes of the photo's part of a name, and of the look's
MADE = ("batch.jsonl", "batch.jpg")  # names of our own in the folder


@dataclass(frozen=True)
class Painting:
    """One painting of a look, by its path; the rest as in `Style`."""

    picture: str
    weight: float = 1.0
    source_mask: str | None = None
    stroke: float | None = None
    layers: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Look:
    """Paintings with settings; `name` ends the names of its files."""

    name: str
    paintings: tuple[Painting, ...]
    settings: Settings

    def expanded(self) -> Self:
        """Return it with the pictures of folders one by one; those of a folder share its weight.

        Raises:
            InputError: A folder cannot be read, or has no or too many files.
        """
        found: list[Painting] = []
        for item in self.paintings:
            files = list(map(str, files_in(item.picture))) if is_folder(item.picture) else [item.picture]
            found += [replace(item, picture=name, weight=item.weight / len(files)) for name in files]
        return replace(self, paintings=tuple(found))

    @property
    def network(self) -> tuple[str, str]:
        """What decides how the network computes: the convention of losses, and the name of the weights."""
        return self.settings.convention, self.settings.weights or ""


@dataclass(frozen=True)
class BatchSpec:
    """What a batch paints, and where the results go.

    Attributes:
        photos: Files, folders or patterns such as `photos/*.jpg`.
        looks: Each photo is painted with each of them.
        folder: Where the results go.
        pairs: A CSV file of photos with paintings, in place of photos; looks have no paintings then.
        recursive: Whether folders in folders count.
        suffix: Of the results, which decides their format.
        runtime: How to compute, as far as it was said.
    """

    photos: tuple[str, ...]
    looks: tuple[Look, ...]
    folder: Path
    pairs: str | None = None
    recursive: bool = False
    suffix: str = ".png"
    output: Output = field(default_factory=Output)
    limits: Input = field(default_factory=Input.from_environment)
    runtime: Runtime = field(default_factory=Runtime)

    def to_json(self) -> dict[str, Any]:
        """Return it in types of JSON; paths are absolute."""
        looks = [
            {
                "name": look.name,
                "paintings": [
                    {**asdict(item), "picture": _absolute(item.picture)}
                    | ({"source_mask": _absolute(item.source_mask)} if item.source_mask else {})
                    for item in look.paintings
                ],
                "settings": look.settings.model_dump(mode="json"),
            }
            for look in self.looks
        ]
        models = {
            name: getattr(self, name).model_dump(mode="json") for name in ("output", "limits", "runtime")
        }
        return {
            "photos": [_absolute(name) for name in self.photos],
            "looks": looks,
            "pairs": self.pairs and _absolute(self.pairs),
            "recursive": self.recursive,
            "suffix": self.suffix,
            **models,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], folder: Path) -> Self:
        """Return what `to_json` wrote, for results in this folder; null in settings is the default."""
        looks = [
            Look(
                item["name"],
                tuple(Painting(**one) for one in item["paintings"]),
                Settings(**{name: value for name, value in item["settings"].items() if value is not None}),
            )
            for item in found["looks"]
        ]
        return cls(
            tuple(found["photos"]),
            tuple(looks),
            folder,
            found["pairs"],
            found["recursive"],
            found["suffix"],
            Output(**found["output"]),
            Input(**found["limits"]),
            Runtime(**found["runtime"]),
        )


def _absolute(name: str) -> str:
    return os.path.abspath(name)  # noqa: PTH100  links stay


@dataclass(frozen=True, slots=True)
class Job:
    """A photo to be painted with a look; `file` is the result's place below the folder, with `/`."""

    photo: Photo
    file: str
    look: Look


class Plan:
    """The jobs of a batch, look by look; they are made when their turn comes, to need little memory.

    Attributes:
        spec: What the batch paints.
        photos: All photos, or photos with looks of their own.
        shard: Which part of the jobs is this process's.
        hashes: Of the paintings.
    """

    def __init__(
        self, spec: BatchSpec, photos: Sequence[Photo], looks: Sequence[tuple[Look, Sequence[int] | None]]
    ) -> None:
        self.spec, self.photos, self._looks = spec, photos, looks
        self.shard: Shard | None = None
        self.hashes = Hashes(spec.limits)

    def all(self) -> Iterator[Job]:
        """Yield the jobs of all shards."""
        for look, chosen in self._looks:
            for photo in self.photos if chosen is None else (self.photos[index] for index in chosen):
                yield Job(photo, file_of(photo, look, self.spec.suffix), look)

    def __iter__(self) -> Iterator[Job]:
        return (job for job in self.all() if self.shard is None or self.shard.has(job.file))

    @cached_property
    def count(self) -> int:
        """How many jobs there are, in this shard."""
        if self.shard is not None:
            return sum(1 for _ in self)
        return sum(len(self.photos if chosen is None else chosen) for _, chosen in self._looks)

    @property
    def looks(self) -> list[Look]:
        """All looks."""
        return [look for look, _ in self._looks]


class Hashes:
    """SHA-256 of the paintings, each read once."""

    def __init__(self, limits: Input) -> None:
        self._limits, self._known = limits, dict[str, str]()

    def of(self, path: str) -> str:
        """Return the hash of a file.

        Raises:
            InputError: It cannot be read.
        """
        if path not in self._known:
            self._known[path] = hashlib.sha256(read_stable(path, self._limits)).hexdigest()
        return self._known[path]

    def styles(self, look: Look) -> list[Any]:
        """Return what identifies the paintings of a look."""
        return [self._identity(item) for item in look.paintings]

    def _identity(self, item: Painting) -> list[Any]:
        mask = None if item.source_mask is None else [self.of(item.source_mask), None]
        stroke = None if item.stroke is None else float(item.stroke)
        layers = None if item.layers is None else sorted((n, float(w)) for n, w in item.layers.items())
        return [self.of(item.picture), float(item.weight), mask, stroke, layers]


def file_of(photo: Photo, look: Look, suffix: str) -> str:
    """Return where the result of a photo with a look goes, below the folder of the batch.

    Characters that cannot be printed become escapes, and long names are cut.
    """
    parent, _, name = photo.below.rpartition("/")
    stem = _cut(printable(Path(name).stem).lstrip("-") or "picture")
    folders = "/".join(map(printable, parent.split("/"))) + "/" if parent else ""
    return f"{folders}{stem}-{_cut(look.name)}{suffix}"


def _cut(text: str) -> str:
    return text.encode()[:LONGEST].decode(errors="ignore")


def folded(name: str) -> bytes:
    """Return what two names have in common that some file system takes for the same."""
    same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return hashlib.blake2b(same.encode(errors="surrogateescape"), digest_size=8).digest()


def plan_jobs(spec: BatchSpec, *, empty: bool = False) -> Plan:
    """Find the photos and check all names before any work; `empty` allows that there are none yet.

    Raises:
        InputError: There are no photos; a folder or a list cannot be read; two results would have the same
            name, or a result that of an input.
        OutputError: The folder of the results is a file.
    """
    folder = spec.folder
    if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112
        raise OutputError(f"{printable(folder)} is a file; the results go into a folder: give another name")
    if spec.pairs is not None:
        plan = _plan_pairs(spec)
    else:
        photos = list(sources.find(spec.photos, recursive=spec.recursive, without=folder))
        plan = Plan(spec, photos, [(look.expanded(), None) for look in spec.looks])
    if not plan.photos and not empty:
        raise InputError(f"no photos in {printable(', '.join(spec.photos))}; give files or folders with some")
    _check_names(plan)
    for look in plan.looks:  # all paintings are there
        plan.hashes.styles(look)
    return plan


def _plan_pairs(spec: BatchSpec) -> Plan:
    """Return the jobs of a list: each of its photos with its own paintings, and with all settings."""
    assert spec.pairs is not None
    photos: list[Photo] = []
    rows: dict[tuple[str, ...], list[int]] = {}  # paintings -> numbers of their photos
    for photo, paintings in sources.pairs(spec.pairs):
        rows.setdefault(paintings, []).append(len(photos))
        photos.append(photo)
    looks = [
        (
            Look(
                "-".join([style_name(paintings), *([look.name] if look.name else [])]),
                tuple(map(Painting, paintings)),
                look.settings,
            ).expanded(),
            numbers,
        )
        for paintings, numbers in rows.items()
        for look in spec.looks
    ]
    return Plan(spec, photos, looks)


def style_name(paintings: Sequence[str]) -> str:
    """Return what paintings are called in the names of results."""
    return "-".join(printable(Path(name.rstrip("/") or name).stem) for name in paintings)


def _check_names(plan: Plan) -> None:
    """Refuse results of the same name, by case or Unicode form as well, and results that are inputs."""
    folder = _absolute(os.fspath(plan.spec.folder))
    inputs = {folded(_absolute(photo.path)) for photo in plan.photos}
    inputs |= {folded(_absolute(item.picture)) for look in plan.looks for item in look.paintings}
    seen: set[bytes] = {folded(name) for name in MADE}
    for job in plan.all():
        name = folded(job.file)
        if name in seen:
            _refuse(plan, job, name)
        seen.add(name)
        place = f"{folder}/{job.file}"
        if folded(place) in inputs:
            raise InputError(
                f"{printable(place)} would be a result and is an input; give another folder with -o"
            )


def _refuse(plan: Plan, second: Job, name: bytes) -> None:
    first = next((job for job in plan.all() if folded(job.file) == name), None)
    if first is None or first is second:
        raise InputError(
            f"{printable(second.file)} is the name of a file of the batch itself; rename the photo"
        )
    raise InputError(
        f"{printable(first.photo.path)} and {printable(second.photo.path)} would both become "
        f"{printable(second.file)} (names that differ by case or Unicode form only count as equal); rename "
        "one, or give the folder above them with --recursive"
    )

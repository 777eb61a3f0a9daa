"""The manifest of a batch: one line of JSON an event, only ever added to; and shards. No torch here.

A shard, `3/8`, is the part of the jobs that one of several machines has, by a hash of the results' places.
No photo is read for that, and a job keeps its shard when photos are added. Each shard has a manifest.

A manifest reports; whether a picture is done, its file says. Its first line, `batch`, keeps the machine's
choices for later runs. Events: `batch`, `planned`, `started`, `done`, `failed`, `skipped` and `ended`.
"""

import hashlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from impasto.errors import InputError, OutputError
from impasto.messages import printable, reason
from impasto.system.files import append_line, publish

NAME = "batch.jsonl"
Event = dict[str, Any]
COUNT = "IMPASTO_SHARDS"  # the variable with the number of shards, where a scheduler tells only the index
MOST = 1_000_000
_KNOWN = "SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX"


@dataclass(frozen=True)
class Shard:
    """One of `count` shards; `index` counts from 1."""

    index: int
    count: int

    def has(self, file: str) -> bool:
        """Whether the job with this result, named by its place below the folder, is in this shard."""
        digest = hashlib.sha256(file.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index - 1

    @property
    def manifest(self) -> str:
        """The name of its manifest."""
        return f"batch.{self.index}-of-{self.count}.jsonl"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Self:
        """Read `3/8`, or `auto`: what Slurm, Kubernetes or AWS Batch says in the environment.

        Raises:
            InputError: It is neither, or out of range, or the environment does not tell.
        """
        if text.strip().lower() == "auto":
            return cls._of_scheduler(os.environ if environment is None else environment)
        index, _, count = text.partition("/")
        return cls._checked(index, count, f"--shard: give it as 3/8, or auto, not {printable(text)}")

    @classmethod
    def _checked(cls, index: str, count: str, message: str) -> Self:
        if not (index.strip().isdecimal() and count.strip().isdecimal()):
            raise InputError(message)
        shard = cls(int(index), int(count))
        if not 1 <= shard.index <= shard.count <= MOST:
            parts = min(max(1, shard.count), MOST)
            raise InputError(
                f"--shard: {shard.index}/{shard.count} is out of range; give 1/{parts} to {parts}/{parts}"
            )
        return shard

    @classmethod
    def _of_scheduler(cls, found: Mapping[str, str]) -> Self:
        """Return what a scheduler says. Slurm may begin at any index and take steps, others begin at 0."""
        try:
            if "SLURM_ARRAY_TASK_ID" in found:
                first = int(found.get("SLURM_ARRAY_TASK_MIN", "0"))
                step = int(found.get("SLURM_ARRAY_TASK_STEP", "1"))
                index = (int(found["SLURM_ARRAY_TASK_ID"]) - first) // step
                count = found.get("SLURM_ARRAY_TASK_COUNT", found.get(COUNT, ""))
            elif "JOB_COMPLETION_INDEX" in found:
                index, count = int(found["JOB_COMPLETION_INDEX"]), found.get(COUNT, "")
            elif "AWS_BATCH_JOB_ARRAY_INDEX" in found:
                index = int(found["AWS_BATCH_JOB_ARRAY_INDEX"])
                count = found.get("AWS_BATCH_JOB_ARRAY_SIZE", found.get(COUNT, ""))
            else:
                raise InputError(f"--shard auto: the environment has none of {_KNOWN}; give it as 3/8")
        except (ValueError, ZeroDivisionError) as error:
            raise InputError(f"--shard auto: a variable of the scheduler is no number ({error})") from error
        missing = f"--shard auto: the number of shards is not known; set {COUNT} to it"
        return cls._checked(str(index + 1), count, missing)


class Manifest:
    """The manifest that one process writes, in the folder of the results.

    Args:
        folder: Of the results; it is made when the first line is written.
        shard: Whose it is, where a batch is divided.
        watch: Called with every line that is written.
    """

    def __init__(
        self, folder: Path, shard: Shard | None = None, watch: Callable[[Event], None] | None = None
    ) -> None:
        self.folder, self.shard = folder, shard
        self.path = folder / (NAME if shard is None else shard.manifest)
        self._watch = watch
        self._host = socket.gethostname()

    def write(self, event: str, facts: Mapping[str, Any]) -> Event:
        """Add an event and return it.

        Raises:
            OutputError: It cannot be written.
        """
        line = self._line(event, facts)
        append_line(self.path, _encoded(line))
        self._tell(line)
        return line

    def begin(self, facts: Mapping[str, Any], *, anew: bool = False) -> Event:
        """Write the machine's choices; return those that hold.

        They become the first line of the folder's manifest; of several shards that begin at once, the first
        one decides. With `anew` they replace those before, for this process and later ones of its shard.

        Raises:
            OutputError: It cannot be written.
        """
        line, main = self._line("batch", facts), self.folder / NAME
        if not anew and not main.exists():
            try:
                publish(main, _encoded(line) + b"\n")
            except OutputError:
                if not main.exists():
                    raise
        holding = None if anew else self.choices()
        if holding is None or self.path != main:
            holding = self._line("batch", holding or facts)
            append_line(self.path, _encoded(holding))
        self._tell(holding)
        return holding

    def choices(self) -> Event | None:
        """Return the machine's choices that hold: the last of this manifest, else those of the folder."""
        for path in dict.fromkeys([self.path, self.folder / NAME]):
            lines = [line for line in read(path) if line["event"] == "batch"]
            if lines:
                return lines[-1]
        return None

    def _line(self, event: str, facts: Mapping[str, Any]) -> Event:
        line: Event = {"event": event, "time": round(time.time(), 3), **facts, "host": self._host}
        if self.shard is not None:
            line["shard"] = f"{self.shard.index}/{self.shard.count}"
        return line

    def _tell(self, line: Event) -> None:
        if self._watch is not None:
            self._watch(line)


def read(path: Path) -> Iterator[Event]:
    """Yield the events of a manifest; lines that are torn or no events are left out.

    Raises:
        InputError: It is there, and cannot be read.
    """
    try:
        with path.open("rb") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and isinstance(line.get("event"), str):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {reason(error)}") from error


def of_folder(folder: Path) -> list[Path]:
    """Return all manifests of a folder: its own, and those of shards."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        raise InputError(f"cannot read the folder {printable(folder)}: {reason(error)}") from error
    return [folder / name for name in names if name.startswith("batch.") and name.endswith(".jsonl")]


def _encoded(line: Event) -> bytes:
    return json.dumps(_plain(line), separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """Return a value in types of JSON, which has no infinite numbers."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

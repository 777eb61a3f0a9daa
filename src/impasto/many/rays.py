"""A pool on a Ray cluster: an actor a device, bytes in and bytes out; only the driver has the files.

Ray restarts actors that die and repeats their tasks; what it gives up, the driver treats as a killed process.
impasto must be installed on every node, in the same version. No torch in the driver.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto._version import __version__
from impasto.errors import ImpastoError, InputError, OutputError, ResourceError
from impasto.many.jobs import BatchSpec
from impasto.many.photos import read_stable
from impasto.many.pool import Task, error_of
from impasto.messages import printable
from impasto.system.lines import Message

REACH = 10.0  # seconds for a cluster to answer
AHEAD = 2  # tasks of an actor: one that it paints, one that waits; the photos of all are in the object store
RESTARTS, RETRIES = 2, 1  # of an actor, and of a task when its actor dies
PORTS = {"ray": 10001, "": 6379}  # by the scheme of an address


class Actor:
    """Paints tasks on a node of the cluster; `choices` is None while they are still to be decided."""

    def __init__(self, spec: Message, choices: Sequence[Message] | None) -> None:
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it to the actor's processors
        self._asked, self._choices = BatchSpec.from_json(spec, Path()), choices
        self._painter: Any = None

    def _ready(self, files: Sequence[Any]) -> Any:
        """Return what paints; `files` has the reference to the bytes of the paintings."""
        from impasto.many.painter import Painter
        from impasto.many.worker import begun

        if self._painter is None:
            looks, limits, output = self._asked.looks, self._asked.limits, self._asked.output
            painter = Painter(looks, limits, output, self._asked.suffix, fetched(files))
            if self._choices is not None:
                begun(painter, {"choices": self._choices, "agreed": True})
            self._painter = painter
        return self._painter

    def begin(self, request: Message, files: Sequence[Any]) -> Message:
        """Return what the machine computes with, and what it is; see `Painter.resolve`."""
        from impasto.many.worker import begun, failure

        try:
            return {**begun(self._ready(files), request), "impasto": __version__}
        except ImpastoError as error:
            return failure(error)

    def paint(
        self, look: int, key: str, part: int, photo: tuple[str, bytes], files: Sequence[Any]
    ) -> tuple[Message, bytes]:
        """Return the answer about a photo, its name and bytes, and the file of the result."""
        from impasto.image.picture import Picture
        from impasto.many.painter import Changed
        from impasto.many.worker import facts_of, failure

        began = time.monotonic()
        try:
            picture = Picture.open(photo[1], name=photo[0], limits=self._asked.limits)
            result, encoded = self._ready(files).paint(look, picture, key, lambda step: None, part=part)
        except Changed:
            return {"event": "changed"}, b""
        except Exception as error:
            return failure(error), b""
        facts = {**facts_of(result), "seconds": round(time.monotonic() - began, 3)}
        return {"event": "done", **facts}, encoded


def fetched(files: Sequence[Any]) -> Mapping[str, bytes]:
    """Return the bytes of the paintings by their path; `files` has the reference to them."""
    import ray

    found: Mapping[str, bytes] = ray.get(files[0])
    return found


def connect(address: str) -> tuple[Any, bool]:
    """Return the module `ray`, connected, and whether it was not before; `local` starts a cluster here.

    Raises:
        InputError: Ray is not installed.
        ResourceError: Nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray: Ray is not installed; pip install 'impasto[ray]'") from error
    if address not in ("local", "auto"):
        _reach(address)
    if address != "local" and _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # `ray start` asks for it, unless it was switched off
    if ray.is_initialized():  # by the caller
        return ray, False
    own: Any = {}
    if address == "local":
        own = {"include_dashboard": False}
        os.environ.setdefault("RAY_worker_niceness", "0")  # as of our own processes; Ray takes 15
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())[:200]
        name = printable(address)
        raise ResourceError(f"--ray {name}: no cluster answers ({text}); check ray status") from error
    return ray, True


def _has_token() -> bool:
    """Whether a token for clusters is here, where Ray looks for it."""
    named = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    return bool(named) or Path("~/.ray/auth_token").expanduser().is_file()


def _reach(address: str) -> None:
    """Refuse an address at which nothing listens, soon."""
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.partition(":")
    try:
        with socket.create_connection((host, int(port or PORTS.get(scheme, 6379))), REACH):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise ResourceError(
            f"--ray {printable(address)}: nothing answers there ({error}); start it with ray start --head"
        ) from error


class Cluster:
    """A pool of actors on a Ray cluster.

    Args:
        address: Of the cluster: `host:port`, `ray://host:port`, `auto` (the one of this machine) or `local`
            (a new one on this machine, for as long as the batch).
        actor: The class that paints.
    """

    def __init__(self, address: str, actor: type = Actor) -> None:
        self._address, self._actor = address, actor
        self._actors: dict[int, Any] = {}
        self._at_work: dict[Any, tuple[int, Task]] = {}  # references of results -> actor, task
        self._greetings: dict[Any, int] = {}  # of actors that were started
        self._choices: list[Mapping[str, Any]] = []
        self._files: Any = None
        self._machine: Message = {}
        self._stopped, self._next, self._ours = False, 0, False
        self.size = 0

    def begin(self, request: Message) -> Message:
        """Connect, and let one actor decide what to compute with.

        Raises:
            ImpastoError: It cannot begin.
        """
        self._ray, self._ours = connect(self._address)
        self._request = request
        spec = BatchSpec.from_json(request["spec"], Path())
        self._limits = spec.limits
        names = {item.picture for look in spec.looks for item in look.paintings}
        names |= {item.source_mask for look in spec.looks for item in look.paintings if item.source_mask}
        self._files = self._ray.put({name: read_stable(name, spec.limits) for name in names})
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        wanted = request["runtime"]["device"]
        self._gpu = gpus > 0 and wanted in ("auto", "cuda")
        first = self._start(None, 1)
        answer: Message = self._get(first.begin.remote(request, [self._files]))
        self._ray.kill(first)
        if answer["event"] == "failed":
            raise error_of(answer)
        self._check_version(answer)
        self._machine = answer["machine"]
        self.size = request["workers"] or self._room(answer)
        return {**answer, "workers": self.size}

    def _room(self, answer: Message) -> int:
        """Return how many actors fit into the cluster."""
        found = self._ray.cluster_resources()
        if self._gpu:
            count = int(found.get("GPU", 1))
        else:
            nodes = sum(1 for node in self._ray.nodes() if node["Alive"])
            threads = int(answer["choices"][0]["runtime"]["threads"])
            count = min(int(found.get("CPU", 1)) // threads, nodes * answer["workers"])
        return max(1, min(count, int(self._request["jobs"])))

    def _check_version(self, answer: Message) -> None:
        if answer["impasto"] != __version__:
            raise ResourceError(
                f"--ray: a node has impasto {answer['impasto']}, this is {__version__}; install the same "
                "version on all"
            )

    def _start(self, choices: Sequence[Mapping[str, Any]] | None, threads: int) -> Any:
        needs = {"num_gpus": 1, "num_cpus": 1} if self._gpu else {"num_cpus": threads}
        remote = self._ray.remote(self._actor).options(
            max_restarts=RESTARTS, max_task_retries=RETRIES, **needs
        )
        return remote.remote(self._request["spec"], choices)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            text = " ".join(str(error).split())[:200]
            raise ResourceError(f"--ray: no actor can begin ({text}); see ray status") from error

    def agree(self, choices: Sequence[Mapping[str, Any]]) -> None:
        """Start the actors, with these choices."""
        self._choices = list(choices)
        for _ in range(self.size):
            self._replace(None)

    def _replace(self, dead: int | None) -> None:
        """Start an actor, in place of a dead one."""
        if dead is not None:
            self._actors.pop(dead, None)
        actor = self._start(self._choices, int(self._choices[0]["runtime"]["threads"]))
        self._actors[self._next] = actor
        greeting = {"choices": self._choices, "agreed": True}
        self._greetings[actor.begin.remote(greeting, [self._files])] = self._next
        self._next += 1

    def _free(self) -> int | None:
        """Return the actor with the fewest tasks; None if all have enough."""
        counts = dict.fromkeys(self._actors, 0)
        for number, _ in self._at_work.values():
            counts[number] = counts.get(number, 0) + 1
        least = min(self._actors, key=lambda number: counts[number], default=None)
        return least if least is not None and counts[least] < AHEAD else None

    def has_room(self) -> bool:
        """Whether a task can be sent now."""
        return self._free() is not None

    def send(self, task: Task) -> int:
        """Send a task with the bytes of its photo; return the number of the actor."""
        number = self._free()
        assert number is not None
        data = read_stable(task.photo, self._limits)
        name = os.path.basename(task.photo)  # noqa: PTH119
        reference = self._actors[number].paint.remote(
            task.look, task.key, task.part, (name, data), [self._files]
        )
        self._at_work[reference] = number, task
        return number

    def wait(self, seconds: float) -> list[Message]:
        """Return what happened, at the latest after so many seconds."""
        if self._stopped:
            dropped = [
                {"event": "dropped", "job": task.number, "worker": number}
                for number, task in self._at_work.values()
            ]
            self._at_work = {}
            return dropped
        waiting = [*self._greetings, *self._at_work]
        if not waiting:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        return [answer for reference in ready for answer in self._answers(reference)]

    def _answers(self, reference: Any) -> list[Message]:
        if reference in self._greetings:
            return self._greeted(self._greetings.pop(reference), reference)
        try:
            answer, data = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._died(self._at_work[reference][0], error)
        number, task = self._at_work.pop(reference)
        place = {"job": task.number, "worker": number}
        if answer["event"] == "done":
            answer = self._written(task, data, answer)
        return [{**answer, **place}]

    def _died(self, number: int, error: Exception) -> list[Message]:
        """Return what became of an actor's tasks that Ray gave up: the first was painted, the others not."""
        mine = [reference for reference, (actor, _) in self._at_work.items() if actor == number]
        tasks = [self._at_work.pop(reference)[1] for reference in mine]
        if isinstance(error, self._ray.exceptions.ActorDiedError):
            self._replace(number)
        memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        answers = [{"event": "again", "job": task.number, "worker": number} for task in tasks]
        answers[0] |= {"event": "killed", "how": type(error).__name__, "memory": memory}
        return answers

    def _written(self, task: Task, data: bytes, answer: Message) -> Message:
        from impasto.many.worker import failure, written

        facts = {name: value for name, value in answer.items() if name != "event"}
        try:
            return written(task.target, data, facts, overwrite=task.overwrite)
        except OutputError as error:
            return failure(error)

    def _greeted(self, number: int, reference: Any) -> list[Message]:
        """Note what machine an actor is on."""
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return []  # its tasks will tell
        if answer["event"] == "failed":
            raise error_of(answer)
        self._check_version(answer)
        return (
            [{"event": "machine", "machine": answer["machine"]}] if answer["machine"] != self._machine else []
        )

    def stop(self) -> None:
        """Let the tasks at work end: what they have is dropped."""
        self._stopped = True

    def close(self) -> None:
        """End the actors, and the cluster if it is ours."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors = {}
        if self._ours:
            self._ray.shutdown()

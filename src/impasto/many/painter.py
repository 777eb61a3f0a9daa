"""Paints the jobs of a batch one after the other, with network and paintings kept ready.

It also decides, once for a batch, what the machine computes with: `resolve`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import DEFAULT_LONG_EDGE
from impasto.config.styles import Style
from impasto.errors import ResourceError
from impasto.image.picture import Picture
from impasto.inputs.open import Opener, open_styles
from impasto.inputs.pyramid import Scale
from impasto.losses.build import layers_of
from impasto.many.done import ENDED, key_of
from impasto.many.jobs import Look, Painting
from impasto.network.weights import load
from impasto.network.weights.load import identity
from impasto.system import hardware
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer import memory
from impasto.transfer.result import Result, Step
from impasto.transfer.runtime import resolve, with_kernels
from impasto.transfer.stylize import Stylizer

SMALL = 384  # px; long edge below which one thread a worker is best
PICTURES = 200_000_000  # bytes that opened pictures may take, beside what is planned for a run
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What one kind of network computes with: of a convention of losses, and weights by name."""

    convention: str
    weights: str
    sha256: str
    runtime: Runtime

    def to_json(self) -> dict[str, Any]:
        """Return it in types of JSON."""
        return {**vars(self), "runtime": self.runtime.model_dump(mode="json")}


class Changed(Exception):
    """A photo or a painting is not what it was when the job was planned."""


class Painter:
    """Paints jobs; one look is kept ready at a time.

    Args:
        looks: All looks of the batch, expanded.
        limits: For the pictures that are read.
        output: How the results are written.
        suffix: Of the results.
        files: The bytes of paintings by their path, where there is no common disk; else they are read.
    """

    def __init__(
        self,
        looks: Sequence[Look],
        limits: Input,
        output: Output,
        suffix: str,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._looks, self._limits, self._output, self._suffix = looks, limits, output, suffix
        self._files = files
        self._choices: dict[tuple[str, str], Choice] = {}
        self._weights: dict[str, Any] = {}
        self._ready: tuple[Any, Stylizer] | None = None

    # --- the machine's choices ----------------------------------------------------------------------

    @torch_defaults()
    def resolve(self, base: Runtime, workers: int | None, jobs: int) -> tuple[list[Choice], int]:
        """Return what the machine computes with, for each kind of network, and how many workers there are.

        Pictures under `SMALL` px get one thread a worker, and as many workers as processors and memory
        allow; others one worker with all threads; GPUs one worker each.

        Raises:
            ImpastoError: Weights or a painting cannot be read, or the device is not there.
        """
        self.check()
        device = resolve(base, self._looks[0].settings).device
        usable, free = hardware.usable_threads(), base.memory_limit or hardware.free_memory(device)
        largest = max(look.settings.size or DEFAULT_LONG_EDGE for look in self._looks)
        if device != "cpu":
            count = workers or (1 if base.device not in ("auto", "cuda") else len(hardware.devices()) - 1)
        elif workers:
            count = workers
        elif largest < SMALL:
            need = max(self._need(look, base) for look in self._looks)
            count = min(usable // (base.threads or 1), free // need)
        else:
            count = 1
        count = max(1, min(count, jobs))
        threads = base.threads or (1 if device == "cpu" and largest < SMALL else max(1, usable // count))
        choices = []
        for look in {look.network: look for look in self._looks}.values():
            runtime = resolve(base.changed(threads=threads, memory_limit=free // count), look.settings)
            runtime = with_kernels(runtime, self._loaded(look))
            choices.append(Choice(*look.network, identity(self._loaded(look))[1], runtime))
        return choices, count

    def _need(self, look: Look, base: Runtime) -> int:
        """Return the bytes that a worker needs for a square picture of the look's size."""
        runtime, settings = resolve(base, look.settings), look.settings
        edge = settings.size or DEFAULT_LONG_EDGE
        square = [Scale(edge, edge)]
        layers, limit = layers_of(settings, ()), hardware.memory()
        found = memory.plan(square, settings, layers, str(runtime.precision), limit, strict=False)
        return found.memory + PICTURES

    def check(self) -> None:
        """Open all paintings once.

        Raises:
            InputError: One cannot be read.
        """
        for paintings in dict.fromkeys(look.paintings for look in self._looks):
            self._opened(paintings)

    def use(self, choices: Sequence[Choice]) -> None:
        """Compute with these choices.

        Raises:
            ResourceError: A device is not there.
        """
        for choice in choices:
            if choice.runtime.device not in hardware.devices():
                raise ResourceError(
                    f"this batch began on {choice.runtime.device}, which is not here; --re-resolve takes "
                    "what is"
                )
        self._choices = {(choice.convention, choice.weights): choice for choice in choices}
        self._ready = None

    # --- one job ------------------------------------------------------------------------------------

    @torch_defaults()
    def paint(
        self,
        number: int,
        photo: Picture,
        key: str,
        on_step: Callable[[Step], None],
        *,
        part: int = 1,
        device: str | None = None,
    ) -> tuple[Result, bytes]:
        """Paint a photo with a look; return the result and its file.

        Args:
            number: Of the look.
            photo: The photo.
            key: Of the job, which the recipe must have.
            on_step: As for `stylize`.
            part: What the memory that a run may take is divided by.
            device: Another device than the one that was chosen, of the same kind.

        Raises:
            Changed: The recipe has another key.
            ImpastoError: It cannot be painted or encoded.
        """
        look = self._looks[number]
        result = self._stylizer(look, part, device)(photo, look.settings, on_step=on_step)
        if result.stopped in ENDED and key_of(result.recipe) != key:
            raise Changed
        return result, result.encode(self._suffix, self._output)

    def _stylizer(self, look: Look, part: int, device: str | None) -> Stylizer:
        """Return what paints a look, with its paintings and network ready."""
        which = (look.paintings, look.network, part)
        if self._ready is None or self._ready[0] != which:
            self._ready = None  # gives memory back first
            choice = self._choices[look.network]
            limit = choice.runtime.memory_limit
            runtime = choice.runtime.changed(memory_limit=None if limit is None else max(1, limit // part))
            if device is not None:
                runtime = runtime.changed(device=device)
            styles, weights = self._opened(look.paintings), self._loaded(look)
            if identity(weights)[1] != choice.sha256:
                raise ResourceError(
                    f"the weights {look.settings.weights or 'of the network'} are not those that this batch "
                    "began with; --re-resolve takes these"
                )
            self._ready = which, Stylizer(styles, look.settings, runtime=runtime, weights=weights)
        return self._ready[1]

    def _loaded(self, look: Look) -> Any:
        name = look.settings.weights or ""
        if name not in self._weights:
            self._weights[name] = load.load(name or None)
        return self._weights[name]

    def _opened(self, paintings: Sequence[Painting]) -> list[Style]:
        """Return the paintings of a look, opened."""
        opener = Opener(limits=self._limits)
        if self._files is not None:
            opener.files.update({path: (path.rpartition("/")[2], data) for path, data in self._files.items()})
        return open_styles(
            [Style(p.picture, p.weight, None, p.source_mask, p.stroke, p.layers) for p in paintings], opener
        )

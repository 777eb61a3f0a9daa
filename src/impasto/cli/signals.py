"""Ctrl-C and SIGTERM: the first ends a run cleanly, the second at once."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupted(BaseException):
    """End at once: a signal came before the first evaluation, or a second one."""


class Signals:
    """Handles SIGINT and SIGTERM: the first ends a run after the evaluation at hand, the second at once.

    Attributes:
        running: Whether a run can be ended cleanly; before that, the first signal ends at once.
        code: The exit code of the signal that has come; None before.
    """

    def __init__(self) -> None:
        self.running = False
        self.code: int | None = None

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        again = self.code is not None
        self.code = 128 + number
        if again or not self.running:
            raise Interrupted

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch inside the block, as far as this thread may."""
        self.running, self.code = False, None
        before = {}
        with contextlib.suppress(ValueError):  # not the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._arrived)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

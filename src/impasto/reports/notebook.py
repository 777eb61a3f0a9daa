"""`LivePreview`: a small picture of a run that stays fresh in a notebook while it works."""

import base64
import html
import time
from typing import Any

from impasto.messages import duration
from impasto.transfer.result import Step


class LivePreview:
    """An `on_step` for notebooks: shows the picture so far, the percentage and the time left.

        impasto.stylize("photo.jpg", "painting.jpg", on_step=impasto.LivePreview())

    Args:
        edge: Long edge of the preview, in px.
        every: Seconds between two pictures, at least.

    Raises:
        ImportError: IPython is not there, so this is no notebook.
    """

    def __init__(self, edge: int = 384, every: float = 1.0) -> None:
        from IPython.display import display

        self._edge, self._every = edge, every
        self._due = float("-inf")
        self._handle: Any = display(_Shown(b"", ""), display_id=True)

    def __call__(self, step: Step) -> None:
        """Show a step if it is time, and the last one of each scale."""
        last = step.left is None and step.iteration >= step.limit
        if time.monotonic() < self._due and not last:
            return
        left = "" if step.remaining is None else f", {duration(step.remaining)} left"
        words = f"scale {step.scale} of {step.scales}, {step.width} x {step.height} px{left}"
        self._handle.update(_Shown(step.preview(self._edge)._repr_png_(), words))
        self._due = time.monotonic() + self._every


class _Shown:
    """A picture with a line below it."""

    def __init__(self, png: bytes, words: str) -> None:
        self._png, self._words = base64.b64encode(png).decode(), words

    def _repr_html_(self) -> str:
        image = f'<img src="data:image/png;base64,{self._png}" alt="preview">' if self._png else ""
        return f"<figure>{image}<figcaption>{html.escape(self._words)}</figcaption></figure>"

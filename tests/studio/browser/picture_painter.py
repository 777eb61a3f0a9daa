"""A painting process without torch whose pictures look like something: photo and paintings, mixed.

It is the stub of the server's tests with other pictures. They have the size of the job, in two scales;
strength and masks can be seen in them. A seed of 11 fails: there is not enough memory. A stroke of 9 takes
long.
"""

import functools
import sys
import time
from pathlib import Path

import numpy as np
import pyvips

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import stub_painter

from impasto.image.metadata import FileInfo
from impasto.image.pixels import Pixels
from impasto.studio.workers import plain
from impasto.system.files import publish

EVALUATIONS = {"instant": 4, "draft": 4, "good": 8, "best": 20}  # at each scale
HUNGRY, SLOW = 11, 9
LONGER = 20  # times as long as others
LOOK = 160  # px; of the small pictures of the looks


@functools.cache
def opened(path: str, width: int, height: int) -> np.ndarray:
    """Return a picture of this size, (height, width, 3), in [0, 1]."""
    image = plain.read(Path(path)).pixels.image()
    top = 65535 if image.format == "ushort" else 255
    image = image.resize(width / image.width, vscale=height / image.height).cast("float")
    values = np.asarray(image.numpy()).reshape(height, width, -1)[..., :3]
    return values.repeat(3 // min(3, image.bands), 2).astype(np.float32) / top


@functools.cache
def size_of(path: str) -> tuple[int, int]:
    """Return (width, height) of a picture."""
    whole = plain.read(Path(path)).pixels
    return whole.width, whole.height


def mixed(request: dict, edge: int, share: float) -> np.ndarray:
    """Return the photo with a share of the paintings, (height, width, 3), 8 bits."""
    whole = size_of(request["photo"])
    size = max(1, round(whole[0] * edge / max(whole))), max(1, round(whole[1] * edge / max(whole)))
    photo, found = opened(request["photo"], *size), np.zeros((size[1], size[0], 1), np.float32)
    painted = np.zeros((size[1], size[0], 3), np.float32)
    for style in request["styles"]:
        mask = opened(style["mask"], *size)[..., :1] if style["mask"] else np.ones_like(found)
        painted += style["weight"] * mask * opened(style["picture"], *size)
        found += style["weight"] * mask
    amount = np.minimum(0.8, 0.3 * request["settings"]["strength"] * share) * (found > 0)
    if request["protect"]:
        amount = amount * (1 - opened(request["protect"], *size)[..., :1])
    result = photo * (1 - amount) + amount * painted / np.maximum(found, 1e-6)
    return np.round(255 * result.clip(0, 1)).astype(np.uint8)


class Painter(stub_painter.Stub):
    """Paints in two scales."""

    def run(self, request: dict, place: dict) -> dict:
        settings, version, began = request["settings"], request["version"], time.monotonic()
        if settings["seed"] == HUNGRY:
            detail = "not enough memory; give a smaller size, such as --size 96"
            return {"event": "failed", "error": "ResourceError", "detail": detail}
        edge = settings["size"] or min(512, max(size_of(request["photo"])))
        each = settings["evaluations"] or (1 if edge <= LOOK else EVALUATIONS[settings["quality"]])
        first = each + 1 if edge <= LOOK else 1  # a look is painted in its last scale only
        for done in range(first, 2 * each + 1):
            wish = request["wish_now"]
            if wish in ("pause", "leave", "cancel"):
                return {"event": "ended", "how": wish}
            if wish == "stop" and done > first:
                break
            time.sleep(stub_painter.SECONDS * (LONGER if settings["stroke"] == SLOW else 1))
            scale = 1 + (done > each)
            picture = mixed(request, max(1, edge // 2) if scale == 1 else edge, done / (2 * each))
            version += 1
            data = pyvips.Image.new_from_array(picture).write_to_buffer(".jpg")
            publish(request["preview"], bytes(data), overwrite=True)
            passed = time.monotonic() - began
            facts = {"scale": scale, "scales": 2, "evaluation": done, "evaluations": 2 * each}
            facts |= {"width": picture.shape[1], "height": picture.shape[0], "loss": 1e4 / done}
            facts |= {"content_loss": 1.0, "style_loss": 1e4 / done, "seconds": passed}
            facts |= {"remaining_seconds": passed / done * (2 * each - done)}
            self.send({"event": "step", "progress": facts, **place})
            self.send({"event": "preview", "version": version, **place})
            while (other := self.before(request["rank"])) is not None:
                self.paint(other)
        picture = mixed(request, edge, 1)
        found = Pixels.of_array(picture, "srgb")
        plain.write(Path(request["result"]), plain.Plain("<result>", found, FileInfo()))
        shape = {"width": picture.shape[1], "height": picture.shape[0]}
        passed = round(time.monotonic() - began, 2)
        result = {**shape, "seconds": passed, "losses": {"total": 1.0}, "note": None}
        how = "stop" if request["wish_now"] == "stop" else "done"
        return {"event": "ended", "how": how, "result": result, "version": version + 1}


stub_painter.Stub = Painter

if __name__ == "__main__":
    stub_painter.main()

"""What impasto can tell of itself: its layers, and what `impasto doctor` finds. It only looks.

torch is imported only where the machine is examined.
"""

import hashlib
from importlib import metadata
from typing import Any

from impasto._version import __version__
from impasto.errors import ExitCode, WeightsError
from impasto.layers import CHANNELS, LAYERS, block_of, stride
from impasto.limits import FORMATS
from impasto.settings import DEFAULT_LONG_EDGE, LARGEST_EDGE

PACKAGES = ("torch", "numpy", "scipy", "pyvips", "safetensors", "pydantic", "cyclopts", "rich")

EXIT_CODES = {
    ExitCode.DONE: "done",
    ExitCode.BUG: "a bug of ours",
    ExitCode.USAGE: "wrong usage or bad input",
    ExitCode.RESOURCE: "memory, disk or output",
    ExitCode.WEIGHTS: "the weights of the network",
    ExitCode.NUMERICAL: "numerical trouble; the best picture so far is saved",
    ExitCode.INTERRUPTED: "Ctrl-C; the best picture so far, if there is one, is saved",
    ExitCode.TERMINATED: "SIGTERM; the best picture so far, if there is one, is saved",
}


def layer_rows() -> list[dict[str, Any]]:
    """Return what `impasto layers` lists."""
    what = {"conv": "convolution, before the ReLU", "relu": "after the ReLU", "pool": "pooled"}
    return [
        {
            "name": name,
            "channels": CHANNELS[block_of(name) - 1],
            "stride": stride(name),
            "what": f"block {block_of(name)}: {what[name[:4]]}",
        }
        for name in LAYERS
    ]


def examine() -> dict[str, Any]:
    """Return all facts, grouped by topic, in types that JSON knows."""
    from impasto import formats, keeper, limits, machine, publish

    found = machine.devices()
    return {
        "versions": {"impasto": __version__, **{name: _version(name) for name in PACKAGES}},
        "machine": {
            **machine.describe(),
            "threads": machine.usable_threads(),
            "devices": found,
            "bf16 is fast": {name: machine.fast_at_bf16(name) for name in found},
        },
        "weights": _weights(),
        "pictures": {
            "read": formats.READABLE,
            "write": list(publish.WRITABLE),
            "default size (px)": DEFAULT_LONG_EDGE,
            "largest size (px)": LARGEST_EDGE,
        },
        "checkpoints": {
            "folder": str(keeper.folder()),
            "unfinished runs": len(keeper.unfinished()),
            "kept in the folder": f"{keeper.KEPT} runs, {keeper.MOST // 10**6} MB",
        },
        "limits": _limits(limits.Input),
        "exit codes": {str(int(code)): meaning for code, meaning in EXIT_CODES.items()},
    }


def usable(facts: dict[str, Any]) -> bool:
    """Whether the network's weights can be had here."""
    found = facts["weights"]
    return "genuine" in (found["cached"], found["packaged"])


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts as aligned lines."""
    shown: list[str] = []
    for topic, values in facts.items():
        shown += ["" if not shown else "\n", f"{topic}\n"]
        width = max(len(name) for name in values)
        shown += [f"  {name:{width}}  {_plain(value)}\n" for name, value in values.items()]
    return shown


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return {"True": "yes", "False": "no"}.get(str(value), str(value))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _limits(model: Any) -> dict[str, Any]:
    """Say what is refused before it is unpacked, and what changes it."""
    found = model.from_environment()
    changed = f"flags such as --max-pixels, variables such as {model.variable('max_pixels')}"
    return {
        **found.model_dump(exclude={"formats"}),
        "formats": found.formats or ",".join(FORMATS),
        "frames read": 1,
        "known by": "content, not name; no other reader of libvips or Pillow is ever reached",
        "changed by": f"{changed}, or [input] in a settings file",
    }


def _weights() -> dict[str, str]:
    """Say where the weights are and whether they are genuine; nothing is decoded or written."""
    from impasto import places, store, weights

    cached = places.cache_folder() / weights.CACHE_FILE
    state = {"name": weights.NAME, "cache": str(cached), "cached": "no (made at the first run)"}
    try:
        with cached.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        genuine = digest == weights.DECODED_SHA256
        state["cached"] = "genuine" if genuine else "damaged (made again at the next run)"
    except FileNotFoundError:
        pass
    except OSError as error:
        state["cached"] = f"cannot be read ({error.strerror})"
    try:
        data = weights.packed_path().read_bytes()
        genuine = hashlib.sha256(data).hexdigest() == weights.PACKED_SHA256
        state["packaged"] = "genuine" if genuine else f"damaged; reinstall {weights.PACKAGE} 1.6.0"
    except (WeightsError, OSError) as error:
        state["packaged"] = str(error)
    state["imported"] = ", ".join(store.installed()) or "none"
    return state

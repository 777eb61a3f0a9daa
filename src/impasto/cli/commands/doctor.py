"""`impasto layers` and `impasto doctor`: lists the layers, and tells what this machine has.

torch is imported only where the machine is examined. Nothing is written but new times of convolutions.
"""

import sqlite3
from dataclasses import asdict
from importlib import metadata
from itertools import pairwise
from typing import Annotated, Any

from cyclopts import Parameter

from impasto._version import __version__
from impasto.cli.checks import whole
from impasto.cli.console import dumps, out
from impasto.cli.flags import Switch, typed_name
from impasto.config.limits import FORMATS, Input
from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import DEFAULT_LONG_EDGE
from impasto.errors import ExitCode, WeightsError
from impasto.network.layers import CHANNELS, LAYERS, block_of, dense, parts, stride
from impasto.system.files import file_sha256

PACKAGES = "torch numpy scipy pyvips safetensors pydantic cyclopts rich fastapi uvicorn".split()

EXIT_CODES = {
    ExitCode.DONE: "done",
    ExitCode.BUG: "a bug of ours",
    ExitCode.USAGE: "wrong usage or bad input",
    ExitCode.RESOURCE: "memory, disk or output",
    ExitCode.WEIGHTS: "the weights of the network",
    ExitCode.NUMERICAL: "numerical trouble; the best picture so far is saved",
    ExitCode.SOME: "some pictures of several failed",
    ExitCode.HUNG_UP: "SIGHUP, the terminal was closed; the best picture so far, if there is one, is saved",
    ExitCode.INTERRUPTED: "Ctrl-C; the best picture so far, if there is one, is saved",
    ExitCode.TERMINATED: "SIGTERM; the best picture so far, if there is one, is saved",
}


def examine(*, measure: bool = False) -> dict[str, Any]:
    """Return all facts, grouped by topic, in types that JSON knows; `measure` times the convolutions anew."""
    from impasto.image import formats
    from impasto.studio.workers import process
    from impasto.system import app_dirs, files, hardware
    from impasto.transfer.callbacks import checkpoint_folder

    devices, limits = hardware.devices(), Input.from_environment()
    changed = "flags such as --max-pixels, variables such as IMPASTO_MAX_PIXELS"
    return {
        "versions": {"impasto": __version__, **{name: _version(name) for name in PACKAGES}},
        "machine": {
            **hardware.describe(),
            "threads": hardware.usable_threads(),
            "devices": devices,
            "bf16 is fast": {name: hardware.fast_at_bf16(name) for name in devices},
        },
        "convolutions": _convolutions(measure=measure),
        "weights": _weights(),
        "pictures": {
            "read": formats.READABLE,
            "write": list(files.WRITABLE),
            "default size (px)": DEFAULT_LONG_EDGE,
            "largest size (px)": LARGEST_EDGE,
        },
        "checkpoints": {
            "folder": str(checkpoint_folder.folder()),
            "unfinished runs": len(checkpoint_folder.unfinished()),
            "kept in the folder": f"{checkpoint_folder.KEPT} runs, {checkpoint_folder.MOST // 10**6} MB",
        },
        "limits": {
            **limits.model_dump(exclude={"formats"}),
            "formats": limits.formats or ",".join(FORMATS),
            "frames read": 1,
            "known by": "content, not name; no other reader of libvips or Pillow is ever reached",
            "changed by": f"{changed}, or [input] in a settings file",
        },
        "studio": {
            "folder": str(app_dirs.data_folder() / "studio"),
            "sqlite": sqlite3.sqlite_version,
            **{f"reading uploads: {topic}": held for topic, held in process.limits_that_hold().items()},
        },
        "exit codes": {str(int(code)): meaning for code, meaning in EXIT_CODES.items()},
    }


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


def _convolutions(*, measure: bool) -> dict[str, str]:
    """Say how fast the ways to compute each convolution are, and which is taken."""
    from impasto.network import kernel_times, kernels
    from impasto.system import hardware

    precision, threads = "bf16" if hardware.fast_at_bf16("cpu") else "fp32", hardware.usable_threads()
    shapes = list(
        pairwise([3, *(CHANNELS[block_of(name) - 1] for name in LAYERS if name.startswith("conv"))])
    )
    if measure:
        found = kernel_times.times_of(shapes, precision, threads, anew=True)
    else:
        found = kernel_times.remembered(precision, threads)
    rows = {}
    for shape in dict.fromkeys(shapes):
        if times := found.get(shape):
            size, rates = kernel_times.rates(shape, times)
            speed = ", ".join(f"{way} {rate:.0f}" for way, rate in rates.items())
            chosen = kernels.text({shape: kernel_times.steps(shape, times, precision)}).partition("=")[2]
            rows[f"{shape[0]} to {shape[1]} channels"] = f"{chosen} ({speed} GFLOP/s at {size} positions)"
    busy = "the machine was busy; measure again later" if measure else "none; impasto doctor --measure"
    return {"measured with": f"{precision}, {threads} threads", **(rows or {"measured": busy})}


def _weights() -> dict[str, str]:
    """Say where the weights are and whether they are genuine; nothing is decoded or written."""
    from impasto.network.weights import load, store

    cached = store.packaged_file()
    state = {"name": load.NAME, "cache": str(cached)}
    try:
        genuine = file_sha256(cached) == load.DECODED_SHA256
        state["cached"] = "genuine" if genuine else "damaged (made again at the next run)"
    except FileNotFoundError:
        state["cached"] = "no (made at the first run)"
    except OSError as error:
        state["cached"] = f"cannot be read ({error.strerror})"
    try:
        genuine = file_sha256(load.packed_path()) == load.PACKED_SHA256
        state["packaged"] = "genuine" if genuine else f"damaged; reinstall {load.PACKAGE} 1.6.0"
    except (WeightsError, OSError) as error:
        state["packaged"] = str(error)
    state["imported"] = ", ".join(store.installed()) or "none"
    return state


def layers(
    *,
    costs: Annotated[int | None, Parameter(show_default=False, converter=typed_name)] = None,
    json: Switch = False,
) -> int:
    """List the layers of the network.

    Args:
        costs: Count parameters, operations and memory at a square picture of so many px instead.
        json: Print JSON.
    """
    if costs is not None:
        return _costs(str(costs), json=json)
    what = {"conv": "convolution, before the ReLU", "relu": "after the ReLU", "pool": "pooled"}
    rows = [
        {
            "name": name,
            "channels": CHANNELS[block_of(name) - 1],
            "stride": stride(name),
            "what": f"block {block_of(name)}: {what[name[:4]]}",
        }
        for name in LAYERS
    ]
    if json:
        out(dumps(rows))
        return ExitCode.DONE
    out(f"{'layer':8}  channels  stride (px)  what it is")
    for row in rows:
        out(f"{row['name']:8}  {row['channels']:8}  {row['stride']:11}  {row['what']}")
    out("What Gatys, Ecker and Bethge call conv4_2 is relu4_2, after the ReLU; so with all their layers.")
    return ExitCode.DONE


def _costs(edge: str, *, json: bool) -> int:
    """Print what each layer costs at a square picture."""
    size = whole("--costs", edge, 1, LARGEST_EDGE, unit=" of px")
    network = [*parts(size, size), *dense()]
    if json:
        out(dumps([asdict(part) for part in network]))
        return ExitCode.DONE
    heads = f"{'parameters':>11}  {'multiply-adds':>15}  {'memory (MB)':>11}"
    out(f"{'layer':8}  {'output':>16}  {heads}")
    for part in network:
        shape = f"{part.channels} x {part.height} x {part.width}"
        numbers = f"{part.parameters:11,}  {part.operations:15,}  {part.activation / 1e6:11.2f}"
        out(f"{part.name:8}  {shape:>16}  {numbers}")
    total = f"{sum(part.parameters for part in network):,} parameters in all"
    out(f"{total}; the fc layers, which style transfer leaves out, are for 224 px")
    return ExitCode.DONE


def doctor(*, measure: Switch = False, json: Switch = False) -> int:
    """Tell what this machine has: versions, devices, weights, limits.

    Args:
        measure: Time the convolutions again; later runs take the fastest way.
        json: Print JSON.
    """
    facts = examine(measure=measure)
    if json:
        out(dumps(facts))
    else:
        for number, (topic, values) in enumerate(facts.items()):
            out(f"\n{topic}" if number else topic)
            width = max(map(len, values))
            for name, value in values.items():
                out(f"  {name:{width}}  {_plain(value)}")
    weights = facts["weights"]
    usable = "genuine" in (weights["cached"], weights["packaged"])
    return ExitCode.DONE if usable else ExitCode.WEIGHTS

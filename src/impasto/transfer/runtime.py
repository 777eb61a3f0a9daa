"""Every `auto` of a `Runtime` is decided for this machine: `resolve`, and `with_kernels` for a network."""

from collections.abc import Mapping

from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.network import kernel_times
from impasto.system import hardware


def resolve(runtime: Runtime, settings: Settings) -> Runtime:
    """Return the runtime with every `auto` decided.

    Only the convention `mean` goes to bf16 by itself. `paper` and other programs' are there to be compared
    with what computes in fp32, so they are computed in fp32 unless bf16 is asked for.

    Raises:
        SettingsError: The device does not exist here.
    """
    present = hardware.devices()
    device = present[0] if runtime.device == "auto" else runtime.device
    if device == "cuda":
        device = "cuda:0"
    if device not in present:
        here, advice = ", ".join(present), hardware.missing_device(device)
        raise SettingsError(f"device: there is no '{device}' here; this machine has {here}; {advice}")
    precision = runtime.precision
    if precision == "auto":
        fast = settings.convention == "mean" and hardware.fast_at_bf16(device)
        precision = "bf16" if fast else "fp32"
    threads = runtime.threads or (hardware.threads_to_use() if device == "cpu" else hardware.usable_threads())
    return runtime.changed(device=device, threads=threads, precision=precision)


def with_kernels(runtime: Runtime, weights: Mapping[str, Tensor]) -> Runtime:
    """Return a resolved runtime with the ways of all convolutions of a network decided."""
    if runtime.kernels != "auto":
        return runtime
    if runtime.device != "cpu":
        return runtime.changed(kernels="direct")
    shapes = [(tensor.shape[1], tensor.shape[0]) for tensor in weights.values() if tensor.dim() == 4]
    chosen = kernel_times.choice(shapes, runtime.precision, runtime.threads or 1)
    return runtime.changed(kernels=chosen)

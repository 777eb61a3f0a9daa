"""`impasto estimate`: the time and memory that a run will take, before it is run."""

from dataclasses import replace

from impasto.cli.arguments import picture_arguments
from impasto.cli.console import dumps, out
from impasto.cli.flags import BASE, OUTPUT, Flags, generated, positional, takes
from impasto.cli.settings_sources import gather
from impasto.errors import ExitCode, InputError
from impasto.messages import duration


@takes([*positional(), *OUTPUT, *BASE, *generated()])
def estimate(content: str, *styles: str, flags: Flags) -> int:
    """Estimate time and memory of a run; nothing is painted.

    A few evaluations are measured now. Flags are those of impasto CONTENT STYLE; those about files have
    no effect. --json prints JSON.
    """
    if not styles:
        raise InputError("no painting given; name a style picture as for impasto CONTENT STYLE")
    if "-" in styles:
        raise InputError("only the photo can come from standard input (-)")
    resolved = gather(flags)
    settings = resolved.settings
    if settings.init == "picture":
        settings = settings.changed(init="content")  # costs the same and needs no picture
    arguments = picture_arguments(content, styles, replace(flags, init_picture=None))
    arguments.read(resolved.input)
    from impasto.inputs.open import open_inputs
    from impasto.system.hardware import memory
    from impasto.transfer.estimate import estimate

    pictures = arguments.open(resolved.input)
    inputs = open_inputs(pictures.photo, pictures.styles, settings, None, pictures.protect)
    costs = estimate(inputs, settings, resolved.runtime, resolved.weights)
    sizes = ", ".join(f"{scale.width} x {scale.height}" for scale in costs.scales)
    if flags.json:
        facts = {
            "scales": [[scale.width, scale.height] for scale in costs.scales],
            "evaluations": costs.evaluations if resolved.runtime.budget is None else None,
            "seconds": round(costs.seconds, 1),
            "memory_bytes": costs.memory,
            "tile": costs.plan.tile,
            "pairs": costs.plan.pairs,
            "compact": costs.plan.compact,
            "seconds_per_evaluation_and_megapixel": round(costs.per_megapixel, 3),
        }
        out(dumps(facts))
        return ExitCode.DONE
    out(f"scales       {sizes} px")
    if resolved.runtime.budget is None:
        out(f"evaluations  {costs.evaluations}")
        out(f"time         about {duration(costs.seconds)}, beside the start of the program")
    else:
        out("evaluations  as many as fit")
        out(f"time         {duration(costs.seconds)}, the budget")
    available = memory()
    excess = (
        f", more than the {available / 1e6:.0f} MB of this machine"
        if available and costs.memory > available
        else ""
    )
    out(f"memory       about {costs.memory / 1e6:.0f} MB{excess}")
    tiled = f"in tiles of {costs.plan.tile} px" if costs.plan.tile else "whole"
    bits = "16 bits" if costs.plan.compact else "32 bits"
    out(f"computed     {tiled}; {costs.plan.pairs} curvature pairs in {bits}")
    return ExitCode.DONE

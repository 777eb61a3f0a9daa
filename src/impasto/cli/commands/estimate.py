"""`impasto estimate`: the time and memory that a run will take, before it is run."""

from dataclasses import replace

from impasto.cli.arguments import picture_arguments
from impasto.cli.checks import paintings, refuse_clip
from impasto.cli.console import dumps, out
from impasto.cli.flags import BASE, OUTPUT, PICTURES, PRINT, Flags, generated, takes
from impasto.cli.settings_sources import gather, on_paper
from impasto.errors import ExitCode
from impasto.messages import duration


@takes([*PICTURES, *OUTPUT, *BASE, PRINT, *generated()])
def estimate(content: str, *styles: str, flags: Flags) -> int:
    """Estimate time and memory of a run; nothing is painted.

    A few evaluations are measured now. Flags are those of impasto CONTENT STYLE; those about files have
    no effect. --json prints JSON.
    """
    refuse_clip(content, "says first how long it takes")
    flags = replace(flags, init_picture=None)
    styles = paintings(content, styles, flags)
    resolved = gather(flags)
    arguments = picture_arguments(content, styles, flags)
    arguments.read(resolved.input)
    settings = on_paper(resolved, flags, *arguments.files[content]).settings
    if settings.init == "picture":
        settings = settings.changed(init="content")  # costs the same and needs no picture
    from impasto.inputs.open import open_inputs
    from impasto.system.hardware import memory
    from impasto.transfer.estimate import estimate

    pictures = arguments.open(resolved.input)
    inputs = open_inputs(pictures.photo, pictures.styles, settings, None, pictures.protect)
    costs = estimate(inputs, settings, resolved.runtime)
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
    sizes = ", ".join(f"{scale.width} x {scale.height}" for scale in costs.scales)
    out(f"scales       {sizes} px")
    if resolved.runtime.budget is None:
        out(f"evaluations  {costs.evaluations}")
        out(f"time         about {duration(costs.seconds)}, beside the start of the program")
    else:
        out("evaluations  as many as fit")
        out(f"time         {duration(costs.seconds)}, the budget")
    available = memory()
    excess = ""
    if available and costs.memory > available:
        excess = f", more than the {available / 1e6:.0f} MB of this machine"
    out(f"memory       about {costs.memory / 1e6:.0f} MB{excess}")
    tiled = f"in tiles of {costs.plan.tile} px" if costs.plan.tile else "whole"
    bits = "16 bits" if costs.plan.compact else "32 bits"
    out(f"computed     {tiled}; {costs.plan.pairs} curvature pairs in {bits}")
    return ExitCode.DONE

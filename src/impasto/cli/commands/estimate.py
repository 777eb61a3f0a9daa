"""`impasto estimate`: the time and memory that a run will take, before it is run."""

from typing import Any

from impasto.cli.arguments import picture_arguments
from impasto.cli.console import dumps, out
from impasto.cli.flags import BASE, OUTPUT, generated, positional, takes
from impasto.cli.settings_sources import gather
from impasto.errors import ExitCode, InputError
from impasto.messages import duration


@takes([*positional(), *OUTPUT, *BASE, *generated()])
def estimate(content: str, *styles: str, **given: Any) -> int:
    """Estimate time and memory of a run from a few evaluations measured now; nothing is painted.

    Flags are those of impasto CONTENT STYLE; those about files count for nothing. --json prints JSON.
    """
    if not styles:
        raise InputError("no painting given; name a style picture as for impasto CONTENT STYLE")
    if "-" in styles:
        raise InputError("only the photo can come from standard input (-)")
    chosen = gather(given)
    settings = chosen.settings
    if settings.init == "picture":
        settings = settings.changed(init="content")  # costs the same and needs no picture
    request = picture_arguments(
        content, styles, {k: v for k, v in given.items() if k != "init_picture"}
    )
    request.read(chosen.input)
    from impasto.inputs.open import open_inputs
    from impasto.system.hardware import memory
    from impasto.transfer.estimate import estimate

    opened = request.open(chosen.input)
    inputs = open_inputs(opened.photo, opened.styles, settings, None, opened.protect)
    found = estimate(inputs, settings, chosen.runtime, chosen.weights)
    sizes = ", ".join(f"{scale.width} x {scale.height}" for scale in found.scales)
    if given.get("json"):
        facts = {
            "scales": [[scale.width, scale.height] for scale in found.scales],
            "evaluations": found.evaluations if chosen.runtime.budget is None else None,
            "seconds": round(found.seconds, 1),
            "memory_bytes": found.memory,
            "tile": found.plan.tile,
            "pairs": found.plan.pairs,
            "compact": found.plan.compact,
            "seconds_per_evaluation_and_megapixel": round(found.per_megapixel, 3),
        }
        out(dumps(facts))
        return ExitCode.DONE
    out(f"scales       {sizes} px")
    if chosen.runtime.budget is None:
        out(f"evaluations  {found.evaluations}")
        out(f"time         about {duration(found.seconds)}, beside the start of the program")
    else:
        out("evaluations  as many as fit")
        out(f"time         {duration(found.seconds)}, the budget")
    here = memory()
    much = (
        f", more than the {here / 1e6:.0f} MB of this machine"
        if here and found.memory > here
        else ""
    )
    out(f"memory       about {found.memory / 1e6:.0f} MB{much}")
    tiled = f"in tiles of {found.plan.tile} px" if found.plan.tile else "whole"
    bits = "16 bits" if found.plan.compact else "32 bits"
    out(f"held         {tiled}; {found.plan.pairs} curvature pairs in {bits}")
    return ExitCode.DONE

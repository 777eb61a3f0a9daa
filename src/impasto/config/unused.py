"""Which settings have no effect beside others. No torch here."""

from collections.abc import Collection

from impasto.config.settings import Settings

NEEDS = {  # what an option needs: another field, the value of it that is not enough, and what to give instead
    "color_amount": ("color", "style", "--color luminance, match or histogram"),
    "strength": ("style_weight", 0, "--style-weight a weight"),
    "laplacian_pool": ("laplacian", 0, "--laplacian a weight"),
    "total_variation_form": ("total_variation", 0, "--total-variation a weight"),
}
UNDRAFTED = frozenset(("detail", "min_size"))  # what a draft, whose scales are its own, does not have
OPTIONS_OF = {  # which solvers an option is for
    "history": ("lbfgs", "scipy"),
    "bounded": ("lbfgs", "adam"),
    "line_search": ("scipy",),
    "learning_rate": ("adam",),
    "adam_beta1": ("adam",),
    "adam_beta2": ("adam",),
    "adam_epsilon": ("adam",),
}


def unused(settings: Settings, *, protected: bool) -> Collection[str]:
    """Return the fields that do nothing with these settings; `protected` says whether a region stays."""
    names = {name for name, (other, nothing, _) in NEEDS.items() if getattr(settings, other) == nothing}
    names |= {name for name, solvers in OPTIONS_OF.items() if settings.solver not in solvers}
    if not settings.starts_matched:
        names.add("init_amount")
    if settings.quality == "instant":
        names |= UNDRAFTED
    if settings.init == "noise":
        names.add("init_noise")
    if not protected:
        names.add("protect_feather")
    return names

"""What a reader explores by hand: forward against reverse KL, and the explorers of the notebooks."""

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from modeseek.checks import hint, require

if TYPE_CHECKING:
    import xarray

    from modeseek.bandit.explore.toolkit.explorer import Explorer


def kl(problem: str = "R1", **options: Any) -> "xarray.Dataset":
    """Follow forward and reverse KL on a categorical distribution from the same start to the same target, exactly.

    >>> study = modeseek.kl("case-1-fails", steps=200)
    >>> study["reverse_kl"].sel(objective="reverse_kl")[-1].item()  # nats
    >>> modeseek.plot(study, "bars").savefig("bars.png")

    Args:
        problem: `R1`, `R2`, `bump:CENTER:WIDTH`, `bimodal`, `dirichlet:CONCENTRATION`, or a case of the paper's
            appendix E: `case-1-holds`, `case-1-fails`, `case-2`, `case-3`, `case-3-fails`, `equal-gap`.
        **options: by the names of `modeseek kl --help`: `target`, `start`, `beta`, `optimizer`, `step_size`, `steps`,
            `also`, …

    Returns:
        a dataset with the log-probabilities `[objective, step, category]` in nats, their divergences from the target,
        the expected reward, and the steps to 10, 50 and 90 % of the reward that can be had.

    Raises:
        ValueError: an unknown name, or numbers that make no problem; nothing has been computed then.
    """
    from modeseek.bandit.categorical.named import named_study
    from modeseek.bandit.categorical.options import KLOptions
    from modeseek.progress import progress

    known = [field.name for field in dataclasses.fields(KLOptions)]
    for name in options:
        if name not in known:
            raise ValueError(f"there is no option {name!r}: {hint(name, known)}")
    tuples: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in options.items()}
    return named_study(KLOptions(problem=problem, **tuples), progress=progress("steps"))


_ALIASES = {
    "fig16": "four_methods",
    "fig18": "figure18",
    "negative": "negative_gradient",
    "ood": "out_of_distribution",
    "steps": "first_steps",
}
"""How state strings, and the files of an export, call some of the explorers."""


def explorer(kind: str, preset: str | None = None, **values: Any) -> "Explorer":
    """An interactive picture for a notebook: move its controls, or set them by name.

    >>> modeseek.explorer("kl", preset="case-1-fails")
    >>> bandit = modeseek.explorer("bandit", preset="R1-ppo", learning_rate=3e-3)
    >>> bandit.caption()          # what the picture shows, in numbers
    >>> bandit.export("figure/")  # PNG, SVG, CSV and a run card

    Args:
        kind: which: `kl`, `bandit`, `on_policy`, `budget`, `negative_gradient`, `four_methods`, `displacement`,
            `figure18`, `out_of_distribution`, `phase`, `reproduce`, `demo` or `first_steps`; or the first word of its
            state string, such as `fig16` or `ood`.
        preset: its name; the explorer's first, if not given.
        **values: of controls, by name; also `state=` and `hide=`.

    Returns:
        the explorer; in a notebook it shows itself. Without ipywidgets it is a picture with a caption.

    Raises:
        ValueError: an unknown kind, preset or control, which says what there is.
    """
    from modeseek.bandit import explore

    known = {_snake(name.removesuffix("Explorer")): name for name in explore.EXPLORERS}
    require(isinstance(kind, str), f"kind must be the name of an explorer, one of {', '.join(known)}, got {kind!r}")
    key = kind.strip().lower().replace("-", "_")
    key = _ALIASES.get(key, key)
    if key not in known:
        raise ValueError(f"there is no explorer {kind!r}: {hint(kind, known)}")
    made: Explorer = getattr(explore, known[key])(preset, **values)
    return made


def _snake(name: str) -> str:
    """`OnPolicy` → `on_policy`, `KL` → `kl`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

"""A method of one's own: a function of the batch, put beside the registry's rows for as long as the process runs.

Nothing else knows that a row is somebody's own, but for two things: it is in no file, so that no other process can run
it, and a stored result names it with the digest of its program.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable

import jax
from jaxtyping import Array

from modeseek.bandit.objectives import inspection, reading
from modeseek.bandit.objectives.batch import (
    Batch,
    HyperParameters,
    Losses,
    Options,
    pair_weights,
    per_prompt,
    per_response,
)
from modeseek.bandit.objectives.method import Method, Need, Objective
from modeseek.bandit.objectives.registry import METHODS, variant
from modeseek.checks import plain, require

Loss = Callable[[Batch, HyperParameters], Array | Losses]

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
SIDES = ("", "onpolicy", "offline")
"""What may stand before a method's name or title, in letters and digits."""

_NEEDS: dict[str, Need] = {
    "behavior_token_log_probs": "behavior",
    "reference_token_log_probs": "reference",
    "advantages": "advantages",
    "rewards": "group rewards",
}
"""Array of a batch → what a loss that reads it needs. Rewards that it reads itself, it may read by what they say."""


def objective_of(loss: Loss) -> Objective:
    """A loss of two arguments as the registry's objectives are, `(batch, hyper, options) → Losses`.

    An array `[P, N]` is a loss for each response, and `[P]` one for each prompt; each counts once. `[P, N, N]` is one
    for each pair, first the chosen response and then the rejected one, and counts where the rewards prefer the first.
    Whatever counts otherwise says so itself: `Losses(losses, weights)`.

    Each call makes a new objective, so that programs which were compiled of an earlier one are not taken for it.

    Raises:
        ValueError: when it is called: the loss returns something else.
    """

    def objective(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
        found = loss(batch, hyper)
        if isinstance(found, Losses):
            return found
        prompts, responses, tokens = batch.token_log_probs.shape
        if not isinstance(found, jax.Array):
            raise ValueError(f"the loss must return an array of losses, or Losses, got {type(found).__name__}")
        if found.shape == (prompts, responses):
            return per_response(found, batch)
        if found.shape == (prompts,):
            return per_prompt(found, batch)
        if found.shape == (prompts, responses, responses):
            return Losses(found, pair_weights(batch, hyper, options))
        hint = ""
        if found.shape == ():
            hint = ": no mean is taken in the loss, that is done for it"
        elif found.shape == (prompts, responses, tokens):
            hint = ": sum over the tokens (batch.log_probs is such a sum), or return Losses with their weights"
        raise ValueError(
            f"the loss must have one number for each response [P, N], prompt [P] or pair [P, N, N], which here are "
            f"[{prompts}, {responses}], [{prompts}] or [{prompts}, {responses}, {responses}], got {found.shape}{hint}"
        )

    return functools.wraps(loss, updated=())(objective) if hasattr(loss, "__name__") else objective


def own_method(
    name: str, loss: Loss, *, title: str = "", on_policy: bool = True, allow: Collection[str] = ()
) -> Method:
    """Put a method of one's own beside the others, once its gradient has been checked.

    >>> import jax, jax.numpy as jnp, modeseek
    >>> def hinge(batch, hyper):
    ...     margins = batch.log_ratios[:, :, None] - batch.log_ratios[:, None, :]
    ...     return jax.nn.relu(hyper.target_margin - margins)  # [P, N, N], where the first response is preferred
    >>> modeseek.own_method("mine", hinge, on_policy=False)
    >>> results = modeseek.run(methods=["mine", "ipo"], seeds=2, collections=5)

    From then on every view, table and figure knows it, and `on_policy_mine` and `offline_mine`. A second call with the
    same name takes the new code; nothing that was compiled of the old one is used again.

    Args:
        name: small letters, digits and underscores; not that of a method which is there already.
        loss: `(batch, hyper) → losses` of JAX arrays: `Batch`, `HyperParameters`, and what `objective_of` says.
        title: how figures call it, at most 40 characters; its name, if not given.
        on_policy: whether it samples from the policy in training, where nobody says otherwise.
        allow: findings of `inspection.examine` that are meant, such as `gradient` for a loss that is a surrogate; those
            in `inspection.MEANT` can be.

    Returns:
        its row; what it needs, and which hyper-parameters it reads, was found out by looking.

    Raises:
        ValueError: name or title is none or is taken, the loss does not pass its examination (a sentence for each
            finding), or it has no digest. Nothing is registered then.
    """
    title = name if title == "" else title
    _check_name(name, title)
    require(not isinstance(allow, str), f"allow must be a set of names, such as {{{allow!r}}}, got {allow!r}")
    unknown = set(allow) - set(inspection.MEANT)
    require(not unknown, f"allow: there are {', '.join(inspection.MEANT)}, got {', '.join(sorted(map(repr, unknown)))}")
    require(callable(loss), f"the loss must be a function of (batch, hyper), got {loss!r}")
    objective = objective_of(loss)
    wrong = [f.says for f in inspection.examine(objective) if not f.passed and f.kind not in allow]
    require(not wrong, f"{name} was not taken. " + " ".join(wrong))
    arrays, hyper = reading.reads(lambda batch, hyper: loss(batch, hyper))
    pairs = reading.losses_shape(loss) == "pairs"
    row = Method(
        name=name,
        title=title,
        objective=objective,
        on_policy=on_policy,
        sample_reuse=True if on_policy else None,
        negative_gradient=reading.pushes_down(objective),
        seeking=None,
        source="your own",
        hyper=(*hyper, *(("reward_gap",) if pairs and "reward_gap" not in hyper else ())),
        needs=frozenset({_NEEDS[a] for a in arrays if a in _NEEDS} | ({"pairs"} if pairs else set())),
        min_responses=2 if pairs else 1,
        digest=reading.digest_of(objective),
    )
    METHODS[name] = row
    return row


def own_names() -> tuple[str, ...]:
    """Methods that somebody has defined in this process, in the order of their first definition."""
    return tuple(name for name, method in METHODS.items() if method.digest)


def digests(methods: Iterable[str]) -> dict[str, str]:
    """Those of one's own among methods, each with the digest of its program."""
    rows = [variant(name).method for name in methods]
    return {row.name: row.digest for row in rows if row.digest}


def forget(name: str) -> None:
    """Take a method of one's own away.

    Raises:
        ValueError: it is none.
    """
    require(name in own_names(), f"there is no method of your own called {name!r}")
    del METHODS[name]


def _check_name(name: str, title: str) -> None:
    require(
        isinstance(name, str) and NAME.fullmatch(name) is not None,
        f"a method's name must begin with a small letter and hold small letters, digits and underscores, at most 30, "
        f"got {name!r}",
    )
    require(
        name not in METHODS or bool(METHODS[name].digest),
        f"there is a method {name!r} already: {METHODS[name].title if name in METHODS else ''}. Choose another name",
    )
    shown = isinstance(title, str) and len(title) <= 40 and title.isprintable() and not set(title) & set("$\\")
    require(
        shown and title[:1].isalnum() and plain(title) != "",
        "a method's title must be one line of at most 40 characters that begins with a letter or a digit, holds one "
        f"from a to z or 0 to 9, and neither $ nor \\, got {title!r}",
    )
    for what, given in (("name", name), ("title", title)):
        require(
            not plain(given).startswith(SIDES[1:]),
            f"a method's {what} must not begin with on_policy_ or offline_, which say where it samples, got {given!r}",
        )
    for row in METHODS.values():
        if row.name != name:
            taken = _answers_to(row.name, row.title)
            here = f"there is a method {row.name!r} with the title {row.title!r} already, and letters and digits tell "
            require(not _answers_to(name) & taken, f"{here}names apart, got {name!r}")
            require(not _answers_to(title) & taken, f"{here}titles apart, got {title!r}")


def _answers_to(*names: str) -> set[str]:
    """What menus and texts may call a method, of either side, in letters and digits."""
    return {side + plain(each) for side in SIDES for each in names}

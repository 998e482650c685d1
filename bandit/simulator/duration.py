"""How long an experiment takes, roughly, from its configuration alone: said before work that is long.

Arithmetic is counted and divided by a rate that was measured once: docs/decisions/0075-memory-of-the-bandit.md.
"""

from modeseek.bandit.simulator.memory import Sizes

RATE = 5e10
"""Multiplications and additions a second of one run on one core of the machine that this was measured on."""
LEAST_STEP = 3e-4
"""Seconds of a gradient step of next to no arithmetic."""
PRETRAINING_STEPS = 100
"""Of a network, mostly, until it is near enough to the reference; once for each seed."""
SAID = 600.0
"""From this estimate on, a run says it at its start."""


def products(sizes: Sizes) -> int:
    """Numbers of the policy that each token is multiplied with; a table's are looked up."""
    if sizes.kind == "gpt":
        return sizes.layers * 12 * sizes.width**2 + sizes.width * sizes.vocab_size
    if sizes.kind == "mlp":
        return sizes.parameters
    return 0


def of_a_run(sizes: Sizes) -> float:
    """Seconds of one run on one core: gradient steps, collections, evaluations, and the fit of a reward model.

    A forward pass takes two operations a number and token, a gradient three times as many. A collection is sampled and
    scored twice, an evaluation sampled and scored three times (policy, reference, behavior).
    """
    token = 2 * products(sizes) * sizes.response_length
    steps = sizes.collections * sizes.steps
    evaluations = 1 + steps // sizes.evaluation_interval
    learning = 3 * token * sizes.minibatch_size * steps
    sampling = 3 * token * sizes.samples_per_collection * sizes.collections
    evaluating = 4 * token * sizes.evaluation_prompts * sizes.samples_per_prompt * evaluations
    fitting = 6 * token * sizes.comparisons_at_once * sizes.fitting_steps
    return LEAST_STEP * (steps + sizes.fitting_steps) + (learning + sampling + evaluating + fitting) / RATE


def estimate(sizes: Sizes, at_once: int) -> float:
    """Seconds of all runs, as many at once as there are devices; compiling is not in them."""
    token = 2 * products(sizes) * sizes.response_length
    pretraining = 3 * token * sizes.pretraining_rows * PRETRAINING_STEPS / RATE
    return of_a_run(sizes) * -(-sizes.runs // at_once) + pretraining * -(-sizes.seeds // at_once)


def said(sizes: Sizes, at_once: int) -> str:
    """The estimate as a sentence, if that is long, or nothing."""
    seconds = estimate(sizes, at_once)
    if seconds < SAID:
        return ""
    return (
        f"takes about {in_words(seconds)}, within a factor of two or three; the bar knows better once runs are trained"
    )


def in_words(seconds: float) -> str:
    """Seconds in the unit that a person would choose."""
    for size, unit in ((31_557_600.0, "years"), (86_400.0, "days"), (3600.0, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"

"""What a run's records say of a loss that taught nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from modeseek.bandit.objectives.method import Method


def idle(records: Sequence[Mapping[str, Any]], method: Method) -> str | None:
    """What to know of a whole run in which the loss, or its negative part, had no weight; None where it had.

    Args:
        records: of all gradient steps, and any others.
        method: that was trained.
    """
    steps = [record for record in records if "gradient_norm" in record]
    if steps and not any(record["gradient_norm"] for record in steps):
        return f"the gradient was 0 in all {len(steps)} steps: {method.name} gave no response any weight"
    if steps and method.negative_gradient and not any(record["fraction_pushed_down"] for record in steps):
        return (
            f"{method.name} pushes responses down, but in none of {len(steps)} steps did it push one: the run is one "
            "without a negative gradient (its threshold, its weights or the rewards leave none)"
        )
    return None

"""DAPO's dynamic sampling on a language model: a step is of the prompts whose responses differ in reward."""

import jax
import numpy as np
import pytest
from test_llm_objective import close, data, taken


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_solved_prompt_is_not_in_the_mean(accumulate):
    """Its rewards are equal, but for a response that is none: the step is that of the other prompt by itself."""
    rewards = np.array([[0.1, 0.9, 0.4, 0.2], [1.0, 1.0, 1.0, 0.0]], np.float32)
    given = data()._replace(rewards=rewards)
    ours, numbers = taken("dapo", given, accumulate=accumulate)
    theirs, expected = taken("dapo", jax.tree.map(lambda a: a[:1], given))
    np.testing.assert_allclose(numbers["loss"], expected["loss"], rtol=1e-5)
    close(ours, theirs)

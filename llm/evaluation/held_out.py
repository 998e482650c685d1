"""Held-out evaluation while a policy is trained: the same prompts and the same draws every time.

Gold and proxy reward are measured on the same samples: where the proxy rises and the gold does not, the policy
over-optimises, and the run's lines show since when.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from modeseek.llm.data.tokens import TextTokens
from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.parameters import Params
from modeseek.llm.rewards.functions import RewardFunction

PURPOSE = 2**31 + 3
"""What the key is for, beyond all numbers of collections: nothing that is trained on is drawn by it."""

LOGGED = 4
"""Prompts whose samples are logged at each evaluation."""


def held_out(
    policy: ModelWithParams,
    prompts: Sequence[Sequence[int]],
    *,
    seed: int,
    eos: Sequence[int],
    rewards: Mapping[str, RewardFunction],
    tokens: TextTokens,
    config: EvaluationConfig,
    log: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> Callable[[Params, int], dict[str, float]]:
    """Parameters and gradient steps so far → the numbers of `Evaluation`, as `modeseek.llm.training.tune` takes it.

    Args:
        policy: as it is at the start: the KL is to it, also where the method's own reference moves.
        prompts: ids of each; none of them is trained on.
        seed: of the samples.
        eos: ids that end a response.
        rewards: gold, proxy, or both, by name.
        tokens: writes texts.
        config: how many samples of which length.
        log: takes a record of each sample of the first prompts: `step`, `prompt` and `response` as texts, `ended`,
            `rewards`, `kl`.
    """
    key = jax.random.fold_in(jax.random.key(seed), np.uint32(PURPOSE))
    asked = tokens.decode_responses(prompts[:LOGGED])

    def measure(params: Params, step: int) -> dict[str, float]:
        found = evaluate(
            ModelWithParams(policy.model, params),
            prompts,
            key=key,
            eos=eos,
            reference=policy,
            rewards=rewards,
            tokens=tokens,
            config=config,
        )
        for sample in found.samples[: LOGGED * config.samples]:
            texts = {"prompt": asked[sample.prompt], "response": sample.text}
            measured = {"ended": sample.ended, "rewards": dict(sample.rewards), "kl": sample.kl}
            log({"step": step, **texts, **measured})
        return found.numbers

    return measure

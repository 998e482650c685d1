"""A method: one row of the paper's Table 1, what its objective reads, and what its flow seeks."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from modeseek.bandit.objectives.batch import HYPER_RANGES, Batch, HyperParameters, Losses, Options

Objective = Callable[[Batch, HyperParameters, Options], Losses]

Need = Literal["behavior", "reference", "advantages", "groups", "group rewards", "pairs", "values", "unpaired labels"]
"""What a method needs beside the policy's own log-probs:

- `behavior`: log-probs under the policy that sampled;
- `reference`: log-probs under the reference;
- `advantages`: standardised rewards, comparable across prompts;
- `groups`: anything that ranks all of a prompt's responses;
- `group rewards`: their rewards, which are compared by what they say and not by their order (GRPO, RLOO, …);
- `pairs`: rewards that say which of two responses to a prompt is preferred, so one chosen and one rejected are enough;
- `values`: a value function, trained beside the policy;
- `unpaired labels`: rewards that call single responses good or bad.

No row has `values` yet.
"""

Source = Literal["policy", "mixture", "policy and mixture"]
"""What the responses of an on-policy method are drawn from:

- `policy`: the policy that is trained;
- `mixture`: the geometric mixture π^(1-α) π_ref^α of policy and reference, token by token;
- `policy and mixture`: the policy, and for the last half of a prompt's responses, its opponents, the mixture.
"""

Seeking = Literal["mode", "mass"]
"""What a method does with a good response that the data hold and the policy has lost: `mass` if it pulls it back as
hard as any other, `mode` if its pull vanishes with the response's probability (`categorical.seeking` measures it)."""


class Clip(NamedTuple):
    """Which ratio policy/behavior a method clips, and where: outside [1 - `clip_epsilon`, 1 + `above`].

    Attributes:
        ratio: of responses or of tokens as `Options.ratio` says, of tokens whatever it says, or the geometric mean of
            a response's tokens' ratios.
        above: the field of `HyperParameters` that holds ε above 1.
    """

    ratio: Literal["options", "token", "geometric mean"] = "options"
    above: Literal["clip_epsilon", "clip_epsilon_high"] = "clip_epsilon"


PPO_CLIP = Clip()
"""PPO's: one ε, and the ratio that the options say."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One row of Table 1, and what its objective reads.

    Attributes:
        name: how it is called in Python and on the command line.
        title: how figures call it.
        objective: `(batch, hyper, options) → Losses`.
        on_policy: whether the paper's default samples from the policy in training.
        sample_reuse: whether that default takes several gradient steps on a sample; None for offline methods, where
            Table 1 does not ask.
        negative_gradient: whether some responses are pushed down.
        seeking: what its exact flow on the simplex seeks while the data stay; None where it has no such flow. From
            the policy's own samples every method seeks modes (`Variant.seeking`).
        source: where it is defined.
        hyper: the fields of `HyperParameters` that its loss reads. What the loop reads is every method's: the
            learning rate, and the KL coefficient.
        needs: what its loss reads, and so what a batch must hold.
        min_responses: responses a prompt that it needs.
        policy_gradient: whether it is one (the released code adds its KL term to these alone).
        drawn_from: what its on-policy responses are drawn from.
        clip: what it clips; of a method that clips nothing, what PPO would.
        digest: of the program of a method that a person has defined in this process (`objectives.own`); empty for
            those of the registry.
    """

    name: str
    title: str
    objective: Objective
    on_policy: bool
    sample_reuse: bool | None
    negative_gradient: bool
    seeking: Seeking | None
    source: str
    hyper: tuple[str, ...] = ()
    needs: frozenset[Need]
    min_responses: int = 1
    policy_gradient: bool = False
    drawn_from: Source = "policy"
    clip: Clip = PPO_CLIP
    digest: str = ""

    @property
    def own_hyper(self) -> tuple[str, ...]:
        """What it reads beside the loop's: its loss's hyper-parameters, and its sampler's."""
        return self.hyper if self.drawn_from == "policy" else (*self.hyper, *SAMPLER_HYPER)

    @property
    def has_kl_in_its_loss(self) -> bool:
        """Whether its own formula holds the KL of eq. 2: the loop then adds none, neither to rewards nor to losses."""
        return "kl_coefficient" in self.hyper

    @property
    def token_advantages(self) -> bool:
        """Whether it may take an advantage for each token, as a value function gives them."""
        return self.policy_gradient and "advantages" in self.needs

    def reads(self, name: str) -> bool:
        """Whether a hyper-parameter enters its training: its own, or one that the loop reads for every method.

        Raises:
            ValueError: there is no such hyper-parameter.
        """
        if name not in HYPER_RANGES:
            raise ValueError(f"{name!r} is not a hyper-parameter; they are {', '.join(HYPER_RANGES)}")
        return name in self.own_hyper or name in LOOP_HYPER


LOOP_HYPER = ("learning_rate", "kl_coefficient")
"""Hyper-parameters that the training loop reads, whatever the method."""

SAMPLER_HYPER = ("mixture",)
"""Hyper-parameters that the sampler reads, of methods whose responses are not all the policy's own."""

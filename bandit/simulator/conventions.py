"""Where the paper's text and its released code differ: each difference a named field, each side a preset."""

import dataclasses
import math
from typing import Literal

from modeseek.bandit.objectives.log_probs import Scoring
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.pairs import Ties
from modeseek.checks import require, typed


@dataclasses.dataclass(frozen=True)
class Conventions:
    """One choice per difference; the defaults are the paper's text with next-token scoring.

    Attributes:
        reference_recipe: how Cauchy samples are brought into (-1, 1) before they are binned: `clip` piles the tails
            up in the outer bins (bin 0 holds .31), `discard` does not count what lies outside (bin 0 holds .02, and
            the mode is near token 15, as figure 2's caption has it), `tanh` squashes them (bin 0 holds .08).
        prompt_in_response: count the prompt as the first of the response's tokens, so that one token fewer is
            sampled and the reward's mean includes the prompt's own. On R1 this caps any policy at .918.
        scoring: `next_token` is log π(y | x); `same_token` scores a token with logits that have read it.
        reference_model: what log π_ref is computed from: the `exact` reference distribution, the `initial_policy`, a
            copy of the network at the start of training, or the `behavior`, the policy that sampled the collection, so
            that the reference moves once a collection (neither paper nor code: a remedy that `reproduce` tries).
        frozen_copies: what a frozen copy of the policy is (the reference, if it is the initial policy, and the policy
            that sampled): the `whole` network, or a copy with the trained network's `live_mlp`. The latter is what the
            released code computes: its `deepcopy` leaves each block's MLP bound, through a lambda, to the network that
            goes on training, so that the reference moves with the policy.
        pretraining: `exact` minimises the KL along many prefixes until a tolerance is met; `sampled` takes 100 steps
            of one prompt and one sampled response each; `prompt_set` takes 100 steps of the run's whole prompt set.
        dropout: dropout rate in gradient steps (sampling, scoring of references and exact pretraining never drop).
        ratio: PPO's ratio, of whole responses or of tokens.
        kl_placement: where `kl_coefficient` acts: in the `reward`; as `exact` KL of each next-token distribution,
            in the loss; or as the sampled log-ratio in the `loss`, whose on-policy gradient has mean zero.
        policy_gradient_kl: the KL coefficient of policy gradients where none is set.
        standardization: of rewards: `batch` (eq. 19), `per_prompt`, `running`, `none`, or `per_method` (RWR per prompt,
            REINFORCE and PPO running).
        ties: whether equal rewards make a pair, and copies of the best response are pushed down (`keep`) or not.
        self_normalize: divide RWR's weights by their mean, for range (the paper's formula does not).
    """

    reference_recipe: Literal["clip", "discard", "tanh"] = "clip"
    prompt_in_response: bool = False
    scoring: Scoring = "next_token"
    reference_model: Literal["exact", "initial_policy", "behavior"] = "exact"
    frozen_copies: Literal["whole", "live_mlp"] = "whole"
    pretraining: Literal["exact", "sampled", "prompt_set"] = "exact"
    dropout: float = 0.0
    ratio: Literal["sequence", "token"] = "sequence"
    kl_placement: Literal["reward", "exact", "loss"] = "reward"
    policy_gradient_kl: float = 0.0
    standardization: Literal["batch", "per_prompt", "running", "none", "per_method"] = "batch"
    ties: Ties = "skip"
    self_normalize: bool = True

    def __post_init__(self) -> None:
        typed(self)
        require(0 <= self.dropout < 1, f"dropout must be in [0, 1), got {self.dropout!r}")
        require(
            self.reference_model != "behavior" or self.frozen_copies == "whole",
            "reference_model 'behavior' needs frozen_copies 'whole', got 'live_mlp'",
        )
        coefficient = self.policy_gradient_kl
        require(
            math.isfinite(coefficient) and coefficient >= 0,
            f"policy_gradient_kl must be zero or more, got {coefficient!r}",
        )

    def standardization_of(self, method: Method) -> str:
        """How this method's rewards are standardised."""
        if self.standardization != "per_method":
            return self.standardization
        return "running" if method.policy_gradient else "per_prompt"


PAPER = Conventions()

RELEASED_CODE = Conventions(
    reference_recipe="tanh",
    prompt_in_response=True,
    scoring="same_token",
    reference_model="initial_policy",
    frozen_copies="live_mlp",
    pretraining="sampled",
    dropout=0.1,
    ratio="token",
    kl_placement="loss",
    policy_gradient_kl=0.05,
    standardization="per_method",
    ties="keep",
    self_normalize=False,
)

FIGURE2 = dataclasses.replace(PAPER, reference_recipe="discard")

PRESETS: dict[str, Conventions] = {"paper": PAPER, "figure2": FIGURE2, "released_code": RELEASED_CODE}
"""`paper`: the text, its "clip" read as piling the tails up. `figure2`: the same, with the tails discarded, as the
caption of figure 2 wants it. `released_code`: what the authors' program does, scoring slip included."""

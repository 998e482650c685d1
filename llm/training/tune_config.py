"""The settings of Algorithm 1 on a language model: the method, the paper's letters, units. No network is imported."""

import dataclasses
from typing import Annotated, Literal

import tyro

from modeseek.bandit.objectives.batch import HyperParameters, Options
from modeseek.bandit.objectives.registry import Variant, variant
from modeseek.bandit.objectives.value_function import ValueNumbers
from modeseek.checks import choices, finite, positive, require, whole
from modeseek.llm.data.rows import MULTIPLE
from modeseek.llm.training.conventions import MATHEMATICS, Conventions

LANGUAGE_OPTIONS = Options(ratio="token", negatives="token")
"""The units in which responses of hundreds of tokens are trained, unless others are asked for.

- PPO's ratio is each token's. A whole response's ratio is a product of hundreds: after a few steps it is 0 or without
  bound, and one rejected response outweighs all others by thousands.
- What unlikelihood pushes down is each token by its own likelihood, and Best-of-N + negative gradient compares
  likelihoods a token: log(1 - π(y | x)) is 0 for any response of more than ten tokens, and no response of thirty tokens
  is "likely" against one of twenty.
- DPO's and IPO's margins stay those of sums, as both papers write them: β and τ then mean what they say, and a sum is
  no product, so it breaks nothing. A mean over tokens is another loss (its target 1/(2τ) is in nats a token), and is
  `margin="token"`.
"""


LANGUAGE_HYPER = HyperParameters(learning_rate=1e-5, temperature=1.0, top_k=1.0, mixture=0.0)
"""The numbers of methods, unless others are asked for.

RWR's temperature is of the paper's grid for language models (.1, 1, 10, 20): at the bandit's .1 one response of 64 has
nearly all the weight. ReST keeps one of a prompt's two responses; the bandit's three of ten would keep both. Nash-MD
and IPO-MD play against the policy itself: language models do not sample from a mixture of two models.
"""


MAY_BE_ZERO = ("lora_rank", "seed", "reference_every")


@dataclasses.dataclass(frozen=True)
class ValueConfig:
    """A value function beside the policy, as PPO on language models has it; numbers are in units of the reward.

    - c is Table 8's. Surrogate and value loss are reduced alike, so that it means the same at any length.
    - γ is 1: a response is judged once, at its end, and a discount would prefer short ones whatever the reward says.
    - λ and the clips (`hyper.clip_epsilon` of ratios) are those of PPO's paper and of the libraries that the paper
      used; ε of values is right where rewards are standardised, as they are by default.
    - Advantages are whitened: what the value function does not know yet is then no push for all tokens at once.
    - The KL of eq. 2 costs nothing unless `hyper.kl_coefficient` is given. The paper's run has .2, a coefficient that
      follows the KL (`KLControl`), and one response a prompt.

    Attributes:
        coefficient: c, the weight of the value function's loss beside the policy's.
        clip: ε, how far a value may gain by leaving the one that sampled; infinity clips nothing.
        gamma: γ, the discount of a token.
        lam: λ of generalised advantage estimation.
        whiten: what becomes of a collection's advantages: nothing, deviation 1, or mean 0 and deviation 1.
    """

    coefficient: Annotated[float, tyro.conf.arg(name="value-coefficient")] = 0.1
    clip: Annotated[float, tyro.conf.arg(name="value-clip")] = 0.2
    gamma: float = 1.0
    lam: float = 0.95
    whiten: Literal["none", "deviation", "both"] = "both"

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that mean nothing."""
        choices(self)
        positive("the value function's coefficient", self.coefficient)
        require(self.clip > 0, f"the value function's clip must be above 0, got {self.clip!r}")
        for name in ("gamma", "lam"):
            require(0 <= getattr(self, name) <= 1, f"{name} must be between 0 and 1, got {getattr(self, name)!r}")

    @property
    def numbers(self) -> ValueNumbers:
        """Those of its loss."""
        return ValueNumbers(self.coefficient, self.clip)


LANGUAGE_VALUES = ValueConfig().numbers
"""The numbers of a value function's loss, unless others are asked for."""


@dataclasses.dataclass(frozen=True)
class KLControl:
    """How the KL coefficient of eq. 2 follows the KL: from `hyper.kl_coefficient` on, after each collection.

    Attributes:
        target: the KL(policy ‖ reference) that is wanted, nats a response; None leaves the coefficient as it is. The
            libraries' is 6. Table 8's `target_kl` of .1 has the name of a field of theirs that stops passes early by a
            KL a token, which is another one (decision 65).
        horizon: samples in which the coefficient changes by at most about a fifth.
    """

    target: Annotated[float | None, tyro.conf.arg(name="kl-target")] = None
    horizon: Annotated[int, tyro.conf.arg(name="kl-horizon")] = 10_000

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that mean nothing."""
        if self.target is not None:
            positive("the KL's target", self.target)
        whole("the KL's horizon", self.horizon, 1)


@dataclasses.dataclass(frozen=True)
class TuneConfig:
    """The method, and Algorithm 1's knobs under the paper's letters.

    Attributes:
        method: a row of the registry, with `on_policy_` or `offline_` before its name to leave Table 1's side.
        samples_per_collection: B, prompt-response pairs a collection.
        responses_per_prompt: C (N in appendix I): what the policy gives to a prompt, and the most that data may have.
        minibatch_size: M, prompt-response pairs a gradient step.
        inner_steps: T, passes over a collection before the next one.
        collections: how often data is collected, or read.
        mixing: share of a collection's prompts that the policy itself answers, the others having the data's responses;
            None for all of them on-policy, and none offline.
        reference_every: collections between two moves of the reference towards the policy; with 0 it stays where it is.
        reference_decay: the reference's own share in a move, θ_ref ← decay · θ_ref + (1 - decay) · θ. At 0 it becomes
            the policy; .99 at every collection is an exponential moving average.
        max_new_tokens: the most that a sampled response has, EOS included.
        standardization: how rewards become advantages (eq. 19 over the collection, by default); with a value function,
            how they are standardised before the KL is taken off at each token.
        critic: whether a value function is trained beside the policy, on its trunk, and gives each token an advantage
            of its own. None for methods that take policy gradients, reuse their samples and have all of them from the
            policy itself, with ratios of tokens: PPO.
        value: the value function's numbers.
        kl: whether the KL coefficient follows the KL.
        hyper: the method's numbers, and the learning rate.
        options: what the objectives compare, and in which units.
        conventions: which tokens of a response are trained: all, or those that the released code trains.
        missing_eos_penalty: what is taken off the reward of a response that no EOS ended.
        mask_truncated: leave responses that no EOS ended out of everything that is learnt.
        lora_rank: the rank of adapters that are trained in place of all parameters; 0 for none.
        lora_scale: s, often written alpha / rank.
        accumulate: parts that a minibatch is taken in, to save memory; numbers are those of the whole minibatch.
        generation_batch: responses that are sampled at once.
        chunk: tokens whose logits exist at once.
        length_multiple: rows are padded up to a multiple of it; each length is one program.
        seed: a whole number that the order of data, the samples and the adapters follow from.
    """

    method: str
    samples_per_collection: int = 64
    responses_per_prompt: int = 2
    minibatch_size: int = 64
    inner_steps: int = 1
    collections: int = 100
    mixing: float | None = None
    reference_every: int = 0
    reference_decay: float = 0.0
    max_new_tokens: int = 256
    standardization: Literal["none", "batch", "per_prompt", "running"] = "batch"
    critic: bool | None = None
    value: ValueConfig = ValueConfig()
    kl: KLControl = KLControl()
    hyper: HyperParameters = LANGUAGE_HYPER
    options: Options = LANGUAGE_OPTIONS
    conventions: Conventions = MATHEMATICS
    missing_eos_penalty: float = 0.0
    mask_truncated: bool = False
    lora_rank: int = 0
    lora_scale: float = 2.0
    accumulate: int = 1
    generation_batch: int = 64
    chunk: int = 4096
    length_multiple: int = MULTIPLE
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that do not go together."""
        choices(self)
        row = self.variant.method
        for field in dataclasses.fields(self):
            if field.type is int:
                whole(field.name, getattr(self, field.name), 0 if field.name in MAY_BE_ZERO else 1)
        positive("lora_scale", self.lora_scale)
        penalty = self.missing_eos_penalty
        require(finite(penalty) and penalty >= 0, f"missing_eos_penalty must be zero or more, got {penalty!r}")
        b, c, m = self.samples_per_collection, self.responses_per_prompt, self.minibatch_size
        require(b > 1, "samples_per_collection must be at least 2: one sample cannot be standardised")
        require(b % c == 0, f"responses_per_prompt must divide samples_per_collection, got {c} and {b}")
        require(b % m == 0, f"minibatch_size must divide samples_per_collection, got {m} and {b}")
        require(
            m % c == 0,
            f"minibatch_size must be a multiple of responses_per_prompt, so that prompts stay whole, got {m} and {c}",
        )
        require(m % self.accumulate == 0, f"accumulate must divide minibatch_size, got {self.accumulate} and {m}")
        require(
            c >= row.min_responses,
            f"{row.name} compares responses: responses_per_prompt must be at least {row.min_responses}, got {c}",
        )
        self.hyper.check()
        require(
            self.hyper.label_temperature == 0,
            "label_temperature is of the bandit, whose rewards are known; the noise of real preferences is in their "
            f"data: it must be 0, got {self.hyper.label_temperature:g}",
        )
        require(
            c > 1 or not {"groups", "group rewards"} & row.needs,
            f"{row.name} ranks a prompt's responses: responses_per_prompt must be at least 2, got {c}",
        )
        require(
            "top_k" not in row.hyper or self.hyper.top_k < c,
            f"{row.name} keeps the top_k best of a prompt's responses: top_k must be below responses_per_prompt, {c}, "
            f"got {self.hyper.top_k:g}",
        )
        require(self.mixing is None or 0 <= self.mixing <= 1, f"mixing must be between 0 and 1, got {self.mixing!r}")
        decay = self.reference_decay
        require(0 <= decay < 1, f"reference_decay must be at least 0 and less than 1, got {decay!r}")
        require(
            decay == 0 or self.reference_every > 0,
            "reference_decay is of a reference that moves: reference_every must be at least 1, got 0",
        )
        require(
            self.sampled_prompts > 0 or self.hyper.kl_coefficient == 0,
            "kl_coefficient shapes the rewards of samples: it needs prompts that the policy itself answers",
        )
        require(
            row.drawn_from == "policy" or self.hyper.mixture == 0,
            f"{row.name} cannot sample from a mixture of two language models: mixture must be 0, "
            f"got {self.hyper.mixture:g}",
        )
        require(
            self.kl.target is None or self.hyper.kl_coefficient > 0,
            "the KL's target moves kl_coefficient by a factor: give a kl_coefficient above 0 to begin with",
        )
        if self.critic:
            require(row.token_advantages, f"{row.name} takes no advantages of tokens: it can have no value function")
            require(self.sampled_prompts > 0, "a value function is of the policy that samples: none is sampled here")
            require(
                not row.sample_reuse or self.options.ratio == "token",
                "advantages of tokens need ratios of tokens: Options(ratio='token')",
            )

    @property
    def variant(self) -> Variant:
        """The registry's row, and where responses come from."""
        return variant(self.method)

    @property
    def valued(self) -> bool:
        """Whether a value function is trained: `critic`, or what its None stands for."""
        if self.critic is not None:
            return self.critic
        row = self.variant.method
        on_policy = self.sampled_prompts == self.prompts_per_collection
        return row.token_advantages and bool(row.sample_reuse) and on_policy and self.options.ratio == "token"

    @property
    def prompts_per_collection(self) -> int:
        """B / C."""
        return self.samples_per_collection // self.responses_per_prompt

    @property
    def prompts_per_minibatch(self) -> int:
        """M / C."""
        return self.minibatch_size // self.responses_per_prompt

    @property
    def sampled_prompts(self) -> int:
        """Prompts of a collection that the policy itself answers."""
        share = float(self.variant.on_policy) if self.mixing is None else self.mixing
        return round(share * self.prompts_per_collection)

    @property
    def steps_per_collection(self) -> int:
        """Gradient steps between two collections: T · B / M."""
        return self.inner_steps * (self.samples_per_collection // self.minibatch_size)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run, which an optimizer's schedule is measured by."""
        return self.collections * self.steps_per_collection

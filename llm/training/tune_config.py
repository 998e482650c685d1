"""The settings of Algorithm 1 on a language model: the method, the paper's letters, units. No network is imported."""

import dataclasses
from typing import Literal

from modeseek.bandit.objectives.batch import HyperParameters, Options
from modeseek.bandit.objectives.registry import Variant, variant
from modeseek.checks import choices, positive, require, whole
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


LANGUAGE_HYPER = HyperParameters(learning_rate=1e-5, temperature=1.0, top_k=1.0)
"""The numbers of methods, unless others are asked for.

RWR's temperature is of the paper's grid for language models (.1, 1, 10, 20): at the bandit's .1 one response of 64 has
nearly all the weight. ReST keeps one of a prompt's two responses; the bandit's three of ten would keep both.
"""


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
        max_new_tokens: the most that a sampled response has, EOS included.
        standardization: how rewards become advantages (eq. 19 over the collection, by default).
        hyper: the method's numbers, and the learning rate.
        options: what the objectives compare, and in which units.
        conventions: which tokens of a response are trained: all, or those that the released code trains.
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
    max_new_tokens: int = 256
    standardization: Literal["none", "batch", "per_prompt", "running"] = "batch"
    hyper: HyperParameters = LANGUAGE_HYPER
    options: Options = LANGUAGE_OPTIONS
    conventions: Conventions = MATHEMATICS
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
                whole(field.name, getattr(self, field.name), 0 if field.name in ("lora_rank", "seed") else 1)
        positive("lora_scale", self.lora_scale)
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
            c > 1 or "groups" not in row.needs,
            f"{row.name} ranks a prompt's responses: responses_per_prompt must be at least 2, got {c}",
        )
        require(
            "top_k" not in row.hyper or self.hyper.top_k < c,
            f"{row.name} keeps the top_k best of a prompt's responses: top_k must be below responses_per_prompt, {c}, "
            f"got {self.hyper.top_k:g}",
        )
        require(self.mixing is None or 0 <= self.mixing <= 1, f"mixing must be between 0 and 1, got {self.mixing!r}")
        require(
            self.sampled_prompts > 0 or self.hyper.kl_coefficient == 0,
            "kl_coefficient shapes the rewards of samples: it needs prompts that the policy itself answers",
        )

    @property
    def variant(self) -> Variant:
        """The registry's row, and where responses come from."""
        return variant(self.method)

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

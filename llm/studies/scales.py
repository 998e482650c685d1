"""How large the policies of a reproduction are and how much is run for them. JAX is not imported here."""

import dataclasses

from modeseek.bandit.studies.protocol import Protocol
from modeseek.checks import require
from modeseek.llm.runs.sizes import DemoSizes


@dataclasses.dataclass(frozen=True)
class Scale:
    """A size of policies, data and runs, and the protocol that goes with it.

    Attributes:
        name: in commands and folders.
        title: in headings.
        sizes: of the tokenizer, the policy, SFT, preferences and the reward model.
        protocol: learning rates and seeds.
        minibatch_size: M, and the smallest B; other B are multiples of it.
        responses_per_prompt: C of on-policy methods; offline ones have the pair.
        steps: gradient steps of every run.
        evaluate_every: gradient steps between evaluations, or one collection where that is longer.
        held_out_pairs: of each scenario, whose likelihoods are followed.
        length_multiple: tokens; rows are padded to a multiple of it, and each length is compiled once.
        skew_mean: tokens, the mean of Skew Length's exponential distribution.

    Raises:
        ValueError: minibatches do not divide into prompts.
    """

    name: str
    title: str
    sizes: DemoSizes
    protocol: Protocol
    minibatch_size: int
    responses_per_prompt: int
    steps: int
    evaluate_every: int
    held_out_pairs: int
    length_multiple: int
    skew_mean: float

    def __post_init__(self) -> None:
        m, c = self.minibatch_size, self.responses_per_prompt
        require(m % c == 0 and m % 2 == 0, f"a minibatch of {m} must be whole prompts of {c} and of 2 responses")


LAPTOP = Scale(
    name="laptop",
    title="laptop",
    sizes=DemoSizes(
        scenarios=(),
        methods=(),
        width=64,
        layers=2,
        vocab_size=768,
        max_prompt=24,
        max_response=24,
        sft_steps=600,
        batch=32,
        pair_prompts=800,
        pair_samples=2,
        reward_epochs=3.0,
        learning_rate=1e-3,
        evaluate_prompts=48,
    ),
    protocol=Protocol("laptop", (1e-2, 3e-3, 1e-3), tuning_seeds=2, fresh_seeds=10, tie=0.1),
    minibatch_size=16,
    responses_per_prompt=4,
    steps=24,
    evaluate_every=4,
    held_out_pairs=32,
    length_multiple=16,
    skew_mean=3.0,
)
"""A GPT-NeoX of 0.2 million parameters from scratch; a run takes seconds on a core."""

GPU = Scale(
    name="gpu",
    title="one accelerator",
    sizes=DemoSizes(
        scenarios=(),
        methods=(),
        width=512,
        layers=8,
        vocab_size=8192,
        max_prompt=64,
        max_response=128,
        sft_steps=3000,
        sft_rate=1e-3,
        batch=64,
        pair_prompts=3000,
        pair_samples=2,
        reward_epochs=2.0,
        learning_rate=1e-4,
        evaluate_prompts=128,
    ),
    protocol=Protocol("gpu", (1e-3, 3e-4, 1e-4), tuning_seeds=2, fresh_seeds=5, tie=0.1),
    minibatch_size=64,
    responses_per_prompt=4,
    steps=96,
    evaluate_every=8,
    held_out_pairs=128,
    length_multiple=64,
    skew_mean=8.0,
)
"""A GPT-NeoX of 34 million parameters from scratch, with the paper's minibatches of 64."""

PAPER = Protocol("paper", (1e-7, 5e-7, 1e-6, 5e-6, 1e-5), tuning_seeds=1, fresh_seeds=5)
"""Learning rates of the paper's grids, for its own policies: commands that a machine with their weights runs."""

SCALES: dict[str, Scale] = {scale.name: scale for scale in (LAPTOP, GPU)}
"""Those whose policies are trained from scratch."""

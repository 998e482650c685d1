"""The sizes of `modeseek llm demo`. JAX is not imported here."""

import dataclasses
from typing import TYPE_CHECKING

from modeseek.checks import positive, require, whole

if TYPE_CHECKING:
    from modeseek.llm.models.config import ModelConfig

METHODS = ("dpo", "pref_ft", "offline_rwr", "rwr", "on_policy_dpo", "ppo")
"""The demo's, by the registry's names: three offline, three on-policy."""

SCENARIOS = ("min_length", "mode_length")
KNOWN = (*SCENARIOS, "skew_length")

CONTEXT = 256
"""Tokens that the demo's model reads."""


@dataclasses.dataclass(frozen=True)
class DemoSizes:
    """Everything that says how large the demo is; the default is sized for two cores and five minutes.

    Attributes:
        scenarios: gold rewards that methods are compared under: shorter is better (min_length), nearer to the average
            length is (mode_length), or shorter is, in pairs most of which were truncated (skew_length).
        methods: of the registry.
        width: of the model.
        layers: of the model.
        vocab_size: of the tokenizer.
        max_prompt: tokens of a signature; longer ones are left out.
        max_response: tokens of a docstring, EOS included; longer ones are left out.
        sft_steps: gradient steps of SFT.
        sft_rate: its highest learning rate.
        batch: rows of a gradient step.
        pair_prompts: prompts that the policy answers for the scenario's pairs.
        pair_samples: its answers to each; the best and the worst make a pair.
        reward_epochs: passes of the reward model over the pairs.
        collections: gradient steps of each method, one a collection of `batch` samples.
        learning_rate: of each method.
        evaluate_every: collections between two evaluations.
        evaluate_prompts: held-out prompts, one sample each.
        seed: of everything.
    """

    scenarios: tuple[str, ...] = SCENARIOS
    methods: tuple[str, ...] = METHODS
    width: int = 128
    layers: int = 4
    vocab_size: int = 2048
    max_prompt: int = 24
    max_response: int = 40
    sft_steps: int = 450
    sft_rate: float = 3e-3
    batch: int = 32
    pair_prompts: int = 512
    pair_samples: int = 4
    reward_epochs: float = 2.0
    collections: int = 32
    learning_rate: float = 3e-4
    evaluate_every: int = 8
    evaluate_prompts: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no demo can have."""
        for field in dataclasses.fields(self):
            if field.type is int:
                whole(field.name, getattr(self, field.name), 0 if field.name == "seed" else 1)
            if field.type is float:
                positive(field.name, getattr(self, field.name))
        require(
            self.max_prompt + self.max_response <= CONTEXT,
            f"max_prompt and max_response must fit the model's context of {CONTEXT} tokens, "
            f"got {self.max_prompt} + {self.max_response}",
        )
        require(
            self.pair_prompts >= self.batch,
            f"pair_prompts must be at least a batch, {self.batch}: some prompts' answers tie, got {self.pair_prompts}",
        )
        require(self.width % 32 == 0, f"width must be a multiple of 32, got {self.width}")
        require(self.pair_samples >= 2, f"pair_samples must be at least 2, got {self.pair_samples}")
        require(self.batch % 4 == 0, f"batch must be a multiple of 4, got {self.batch}")
        unknown = [name for name in self.scenarios if name not in KNOWN]
        require(not unknown, f"scenarios must be some of {', '.join(KNOWN)}, got {', '.join(unknown)}")


def policy_config(sizes: DemoSizes, vocab_size: int) -> "ModelConfig":
    """The GPT-NeoX that these sizes are of, heads of 32.

    Args:
        sizes: see there.
        vocab_size: tokens that the tokenizer has: fewer than was asked for, if the texts are too short.
    """
    from modeseek.llm.models.config import ModelConfig

    heads = sizes.width // 32
    return ModelConfig(
        architecture="gpt_neox",
        vocab_size=vocab_size,
        width=sizes.width,
        layers=sizes.layers,
        heads=heads,
        kv_heads=heads,
        head_size=32,
        mlp_width=4 * sizes.width,
        context=CONTEXT,
        activation="gelu",
        norm_epsilon=1e-5,
        rotary_fraction=0.25,
        parallel_residual=True,
        attention_bias=True,
        mlp_bias=True,
    )

"""The parts of a configuration: frozen dataclasses that check themselves before any work starts."""

import dataclasses
from typing import Literal

from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.pairs import PairScheme
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.checks import positive, require, typed, whole

CONTEXTS = 2**31 - 1
"""How many contexts there are for a policy that reads contexts: so many that those of training and of evaluation
differ."""


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The policy network.

    Attributes:
        kind: `gpt` (minGPT's gpt-nano), `tabular` (independent logits per position; reads nothing) or `mlp` (the
            released code's network for responses of one token, there with 2 layers of width 256; its prompts are
            contexts of real numbers, and those that a policy is evaluated on are not those that it is trained on).
        layers: transformer blocks, or hidden layers of the MLP.
        heads: attention heads; must divide width.
        width: features of the residual stream, or units of a hidden layer.
    """

    kind: Literal["gpt", "tabular", "mlp"] = "gpt"
    layers: int = 3
    heads: int = 3
    width: int = 48

    def __post_init__(self) -> None:
        typed(self)
        for name in ("layers", "heads", "width"):
            whole(name, getattr(self, name), 1)
        require(
            self.width % self.heads == 0,
            f"heads must divide width, got {self.heads} heads and width {self.width}",
        )


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """How the policy is brought to the reference: Adam on KL(policy ‖ reference), paper I.3.

    Attributes:
        learning_rate: Adam's step at the start; it falls by the cosine rule to a hundredth.
        tolerance: stop once KL(policy ‖ reference) of a response, in nats, is at most this.
        steps: and after this many steps at the latest.
        rows: prefixes a step.
    """

    learning_rate: float = 0.01
    tolerance: float = 0.002
    steps: int = 400
    rows: int = 100

    def __post_init__(self) -> None:
        typed(self)
        positive("pretraining learning_rate", self.learning_rate)
        positive("pretraining tolerance", self.tolerance)
        whole("pretraining steps", self.steps, 1)
        whole("pretraining rows", self.rows, 1)


@dataclasses.dataclass(frozen=True)
class AlgorithmConfig:
    """Algorithm 1's knobs, under the paper's letters.

    Attributes:
        samples_per_collection: B, prompt-response pairs a collection; offline, the size of the whole data set.
        responses_per_prompt: C (N in appendix I), responses of each prompt.
        minibatch_size: M, prompt-response pairs a gradient step.
        inner_steps: T, passes over a collection before the next one.
        collections: how often data is collected; offline, how often the T passes are made over the one data set.
        prompts: size of the prompt set; 0 means as many as a collection takes, B/C.
        pair_scheme: which of a prompt's responses are compared.
    """

    samples_per_collection: int = 100
    responses_per_prompt: int = 10
    minibatch_size: int = 100
    inner_steps: int = 10
    collections: int = 100
    prompts: int = 0
    pair_scheme: PairScheme = "all"

    def __post_init__(self) -> None:
        typed(self)
        for name in (
            "samples_per_collection",
            "responses_per_prompt",
            "minibatch_size",
            "inner_steps",
            "collections",
        ):
            whole(name, getattr(self, name), 1)
        whole("prompts", self.prompts, 0)
        b, c, m = self.samples_per_collection, self.responses_per_prompt, self.minibatch_size
        require(b % c == 0, f"responses_per_prompt must divide samples_per_collection, got {c} and {b}")
        require(b % m == 0, f"minibatch_size must divide samples_per_collection, got {m} and {b}")
        require(
            m % c == 0,
            f"minibatch_size must be a multiple of responses_per_prompt, so that prompts stay whole, got {m} and {c}",
        )
        require(b > 1, "samples_per_collection must be at least 2: one sample cannot be standardised")
        require(
            self.prompts == 0 or self.prompts >= b // c,
            f"prompts must be 0 or at least samples_per_collection / responses_per_prompt = {b // c}, "
            f"got {self.prompts}",
        )

    @property
    def prompts_per_collection(self) -> int:
        """B / C."""
        return self.samples_per_collection // self.responses_per_prompt

    @property
    def prompts_per_minibatch(self) -> int:
        """M / C."""
        return self.minibatch_size // self.responses_per_prompt

    @property
    def prompt_set_size(self) -> int:
        """Size of the set that prompts are drawn from."""
        return self.prompts or self.prompts_per_collection

    @property
    def steps_per_collection(self) -> int:
        """Gradient steps between two collections: T · B / M."""
        return self.inner_steps * (self.samples_per_collection // self.minibatch_size)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of a whole run."""
        return self.collections * self.steps_per_collection


@dataclasses.dataclass(frozen=True)
class RewardModelConfig:
    """What a policy is trained on: the gold reward, or one that is learnt from comparisons.

    Attributes:
        kind: `none` (the gold reward), `tabular` (a number for each token: the class that holds the truth) or `gpt`
            (GPT-Nano of the policy's size: a number for each token after each prefix).
        comparisons: prompts with two responses of the behavior policy each, of which one is preferred.
        steps: of Adam, from the learning rate down to 0.
        minibatch_size: comparisons a step, all of them if there are fewer.
        learning_rate: of Adam, in units of reward for the table.
    """

    kind: Literal["none", "tabular", "gpt"] = "none"
    comparisons: int = 1000
    steps: int = 500
    minibatch_size: int = 100
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        typed(self)
        for name in ("comparisons", "steps", "minibatch_size"):
            whole(f"reward_model.{name}", getattr(self, name), 1)
        positive("reward_model.learning_rate", self.learning_rate)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, and how often.

    Attributes:
        prompts: evaluation prompts: the tokens 0, 1, … in turn, so that 100 of them are the exact mean over prompts.
        samples_per_prompt: responses sampled for each; along them, expectations are exact.
        interval: gradient steps between evaluations; 0 means once a collection.
        behavior_kl: measure KL(policy ‖ behavior) too; costs one forward pass an evaluation.
        snapshots: keep the per-position token distribution of every collection, not only of the last.
        implicit_rewards: of which pairs the implicit rewards of chosen and rejected responses are means: those that are
            `compared` in training, or each prompt's best response against its others (`best_rest`), whatever is
            compared, as the released code reports them. The margin is always of the compared ones.
    """

    prompts: int = 100
    samples_per_prompt: int = 1
    interval: int = 1
    behavior_kl: bool = True
    snapshots: bool = False
    implicit_rewards: Literal["compared", "best_rest"] = "compared"

    def __post_init__(self) -> None:
        typed(self)
        whole("evaluation prompts", self.prompts, 1)
        whole("samples_per_prompt", self.samples_per_prompt, 1)
        whole("interval", self.interval, 0)


@dataclasses.dataclass(frozen=True)
class Static:
    """Everything that is fixed when a program is compiled; two equal ones share their programs.

    `methods` are the rows whose objectives are compiled in, each once: rows and not names, so that a method which is
    defined anew (`objectives.own`) is another program. `reference_moves` says whether any run's
    reference does; where it does not, nothing of it is compiled.
    """

    vocab_size: int
    response_length: int
    methods: tuple[Method, ...]
    conventions: Conventions
    policy: PolicyConfig
    pretraining: PretrainingConfig
    algorithm: AlgorithmConfig
    evaluation: EvaluationConfig
    reward_model: RewardModelConfig
    reference_moves: bool = False

    @property
    def prompt_count(self) -> int:
        """How many different prompts there are: a token each, or, for the MLP, a context each."""
        return CONTEXTS if self.policy.kind == "mlp" else self.vocab_size

    @property
    def new_tokens(self) -> int:
        """Tokens that the policy samples for a response."""
        return self.response_length - self.conventions.prompt_in_response

    @property
    def input_length(self) -> int:
        """Tokens that the policy reads: all but the last, or all where a token is scored after it was read."""
        return self.new_tokens + (self.conventions.scoring == "same_token")

    @property
    def evaluation_interval(self) -> int:
        """Gradient steps between evaluations."""
        return self.evaluation.interval or self.algorithm.steps_per_collection

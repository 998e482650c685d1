"""The configuration of an experiment: frozen dataclasses, checked before any work starts, one JSON string on disk."""

import dataclasses
import json
import math
from typing import Any, Literal

from bandit.objectives.methods import HyperParameters, Variant, variant
from bandit.objectives.pairs import PairScheme
from bandit.simulator.conventions import Conventions
from bandit.simulator.problem import ReferenceRecipe, parse_reward, reference_probs, token_rewards


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _whole(name: str, value: Any, least: int) -> None:
    _require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be a whole number of at least {least}, got {value!r}",
    )


def _positive(name: str, value: float) -> None:
    _require(math.isfinite(value) and value > 0, f"{name} must be a positive number, got {value!r}")


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The policy network.

    Attributes:
        kind: `gpt` (minGPT's gpt-nano) or `tabular` (independent logits per position; reads nothing).
        layers: transformer blocks.
        heads: attention heads; must divide width.
        width: features of the residual stream.
    """

    kind: Literal["gpt", "tabular"] = "gpt"
    layers: int = 3
    heads: int = 3
    width: int = 48

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width"):
            _whole(name, getattr(self, name), 1)
        _require(self.kind in ("gpt", "tabular"), f"policy kind must be 'gpt' or 'tabular', got {self.kind!r}")
        _require(
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
        _positive("pretraining learning_rate", self.learning_rate)
        _positive("pretraining tolerance", self.tolerance)
        _whole("pretraining steps", self.steps, 1)
        _whole("pretraining rows", self.rows, 1)


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
        for name in (
            "samples_per_collection",
            "responses_per_prompt",
            "minibatch_size",
            "inner_steps",
            "collections",
        ):
            _whole(name, getattr(self, name), 1)
        _whole("prompts", self.prompts, 0)
        b, c, m = self.samples_per_collection, self.responses_per_prompt, self.minibatch_size
        _require(b % c == 0, f"responses_per_prompt must divide samples_per_collection, got {c} and {b}")
        _require(b % m == 0, f"minibatch_size must divide samples_per_collection, got {m} and {b}")
        _require(
            m % c == 0,
            f"minibatch_size must be a multiple of responses_per_prompt, so that prompts stay whole, got {m} and {c}",
        )
        _require(b > 1, "samples_per_collection must be at least 2: one sample cannot be standardised")
        _require(
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
class EvaluationConfig:
    """What is measured, and how often.

    Attributes:
        prompts: evaluation prompts: the tokens 0, 1, … in turn, so that 100 of them are the exact mean over prompts.
        samples_per_prompt: responses sampled for each; along them, expectations are exact.
        interval: gradient steps between evaluations; 0 means once a collection.
        behavior_kl: measure KL(policy ‖ behavior) too; costs one forward pass an evaluation.
        snapshots: keep the per-position token distribution of every collection, not only of the last.
    """

    prompts: int = 100
    samples_per_prompt: int = 1
    interval: int = 1
    behavior_kl: bool = True
    snapshots: bool = False

    def __post_init__(self) -> None:
        _whole("evaluation prompts", self.prompts, 1)
        _whole("samples_per_prompt", self.samples_per_prompt, 1)
        _whole("interval", self.interval, 0)


@dataclasses.dataclass(frozen=True)
class Static:
    """Everything that shapes the compiled program, and nothing else: two equal ones share a compilation."""

    vocab_size: int
    response_length: int
    variants: tuple[str, ...]
    conventions: Conventions
    policy: PolicyConfig
    pretraining: PretrainingConfig
    algorithm: AlgorithmConfig
    evaluation: EvaluationConfig

    @property
    def new_tokens(self) -> int:
        """Tokens that the policy samples for a response."""
        return self.response_length - self.conventions.prompt_in_response

    @property
    def evaluation_interval(self) -> int:
        """Gradient steps between evaluations."""
        return self.evaluation.interval or self.algorithm.steps_per_collection


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A complete experiment: problem, policy, Algorithm 1, methods, and what to compare.

    Attributes:
        methods: as `bandit.objectives.methods.variant` reads them: `ppo`, `on_policy_ipo`, `offline_rwr`, …
        rewards: `R1` (peak at token 70, far from the reference), `R2` (peak at 20, near it), or `bump:CENTER:WIDTH`.
        seeds: number of seeds; each is its own network, prompts and samples, the same for every method.
        first_seed: the first of them.
        learning_rates: the grid; empty means `hyper.learning_rate` alone.
        method_learning_rates: a learning rate of its own for each method, in `methods`' order, instead of a grid.
        vocab_size: V.
        response_length: T, tokens of a response (the prompt among them if the conventions say so).
        reference: the reference distribution's numbers.
        conventions: the paper's text or the released code, difference by difference.
        policy: the network.
        pretraining: how it is brought to the reference.
        algorithm: Algorithm 1's knobs.
        evaluation: what is measured.
        hyper: every number that may be swept.
        vary: further axes: a field of `hyper` and its values.
    """

    methods: tuple[str, ...] = ("on_policy_ipo",)
    rewards: tuple[str, ...] = ("R1",)
    seeds: int = 1
    first_seed: int = 0
    learning_rates: tuple[float, ...] = ()
    method_learning_rates: tuple[float, ...] = ()
    vocab_size: int = 100
    response_length: int = 10
    reference: ReferenceRecipe = dataclasses.field(default_factory=ReferenceRecipe)
    conventions: Conventions = dataclasses.field(default_factory=Conventions)
    policy: PolicyConfig = dataclasses.field(default_factory=PolicyConfig)
    pretraining: PretrainingConfig = dataclasses.field(default_factory=PretrainingConfig)
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    hyper: HyperParameters = dataclasses.field(default_factory=HyperParameters)
    vary: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        _whole("vocab_size", self.vocab_size, 2)
        _whole("response_length", self.response_length, 2 if self.conventions.prompt_in_response else 1)
        _whole("seeds", self.seeds, 1)
        _whole("first_seed", self.first_seed, 0)
        _require(0 <= self.conventions.dropout < 1, f"dropout must be in [0, 1), got {self.conventions.dropout}")
        self._check_methods()
        self._check_numbers()
        _require(len(self.rewards) > 0, "rewards must name at least one reward")
        for reward in self.rewards:
            token_rewards(reward, self.vocab_size)
        _require(len(set(self.rewards)) == len(self.rewards), f"rewards must differ, got {self.rewards}")
        reference_probs(self.reference, self.conventions.reference_recipe, self.vocab_size)
        interval = self.evaluation.interval or self.algorithm.steps_per_collection
        _require(
            self.algorithm.steps_per_collection % interval == 0,
            "the evaluation interval must divide the gradient steps of a collection, "
            f"{self.algorithm.steps_per_collection}, got {interval}",
        )

    def _check_methods(self) -> None:
        _require(len(self.methods) > 0, "methods must name at least one method")
        variants = self.variants
        names = [v.name for v in variants]
        _require(len(set(names)) == len(names), f"methods must differ, got {self.methods}")
        for v in variants:
            _require(
                self.algorithm.responses_per_prompt >= v.method.min_responses,
                f"{v.name} compares responses: responses_per_prompt must be at least {v.method.min_responses}, "
                f"got {self.algorithm.responses_per_prompt}",
            )
        _require(
            not self.method_learning_rates or len(self.method_learning_rates) == len(self.methods),
            f"method_learning_rates must have one entry per method, {len(self.methods)}, "
            f"got {len(self.method_learning_rates)}",
        )
        _require(
            not (self.method_learning_rates and self.learning_rates),
            "give learning_rates (a grid) or method_learning_rates (one per method), not both",
        )

    def _check_numbers(self) -> None:
        for rate in (*self.learning_rates, *self.method_learning_rates):
            _positive("learning_rate", rate)
        names = [f.name for f in dataclasses.fields(HyperParameters)]
        swept = [(name, v) for name, values in self.vary for v in values]
        for name, values in self.vary:
            _require(name in names, f"vary: {name!r} is not a hyper-parameter; they are {', '.join(names)}")
            _require(name != "learning_rate", "vary: use learning_rates for the learning rate")
            _require(len(values) > 0, f"vary: {name} needs at least one value")
            _require(len(set(values)) == len(values), f"vary: the values of {name} must differ, got {values}")
        _require(
            len(set(self.learning_rates)) == len(self.learning_rates),
            f"learning_rates must differ, got {self.learning_rates}",
        )
        own = [(name, getattr(self.hyper, name)) for name in names]
        at_least_zero = ("negative_weight", "negative_threshold", "reward_gap", "kl_coefficient")
        for name, value in own + swept:
            if name in at_least_zero:
                _require(math.isfinite(value) and value >= 0, f"{name} must be zero or more, got {value!r}")
            else:
                _positive(name, value)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The methods, looked up."""
        return tuple(variant(name) for name in self.methods)

    @property
    def static(self) -> Static:
        """What the program is compiled for."""
        return Static(
            vocab_size=self.vocab_size,
            response_length=self.response_length,
            variants=tuple(v.method.name for v in self.variants),
            conventions=self.conventions,
            policy=self.policy,
            pretraining=self.pretraining,
            algorithm=self.algorithm,
            evaluation=self.evaluation,
        )

    def to_json(self) -> str:
        """The configuration as one JSON string (netCDF attributes hold nothing richer)."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is not such a string, or a field is unknown (a file of another version).
        """
        try:
            data = json.loads(text)
            nested = {
                "reference": ReferenceRecipe,
                "conventions": Conventions,
                "policy": PolicyConfig,
                "pretraining": PretrainingConfig,
                "algorithm": AlgorithmConfig,
                "evaluation": EvaluationConfig,
                "hyper": HyperParameters,
            }
            for name, kind in nested.items():
                data[name] = kind(**{k: _tuples(v) for k, v in data[name].items()})
            return cls(**{k: _tuples(v) if k not in nested else v for k, v in data.items()})
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a configuration of this version of modeseek: {error}") from error


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that frozen dataclasses hold."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


__all__ = [
    "AlgorithmConfig",
    "EvaluationConfig",
    "Experiment",
    "PolicyConfig",
    "PretrainingConfig",
    "Static",
    "parse_reward",
]

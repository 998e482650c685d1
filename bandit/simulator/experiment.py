"""A complete experiment: checked before any work starts, and one JSON string on disk."""

import dataclasses
import json
from typing import Annotated, Any

import numpy as np
import tyro

from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.objectives.registry import Variant, variant
from modeseek.bandit.simulator.behavior import REFERENCE, behavior_log_probs, parse_behavior
from modeseek.bandit.simulator.config import (
    AlgorithmConfig,
    EvaluationConfig,
    PolicyConfig,
    PretrainingConfig,
    RewardModelConfig,
    Static,
)
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.knots import Knots
from modeseek.bandit.simulator.problem import (
    ReferenceRecipe,
    known_reward,
    parse_reward,
    reference_probs,
    token_rewards,
)
from modeseek.bandit.simulator.reference import REFERENCE_RANGES, check_reference
from modeseek.checks import number, number_list, positive, require, typed, whole
from modeseek.files import parse_json

LARGEST_VOCABULARY = 1_000_000
"""More has no machine: `sampling.draw` multiplies with a triangle of V × V, then of 4 TB."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A complete experiment: problem, policy, Algorithm 1, methods, and what to compare.

    Attributes:
        methods: as `modeseek.bandit.objectives.registry.variant` reads them: `ppo`, `on_policy_ipo`, `offline_rwr`, …
        rewards: `R1` (peak at token 70, far from the reference), `R2` (peak at 20, near it), `bump:CENTER:WIDTH`,
            or a drawn one, `knots:0,0.5,1` or `saved:NAME` (`simulator.knots`).
        behaviors: whose responses offline data are: `reference` (the policy before training), `uniform`, `mix:SHARE`,
            `tempered:TEMPERATURE`, `bump:CENTER:WIDTH` or `between:LOW:HIGH`, as `simulator.behavior.parse_behavior`
            says. An on-policy method samples from its own policy and never sees them.
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
        reward_model: what the policy is trained on, if that shall not be the gold reward.
        hyper: every number that may be swept.
        vary: further axes: a field of `hyper`, or one of the two below, and its values.
        reference_every: collections between two moves of the reference towards the policy; with 0 it stays where it is.
        reference_decay: the reference's own share in a move, θ_ref ← decay · θ_ref + (1 - decay) · θ. At 0 it becomes
            the policy; .99 at every collection is an exponential moving average.
    """

    methods: tuple[str, ...] = ("on_policy_ipo",)
    rewards: tuple[str, ...] = ("R1",)
    behaviors: tuple[str, ...] = (REFERENCE,)
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
    algorithm: Annotated[AlgorithmConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=AlgorithmConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    reward_model: RewardModelConfig = dataclasses.field(default_factory=RewardModelConfig)
    hyper: Annotated[HyperParameters, tyro.conf.arg(name="")] = dataclasses.field(default_factory=HyperParameters)
    vary: tyro.conf.Suppress[tuple[tuple[str, tuple[float, ...]], ...]] = ()
    reference_every: int = 0
    reference_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_vary()
        typed(self)
        hyper = {name: number(name, getattr(self.hyper, name)) for name in HYPER_RANGES}
        object.__setattr__(self, "hyper", HyperParameters(**hyper))
        whole("vocab_size", self.vocab_size, 2)
        require(
            self.vocab_size <= LARGEST_VOCABULARY,
            f"vocab_size must be at most {LARGEST_VOCABULARY:,}, got {self.vocab_size:,}: drawing a token takes "
            "vocab_size² numbers",
        )
        whole("response_length", self.response_length, 2 if self.conventions.prompt_in_response else 1)
        whole("seeds", self.seeds, 1)
        whole("first_seed", self.first_seed, 0)
        require(self.first_seed + self.seeds < 2**31, f"seeds must stay below 2^31, got {self.first_seed} and more")
        require(
            self.conventions.frozen_copies == "whole" or self.policy.kind == "gpt",
            "conventions.frozen_copies 'live_mlp' needs a policy with MLPs: policy kind 'gpt'",
        )
        require(
            self.policy.kind != "mlp" or (self.static.input_length == 1 and not self.conventions.prompt_in_response),
            "policy kind 'mlp' writes one token: it needs response_length 1, conventions.scoring 'next_token' and "
            "conventions.prompt_in_response false",
        )
        self._check_methods()
        self._check_numbers()
        self._check_rewards()
        self._check_behaviors()
        self._check_reward_model()
        self._check_reference()
        interval = self.evaluation.interval or self.algorithm.steps_per_collection
        require(
            self.algorithm.steps_per_collection % interval == 0,
            "the evaluation interval must divide the gradient steps of a collection, "
            f"{self.algorithm.steps_per_collection}, got {interval}",
        )

    def _check_rewards(self) -> None:
        object.__setattr__(self, "rewards", tuple(known_reward(reward) for reward in self.rewards))
        require(len(self.rewards) > 0, "rewards must name at least one reward")
        for reward in self.rewards:
            rewards = token_rewards(reward, self.vocab_size).astype(np.float32)
            best, drawn = float(rewards.max()), isinstance(parse_reward(reward), Knots)
            require(
                not drawn or float(rewards.min()) < best,
                f"this drawn reward is {best:g} for every token: there is nothing to learn. Draw a difference",
            )
            require(drawn or best > 0.01, f"{reward} peaks outside the vocabulary: no token earns more than {best:.2g}")
            require(float(rewards.min()) < best, f"{reward} is too wide: every token earns {best:.2g}")
        parsed = [parse_reward(reward) for reward in self.rewards]
        require(len(set(parsed)) == len(parsed), f"rewards must differ, got {', '.join(self.rewards)}")

    def _check_behaviors(self) -> None:
        reference = reference_probs(self.reference, self.conventions.reference_recipe, self.vocab_size)
        require(len(self.behaviors) > 0, "behaviors must name at least one behavior policy")
        for behavior in self.behaviors:
            behavior_log_probs(behavior, reference)
        recipes = [parse_behavior(behavior) for behavior in self.behaviors]
        require(len(set(recipes)) == len(recipes), f"behaviors must differ, got {', '.join(self.behaviors)}")
        require(
            self.conventions.frozen_copies == "whole" or {r.kind for r in recipes} == {REFERENCE},
            "a behavior other than 'reference' needs conventions.frozen_copies 'whole': a copy with the live network's "
            f"MLP has no table, got {', '.join(self.behaviors)}",
        )

    def _check_reward_model(self) -> None:
        if self.reward_model.kind == "none":
            return
        temperatures = dict(self.vary).get("label_temperature", (self.hyper.label_temperature,))
        require(
            min(temperatures) > 0,
            "a reward model needs label_temperature above 0: comparisons without noise do not say how far apart two "
            "rewards are",
        )
        conventions = self.conventions
        require(
            (conventions.prompt_in_response, conventions.scoring, self.policy.kind == "mlp")
            == (False, "next_token", False),
            "a reward model needs conventions.prompt_in_response false, conventions.scoring 'next_token' and another "
            "policy kind than 'mlp'",
        )

    def _check_reference(self) -> None:
        whole("reference_every", self.reference_every, 0)
        check_reference(self._values_of("reference_every"), self._values_of("reference_decay"), self.conventions)

    def _values_of(self, name: str) -> tuple[float, ...]:
        return dict(self.vary).get(name, (float(getattr(self, name)),))

    @property
    def reference_moves(self) -> bool:
        """Whether the reference of any run does."""
        return any(value > 0 for value in self._values_of("reference_every"))

    def _check_vary(self) -> None:
        pairs = isinstance(self.vary, tuple | list) and all(
            isinstance(axis, tuple | list) and len(axis) == 2 for axis in self.vary
        )
        require(pairs, f"vary must say which values a hyper-parameter takes, {{'tau': [0.05, 0.1]}}, got {self.vary!r}")
        object.__setattr__(self, "vary", tuple((name, number_list(name, values)) for name, values in self.vary))

    def _check_methods(self) -> None:
        require(len(self.methods) > 0, "methods must name at least one method")
        variants = self.variants
        names = [v.name for v in variants]
        require(len(set(names)) == len(names), f"methods must differ, got {self.methods}")
        for v in variants:
            # The bandit's rewards are no labels of good and bad: which one is good is said by the others alone.
            least = max(v.method.min_responses, 2 if "unpaired labels" in v.method.needs else 1)
            require(
                self.algorithm.responses_per_prompt >= least,
                f"{v.name} compares responses: responses_per_prompt must be at least {least}, "
                f"got {self.algorithm.responses_per_prompt}",
            )
            require(
                v.method.drawn_from == "policy"
                or (self.conventions.reference_model, self.conventions.scoring, self.conventions.frozen_copies)
                == ("exact", "next_token", "whole"),
                f"{v.name} draws from a mixture with the reference's own distribution: it needs "
                "conventions.reference_model 'exact', conventions.scoring 'next_token' and conventions.frozen_copies "
                "'whole'",
            )
        require(
            not self.method_learning_rates or len(self.method_learning_rates) == len(self.methods),
            f"method_learning_rates must have one entry per method, {len(self.methods)}, "
            f"got {len(self.method_learning_rates)}",
        )
        require(
            not (self.method_learning_rates and self.learning_rates),
            "give learning_rates (a grid) or method_learning_rates (one per method), not both",
        )

    def _check_numbers(self) -> None:
        for rate in (*self.learning_rates, *self.method_learning_rates):
            positive("learning_rate", rate)
        require(len({name for name, _ in self.vary}) == len(self.vary), "vary: each hyper-parameter can be varied once")
        require(
            not (self.learning_rates or self.method_learning_rates)
            or self.hyper.learning_rate == HyperParameters().learning_rate,
            f"learning_rate {self.hyper.learning_rate} would be ignored beside a grid: set one of the two",
        )
        swept = [(name, v) for name, values in self.vary for v in values]
        may_vary = HYPER_RANGES | REFERENCE_RANGES
        for name, values in self.vary:
            require(name in may_vary, f"vary: {name!r} is not a hyper-parameter; they are {', '.join(may_vary)}")
            require(name != "learning_rate", "vary: use learning_rates for the learning rate")
            require(len(values) > 0, f"vary: {name} needs at least one value")
            require(len(set(values)) == len(values), f"vary: the values of {name} must differ, got {values}")
        require(
            len(set(self.learning_rates)) == len(self.learning_rates),
            f"learning_rates must differ, got {self.learning_rates}",
        )
        own = [(name, getattr(self.hyper, name)) for name in HYPER_RANGES]
        for name, value in own + swept:
            may_vary[name].check(name, value)

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
            methods=tuple(dict.fromkeys(v.method for v in self.variants)),
            conventions=self.conventions,
            policy=self.policy,
            pretraining=self.pretraining,
            algorithm=self.algorithm,
            evaluation=self.evaluation,
            reward_model=self.reward_model,
            reference_moves=self.reference_moves,
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
            data = parse_json(text, "the configuration")
            nested = {
                "reference": ReferenceRecipe,
                "conventions": Conventions,
                "policy": PolicyConfig,
                "pretraining": PretrainingConfig,
                "algorithm": AlgorithmConfig,
                "evaluation": EvaluationConfig,
                "reward_model": RewardModelConfig,
                "hyper": HyperParameters,
            }
            data.setdefault("reward_model", {})  # younger than results that are stored
            for name, kind in nested.items():
                data[name] = kind(**{k: _tuples(v) for k, v in data[name].items()})
            return cls(**{k: _tuples(v) if k not in nested else v for k, v in data.items()})
        except KeyError as error:
            raise ValueError(f"not a configuration of this version of modeseek: it has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a configuration of this version of modeseek: {error}") from error


def own_samples(experiment: Experiment) -> str:
    """Which methods do not see the behavior policies that were asked for, as a sentence; empty if there are none."""
    names = [v.name for v in experiment.variants if v.on_policy]
    if not names or experiment.behaviors == (REFERENCE,):
        return ""
    return f"note: {', '.join(names)}: on-policy, so that behaviors ({', '.join(experiment.behaviors)}) change nothing"


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that frozen dataclasses hold."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

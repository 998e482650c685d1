"""Algorithm 1 on language models: collect → label → step, a loop on the host over compiled programs.

The knobs have the bandit's names. On-policy, the policy answers prompts and a reward function judges; offline, prompts
come with responses. Either way a collection is labelled once, and `inner_steps` passes of gradient steps are taken on
it. Samples stay the ids that were drawn: nothing is tokenised again, and the EOS that ends a response is learnt.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from modeseek.bandit.objectives import advantages
from modeseek.checks import require, whole
from modeseek.llm.data.order import BEGINNING, Position, batches, order
from modeseek.llm.data.rows import MULTIPLE, Rows, pad_rows, padded_length
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.batched import Stops, generate_rows
from modeseek.llm.inference.padding import check_ids
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.parameters import Params
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.objective import Labelled, make_method_step, make_scorer
from modeseek.llm.training.optimizer import State, start
from modeseek.llm.training.trainable import AllParameters, Trainable
from modeseek.llm.training.tune_config import TuneConfig

Reward = Callable[[Sequence[Example]], np.ndarray]
"""Prompts with up to N responses each → a finite reward for each response, `[P, N]`; anything where there is none."""

Record = dict[str, Any]
"""Numbers of a gradient step, a collection or an evaluation, by name; all of them are finite."""

OTHER_STREAM = 2**32
"""Added to the seed where rows of a collection are shuffled, so that this order is not that of the data."""


class TuneState(NamedTuple):
    """Everything that a run carries from one collection to the next.

    Attributes:
        learner: what is trained, and the optimizer's state; donated to the next step.
        moments: of all rewards before, for running standardisation.
        position: where the data stands.
        collection: collections so far.
        step: gradient steps so far.
    """

    learner: State
    moments: advantages.RunningMoments
    position: Position = BEGINNING
    collection: int = 0
    step: int = 0


class Tuned(NamedTuple):
    """What a run gives.

    Attributes:
        params: the policy's, adapters merged.
        steps: gradient steps.
    """

    params: Params
    steps: int


_standardize = jax.jit(advantages.standardize_by)


class Algorithm1:
    """The loop's programs and what they share; `tune` turns it, and whoever wants to save between turns may do so.

    Args:
        policy: the start; its parameters are not given up.
        data: prompts; with responses, the chosen one first in a pair, wherever they are not all sampled.
        config: see there.
        reward: judges responses, those of the data too. Without one, the data's own preferences are the rewards: 1 for
            a chosen or a good response, 0 for a rejected or a bad one.
        reference: the policy at the start, if None.
        eos: ids that end a sampled response.
        pad: the id that fills rows up.
        optimizer: any of optax's; Adam at `config.hyper.learning_rate`, if None.

    Raises:
        ValueError: fewer prompts than a collection takes, ids or lengths that the model cannot read, more responses
            than `responses_per_prompt`, or nothing that says which responses are good.
    """

    def __init__(
        self,
        policy: ModelWithParams,
        data: Sequence[Example],
        config: TuneConfig,
        *,
        reward: Reward | None = None,
        reference: Params | None = None,
        eos: Sequence[int] = (),
        pad: int = 0,
        optimizer: optax.GradientTransformation | None = None,
    ) -> None:
        check_data(policy.model.config, data, config, judged=reward is not None, eos=eos)
        self.policy, self.data, self.config = policy, data, config
        self.reward = preferences if reward is None else reward
        self.eos, self.pad, self.optimizer = eos, pad, optimizer
        self.reference = policy.params if reference is None else reference
        sizes = policy.model.config
        loss = CrossEntropy(policy.model, config.chunk)
        self.trainable: Trainable = lora.Adapters(sizes) if config.lora_rank else AllParameters(sizes)
        self.frozen = lora.Frozen(policy.params, config.lora_scale) if config.lora_rank else None
        accumulate = config.accumulate
        self.step = make_method_step(
            config.variant.method,
            loss,
            self.trainable,
            options=config.options,
            optimizer=optimizer,
            accumulate=accumulate,
        )
        # As many rows at once as in a gradient step.
        whole_parts = accumulate * (config.samples_per_collection // config.minibatch_size)
        self.score = make_scorer(loss, self.trainable, accumulate=whole_parts)
        self.score_reference = make_scorer(loss, AllParameters(sizes), accumulate=whole_parts)

    def start(self) -> TuneState:
        """A run before its first collection."""
        config = self.config
        if config.lora_rank:
            key = jax.random.fold_in(jax.random.key(config.seed), 0)
            trained = lora.init(self.policy.model.config, config.lora_rank, key=key)
        else:
            trained = jax.tree.map(jnp.copy, self.policy.params)  # each step takes the last one's over
        return TuneState(start(trained, self.optimizer), advantages.RunningMoments.empty())

    def params(self, state: TuneState) -> Params:
        """The policy's parameters as plain ones, adapters merged."""
        trained = state.learner.params
        return lora.merge(self.policy.params, trained, self.config.lora_scale) if self.config.lora_rank else trained

    def turn(self, state: TuneState, report: Callable[[Record], None] = lambda record: None) -> TuneState:
        """One collection, and the gradient steps on it.

        Args:
            state: given up.
            report: takes a record of the collection (`reward`, `length`, `ended`: the means over its responses, and
                `generate_seconds`, `score_seconds`), then one of each gradient step (`step_metrics`, `gradient_norm`,
                `update_seconds`).

        Raises:
            ValueError: a loss or a gradient that is not finite; phase, step and rows are named. The parameters are
                those before that step.
        """
        began = time.monotonic()
        examples, sampled, position = self.collect(state)
        generated = time.monotonic()
        rewards = self._rewards(examples)
        labelled, moments = self.label(state, examples, sampled, rewards)
        real = np.asarray(labelled.real)
        answers = [response for example in examples for response in example.responses]
        scored = time.monotonic()
        state = state._replace(moments=moments, position=position, collection=state.collection + 1)
        report(
            {
                "collection": state.collection,
                "step": state.step,
                "reward": float(rewards[real].mean()),
                "length": float(np.mean([len(ids) for ids in answers])),
                "ended": float(np.mean([len(ids) > 0 and ids[-1] in self.eos for ids in answers])),
                "generate_seconds": round(generated - began, 3),
                "score_seconds": round(scored - generated, 3),
            }
        )
        for rows in self._minibatches(state):
            began = time.monotonic()
            minibatch = trimmed(labelled, rows, self.config.length_multiple)
            learner, numbers = self.step(state.learner, minibatch, self.config.hyper, self.frozen)
            state = state._replace(learner=learner, step=state.step + 1)
            found = {name: float(number) for name, number in jax.device_get(numbers).items()}
            self._check_finite(found, state, rows)
            if not sampled.all():  # an estimate from the policy's own samples, which these are not
                found.pop("kl_to_reference", None)
            finite = {name: number for name, number in found.items() if math.isfinite(number)}  # NaN: there is no pair
            seconds = round(time.monotonic() - began, 3)
            report({"collection": state.collection, "step": state.step, **finite, "update_seconds": seconds})
        return state

    def collect(self, state: TuneState) -> tuple[list[Example], np.ndarray, Position]:
        """Prompts with their responses, which of them the policy answered itself, and where the data stands then."""
        config = self.config
        size = config.prompts_per_collection
        rows, position = next(batches(len(self.data), size, seed=config.seed, start=state.position))
        sampled = np.arange(size) < config.sampled_prompts
        asked = [self.data[i].prompt for i in rows[sampled]]
        return [*self._answered(state, asked), *(self.data[i] for i in rows[~sampled])], sampled, position

    def _answered(self, state: TuneState, prompts: Sequence[np.ndarray]) -> list[Example]:
        """C responses of the policy to each prompt, as the ids that were drawn."""
        if not prompts:
            return []
        config, model = self.config, self.policy.model
        responses = generate_rows(
            model,
            model.for_decoding(self.trainable.complete(state.learner.params, self.frozen)),
            [prompt.tolist() for prompt in prompts],
            config.max_new_tokens,
            key=jax.random.fold_in(jax.random.key(config.seed), 1 + state.collection),
            samples=config.responses_per_prompt,
            batch=config.generation_batch,
            stops=Stops([[token] for token in self.eos]),
        )
        ids = [np.array(response.response_ids, np.int32) for response in responses]
        count = config.responses_per_prompt
        return [Example(prompt, tuple(ids[i * count : (i + 1) * count])) for i, prompt in enumerate(prompts)]

    def _rewards(self, examples: Sequence[Example]) -> np.ndarray:
        """`[P, C]`; 0 where there is no response.

        Raises:
            ValueError: another shape, or a reward that is not finite; the response is named.
        """
        found = np.asarray(self.reward(examples), np.float32)
        most, count = max(len(example.responses) for example in examples), self.config.responses_per_prompt
        require(
            found.shape in ((len(examples), most), (len(examples), count)),
            f"the reward must be one number a response, ({len(examples)}, {most}), got the shape {found.shape}",
        )
        rewards = np.zeros((len(examples), count), np.float32)
        for p, example in enumerate(examples):
            for n in range(len(example.responses)):
                require(math.isfinite(found[p, n]), f"the reward of prompt {p}, response {n} is {found[p, n]}")
                rewards[p, n] = found[p, n]
        return rewards

    def label(
        self, state: TuneState, examples: Sequence[Example], sampled: np.ndarray, rewards: np.ndarray
    ) -> tuple[Labelled, advantages.RunningMoments]:
        """Score a collection under the policy that sampled and under the reference; rewards become advantages.

        The data's responses are taken for the reference's own, as in the paper: that is their behavior policy.
        """
        config = self.config
        rows = pad_rows(examples, pad=self.pad, multiple=config.length_multiple)
        rows = config.conventions.targets(_widened(rows, config.responses_per_prompt), self.eos)
        data = Labelled(*rows)
        reference = behavior = self.score_reference(self.reference, data)
        policy = reference
        if sampled.any():
            policy = self.score(state.learner.params, data, self.frozen)
            behavior = jnp.where(jnp.asarray(sampled)[:, None, None], policy, reference)
        labels = jnp.asarray(rewards)
        if config.hyper.kl_coefficient:  # eq. 2 is of the policy that is trained, whoever answered
            log_probs, prior = policy.sum(axis=-1), reference.sum(axis=-1)
            labels = advantages.kl_shaped_rewards(labels, log_probs, prior, config.hyper.kl_coefficient)
        index = jnp.asarray(advantages.STANDARDIZATIONS.index(config.standardization))
        standardized, moments = _standardize(index, labels, state.moments, jnp.asarray(rows.real))
        arrays = jax.device_get((behavior, reference, labels, standardized))
        return Labelled(*rows, *arrays), moments

    def _minibatches(self, state: TuneState) -> Iterator[np.ndarray]:
        """Prompts of a collection, in a new order for each pass."""
        config, size = self.config, self.config.prompts_per_minibatch
        prompts = config.prompts_per_collection
        for number in range(config.inner_steps):
            epoch = (state.collection - 1) * config.inner_steps + number
            shuffled = order(config.seed + OTHER_STREAM, epoch, prompts)
            if size == prompts:  # one minibatch: order means nothing
                shuffled = np.arange(prompts)
            yield from (shuffled[i : i + size] for i in range(0, prompts, size))

    def _check_finite(self, numbers: Mapping[str, float], state: TuneState, rows: np.ndarray) -> None:
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(numbers[name]):
                shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
                raise ValueError(
                    f"the {name.replace('_', ' ')} of {self.config.variant.name} is {numbers[name]} at update "
                    f"{state.step} (collection {state.collection}, prompts {shown} of it): take a lower learning rate, "
                    "or clip the gradient"
                )


def tune(
    policy: ModelWithParams,
    data: Sequence[Example],
    config: TuneConfig,
    *,
    reward: Reward | None = None,
    reference: Params | None = None,
    eos: Sequence[int] = (),
    pad: int = 0,
    optimizer: optax.GradientTransformation | None = None,
    evaluate: Callable[[Params, int], Mapping[str, float]] | None = None,
    evaluate_every: int = 10,
    report: Callable[[Record], None] = lambda record: None,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda items: items,
) -> Tuned:
    """Algorithm 1 from its first collection to its last.

    Args:
        policy: as `Algorithm1` takes it, and so are data, config, reward, reference, eos, pad and optimizer.
        data: prompts, with responses where they are not sampled.
        config: see there.
        reward: judges responses.
        reference: the policy at the start, if None.
        eos: ids that end a sampled response.
        pad: the id that fills rows up.
        optimizer: any of optax's.
        evaluate: parameters and gradient steps so far → numbers; before the first collection, at every
            `evaluate_every`-th and at the last.
        evaluate_every: in collections.
        report: takes the records of `Algorithm1.turn`, and one of each evaluation, with `evaluate_seconds`.
        progress: wraps the numbers of the collections.

    Raises:
        ValueError: as `Algorithm1` and its `turn`.
    """
    whole("evaluate_every", evaluate_every, 1)
    loop = Algorithm1(policy, data, config, reward=reward, reference=reference, eos=eos, pad=pad, optimizer=optimizer)
    state = loop.start()

    def measure(state: TuneState) -> None:
        if evaluate is None:
            return
        began = time.monotonic()
        numbers = dict(evaluate(loop.params(state), state.step))
        seconds = round(time.monotonic() - began, 3)
        report({"collection": state.collection, "step": state.step, **numbers, "evaluate_seconds": seconds})

    measure(state)
    for number in progress(range(1, config.collections + 1)):
        state = loop.turn(state, report)
        if number % evaluate_every == 0 or number == config.collections:
            measure(state)
    return Tuned(loop.params(state), state.step)


def preferences(examples: Sequence[Example]) -> np.ndarray:
    """The data's own word, `[P, N]`: 1 for the first response or a good one, 0 for the others."""
    rewards = np.zeros((len(examples), max(len(example.responses) for example in examples)), np.float32)
    for p, example in enumerate(examples):
        rewards[p, 0] = 1.0 if example.label is None else float(example.label)
    return rewards


def trimmed(data: Labelled, prompts: np.ndarray, multiple: int = MULTIPLE) -> Labelled:
    """Some prompts of a collection, their rows no longer than they need to be."""
    length = min(padded_length(int(data.lengths[prompts].max()), multiple), data.tokens.shape[-1])
    wide = {"tokens": length, "behavior_log_probs": length - 1, "reference_log_probs": length - 1}

    def cut(name: str, array: Any) -> Any:
        return None if array is None else array[prompts][..., : wide[name]] if name in wide else array[prompts]

    return Labelled(**{name: cut(name, array) for name, array in data._asdict().items()})


def _widened(rows: Rows, count: int) -> Rows:
    """Rows with room for `count` responses a prompt; those that are not there have one token and no target."""
    missing = count - rows.tokens.shape[1]
    fill = lambda array, value: np.pad(
        array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2), constant_values=value
    )
    return Rows(fill(rows.tokens, 0), fill(rows.lengths, 1), fill(rows.starts, 1), fill(rows.real, False))


def check_data(
    sizes: ModelConfig, data: Sequence[Example], config: TuneConfig, *, judged: bool, eos: Sequence[int]
) -> None:
    """Refuse data that Algorithm 1 cannot run on, before anything is loaded.

    Args:
        sizes: of the model.
        data: as `Algorithm1` takes it.
        config: see there.
        judged: whether there is a reward function.
        eos: ids that end a sampled response.

    Raises:
        ValueError: as `Algorithm1`.
    """
    method, count, size = config.variant.method, config.responses_per_prompt, config.prompts_per_collection
    require(
        len(data) >= size,
        f"a collection takes {size} prompts (samples_per_collection / responses_per_prompt), but there are {len(data)}",
    )
    if config.sampled_prompts:
        require(judged, f"{config.variant.name} samples responses: a reward function must judge them")
        require(len(eos) > 0, "there is no EOS that could end a sampled response")
        check_ids([example.prompt.tolist() for example in data], sizes, new_tokens=config.max_new_tokens)
    if config.sampled_prompts == size:
        return
    for number, example in enumerate(data):
        found = len(example.responses)
        require(
            1 <= found <= count,
            f"prompt {number} has {found} responses, but between 1 and {count} (responses_per_prompt) are needed",
        )
        require(
            found >= method.min_responses,
            f"{method.name} compares responses, and prompt {number} has {found}, not {method.min_responses}",
        )
        require(
            found > 1 or "groups" not in method.needs,
            f"{method.name} ranks a prompt's responses: prompt {number} has one, learnt even if it is bad",
        )
        says = judged or found > 1 or example.label is not None or not method.needs
        require(says, f"{method.name} needs rewards: nothing says how good the response to prompt {number} is")
    check_ids([[*e.prompt.tolist(), *ids.tolist()] for e in data for ids in e.responses], sizes, name="row")

"""Algorithm 1 on language models: collect → label → step, a loop on the host over compiled programs.

The knobs have the bandit's names. On-policy, the policy answers prompts and a reward function judges; offline, prompts
come with responses. Either way a collection is labelled once, and `inner_steps` passes of gradient steps are taken on
it. Samples stay the ids that were drawn: nothing is tokenised again, and the EOS that ends a response is learnt.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from modeseek.bandit.objectives import advantages
from modeseek.llm.data.order import BEGINNING, Position, batches
from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.batched import Stops, generate_rows
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.low_rank import Adapter, merge
from modeseek.llm.models.parameters import Params
from modeseek.llm.training import labels, lora, value_head
from modeseek.llm.training.collection import (
    Reward,
    check_data,
    lengths_and_ends,
    minibatches,
    preferences,
    rewards_of,
    trimmed,
    with_room,
)
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.objective import Labelled, as_scored, make_method_step, make_scorer, target_mask
from modeseek.llm.training.optimizer import State, start, widened
from modeseek.llm.training.placement import check_placement, placed
from modeseek.llm.training.step import state_shardings
from modeseek.llm.training.trainable import AllParameters, Trainable
from modeseek.llm.training.truncated import with_truncated
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.processes import gathered

Record = dict[str, Any]
"""Numbers of a gradient step, a collection or an evaluation, by name; all of them are finite."""


class TuneState(NamedTuple):
    """Everything that a run carries from one collection to the next.

    Attributes:
        learner: what is trained, and the optimizer's state; donated to the next step.
        moments: of all rewards before, for running standardisation.
        kl_coefficient: β of eq. 2, which may follow the KL.
        position: where the data stands.
        collection: collections so far.
        step: gradient steps so far.
        reference: what the policy is compared with, where it moves; None where it stays what `Algorithm1` was given.
    """

    learner: State
    moments: advantages.RunningMoments
    kl_coefficient: Float[Array, ""]
    position: Position = BEGINNING
    collection: int = 0
    step: int = 0
    reference: Params | None = None


class Algorithm1:
    """The loop's programs and what they share; `modeseek.llm.training.tune` turns it, a collection at a time.

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
        mesh: where parameters and state live, of this process's devices or of several hosts'; one device, if None.

    Raises:
        ValueError: fewer prompts than a collection takes, ids or lengths that the model cannot read, more responses
            than `responses_per_prompt`, nothing that says which responses are good, or a mesh that does not divide the
            model or the rows.
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
        mesh: jax.sharding.Mesh | None = None,
    ) -> None:
        check_data(policy.model.config, data, config, judged=reward is not None, eos=eos)
        reference = policy.params if reference is None else reference
        if mesh is not None:
            check_placement(policy, mesh, config)
            policy, reference = placed(policy, mesh), placed(policy._replace(params=reference), mesh).params
        self.policy, self.data, self.config, self.mesh = policy, data, config, mesh
        self.reward = preferences if reward is None else reward
        self.eos, self.pad, self.optimizer = eos, pad, optimizer
        self.reference = reference
        sizes = policy.model.config
        loss = CrossEntropy(policy.model, config.chunk)
        self.trainable: Trainable = lora.Adapters(sizes) if config.lora_rank else AllParameters(sizes)
        if config.valued:
            self.trainable = value_head.WithValueHead(self.trainable, sizes)
        self.frozen = lora.Frozen(policy.params, config.lora_scale) if config.lora_rank else None
        accumulate = config.accumulate
        self.step = make_method_step(
            config.variant.method,
            loss,
            self.trainable,
            options=config.options,
            values=config.value.numbers,
            optimizer=optimizer,
            mesh=mesh,
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
        if config.valued:
            trained = {"policy": trained, "value": value_head.init(self.policy.model.config)}
        coefficient = jnp.asarray(config.hyper.kl_coefficient, jnp.float32)
        reference = jax.tree.map(jnp.copy, self.reference) if config.reference_every else None
        moments = advantages.RunningMoments.empty()
        learner = start(trained, self.optimizer)
        if self.mesh is not None:
            learner = jax.device_put(learner, state_shardings(self.trainable, self.mesh, self.optimizer))
        return TuneState(learner, moments, coefficient, reference=reference)

    def params(self, state: TuneState) -> Params:
        """The policy's parameters as plain ones, adapters merged, without a value head."""
        adapter = self.adapter(state)
        return self._trained(state) if adapter is None else merge(self.policy.params, *adapter)

    def adapter(self, state: TuneState) -> Adapter | None:
        """What is trained beside the start's own parameters; None if all of them are."""
        return Adapter(self._trained(state), self.config.lora_scale) if self.config.lora_rank else None

    def _trained(self, state: TuneState) -> Params:
        return state.learner.params["policy"] if self.config.valued else state.learner.params

    def turn(self, state: TuneState, report: Callable[[Record], None] = lambda record: None) -> TuneState:
        """One collection, and the gradient steps on it.

        Args:
            state: given up.
            report: takes a record of the collection (`reward`, `length`, `ended`: the means over its responses,
                `kl_coefficient` and `sampled_kl` where the rewards have the KL in them, and
                `generate_seconds`, `score_seconds`), then one of each gradient step (`step_metrics`, `gradient_norm`,
                `length`, `ended`, `update_seconds`).

        Raises:
            ValueError: a loss or a gradient that is not finite; phase, step and rows are named. The parameters are
                those before that step.
        """
        began = time.monotonic()
        examples, sampled, position = self.collect(state)
        generated = time.monotonic()
        # β may follow the KL; it is the loop's or the loss's, as the method has it.
        hyper = dataclasses.replace(self.config.hyper, kl_coefficient=float(state.kl_coefficient))
        rewards = rewards_of(self.reward, examples, self.config.responses_per_prompt)
        labelled, carried = self.label(state, examples, sampled, rewards)
        there = np.arange(rewards.shape[1]) < np.array([len(each.responses) for each in examples])[:, None]
        scored = time.monotonic()
        penalty = {"kl_coefficient": float(state.kl_coefficient), "sampled_kl": float(carried.kl)}
        state = state._replace(
            moments=carried.moments,
            kl_coefficient=carried.kl_coefficient,
            position=position,
            collection=state.collection + 1,
        )
        report(
            {
                "collection": state.collection,
                "step": state.step,
                "reward": float(rewards[there].mean()),
                **lengths_and_ends(examples, self.eos),
                **(penalty if self.config.hyper.kl_coefficient else {}),
                "generate_seconds": round(generated - began, 3),
                "score_seconds": round(scored - generated, 3),
            }
        )
        for number, rows in enumerate(minibatches(self.config, state.collection)):
            began = time.monotonic()
            minibatch = trimmed(labelled, rows, self.config.length_multiple)
            # The policy that sampled all of them has not moved yet: they were scored when they were labelled.
            known = as_scored(minibatch) if number == 0 and sampled.all() else None
            learner, numbers = self.step(state.learner, minibatch, hyper, self.frozen, known)
            state = state._replace(learner=learner, step=state.step + 1)
            found = {name: float(number) for name, number in jax.device_get(numbers).items()}
            self._check_finite(found, state, rows)
            if not sampled.all():  # estimates from the policy's own samples, which these are not
                for name in ("kl_to_reference", "sampled_entropy"):
                    found.pop(name, None)
            found |= lengths_and_ends([examples[i] for i in rows], self.eos)
            finite = {name: number for name, number in found.items() if math.isfinite(number)}  # NaN: there is no pair
            seconds = round(time.monotonic() - began, 3)
            report({"collection": state.collection, "step": state.step, **finite, "update_seconds": seconds})
        if state.reference is not None and state.collection % self.config.reference_every == 0:
            moved = _moved(state.reference, self.params(state), self.config.reference_decay)
            state = state._replace(reference=moved)
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

    def label(
        self, state: TuneState, examples: Sequence[Example], sampled: np.ndarray, rewards: np.ndarray
    ) -> tuple[Labelled, labels.Carried]:
        """Score a collection under the policy that sampled and under the reference; rewards become advantages.

        The data's responses are taken for the first reference's own, as in the paper: that is their behavior policy.
        """
        config = self.config
        rows = with_room(pad_rows(examples, pad=self.pad, multiple=config.length_multiple), config.responses_per_prompt)
        rows, rewards = with_truncated(config, rows, rewards, self.eos)
        rows = config.conventions.targets(rows, self.eos)
        data = Labelled(*rows)
        policy = reference = first = gathered(self.score_reference(state.reference or self.reference, data))
        if state.reference is not None and not sampled.all():
            first = gathered(self.score_reference(self.reference, data))
        if sampled.any():
            policy = gathered(self.score(state.learner.params, data, self.frozen))
        behavior = jnp.where(jnp.asarray(sampled)[:, None, None], policy.log_probs, first.log_probs)
        scores = labels.TokenScores(target_mask(data), policy.log_probs, reference.log_probs, policy.values)
        judged = jnp.asarray(rewards), jnp.asarray(rows.real), sampled, scores
        found, carried = labels.label(config, *judged, state.moments, state.kl_coefficient)
        arrays = (behavior, reference.log_probs, found.rewards, found.advantages, policy.values, found.returns)
        return Labelled(*rows, *jax.device_get(arrays)), carried

    def _check_finite(self, numbers: Mapping[str, float], state: TuneState, rows: np.ndarray) -> None:
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(numbers[name]):
                shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
                raise ValueError(
                    f"the {name.replace('_', ' ')} of {self.config.variant.name} is {numbers[name]} at update "
                    f"{state.step} (collection {state.collection}, prompts {shown} of it): take a lower learning rate, "
                    "or clip the gradient"
                )


@functools.partial(jax.jit, donate_argnums=0)
def _moved(reference: Params, policy: Params, decay: float | Array) -> Params:
    """decay · reference + (1 - decay) · policy, added in at least float32."""
    wide = optax.incremental_update(widened(policy), widened(reference), 1 - decay)
    return jax.tree.map(lambda new, old: new.astype(old.dtype), wide, reference)

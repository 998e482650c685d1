"""A reward that is learnt from comparisons: the proxy which a policy is trained on, beside the gold reward.

Its data are the behavior policy's: two responses to each prompt, of which one is preferred, at the odds that
`objectives.labels` says. What is learnt is a reward of each token after its prefix, and a response is worth their mean,
as under the gold reward; so the expectation of the proxy, too, is exact along sampled prefixes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.labels import noisy_labels
from modeseek.bandit.objectives.log_probs import gather, shift
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.optimizer import adam
from modeseek.bandit.simulator.policy import Params, gpt_policy
from modeseek.bandit.simulator.problem import response_rewards, sample_prompts
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.sampling import sample_table


class RewardModel(NamedTuple):
    """A learnt reward.

    Attributes:
        params: of its network.
        offset: added to every response. Comparisons do not see it; it is such that the responses which the model was
            fitted on earn on average what they earn by the gold reward.
    """

    params: Params
    offset: Float[Array, ""]


class Network(NamedTuple):
    """A class of rewards.

    Attributes:
        init: `(key) → params`; consumes the key.
        token_rewards: `(params, tokens [B, T]) → [B, T, V]`, the reward of each token that may come next.
    """

    init: Callable[[jax.Array], Params]
    token_rewards: Callable[[Params, Array], Any]


def reward_network(config: Static) -> Network:
    """The class that the configuration asks for: one number a token, which holds the truth, or GPT-Nano, of the
    policy's size, whose outputs are read as rewards and not as logits."""
    if config.reward_model.kind == "gpt":
        sizes = config.policy
        policy = gpt_policy(config.vocab_size, config.input_length, sizes.layers, sizes.heads, sizes.width)
        return Network(policy.init, policy.logits)

    def init(key: jax.Array) -> Params:
        return jnp.zeros(config.vocab_size)

    def token_rewards(params: Params, tokens: Array) -> Array:
        return jnp.broadcast_to(params[None, None], (*tokens.shape, config.vocab_size))

    return Network(init, token_rewards)


def proxy_rewards(model: RewardModel, tokens: Int[Array, "B S"], config: Static) -> Float[Array, "B"]:
    """The learnt reward of each response; its prompt comes first."""
    return model.offset + _scores(model.params, tokens, config)


def expected_proxy(
    model: RewardModel, tokens: Int[Array, "B S"], all_log_probs: Float[Array, "B T V"], config: Static
) -> Float[Array, "B"]:
    """Its expectation along a sampled response, exact given each prefix."""
    rewards = reward_network(config).token_rewards(model.params, tokens[:, :-1])
    expected: Array = model.offset + (jnp.exp(all_log_probs) * rewards).sum(axis=-1).mean(axis=-1)
    return expected


def _scores(params: Params, tokens: Int[Array, "*B S"], config: Static) -> Float[Array, "*B"]:
    inputs, targets = shift(tokens.reshape(-1, tokens.shape[-1]))
    rewards = gather(reward_network(config).token_rewards(params, inputs), targets)
    return rewards.mean(axis=-1).reshape(tokens.shape[:-1])


class Comparisons(NamedTuple):
    """Pairs of responses to the same prompts, the preferred one first, and the mean gold reward of them all."""

    tokens: Int[Array, "P 2 S"]
    mean_reward: Float[Array, ""]


def compare(run: Run, config: Static, *, key: jax.Array) -> Comparisons:
    """Draw the data of a reward model; the key is consumed."""
    prompt_key, sample_key, label_key = jax.random.split(key, 3)
    prompts = sample_prompts(config.reward_model.comparisons, config.prompt_count, key=prompt_key)
    tokens = sample_table(run.behavior.log_probs, jnp.repeat(prompts, 2), config.new_tokens, key=sample_key)
    rewards = response_rewards(tokens, run.problem.token_rewards, config.conventions.prompt_in_response)
    labels = noisy_labels(rewards.reshape(-1, 2), run.hyper.label_temperature, key=label_key)
    first = jnp.where(labels[:, 0] >= labels[:, 1], 0, 1)
    order = jnp.stack([first, 1 - first], axis=1)
    pairs = tokens.reshape(*labels.shape, -1)
    return Comparisons(jnp.take_along_axis(pairs, order[..., None], axis=1), rewards.mean())


def comparison_loss(
    params: Params, pairs: Int[Array, "P 2 S"], temperature: Float[Array, ""], config: Static
) -> Float[Array, ""]:
    """-log likelihood of the comparisons, nats each: -log σ((f(chosen) - f(rejected)) / temperature), their mean."""
    scores = _scores(params, pairs, config)
    return -jax.nn.log_sigmoid((scores[:, 0] - scores[:, 1]) / temperature).mean()


def fit_reward_model(run: Run, config: Static, *, key: jax.Array) -> RewardModel:
    """Maximum likelihood by Adam, its rate falling to 0 along a cosine; the key is consumed.

    A table begins at zero, so that tokens which no comparison holds keep the mean reward of the data.

    Args:
        run: its behavior policy, gold rewards and label temperature.
        config: static configuration.
        key: of the data, of a network's first parameters and of minibatches.
    """
    numbers, network = config.reward_model, reward_network(config)
    data_key, init_key, batch_key = jax.random.split(key, 3)
    data = compare(run, config, key=data_key)
    optimizer = adam()

    def step(carry: tuple[Params, Any], count: Array) -> tuple[tuple[Params, Any], None]:
        params, state = carry
        pairs = data.tokens
        if numbers.minibatch_size < numbers.comparisons:
            rows = jax.random.randint(
                jax.random.fold_in(batch_key, count), (numbers.minibatch_size,), 0, numbers.comparisons
            )
            pairs = pairs[rows]
        gradient = jax.grad(comparison_loss)(params, pairs, run.hyper.label_temperature, config)
        updates, state = optimizer.update(gradient, state)
        size = numbers.learning_rate * 0.5 * (1.0 + jnp.cos(jnp.pi * count.astype(jnp.float32) / numbers.steps))
        return (jax.tree.map(lambda p, u: p - size * u, params, updates), state), None

    params = network.init(init_key)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(numbers.steps))
    return RewardModel(params, data.mean_reward - _scores(params, data.tokens, config).mean())

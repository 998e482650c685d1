"""Fifty steps of DPO, IPO, RWR and PPO beside an implementation in torch that shares nothing with ours but numbers.

The network is transformers' own; losses are loops over single responses and tokens; AdamW is torch's. What a later
change does to any of mask, shift, EOS, accumulation, reference or update drives the two apart.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, params_of, torch_model

from modeseek.bandit.objectives.advantages import RunningMoments
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import METHODS
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training import labels, value_head
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.objective import Labelled, make_method_step, make_scorer, target_mask
from modeseek.llm.training.optimizer import start
from modeseek.llm.training.trainable import AllParameters
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS, KLControl, TuneConfig, ValueConfig

torch = pytest.importorskip("torch", reason="torch is the other implementation")
pytestmark = pytest.mark.slow

CASE, STD, EOS = "pythia", 0.15, 2
MODEL = Model(config_from(CASES[CASE]))
P, N, S, STEPS, PASSES = 4, 2, 12, 50, 5
RATE, DECAY = 1e-3, 0.05
HYPER = HyperParameters(learning_rate=RATE, beta=0.2, tau=0.1, temperature=0.8, kl_coefficient=0.2)
VALUE = ValueConfig(coefficient=0.3, clip=0.3, gamma=0.95, lam=0.9)
CONTROL = KLControl(target=0.5, horizon=40)


@functools.cache
def rows():
    """Prompts of two lengths, responses of 1 to 9 tokens, EOS at the end of all but one, which was cut."""
    rng = np.random.default_rng(11)
    starts = np.repeat(np.array([[3], [2], [5], [3]], np.int32), N, axis=1)
    lengths = starts + np.array([[9, 1], [4, 6], [7, 3], [2, 5]], np.int32)
    tokens = rng.integers(3, 53, (P, N, S)).astype(np.int32)
    for p, n in np.ndindex(P, N):
        tokens[p, n, : starts[p, n]] = tokens[p, 0, : starts[p, 0]]
        if (p, n) != (2, 0):
            tokens[p, n, lengths[p, n] - 1] = EOS
    rewards = np.array([[0.3, -1.2], [0.8, 0.1], [-0.4, 2.0], [1.1, -0.7]], np.float32)
    return Labelled(tokens, lengths, starts, np.ones((P, N), bool), rewards=rewards)


def responses():
    """Prompt, response, and the columns of its tokens' log-probs."""
    given = rows()
    for p, n in np.ndindex(P, N):
        yield p, n, range(given.starts[p, n] - 1, given.lengths[p, n] - 1)


class Torch:
    """The other implementation: a policy with a value head, its reference, AdamW."""

    def __init__(self):
        torch.set_num_threads(1)  # threads that wait for each other's few numbers take longer than one
        self.model, self.reference = torch_model(CASE, std=STD), torch_model(CASE, std=STD)
        self.head = torch.nn.Linear(self.model.config.hidden_size, 1)
        for parameter in self.head.parameters():
            torch.nn.init.zeros_(parameter)
        trained = [*self.model.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY, eps=1e-8)

    def scored(self, model):
        """log π of every token after the first, and the value before it, one row at a time and nothing padded."""
        given, log_probs, values = rows(), {}, {}
        for p, n, columns in responses():
            ids = torch.tensor(given.tokens[p, n, : given.lengths[p, n]].astype(np.int64))[None]
            hidden = model.gpt_neox(ids).last_hidden_state[0]
            all_log_probs = torch.log_softmax(model.lm_head(hidden), dim=-1)
            for t in columns:
                log_probs[p, n, t] = all_log_probs[t, ids[0, t + 1]]
                values[p, n, t] = self.head(hidden[t])[0]
        return log_probs, values

    def step(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def pairs(self, compared):
        """The mean over a prompt's pairs of a function of the margin Σ log π/π_ref, chosen less rejected."""
        with torch.no_grad():
            reference, _ = self.scored(self.reference)
        losses = []
        for _ in range(STEPS):
            now, _ = self.scored(self.model)
            sums = {(p, n): sum(now[p, n, t] - reference[p, n, t] for t in ts) for p, n, ts in responses()}
            terms = []
            for p in range(P):
                best = int(rows().rewards[p].argmax())
                terms.append(compared(sums[p, best] - sums[p, 1 - best]))
            losses.append(self.step(sum(terms) / len(terms)))
        return losses

    def dpo(self):
        return self.pairs(lambda margin: torch.log1p(torch.exp(-HYPER.beta * margin)))

    def ipo(self):
        return self.pairs(lambda margin: (margin - 1 / (2 * HYPER.tau)) ** 2)

    def rwr(self):
        rewards = rows().rewards.astype(np.float64)
        weights = np.exp((rewards - rewards.mean()) / rewards.std(ddof=1) / HYPER.temperature)
        weights /= weights.mean()
        losses = []
        for _ in range(STEPS):
            now, _ = self.scored(self.model)
            terms = [-weights[p, n] * sum(now[p, n, t] for t in ts) for p, n, ts in responses()]
            losses.append(self.step(sum(terms) / len(terms)))
        return losses

    def ppo(self):
        """A new collection of the same responses after five steps: old scores, advantages and β are its own."""
        with torch.no_grad():
            reference, _ = self.scored(self.reference)
        rewards = rows().rewards.astype(np.float64)
        rewards = (rewards - rewards.mean()) / rewards.std(ddof=1)
        coefficient, losses = HYPER.kl_coefficient, []
        for _ in range(STEPS // PASSES):
            with torch.no_grad():
                old, old_values = self.scored(self.model)
            advantages, returns, kls = {}, {}, []
            for p, n, ts in responses():
                after, advantage = 0.0, 0.0
                kls.append(sum(float(old[p, n, t] - reference[p, n, t]) for t in ts))
                for t in reversed(ts):
                    reward = -coefficient * float(old[p, n, t] - reference[p, n, t])
                    reward += rewards[p, n] if t == ts[-1] else 0.0
                    delta = reward + VALUE.gamma * after - float(old_values[p, n, t])
                    advantage = delta + VALUE.gamma * VALUE.lam * advantage
                    after = float(old_values[p, n, t])
                    advantages[p, n, t], returns[p, n, t] = advantage, advantage + after
            drawn = np.array(list(advantages.values()))
            white = {k: (a - drawn.mean()) / drawn.std(ddof=1) for k, a in advantages.items()}
            for _ in range(PASSES):
                now, values = self.scored(self.model)
                surrogate, of_values = 0.0, 0.0
                for k, advantage in white.items():
                    ratio = torch.exp(now[k] - old[k])
                    clipped = torch.clamp(ratio, 1 - HYPER.clip_epsilon, 1 + HYPER.clip_epsilon)
                    surrogate = surrogate - torch.minimum(ratio * advantage, clipped * advantage)
                    near = torch.clamp(values[k], old_values[k] - VALUE.clip, old_values[k] + VALUE.clip)
                    errors = (values[k] - returns[k]) ** 2, (near - returns[k]) ** 2
                    of_values = of_values + 0.5 * torch.maximum(*errors)
                self.step((surrogate + VALUE.coefficient * of_values) / (P * N))
                losses.append(float(surrogate.detach()) / (P * N))
            error = np.clip(np.mean(kls) / CONTROL.target - 1, -0.2, 0.2)
            coefficient *= 1 + error * P * N / CONTROL.horizon
        self.coefficient = coefficient
        return losses


class Ours:
    """The same through `modeseek.llm`, minibatches in two parts."""

    def __init__(self, method, valued=False):
        self.trainable = AllParameters(MODEL.config)
        self.params = params_of(torch_model(CASE, std=STD), MODEL.config)
        trained = jax.tree.map(jnp.copy, self.params)
        if valued:
            self.trainable = value_head.WithValueHead(self.trainable, MODEL.config)
            trained = {"policy": trained, "value": value_head.init(MODEL.config)}
        optimizer, loss = optax.adamw(RATE, weight_decay=DECAY, eps=1e-8), CrossEntropy(MODEL)
        self.step = make_method_step(
            METHODS[method], loss, self.trainable, values=VALUE.numbers, optimizer=optimizer, accumulate=2
        )
        self.score = make_scorer(loss, self.trainable, accumulate=2)
        self.reference = make_scorer(loss, AllParameters(MODEL.config), accumulate=2)(self.params, rows())
        self.state, self.losses = start(trained, optimizer), []

    def take(self, data, steps):
        for _ in range(steps):
            self.state, numbers = self.step(self.state, data, HYPER)
            self.losses.append(float(numbers["loss"]))

    def offline(self):
        rewards = jnp.asarray(rows().rewards)
        standardized = (rewards - rewards.mean()) / rewards.std(ddof=1)
        self.take(rows()._replace(reference_log_probs=self.reference.log_probs, advantages=standardized), STEPS)

    def on_policy(self):
        config = TuneConfig("ppo", P * N, N, P * N, hyper=HYPER, value=VALUE, kl=CONTROL, options=LANGUAGE_OPTIONS)
        moments, coefficient = RunningMoments.empty(), jnp.float32(HYPER.kl_coefficient)
        given, mask, real = rows(), target_mask(rows()), jnp.ones((P, N), bool)
        for _ in range(STEPS // PASSES):
            old = self.score(self.state.params, given)
            scores = labels.TokenScores(mask, old.log_probs, self.reference.log_probs, old.values)
            rewards, sampled = jnp.asarray(given.rewards), np.ones(P, bool)
            found, carried = labels.label(config, rewards, real, sampled, scores, moments, coefficient)
            moments, coefficient, _ = carried
            data = given._replace(
                behavior_log_probs=old.log_probs,
                reference_log_probs=self.reference.log_probs,
                advantages=found.advantages,
                behavior_values=old.values,
                returns=found.returns,
            )
            self.take(data, PASSES)
        self.coefficient = float(coefficient)


def distance(one, other):
    """Euclidean, of two trees of parameters."""
    return float(optax.tree.norm(jax.tree.map(jnp.subtract, one, other)))


@pytest.mark.parametrize("method", ["dpo", "ipo", "rwr", "ppo"])
def test_fifty_steps_are_torchs(method):
    """Every loss within 1 %, and the parameters within 1 % of the way that they have gone."""
    theirs, ours = Torch(), Ours(method, valued=method == "ppo")
    expected = getattr(theirs, method)()
    (ours.on_policy if method == "ppo" else ours.offline)()
    assert len(expected) == len(ours.losses) == STEPS
    np.testing.assert_allclose(ours.losses, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())
    policy = ours.state.params["policy"] if method == "ppo" else ours.state.params
    arrived = params_of(theirs.model, MODEL.config)
    gone = distance(arrived, ours.params)
    assert gone > 0.3
    assert distance(policy, arrived) < 0.01 * gone
    if method == "ppo":
        head = ours.state.params["value"]
        np.testing.assert_allclose(head["kernel"][:, 0], theirs.head.weight[0].detach(), atol=1e-3)
        np.testing.assert_allclose(head["bias"][0], float(theirs.head.bias[0].detach()), atol=1e-3)
        assert float(jnp.abs(head["kernel"]).max()) > 0.01
        assert ours.coefficient == pytest.approx(theirs.coefficient, rel=1e-4)
        assert ours.coefficient != HYPER.kl_coefficient

"""The digest of a loss: another one for whatever changes what is trained, and the same for the same program."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.own import objective_of
from modeseek.bandit.objectives.reading import digest_of
from modeseek.bandit.objectives.registry import METHODS

SCALE = 1.0


def of(loss):
    return digest_of(objective_of(loss))


def plain(b, h):
    return -b.advantages * b.log_probs


def closure(k):
    return lambda b, h: -k * b.advantages * b.log_probs


def default(k):
    def loss(b, h, k=k):
        return -k * b.advantages * b.log_probs

    return loss


def helper(k):
    inner = closure(k)
    return lambda b, h: inner(b, h)


def partial(k):
    return functools.partial(lambda k, b, h: -k * b.advantages * b.log_probs, k)


def instance(k):
    class Loss:
        def __init__(self):
            self.k = k

        def __call__(self, b, h):
            return -self.k * b.advantages * b.log_probs

    return Loss()


def array(k):
    k = np.full(3, k)
    return jax.jit(lambda b, h: -jnp.asarray(np.resize(k, b.log_probs.shape)) * b.advantages * b.log_probs)


def executed(k):
    names = {}
    exec(
        f"def outer(b, h):\n    def inner(x):\n        return -{k} * x\n    return inner(b.advantages * b.log_probs)",
        names,
    )
    return names["outer"]


def derivative(k):
    """The same values, another gradient."""

    @jax.custom_jvp
    def same(x):
        return x

    same.defjvp(lambda at, moves: (at[0], k * moves[0]))
    return lambda b, h: -b.advantages * same(b.log_probs)


def branch(k):
    return lambda b, h: -b.advantages * b.log_probs * (k if b.log_probs.shape[1] == 10 else 1.0)


@pytest.mark.parametrize(
    "make", [closure, default, helper, partial, instance, array, executed, derivative, branch], ids=lambda m: m.__name__
)
def test_a_digest_tells_what_is_trained(make):
    assert of(make(1.5)) == of(make(1.5))
    assert of(make(1.5)) != of(make(-5.0))
    assert of(make(1.5)) != of(make(1.5 + 1e-12))


def test_a_global_is_seen_and_a_name_is_not(monkeypatch):
    loss = lambda b, h: -SCALE * b.advantages * b.log_probs
    before = of(loss)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    assert of(loss) != before
    renamed = lambda batch, hyper: -batch.advantages * batch.log_probs  # another name for everything
    assert of(renamed) == of(plain)


def test_other_processes_and_caches_give_the_same_digest():
    loss = lambda b, h: jax.nn.relu(h.tau - (b.log_ratios[:, :, None] - b.log_ratios[:, None, :]))
    here = of(loss)
    jax.clear_caches()
    assert of(loss) == here
    code = (
        "import jax\nfrom modeseek.bandit.objectives.own import objective_of\n"
        "from modeseek.bandit.objectives.reading import digest_of\n"
        "loss = lambda b, h: jax.nn.relu(h.tau - (b.log_ratios[:, :, None] - b.log_ratios[:, None, :]))\n"
        "print(digest_of(objective_of(loss)))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert there == [here]


def test_the_registrys_rows_differ():
    names = ("best_of_n", "rwr", "reinforce", "ppo", "dpo", "ipo")
    assert len({digest_of(METHODS[name].objective) for name in names}) == len(names)


def test_what_no_program_tells_is_refused():
    def loss(b, h):
        measured = jax.ShapeDtypeStruct(b.rewards.shape, b.rewards.dtype)
        weights = jax.pure_callback(np.square, measured, b.rewards, vmap_method="sequential")
        return -weights * b.log_probs

    with pytest.raises(ValueError, match="calls Python while it runs"):
        of(loss)

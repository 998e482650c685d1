"""Table 1 as it is printed, and why conditioning on a label needs no row of its own where labels are learnt apart."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import Batch
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.table import METHOD_COLUMNS, NOT_RUN, method_rows
from modeseek.markdown import markdown_table

ROWS = [dict(zip(METHOD_COLUMNS, row, strict=True)) for row in method_rows()]


def test_the_table_of_methods():
    """A row for each method, in words, and those that are not run last; it prints as it is."""
    rows = {row["name"]: row for row in ROWS if row["name"] != "-"}
    assert list(rows) == list(METHODS)
    assert rows["ppo"] == {
        "name": "ppo",
        "title": "PPO",
        "on-policy": "yes",
        "sample reuse": "yes",
        "negative gradient": "yes",
        "seeks": "mode",
        "hyper-parameters": "clip_epsilon",
        "needs": "advantages, behavior",
        "source": "paper I.2.4",
    }
    assert rows["reinforce"]["sample reuse"] == "no"
    assert rows["ipo"]["sample reuse"] == "-"
    assert rows["best_of_n"]["hyper-parameters"] == ""
    # On its own side: from its own samples a policy seeks modes.
    assert [rows[name]["seeks"] for name in ("rwr", "pref_ft", "dpo")] == ["mode", "mass", "mass"]
    lines = markdown_table([(title, "left") for title in METHOD_COLUMNS], method_rows()).splitlines()
    assert len(lines) == 2 + len(METHODS) + len(NOT_RUN)


def test_what_is_not_run_has_its_marks_and_says_why():
    marks = ("on-policy", "sample reuse", "negative gradient")
    placed = {row["title"]: tuple(row[mark] for mark in marks) for row in ROWS if row["name"] == "-"}
    assert placed == {"Quark": ("yes", "yes", "no"), "Reward conditioning": ("no", "-", "no")}
    assert all("not run here" in row["needs"] for row in ROWS if row["name"] == "-")
    assert not {row.title.lower().replace(" ", "_") for row in NOT_RUN} & set(METHODS)


@pytest.mark.parametrize(("name", "labels"), [("rest", 3), ("pref_ft", 2)])
def test_learnt_apart_the_best_label_has_the_gradient_of_a_row(name, labels, float64):
    """-log π(y | label) on all responses, a table of logits for each label: the best label's gradient is 1/labels of
    ReST's (a third of six responses is K = 2) and of Pref-FT's (of two responses the better is the good one)."""
    rng = np.random.default_rng(0)
    per_label = 2 if name == "rest" else 1
    responses = labels * per_label
    tokens = jnp.asarray(rng.integers(0, 5, (4, responses)))
    order = rng.permuted(np.tile(np.arange(responses), (4, 1)), axis=1)  # a prompt's rewards, and no two are equal
    label = jnp.asarray(order // per_label)
    logits = jnp.asarray(rng.normal(size=(labels, 5)))

    def conditioned(table):
        return -jax.nn.log_softmax(table)[label, tokens].mean()

    def of_row(best):
        log_probs = jax.nn.log_softmax(best)[tokens][..., None]
        batch = Batch(log_probs, None, None, jnp.asarray(order, jnp.float64), None)
        hyper = dataclasses.replace(HYPER, top_k=2.0, reward_gap=0.0)
        return reduce.loss(METHODS[name], batch, hyper, OPTIONS)

    best = jax.grad(conditioned)(logits)[-1]
    assert jnp.abs(best).max() > 0.01
    np.testing.assert_allclose(best, jax.grad(of_row)(logits[-1]) / labels, rtol=1e-12, atol=1e-15)

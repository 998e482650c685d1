"""A method of one's own: it is checked before it is taken, trains as the registry's do, and is taken anew when it is
defined anew."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modeseek
from modeseek.bandit.explore import BanditExplorer
from modeseek.bandit.figures.style import METHOD_STYLES, method_style
from modeseek.bandit.objectives import own
from modeseek.bandit.objectives.batch import Losses, Options
from modeseek.bandit.objectives.inspection import KINDS, examine
from modeseek.bandit.objectives.own import forget, objective_of, own_method
from modeseek.bandit.objectives.reading import digest_of, reads
from modeseek.bandit.objectives.registry import METHODS, variant
from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.summary import table
from modeseek.bandit.simulator.sweep import run_sweep


def my_ipo(batch, hyper):
    margins = batch.log_ratios[:, :, None] - batch.log_ratios[:, None, :]
    return jnp.square(margins - 0.5 / hyper.tau)


def my_reinforce(batch, hyper):
    return -batch.advantages * batch.log_probs


def double_reinforce(batch, hyper):
    return 2 * my_reinforce(batch, hyper)


def real(batch):
    """The mask as a factor: 0 · NaN is NaN."""
    return 1.0 if batch.token_mask is None else batch.token_mask.astype(batch.token_log_probs.dtype)


@pytest.fixture(autouse=True)
def no_method_stays():
    yield
    for name in own.own_names():
        forget(name)


EXCEPTIONS = {"rwr": {"prompts"}, "dpop": {"kinks"}, "kto": {"gradient"}}
"""Methods of the registry that do what one of one's own has to say: RWR divides by the mean weight of the batch,
DPO-Positive has its hinge at the reference, KTO takes its estimate of the KL for a constant."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in {"ppo", *EXCEPTIONS} else [pytest.mark.slow]) for n in METHODS]
)
def test_the_registrys_methods_pass(name):
    found = examine(METHODS[name].objective)
    assert [f.kind for f in found] == list(KINDS)
    assert {f.kind for f in found if not f.passed} == EXCEPTIONS.get(name, set())


@pytest.mark.parametrize(
    ("loss", "kind", "says"),
    [
        (lambda b, h: -b.advantages * jnp.log(b.rewards - b.rewards.max()), "finite", "NaN"),
        (lambda b, h: jnp.sqrt(jnp.square(b.log_ratios).sum(-1)), "finite", "where the policy is the reference"),
        (lambda b, h: jnp.abs(b.log_ratios), "kinks", "one side and"),
        (lambda b, h: -b.advantages * jax.lax.stop_gradient(b.log_probs) ** 2 * b.log_probs, "gradient", "surrogate"),
        (lambda b, h: -b.advantages * jax.lax.stop_gradient(b.log_probs), "learns", "nothing can be learnt"),
        (lambda b, h: -b.log_probs * (b.rewards - b.rewards.mean()), "prompts", "another prompt"),
        (lambda b, h: -b.advantages * b.token_log_probs.sum(-1), "mask", "ignores the mask"),
        (lambda b, h: -b.log_probs @ jnp.eye(3), "shapes", "depends on the batch's shape"),
        (lambda b, h: (-b.log_probs).mean(), "shapes", "no mean is taken"),
        (lambda b, h: -b.token_log_probs, "shapes", "sum over the tokens"),
        (lambda b, h: 1.0, "shapes", "must return an array"),
        (lambda b, h: -b.log_probs if b.rewards[0, 0] > 0 else b.log_probs, "shapes", "cannot be computed"),
        (lambda b, h: b.log_ratios**2 if h.beta > 0 else b.log_ratios, "shapes", "are traced: use jnp.where"),
        (lambda b, h: jnp.square(b.log_ratios - math.sqrt(h.tau)), "shapes", "are traced: use jnp.where"),
        (lambda b, h: b.log_ratios * np.log(h.tau), "shapes", "are traced: use jnp.where"),
        (lambda b, h: 1e-2 * jnp.abs(b.log_ratios), "kinks", "one side and"),
        (lambda b, h: 100.0 * jnp.square(b.log_ratios) + jnp.abs(b.log_ratios), "kinks", "one side and"),
        (lambda b, h: -b.advantages * (b.token_log_probs * real(b)).sum(-1), "mask", "may be NaN"),
        (lambda b, h: Losses(b.log_probs, jnp.ones(2)), "shapes", "must be alike"),
        (
            lambda b, h: Losses(
                -(jnp.cumsum(b.token_log_probs[..., ::-1], -1) ** 2), jnp.ones(b.token_log_probs.shape)
            ),
            "future",
            "reads the future",
        ),
    ],
)
def test_what_is_wrong_is_said(loss, kind, says):
    found = {f.kind: f.says for f in examine(objective_of(loss)) if not f.passed}
    assert kind in found
    assert says in found[kind]


def test_what_is_meant_is_taken():
    surrogate = lambda b, h: -b.advantages * jax.lax.stop_gradient(jnp.exp(b.log_probs)) * b.log_probs
    with pytest.raises(ValueError, match=r"mine was not taken\. Its gradient is not that of its value"):
        own_method("mine", surrogate)
    assert "mine" not in METHODS
    assert own_method("mine", surrogate, allow={"gradient"}).name == "mine"
    with pytest.raises(ValueError, match="allow: there are learns, gradient"):
        own_method("mine", surrogate, allow={"everything"})
    with pytest.raises(ValueError, match=r"allow must be a set of names, such as \{'kinks'\}"):
        own_method("mine", surrogate, allow="kinks")
    with pytest.raises(ValueError, match="zero on six random batches"):
        own_method("mine", lambda b, h: -b.advantages)
    own_method("mine", lambda b, h: -b.advantages, allow={"learns"})
    far = lambda b, h: jax.nn.relu(b.log_ratios[:, :, None] - b.log_ratios[:, None, :] - 5.0)
    assert own_method("mine", far).negative_gradient  # it pushes, though not near the reference


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0, 1000.0])
def test_a_curve_is_no_kink(scale):
    for found in (
        examine(objective_of(lambda b, h: scale * jnp.square(b.log_ratios))),
        examine(objective_of(lambda b, h: scale * jnp.square(b.log_ratios[:, :, None] - b.log_ratios[:, None, :]))),
    ):
        assert [f.says for f in found if not f.passed] == []


def nested(loss, how):
    """A loss whose program holds another one, which is handed everything."""
    if how == "jit":
        return jax.jit(loss)
    if how == "helper":
        inner = jax.jit(lambda everything: loss(*everything))
        return lambda b, h: inner((b, h))
    if how == "cond":
        return lambda b, h: jax.lax.cond(True, loss, loss, b, h)
    if how == "scan":
        return lambda b, h: jax.lax.scan(lambda total, _: (total + loss(b, h), None), 0 * b.log_probs, None, 1)[0]
    wrapped = jax.custom_vjp(loss)
    wrapped.defvjp(lambda b, h: jax.vjp(loss, b, h), lambda back, given: back(given))
    return wrapped


@pytest.mark.parametrize("how", ["jit", "helper", "cond", "scan", "custom_vjp"])
@pytest.mark.parametrize("loss", [my_reinforce, lambda b, h: jnp.square(b.log_ratios - 0.5 / h.tau)])
def test_what_is_nested_reads_no_more(loss, how):
    expected, found = own_method("mine", loss), own_method("mine", nested(loss, how))
    for name in ("needs", "hyper", "has_kl_in_its_loss", "negative_gradient", "min_responses"):
        assert getattr(found, name) == getattr(expected, name), name


def test_the_registrys_rows_read_what_they_say():
    for name, method in METHODS.items():
        _, hyper = reads(lambda b, h, objective=method.objective: objective(b, h, Options()))
        assert set(hyper) == set(method.hyper), name


def test_the_row_says_what_was_found():
    row = own_method("mine", my_ipo, title="My IPO", on_policy=False)
    ipo = METHODS["ipo"]
    for name in ("on_policy", "sample_reuse", "negative_gradient", "needs", "min_responses"):
        assert getattr(row, name) == getattr(ipo, name), name
    assert set(row.hyper) == set(ipo.hyper)
    row = own_method("likelihood", lambda b, h: -b.log_probs)
    assert (row.needs, row.hyper, row.negative_gradient) == (frozenset(), (), False)
    assert own_method("mine", my_reinforce).needs == METHODS["reinforce"].needs
    assert variant("offline_mine").title == "Offline mine"
    assert "your own" in str(modeseek.methods())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ppo", "there is a method 'ppo' already"),
        ("Mine", "must begin with a small letter"),
        ("offline_mine", "must not begin with"),
        ("a b", "must begin"),
    ],
)
def test_names_that_are_none_are_refused(name, says):
    with pytest.raises(ValueError, match=says):
        own_method(name, my_reinforce)
    with pytest.raises(ValueError, match="no method of your own"):
        forget("ppo")


def test_titles_and_names_that_read_like_others_are_refused():
    with pytest.raises(ValueError, match="with the title 'PPO'"):
        own_method("mine", my_reinforce, title="PPO")
    own_method("mine", my_reinforce)
    for other, title, says in (
        ("dpo_", "offset", "'dpo' with the title 'DPO' already"),
        ("p_p_o", "mine too", "'ppo' with the title 'PPO' already"),
        ("other", "Ppo", "'ppo' with the title 'PPO' already"),
        ("mi_ne", "other", "'mine' with the title 'mine' already"),
        ("other", "Mine", "'mine' with the title 'mine' already"),
        ("other", "On-policy DPO", "title must not begin with on_policy_"),
        ("offlinemine", "other", "name must not begin with"),
        ("other", "a $\\frac$", "title must be one line"),
        ("other", "a\nb", "title must be one line"),
        ("other", "_hidden", "title must be one line"),
        ("other", "β", "title must be one line"),
        ("other", "x" * 41, "title must be one line"),
    ):
        with pytest.raises(ValueError, match=says):
            own_method(other, my_reinforce, title=title)
    assert BanditExplorer(method="dpo").model.values.method == "dpo"
    own_method("mine", my_reinforce, title="χ-mine")


@pytest.fixture(scope="module")
def trained(tabular):
    """IPO and my IPO in one program, then the same names with another loss behind mine."""
    own_method("mine", my_ipo)
    asked = dataclasses.replace(tabular, methods=("offline_mine", "ipo"))
    first, told = run_sweep(asked, progress=False).dataset, own.digests(asked.methods)
    text, drawn = table(first), method_style("mine")
    own_method("mine", my_reinforce)
    second = run_sweep(asked, progress=False).dataset
    forget("mine")
    return first, second, told, text, drawn


def test_the_same_formula_trains_to_the_same_bits(trained):
    first, _, _, text, _ = trained
    for name in ("expected_reward", "kl_to_reference", "loss", "token_distribution"):
        mine, ipo = (first[name].sel(algorithm=each).values for each in ("offline_mine", "ipo"))
        np.testing.assert_array_equal(mine, ipo, err_msg=name)
    assert "offline_mine" in text or "Offline mine" in text


def test_a_method_that_is_defined_anew_is_trained_anew(trained):
    first, second, *_ = trained
    mine = [each["expected_reward"].sel(algorithm="offline_mine").values for each in (first, second)]
    ipo = [each["expected_reward"].sel(algorithm="ipo").values for each in (first, second)]
    assert not np.array_equal(*mine)
    np.testing.assert_array_equal(*ipo)


def test_a_stored_result_names_it_and_its_source(trained, tabular):
    first, _, told, *_ = trained
    assert json.loads(first.attrs["own_methods"]) == told == {"mine": digest_of(objective_of(my_ipo))}
    own_method("mine", my_ipo)
    asked = dataclasses.replace(tabular, methods=("mine",))
    before = results.identity(asked)
    own_method("mine", my_reinforce)
    assert results.identity(asked) != before
    assert "own_methods" not in results.identity(tabular)


def test_other_processes_do_not_know_it(tabular):
    own_method("mine", my_reinforce)
    asked = dataclasses.replace(tabular, methods=("mine",))
    with pytest.raises(ValueError, match="mine is defined in this process alone"):
        run_sweep(asked, progress=False, workers=lambda *_: iter(()))
    text = asked.to_json()
    forget("mine")
    with pytest.raises(ValueError, match=r"unknown method 'mine'.*modeseek.own_method"):
        type(asked).from_json(text)


def test_its_style_is_its_own():
    for i in range(10):
        METHODS[f"mine_{i}"] = dataclasses.replace(METHODS["ppo"], name=f"mine_{i}", digest="of a test")
    styles = [*METHOD_STYLES.values(), *(method_style(f"on_policy_mine_{i}") for i in range(10))]
    assert len({(s.color, s.marker, str(s.dash)) for s in styles}) == len(styles)


def test_the_bandit_explorer_has_it_on_its_menu():
    with pytest.raises(ValueError, match="method must be one of"):
        BanditExplorer(method="mine")
    own_method("mine", my_reinforce, title="My own")
    explorer = BanditExplorer(method="mine", policy="table", seeds=1, collections=2)
    model = explorer.model
    assert model.control("method").options["mine"] == "On-policy My own"
    assert "offline_mine" in model.control("method").options
    explorer.train()
    assert not model.stale
    assert "On-policy My own" in explorer.caption()
    weights = model.run.weights
    own_method("mine", double_reinforce, title="My own")
    assert model.stale
    assert "defined anew" in explorer.caption()
    explorer.train()
    assert not model.stale
    np.testing.assert_allclose(model.run.weights[0], 2 * weights[0], rtol=1e-5)
    again = BanditExplorer(state=explorer.to_state())
    assert again.model.values.method == "mine"

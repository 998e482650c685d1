"""Compiled programs by name, and the named keys of a run."""

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.simulator.keys import RunKeys, run_keys
from modeseek.bandit.simulator.programs import Programs


def test_a_program_is_compiled_once_and_gives_its_shapes():
    programs, traced = Programs(), []

    def double(numbers):
        traced.append("double")
        return {"twice": 2 * numbers, "sum": numbers.sum()}

    shapes = programs.compile("double", double, np.ones(3, np.float32))
    assert jax.tree.map(lambda s: s.shape, shapes) == {"twice": (3,), "sum": ()}
    programs.compile("again", lambda d: d["twice"] + d["sum"], shapes)  # the shapes stand for what comes out
    results = programs("double", jnp.asarray([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(programs("again", results), [8, 10, 12])
    assert programs.ready
    times = len(traced)
    programs("double", jnp.asarray([4.0, 5.0, 6.0]))
    assert len(traced) == times


def test_a_name_that_has_begun_is_left_alone():
    """So that whoever was interrupted may ask again for all of them."""
    programs = Programs()
    programs.compile("one", lambda x: x + 1.0, np.zeros((), np.float32))
    programs.compile("one", lambda x: x + 2.0, np.zeros((), np.float32))
    assert programs("one", jnp.asarray(0.0)) == 1


def test_donated_arguments_are_taken_over():
    programs = Programs()
    programs.compile("grow", lambda x: x + 1.0, np.zeros(4, np.float32), donate=(0,))
    given = jnp.zeros(4)
    np.testing.assert_array_equal(programs("grow", given), np.ones(4))
    assert given.is_deleted()


def test_programs_keep_their_sharding():
    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), ("runs",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("runs"))
    programs, runs = Programs(sharding), mesh.devices.size
    programs.compile("square", lambda x: x * x, np.zeros((runs, 2), np.float32))
    out = programs("square", jax.device_put(np.full((runs, 2), 3.0, np.float32), sharding))
    assert out.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_array_equal(out, np.full((runs, 2), 9.0))


def test_a_runs_keys_are_one_split_in_the_order_of_their_names():
    """Golden by derivation: results that are stored were made with `split(key(seed), 6)`, in this order."""
    root = jax.random.key(7)
    split = [*jax.random.split(root, 6), jax.random.fold_in(root, 6)]
    names = ("pretraining", "prompts", "collections", "minibatches", "dropout", "evaluation", "reward_model")
    assert RunKeys._fields == names
    keys = run_keys(jnp.asarray(7))
    at = keys.at(jnp.asarray(3))
    for i, name in enumerate(names):
        assert (jax.random.key_data(getattr(keys, name)) == jax.random.key_data(split[i])).all()
        folded = jax.random.key_data(jax.random.fold_in(split[i], 3))
        assert (jax.random.key_data(getattr(at, name)) == folded).all()
    assert len({tuple(np.asarray(jax.random.key_data(k))) for k in (*keys, *at)}) == 14

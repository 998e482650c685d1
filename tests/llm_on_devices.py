"""Programs that tests/test_llm_sharding.py runs in processes of their own: eight devices in one, or two processes.

python llm_on_devices.py devices RESULT                    one JSON object of what was found
python llm_on_devices.py process ADDRESS INDEX CHECKPOINT RESULT
"""

import dataclasses
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

MESHES = ((8, 1, 1), (1, 8, 1), (2, 2, 2))


def cases():
    """Three families with sizes that eight devices divide, and that differ from each other."""
    from llm_cases import MISTRAL, NEOX

    from modeseek.llm.models.hugging_face import config_from

    sizes = {"vocab_size": 54, "hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 80}
    return {
        "pythia": config_from(NEOX | sizes | {"num_hidden_layers": 2}),
        "qwen3": config_from(MISTRAL | sizes | {"num_hidden_layers": 2, "model_type": "qwen3", "head_dim": 10}),
        "mistral": config_from(MISTRAL | sizes | {"num_hidden_layers": 2, "sliding_window": 4}),
    }


def batch():
    """Eight rows of unequal lengths."""
    rng = np.random.default_rng(5)
    return rng.integers(2, 54, (8, 10)).astype(np.int32), rng.integers(2, 11, 8).astype(np.int32)


def apart(ours, theirs):
    """The largest difference of any leaf, as a share of that leaf's largest entry."""
    import jax

    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(float(np.abs(np.asarray(a) - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in pairs)


def found(model, chunk=24):
    """The program of logits, loss and gradients."""
    from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
    from modeseek.llm.training.step import mean_gradients

    def program(params, tokens, lengths):
        logits = model.logits(params, model.hidden(params, tokens))
        return logits, *mean_gradients(CrossEntropy(model, chunk), params, TokenBatch(tokens, lengths))

    return program


def shared(model, params, sizes, single):
    """The program on a mesh beside what one device found, and what each device holds."""
    import jax

    from modeseek.llm.parallel import memory
    from modeseek.llm.parallel import mesh as meshes

    mesh = meshes.make_mesh(meshes.MeshShape(*sizes), model.config, 8)
    model = meshes.on_mesh(model, mesh)
    cut = meshes.parameter_shardings(mesh, model.config)
    placed = jax.device_put(params, cut)
    program = jax.jit(found(model), out_shardings=(None, meshes.replicated(mesh), cut))
    results = program(placed, *meshes.put(batch(), meshes.row_sharding(mesh)))
    estimate = memory.training(model.config, model.compute, meshes.MeshShape(*sizes), 8, 10)
    return {
        **{what: apart(a, b) for what, a, b in zip(("logits", "loss", "gradients"), results, single, strict=True)},
        "held": sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(placed)),
        "estimated": estimate.parts["parameters"],
        "kernel": placed["layers"]["expand"]["kernel"].addressable_shards[0].data.shape,
    }


def stepped(model, params):
    """A step in two parts on 2 x 2 x 2, beside one device's in one part."""
    import jax
    from llm_cases import full_step

    from modeseek.llm.parallel import mesh as meshes
    from modeseek.llm.training.cross_entropy import TokenBatch
    from modeseek.llm.training.optimizer import Adam, start
    from modeseek.llm.training.step import state_shardings
    from modeseek.llm.training.trainable import AllParameters

    # A large epsilon: Adam's first step is otherwise the gradient's sign, which rounding decides near zero.
    adam = Adam(0.1, epsilon=1e-3)
    before, (single, single_loss) = (
        params,
        full_step(model)(start(jax.tree.map(jax.numpy.copy, params)), TokenBatch(*batch()), adam),
    )
    mesh = meshes.make_mesh(meshes.MeshShape(2, 2, 2), model.config, 8)
    model, cut = meshes.on_mesh(model, mesh), state_shardings(AllParameters(model.config), mesh)
    state = jax.device_put(start(params), cut)
    step, placed = full_step(model, mesh, accumulate=2, chunk=24), meshes.put(batch(), meshes.row_sharding(mesh))
    state, loss = step(state, TokenBatch(*placed), adam)
    refused = ""
    try:
        full_step(model, mesh, accumulate=4)(state, TokenBatch(*placed), adam)
    except ValueError as error:
        refused = str(error)
    cache = jax.jit(lambda: model.empty_cache(8, 4), out_shardings=meshes.cache_shardings(mesh, model.config))()
    where = jax.tree.map(lambda a, s: a.sharding.is_equivalent_to(s, a.ndim), state, cut)
    return {
        "loss": apart(loss, np.asarray(single_loss)),
        "state": apart(state, jax.tree.map(np.asarray, single)),
        "moved": apart(state.params, jax.tree.map(np.asarray, before)),
        "stays": all(jax.tree.leaves(where)),
        "refused": refused,
        "cache": cache.layers[0].keys.addressable_shards[0].data.shape,
    }


def adapted(model, params):
    """Two steps of adapters in two parts on each mesh, beside one device's in one part; and where the state stays."""
    import jax
    from llm_cases import adapter_step

    from modeseek.llm.parallel import mesh as meshes
    from modeseek.llm.training import lora
    from modeseek.llm.training.cross_entropy import TokenBatch
    from modeseek.llm.training.optimizer import Adam, start
    from modeseek.llm.training.step import state_shardings

    adam = Adam(0.1, epsilon=1e-3)
    fresh = jax.tree.map(np.asarray, lora.init(model.config, 4, key=jax.random.key(1)))
    rng = np.random.default_rng(2)
    moved = jax.tree.map(lambda leaf: (0.2 * rng.normal(size=leaf.shape)).astype(np.float32), fresh)

    def two(step, state, base, given):
        losses = []
        for _ in range(2):
            state, loss = step(state, TokenBatch(*given), adam, lora.Frozen(base, 0.5))
            losses.append(float(loss))
        return state, losses

    single, losses = two(adapter_step(model), start(jax.tree.map(jax.numpy.asarray, moved)), params, batch())
    single = jax.tree.map(np.asarray, single)
    results = {}
    for sizes in MESHES:
        mesh = meshes.make_mesh(meshes.MeshShape(*sizes), model.config, 8)
        placed = meshes.on_mesh(model, mesh)
        accumulate = 1 if sizes[2] == 1 else 2  # of 8 rows on 8 devices there are no two parts
        cut = state_shardings(lora.Adapters(model.config), mesh)
        state = jax.device_put(start(jax.tree.map(jax.numpy.asarray, moved)), cut)
        base = jax.device_put(params, meshes.parameter_shardings(mesh, model.config))
        step = adapter_step(placed, mesh, accumulate=accumulate, chunk=24)
        state, ours = two(step, state, base, meshes.put(batch(), meshes.row_sharding(mesh)))
        where = jax.tree.map(lambda a, s: a.sharding.is_equivalent_to(s, a.ndim), state, cut)
        results["x".join(map(str, sizes))] = {
            "losses": apart(ours, losses),
            "state": apart(state, single),
            "moved": apart(single.params, moved),
            "stays": all(jax.tree.leaves(where)),
            "a": state.params["contract"]["lora_a"].addressable_shards[0].data.shape,
            "b": state.params["contract"]["lora_b"].addressable_shards[0].data.shape,
        }
    return results


def decoded(model, params):
    """Greedy and drawn responses, and their scores, on 2 x 2 x 2 beside one device."""
    import jax

    from modeseek.llm.inference.generate import generate, row_keys
    from modeseek.llm.inference.sampling import Sampling
    from modeseek.llm.inference.scoring import ModelWithParams, score
    from modeseek.llm.parallel import mesh as meshes

    tokens, lengths = batch()
    keys = row_keys(jax.random.key(4), 8)

    def run(model, params, tokens, lengths):
        decoding = model.for_decoding(params)
        outs = [generate(model, decoding, tokens, lengths, 12, keys=keys, sampling=Sampling(t)) for t in (0.0, 1.0)]
        scores = jax.jit(lambda p, t, n: score(ModelWithParams(model, p), t, n, with_entropy=True, chunk=24))
        s = scores(params, tokens, lengths)
        return jax.tree.map(np.asarray, ([out.tokens for out in outs], outs[1].log_probs, (s.log_probs, s.entropy)))

    ids, log_probs, scores = run(model, params, tokens, lengths)
    mesh = meshes.make_mesh(meshes.MeshShape(2, 2, 2), model.config, 8)
    placed = jax.device_put(params, meshes.parameter_shardings(mesh, model.config))
    ours = run(meshes.on_mesh(model, mesh), placed, *meshes.put(batch(), meshes.row_sharding(mesh)))
    return {
        "ids": all(np.array_equal(a, b) for a, b in zip(ours[0], ids, strict=True)),
        "kinds": len(np.unique(ids[0])),
        "log_probs": apart(ours[1], log_probs),
        "scores": apart(ours[2], scores),
    }


def sized(model, params):
    """What the compiler sets aside on each of eight devices for a step, and the estimate."""
    import jax
    from llm_cases import full_step

    from modeseek.llm.parallel import memory
    from modeseek.llm.parallel import mesh as meshes
    from modeseek.llm.training.cross_entropy import TokenBatch
    from modeseek.llm.training.optimizer import Adam, start
    from modeseek.llm.training.step import state_shardings
    from modeseek.llm.training.trainable import AllParameters

    results = {}
    for sizes in MESHES:
        mesh = meshes.make_mesh(meshes.MeshShape(*sizes), model.config, 64)
        placed = meshes.on_mesh(model, mesh)
        state = jax.tree.map(
            lambda leaf, cut: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cut),
            jax.eval_shape(start, params),
            state_shardings(AllParameters(model.config), mesh),
        )
        row = meshes.row_sharding(mesh)
        rows = (
            jax.ShapeDtypeStruct((64, 65), np.int32, sharding=row),
            jax.ShapeDtypeStruct((64,), np.int32, sharding=row),
        )
        adam = Adam(*map(np.float32, Adam()))
        found = full_step(placed, mesh, chunk=64).lower(state, TokenBatch(*rows), adam).compile().memory_analysis()
        needed = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
        estimate = memory.training(model.config, model.compute, meshes.MeshShape(*sizes), 64, 64, chunk=64)
        results["x".join(map(str, sizes))] = estimate.total / (needed + found.temp_size_in_bytes)
    return results


def on_devices(result):
    """Every model on every mesh."""
    import jax
    from llm_cases import random_params

    from modeseek.llm.models.model import Compute, Model

    assert jax.device_count() == 8
    results = {}
    for name, config in cases().items():
        model = Model(config, Compute(remat="full" if name == "mistral" else "none"))
        params = random_params(config)
        single = jax.tree.map(np.asarray, jax.jit(found(model))(params, *batch()))
        results[name] = {"x".join(map(str, sizes)): shared(model, params, sizes, single) for sizes in MESHES}
        if name == "qwen3":  # beside Mistral it has norms of heads, which the gradients above go through
            continue
        results[name]["adapters"] = adapted(model, params)
        results[name]["decoded"] = decoded(model, params)
    results["step"] = stepped(model, params)
    larger = dataclasses.replace(config, width=192, layers=4, mlp_width=768, vocab_size=2000, window=None)
    model = Model(larger, Compute(remat="full"))
    results["sized"] = sized(model, random_params(larger))
    result.write_text(json.dumps(results))


def one_process(address, index, folder, result):
    """Load a checkpoint over two processes of two devices each, take gradients, save it again, and again in vain."""
    from modeseek.processes import initialize

    assert initialize(address, 2, index, timeout=60)
    import jax

    from modeseek.llm.checkpoints.checkpoint import open_checkpoint
    from modeseek.llm.checkpoints.load import load
    from modeseek.llm.checkpoints.save import save
    from modeseek.llm.models.model import Model
    from modeseek.llm.parallel import mesh as meshes

    assert (jax.process_count(), jax.device_count(), jax.local_device_count()) == (2, 4, 2)
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    # The two processes share the parameters along fsdp, each half of every kernel.
    mesh = meshes.make_mesh(meshes.MeshShape(1, 2, 2), config, 8)
    cut = meshes.parameter_shardings(mesh, config)
    params = load(checkpoint, shardings=cut)
    kernel = params["layers"]["expand"]["kernel"]
    model = meshes.on_mesh(Model(config), mesh)
    tokens, lengths = meshes.put(batch(), meshes.row_sharding(mesh))
    everywhere = meshes.replicated(mesh)
    logits, loss, gradients = jax.jit(found(model), out_shardings=everywhere)(params, tokens, lengths)
    save(result.with_name("again"), config, params, like=checkpoint, shard_bytes=30_000)
    flat = {jax.tree_util.keystr(path): np.asarray(g) for path, g in jax.tree_util.tree_leaves_with_path(gradients)}
    refused = errors_of_saving(result, config, params)
    held = sum(shard.data.size for shard in kernel.addressable_shards) / kernel.size
    np.savez(result, logits=np.asarray(logits), loss=np.asarray(loss), held=held, refused=refused, **flat)


def errors_of_saving(result, config, params):
    """What this process says where the first finds the folder taken, and where its disk is full after two tensors."""
    import modeseek.llm.checkpoints.save

    def full(file, tensors, wrote):
        for tensor in tensors[:2]:
            tensor.make()
        raise OSError(28, "No space left on device")

    errors = []
    for name in ("again", "full"):
        try:
            modeseek.llm.checkpoints.save.save(result.with_name(name), config, params, shard_bytes=30_000)
        except (OSError, ValueError) as error:
            errors.append(str(error))
        modeseek.llm.checkpoints.save.write_file = full
    return errors


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="flax.*")
    os.environ["JAX_PLATFORMS"] = "cpu"
    program, *arguments = sys.argv[1:]
    devices = 8 if program == "devices" else 2
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    if program == "devices":
        on_devices(Path(arguments[0]))
    else:
        one_process(arguments[0], int(arguments[1]), Path(arguments[2]), Path(arguments[3]))

"""Strictness for every test: promotions are errors, shape annotations are executed, warnings are errors (pyproject).

Set before the project is imported: the import hook wraps functions as their modules load.
"""

import ctypes
import gc
import os
import resource
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODESEEK_CACHE"] = "off"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("modeseek", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

import xarray  # noqa: E402  (after the hook and JAX's settings)

from modeseek.bandit.objectives.batch import HyperParameters  # noqa: E402
from modeseek.bandit.simulator.config import (  # noqa: E402
    AlgorithmConfig,
    EvaluationConfig,
    PolicyConfig,
    PretrainingConfig,
)
from modeseek.bandit.simulator.devices import use_host_devices  # noqa: E402
from modeseek.bandit.simulator.experiment import Experiment  # noqa: E402
from modeseek.bandit.simulator.sweep import run_sweep  # noqa: E402

use_host_devices(2)

COMPILED_SOON = " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""XLA's flags for programs that are called once: an older way to their machine code, in one piece."""
MOST_MAPPINGS = 30_000
"""Of a process's memory. A compiled program takes some 30; at 65 530, Linux's limit, the next one ends the process."""
MOST_MEMORY = 1.5e9
"""Bytes. Programs that are kept had grown to 5 GB a worker."""
COMMANDS = ("cli", "cluster", "categorical_commands", "commands", "front_door", "memory", "partial", "resume", "run_")
WHOLE = (
    *("boundaries", "export", "folders", "fuzz", "plans", "sentencepiece", "streams", "weights"),
    *("browser", "docs", "grey", "notebook", "pages", "spoilers", "teaching"),
    *("budget", "explore", "on_policy_explorer", "own_digest", "own_method", "own_questions", "training_explorers"),
    *("demo", "figure1", "followups", "phase", "released_grid", "reproduce", "tune"),
    *COMMANDS,
)
"""What a file's name begins with, after `test_` and `llm_`, whose tests try something whole: marked `whole`."""


def pytest_configure(config: pytest.Config) -> None:
    """Most programs of a test are called once. Those of a release are compiled as a user's programs are."""
    if config.getoption("markexpr") != "release":
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + COMPILED_SOON


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what tries something whole, so that all tests are run in two parts. A named file is run as it is."""
    if [Path(each).resolve() for each in config.args] != [config.rootpath / "tests"]:
        return
    for item in items:
        if item.path.stem.removeprefix("test_").removeprefix("llm_").startswith(WHOLE):
            item.add_marker(pytest.mark.whole)


@pytest.fixture(scope="module", autouse=True)
def _costly_passes(request: pytest.FixtureRequest) -> None:
    """LLVM's costly passes are left to the slow tests: compilation is most of this suite, and XLA's passes stay on.

    Objectives on a dozen numbers are compiled for one call, so that there nothing is gained by them at all.
    """
    quick = "not slow" in request.config.getoption("markexpr")
    once = request.module.__name__.startswith("test_objectives_")
    jax.config.update("jax_disable_most_optimizations", quick or once)


@pytest.fixture(scope="module", autouse=True)
def _programs_that_pile_up() -> Iterator[None]:
    """After each file, compiled programs are dropped where there are too many of them."""
    yield
    mappings, memory = Path("/proc/self/maps"), Path("/proc/self/statm")
    if not memory.exists():  # Linux alone tells
        return
    resident = int(memory.read_text().split()[1]) * resource.getpagesize()
    if resident > MOST_MEMORY or mappings.read_text().count("\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def float64() -> Iterator[None]:
    """Sixty-four bits for the length of a test: finite differences need them."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def tiny() -> Experiment:
    """A bandit of 6 tokens and 3-token responses, a one-block policy: compiled once for all tests that sweep.

    Two minibatches a pass, two passes, three collections: every loop of Algorithm 1 turns more than once.
    """
    return Experiment(
        methods=("ppo", "on_policy_ipo"),
        rewards=("bump:4:1",),
        seeds=2,
        vocab_size=6,
        response_length=3,
        policy=PolicyConfig(layers=1, heads=2, width=8),
        pretraining=PretrainingConfig(steps=60, rows=20, tolerance=0.01),
        algorithm=AlgorithmConfig(
            samples_per_collection=24,
            responses_per_prompt=4,
            minibatch_size=12,
            inner_steps=2,
            collections=3,
            prompts=8,
        ),
        evaluation=EvaluationConfig(prompts=12, interval=2),
        hyper=HyperParameters(learning_rate=0.01),
    )


@pytest.fixture(scope="session")
def tiny_results(tiny: Experiment) -> xarray.Dataset:
    """What `tiny` gives, uninterrupted and kept in memory."""
    return run_sweep(tiny, progress=False).dataset


@pytest.fixture(scope="session")
def tabular() -> Experiment:
    """Two methods of different kinds on a tabular policy: compiles in seconds."""
    return Experiment(
        methods=("ppo", "ipo"),
        rewards=("bump:2:1",),
        vocab_size=4,
        response_length=2,
        policy=PolicyConfig(kind="tabular"),
        pretraining=PretrainingConfig(steps=2000, tolerance=1e-4),
        algorithm=AlgorithmConfig(
            samples_per_collection=16, responses_per_prompt=4, minibatch_size=8, inner_steps=2, collections=4
        ),
        evaluation=EvaluationConfig(prompts=4),
    )


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By kind, tokenizers that are trained on real text that every Python brings."""
    from llm_data_cases import trained_tokenizers

    from modeseek.llm.data.python_docstrings import python_docstrings

    records = python_docstrings(root=Path(sysconfig.get_path("stdlib")) / "email")
    texts = [record.prompt + record.completion for record in records]
    return trained_tokenizers(tmp_path_factory.mktemp("tokenizers"), texts)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    """A server and a browser in which notebooks are opened, left and opened again (`lab_desk.Desk`)."""
    from lab_desk import Desk
    from lab_page import opening

    with opening(tmp_path) as run:
        yield Desk(run, tmp_path / "work")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of a file."""
    from lab_page import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def tabs(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens addresses of files in windows of given settings; in the end nothing was wrong, or came from a network."""
    contexts, wrong = [], []

    def open_tab(address: str, **settings: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1400, "height": 1000}} | settings)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.extend([message.text] * (message.type == "error")))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: wrong.extend([request.url] * request.url.startswith("http")))
        tab.goto(address)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert wrong == []

"""Independent pieces of work on many machines that share nothing.

Dask finds the workers, brings them items and results, and begins anew elsewhere what a lost worker had. Each worker
needs this version of modeseek and no file of ours.
"""

import contextlib
import functools
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from modeseek.checks import install, whole
from modeseek.files import differences
from modeseek.foreign import reason
from modeseek.machine import available_cores, versions

if TYPE_CHECKING:
    from distributed import Client, Future

MapItems = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[int, Any]]]
"""A function of one item and the items → each item's index and result, in the order in which they come."""

PATIENCE = 30
"""Seconds to wait for a scheduler that answers, for its first worker, and for another when all were lost."""
LOOK_SECONDS = 5
"""Between two looks at whether workers are left."""
AHEAD = 2
"""Items sent for each thread of the workers: one is worked on, and the next is there when it is done. More would wait
in the scheduler's memory."""


@contextlib.contextmanager
def workers_at(address: str) -> Iterator[MapItems]:
    """Workers, as a function that maps a function over items on them.

        with workers_at("local:2") as map_items:
            for index, result in map_items(function, items):
                ...  # keep it: what has come by then is safe from whatever comes next

    The function is found by its name on each worker, so that it stands at the top of a module of modeseek; items and
    results are pickled, and items are taken one by one as workers become free. A worker that is lost gives its item
    to another. What a worker raises is raised here. Leaving the loop, by an error or Ctrl-C too, calls back what has
    not come. A worker's process has one item at work at a time, however many threads it was given.

    Args:
        address: of a Dask scheduler, such as `tcp://10.0.0.1:8786`; or `local:N`, N workers on this machine, which
            share its cores and end with the block.

    Raises:
        ValueError: Dask is not installed; nobody answers there, or no worker is there; a worker has other versions
            or no modeseek; an item was lost with several workers, one after the other; all workers were lost, or the
            scheduler.
    """
    try:
        import distributed
    except ImportError:
        raise ValueError(f"a cluster needs Dask: {install('cluster')}") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    local = re.fullmatch(r"local:(\d+)", address)
    with contextlib.ExitStack() as stack:
        where: Any = address
        if local is not None:
            where = stack.enter_context(_local(int(local[1])))
        try:
            client = stack.enter_context(distributed.Client(where, timeout=PATIENCE, set_as_default=False))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"no scheduler answers at {address} ({reason(error)}): name one such as tcp://10.0.0.1:8786, or local:2"
            ) from error
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ValueError(
                f"the scheduler at {address} has no worker: start some (dask worker {address} --nthreads 1)"
            ) from None
        yield functools.partial(_map, client)


def _local(workers: int) -> contextlib.AbstractContextManager[Any]:
    """So many workers here, a process each. None is ended for the memory that it takes: the system's limits hold.

    Each has its share of the cores, and two devices at least, so that its bits are those of any number of them.
    """
    from distributed import LocalCluster

    whole("the number of local workers", workers, 1)
    devices = str(max(2, available_cores() // workers))
    made: contextlib.AbstractContextManager[Any] = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        env={"JAX_NUM_CPU_DEVICES": devices, "DASK_LOGGING__DISTRIBUTED": "critical"},
    )
    return made


def _map(client: "Client", function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    waiting = enumerate(items)
    at_work: dict[Future[Any], int] = {}
    try:
        while True:
            while len(at_work) < AHEAD * max(1, sum(client.nthreads().values())):
                index, item = next(waiting, (-1, None))
                if index < 0:
                    break
                at_work[client.submit(_at_worker, function, item, _versions(), pure=False)] = index
            if not at_work:
                return
            for future in _first_done(client, list(at_work)):
                index = at_work.pop(future)
                yield index, _result(future, index)
    finally:
        client.cancel(list(at_work))


def _first_done(client: "Client", futures: "list[Future[Any]]") -> "set[Future[Any]]":
    """Wait until some are done; Dask itself would wait for ever where no worker is left.

    Raises:
        ValueError: there has been no worker for a while, or the scheduler is gone.
    """
    from distributed import wait

    last_seen = time.monotonic()
    while True:
        try:
            with client.as_current():
                found: set[Future[Any]] = wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
            return found
        except TimeoutError:
            pass
        except CancelledError as error:
            raise ValueError("the cluster's scheduler was lost; what had come is kept") from error
        if client.nthreads():
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > PATIENCE:
            raise ValueError(f"no worker has been left for {PATIENCE} seconds; what had come is kept")


def _result(future: "Future[Any]", index: int) -> Any:
    """What came of an item; what Dask itself says of it is said in our words."""
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise ValueError(
            f"item {index + 1} was lost with each worker that had it: it may need more memory than they have"
        ) from error
    except ImportError as error:
        raise ValueError(f"a worker cannot import it: is this version of modeseek there? ({reason(error)})") from error


_ONE_AT_A_TIME = threading.Lock()


def _at_worker(function: Callable[[Any], Any], item: Any, wanted: dict[str, str]) -> Any:
    """Run on a worker: the function of the item, if the versions here are those that are wanted."""
    if differing := sorted(differences(_versions(), wanted)):
        raise ValueError(f"the worker on {socket.gethostname()} has other versions: {'; '.join(differing)}")
    with _ONE_AT_A_TIME:
        return function(item)


def _versions() -> dict[str, str]:
    """Versions of all that may change a number."""
    return {name: version for name, version in versions("jax", "jaxlib", "flax", "optax").items() if name != "python"}

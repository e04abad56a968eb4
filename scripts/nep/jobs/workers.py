"""A function over many items in worker processes that can be killed: a hang or a crash costs one item, not the run."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Literal, TypeVar

import av
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

_PROGRESS_SECONDS = 5


@dataclass(frozen=True)
class Failure:
    """Why an item has no result: over the time limit, its process ended, or the function raised."""

    kind: Literal["timeout", "crash", "error"]
    detail: str


def run_items(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int,
    timeout_s: float,
    label: str,
    preload: Sequence[str] = (),
) -> Iterator[tuple[Item, Result | Failure]]:
    """Yield (item, result or Failure) as items complete, in any order, with a progress bar on stderr.

    `function` and items must be picklable. `timeout_s` is the limit of one item in seconds. `preload` names modules
    that the fork server imports once instead of each worker. An item whose process crashes or hangs is tried again in
    a process of its own, so that its outcome is no other item's doing. Raises the OSError that `function` raised (a
    full disk is the run's problem, not the item's), unless it is one of PyAV's.
    """
    if not items:
        return
    context = multiprocessing.get_context("forkserver")
    _start_fork_server(context, preload)
    run = partial(_run, function, processes=processes, timeout_s=timeout_s, context=context)
    with tqdm(desc=label, total=len(items), file=sys.stderr, mininterval=_PROGRESS_SECONDS) as progress:
        suspects: list[Item] = []
        for item, outcome in run(items, max_tasks=0):
            if isinstance(outcome, Failure) and outcome.kind != "error":
                suspects.append(item)
            else:
                progress.update()
                yield item, outcome
        # What an item does to its process can end or hang the next one's work there: each is tried again by itself.
        for item, outcome in run(suspects, max_tasks=1):
            progress.update()
            yield item, outcome


def _run(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int,
    timeout_s: float,
    context: ForkServerContext,
    max_tasks: int,
) -> Iterator[tuple[Item, Result | Failure]]:
    """Outcomes as they come, of processes that end after `max_tasks` items, never if it is 0."""
    if not items:
        return
    pool = ProcessPool(max_workers=min(processes, len(items)), max_tasks=max_tasks, context=context)
    try:
        futures = {pool.schedule(function, args=[item], timeout=timeout_s): item for item in items}
        for future in as_completed(futures):
            yield futures[future], _outcome(future, timeout_s)
    finally:
        pool.stop()
        pool.join()


def _start_fork_server(context: ForkServerContext, preload: Sequence[str]) -> None:
    """Start the process that workers are forked from, once for this process, with modules imported in advance."""
    context.set_forkserver_preload(list(preload))
    # The fork server of Python 3.11 does not take over sys.path, and passes silently over modules it does not find.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _outcome(future: "Future[Result]", timeout_s: float) -> Result | Failure:
    try:
        return future.result()
    except TimeoutError:
        return Failure("timeout", f"no result within {timeout_s:g} s")
    except ProcessExpired as error:
        return Failure("crash", f"the worker process ended with status {error.exitcode}")
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            raise
        return Failure("error", f"{type(error).__name__}: {error}")

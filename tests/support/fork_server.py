"""The server that test processes are forked from, with everything imported that they need: it takes seconds."""

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from unittest import mock

from support.entry_points import ROOT


def start_fork_server() -> ForkServerContext:
    """Start it, once for this process; it imports while tests run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.preloaded"])
    # The server of Python 3.11 does not take over sys.path.
    with mock.patch.dict(os.environ, PYTHONPATH=f"{ROOT / 'scripts'}:{ROOT / 'tests'}"):
        forkserver.ensure_running()
    return context

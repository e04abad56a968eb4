"""Write the completions of one training with vLLM: started by its trainer, in vLLM's own environment.

`serve_rollouts.py DESCRIPTOR`, the number of an open socket whose other end the trainer holds.
"""

import signal
import sys

from nep.cli import run_entry_point

# They are for the trainer, which ends this process with its own.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def main() -> None:
    """Serve the trainer until it ends."""
    # Before the imports that take seconds.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    from nep.rollouts.server import serve

    serve(int(sys.argv[1]))


if __name__ == "__main__":
    # The job is the trainer.
    run_entry_point(main, is_job=False)

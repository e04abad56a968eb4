"""Write the completions of one training with vLLM: started by its trainer, in vLLM's own environment.

`serve_rollouts.py DESCRIPTOR`, the number of an open socket whose other end the trainer holds.
"""

import sys

from nep.cli import run_entry_point
from nep.rollouts.server import serve


def main() -> None:
    """Serve the trainer until it ends."""
    serve(int(sys.argv[1]))


if __name__ == "__main__":
    # The job is the trainer.
    run_entry_point(main, is_job=False)

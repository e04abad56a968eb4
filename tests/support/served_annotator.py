"""The scripted annotator as a program with the command line of `vllm serve`: `serve WEIGHTS --port P …`.

It notes its arguments and process numbers in the file that `ANNOTATOR_NOTE` names, and has a child that ignores
SIGTERM, as an engine may have that hangs.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from support.annotator import Annotator

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    child.stdout.readline()
    note = {"arguments": arguments, "processes": [os.getpid(), child.pid]}
    Path(os.environ["ANNOTATOR_NOTE"]).write_text(json.dumps(note), encoding="utf-8")
    port = int(arguments[arguments.index("--port") + 1])
    with Annotator(key=os.environ["VLLM_API_KEY"], port=port):
        ended.wait()


if __name__ == "__main__":
    main(sys.argv[1:])

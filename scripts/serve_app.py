"""Ask a run's models what happens next on a page of this machine: drag the cut, predict, reveal what really happened.

Videos that are chosen on the page lie in a folder that ends with it.
"""

import argparse
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from nep.app.examples import VIDEOS, examples_of
from nep.app.models import Models
from nep.app.server import App, app_server
from nep.app.videos import Videos
from nep.cli import run_entry_point
from nep.layout.runs import results_of
from nep.predict.run_models import models_of_run
from nep.web.handler import ADDRESS, address_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="demo", metavar="NAME", help="run below results/ (default: demo)")
    parser.add_argument("--prompts", type=Path, default=Path("config/prompts.yaml"), help="the wordings of questions")
    parser.add_argument("--examples", type=int, default=12, help="so many questions of the run's benchmark are shown")
    parser.add_argument("--host", default=ADDRESS, help="address to listen at; 0.0.0.0 for a phone of the same network")
    parser.add_argument("--port", type=int, default=0, help="without it, a free one")
    parser.add_argument("--public", action="store_true", help="answer to all who come, without the secret address")
    options = parser.parse_args()
    run = results_of(options.run)
    listed = models_of_run(run)
    # A container is stopped so: the folder of uploads is removed then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="nep-app-") as folder:
        videos = Videos(Path(folder) / "uploads")
        examples = tuple(
            (videos.add(run / VIDEOS / example.video, ""), example) for example in examples_of(run, options.examples)
        )
        models = Models(listed, options.prompts, Path(folder) / "parts")
        app = App(options.run, models, videos, examples, options.public)
        with app_server(app, options.host, options.port) as server:
            models.start()
            print(f"page: {address_of(server, app.token)}\nCtrl-C ends it.", flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()
            # A second signal must not keep the folder.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    run_entry_point(main, is_job=False)

"""Predict what happens next in videos of one's own: by a model of a run, any checkpoint, or a model behind an API.

A model sees a video up to a moment, as it saw those that it was trained on; what comes after stays hidden.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from nep.cli import run_entry_point
from nep.config.endpoint import Endpoint
from nep.data.prompts import load_prompts
from nep.errors import InputError
from nep.layout.runs import results_of
from nep.model.precision import DTYPES
from nep.model.quantized import Quantization
from nep.predict.first_part import FirstParts, default_cache
from nep.predict.opening import Choice, open_predictor
from nep.predict.requests import Asked, asked_about, read_requests, seconds_of
from nep.predict.session import Sampling, predict_all

# As of a process that SIGINT ends.
INTERRUPTED = 130
BUDGET = ("frames", "fps", "min_pixels", "max_pixels")


def main() -> None:
    options = parse_arguments()
    given = Asked(
        video=Path(),
        moment=None if options.at is None else seconds_of(options.at, "--at"),
        question=options.question,
        options=tuple(options.option),
        variant="direct" if options.direct else "reason",
    )
    asked = asked_about(options.videos, given)
    if options.requests is not None:
        asked += read_requests(options.requests, options.root, given)
    if not asked:
        raise InputError("nothing is asked: name a video, or a file of requests by --from")
    sampling = Sampling(options.samples, options.temperature, options.seed, options.max_new_tokens)
    opened = open_predictor(choice_of(options), load_prompts(options.prompts), FirstParts(options.cache))
    try:
        predict_all(opened, asked, sampling, sys.stdout, options.json)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="file, folder, or file:// URL")
    what = parser.add_argument_group("what is asked")
    what.add_argument("--at", metavar="TIME", help="where the model stops seeing, seconds or [hh:]mm:ss (default: end)")
    what.add_argument("--option", action="append", default=[], metavar="TEXT", help="an answer to choose; 2 to 4 times")
    what.add_argument("--question", metavar="TEXT", help="another wording of the question")
    what.add_argument("--direct", action="store_true", help="no reasoning before the answer")
    what.add_argument("--from", dest="requests", type=Path, metavar="FILE", help="JSON lines: video, at, options, …")
    what.add_argument("--root", type=Path, metavar="FOLDER", help="of the paths in FILE (default: FILE's folder)")
    model = parser.add_argument_group("which model")
    model.add_argument("--run", metavar="NAME", help="run below results/, with its budget of frames")
    model.add_argument(
        "--model", help="one of the run's, as base or nep/sft (default: the last), or a checkpoint folder"
    )
    model.add_argument("--endpoint", metavar="URL", help="of an OpenAI-compatible API; its key in OPENAI_API_KEY")
    model.add_argument("--name", metavar="MODEL", help="name that the endpoint knows the model by")
    model.add_argument("--device", help="as PyTorch names it (default: a GPU where there is one)")
    model.add_argument("--precision", choices=DTYPES, help="default: bf16 on a GPU, fp32 on a CPU")
    model.add_argument("--quantize", choices=get_args(Quantization), help="weights in 8 or 4 bits, by bitsandbytes")
    budget = parser.add_argument_group("what it sees, where it is not the run's")
    budget.add_argument("--frames", type=int, help="frames of a video (with --fps: the most)")
    budget.add_argument("--fps", type=float, help="frames a second")
    budget.add_argument("--min-pixels", type=int, help="of a frame, at least")
    budget.add_argument("--max-pixels", type=int, help="of a frame, at most")
    answers = parser.add_argument_group("the answers")
    answers.add_argument("--samples", type=int, default=1, metavar="N", help="answers to each question")
    answers.add_argument("--temperature", type=float, help="default: 0 for one sample, 1 for several")
    answers.add_argument("--seed", type=int, default=0, help="of the first sample; the next ones count on")
    answers.add_argument("--max-new-tokens", type=int, metavar="N", help="longest answer")
    answers.add_argument("--json", action="store_true", help="a JSON line for each answer")
    parser.add_argument("--prompts", type=Path, default=Path("config/prompts.yaml"), help="wordings of the questions")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder of cut videos (default: %(default)s)"
    )
    return parser.parse_args()


def choice_of(options: argparse.Namespace) -> Choice:
    """The model. Raises InputError for one that is named in two ways, or by half."""
    if (options.endpoint is None) != (options.name is None):
        raise InputError("--endpoint and --name belong together: the API's address, and its name of the model")
    if options.endpoint and options.model:
        raise InputError("--model is a checkpoint's, --endpoint an API's: give one of them")
    given = {key: getattr(options, key) for key in BUDGET}
    return Choice(
        run=options.run and results_of(options.run),
        model=options.model,
        endpoint=options.endpoint and Endpoint(url=options.endpoint, model=options.name),
        budget={key: value for key, value in given.items() if value is not None},
        device=options.device,
        precision=options.precision,
        quantize=options.quantize,
    )


if __name__ == "__main__":
    run_entry_point(main, is_job=False)

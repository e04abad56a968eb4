"""LLaMA-Factory's path for one training sample, in its own environment: prints CPU seconds of each call as JSON.

    .venv-interop/bin/python benchmarks/llamafactory_peer.py MODEL VIDEO MAX_PIXELS ROUNDS

Counted: what its data collator does for a sample at every step (`get_mm_inputs`: open, decode, sample, resize,
patchify), and the tokenisation of its messages. Imports, the processor's loading and one first call are not.
"""

import json
import sys
import time

from llamafactory.data.template import get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments
from llamafactory.model import load_tokenizer

MESSAGES = [
    {"role": "user", "content": "<video>What is going to happen next in this video?"},
    {"role": "assistant", "content": "The red light goes out and the blue one begins to blink."},
]


def main() -> None:
    """Time the calls."""
    model, video, max_pixels, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    arguments = ModelArguments(model_name_or_path=model, video_max_pixels=max_pixels)
    module = load_tokenizer(arguments)
    template = get_template_and_fix_tokenizer(module["tokenizer"], DataArguments(template="qwen2_vl"))
    seconds = []
    for _ in range(rounds + 1):
        before = time.process_time()
        sample(template, module["tokenizer"], module["processor"], video)
        seconds.append(time.process_time() - before)
    print(json.dumps(seconds[1:]))


def sample(template, tokenizer, processor, video: str) -> None:
    """One sample: visual inputs, then token ids with the placeholders expanded."""
    inputs = template.mm_plugin.get_mm_inputs([], [video], [], [0], [1], [0], [[]], processor)
    # `process_messages` would decode the video again for its grid; that is LLaMA-Factory's once, before training.
    tokens = int(inputs["video_grid_thw"][0].prod()) // processor.video_processor.merge_size**2
    expanded = [{**turn, "content": turn["content"].replace("<video>", "<|video_pad|>" * tokens)} for turn in MESSAGES]
    template.encode_multiturn(tokenizer, expanded)


if __name__ == "__main__":
    main()

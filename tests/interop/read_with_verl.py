"""Runs in verl's environment: reads an exported recipe and its rows with verl's own code; prints one JSON object.

Usage: read_with_verl.py CONFIG, the configuration as `main_ppo --cfg job` prints it; works in the run's folder.
"""

import json
import sys

from omegaconf import OmegaConf
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor
from verl.trainer.ppo.reward import get_custom_reward_fn
from verl.utils.dataset.rl_dataset import RLHFDataset

config = OmegaConf.load(sys.argv[1])
processor = AutoProcessor.from_pretrained("models/base")
found = {}
for part, files in (("train", config.data.train_files), ("validation", config.data.val_files)):
    dataset = RLHFDataset(files, processor.tokenizer, config.data, processor)
    rows = [dataset[index] for index in range(len(dataset))]
    messages = rows[0]["raw_prompt"]
    _, videos = process_vision_info(messages)
    found[part] = {
        "ids": [row["extra_info"]["id"] for row in rows],
        "text": "".join(item.get("text", "<video>") for item in messages[0]["content"]),
        "shapes": [list(video.shape) for video in videos],
    }
score = get_custom_reward_fn(config)
for letter in "AB":
    completion = f"<think>a</think><answer>{letter}</answer>"
    found[letter] = score(data_source="hop1", solution_str=completion, ground_truth="B", extra_info={})["score"]
print("\n" + json.dumps(found))
